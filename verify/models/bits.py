"""Bit-vector terms: the one language in which semantics, schemes and obligations are written.

A term is immutable and interned, so equal terms are the same object.  Constructors fold constants and keep sums in a
linear normal form; they never decide anything that needs a solver.  Every rewrite is an identity of two's-complement
arithmetic, of arrays (read over write) or of memory as bytes.  Translation to a solver is `verify.smt`'s business,
evaluation on integers is `verify.models.evaluation`'s.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from zlib import crc32


class Array(NamedTuple):
    """The sort of a register file: 2**index_bits registers of value_bits bits."""

    name: str
    index_bits: int
    value_bits: int


class Opaque(NamedTuple):
    """An uninterpreted sort."""

    name: str


GPRS: Final = Array("Gprs", 4, 64)
VECTORS: Final = Array("Vectors", 5, 512)
MASKS: Final = Array("Masks", 3, 64)
MEMORY: Final = Opaque("Memory")

Sort = int | Array | Opaque  # an int is a bit-vector width, 1 or more


class Term:
    """One node; compare with `is`.  `key` is a structural hash, the same in every process."""

    __slots__ = ("args", "key", "op", "params", "sort")
    op: str
    args: tuple[Term, ...]
    params: tuple[int | str, ...]
    sort: Sort
    key: int

    @property
    def width(self) -> int:
        """Bits of a bit-vector term; TypeError for register files and memory."""
        if not isinstance(self.sort, int):
            raise TypeError(f"a {self.sort} has no width")
        return self.sort

    @property
    def value(self) -> int | None:
        """The constant's value, unsigned; None where the term is not a constant."""
        return int(self.params[0]) if self.op == "const" else None

    def __repr__(self) -> str:
        return text(self)

    def __reduce__(self) -> tuple[object, ...]:
        return as_written, (self.op, self.args, self.params, self.sort)


_INTERNED: dict[tuple[object, ...], Term] = {}
_OP_CODE: dict[str, int] = {}


def _stable(item: int | str) -> int:
    return item if isinstance(item, int) else crc32(item.encode()) ^ 0x5BD1E995


def _node(op: str, args: tuple[Term, ...], params: tuple[int | str, ...], sort: Sort) -> Term:
    identity = (op, args, params, sort)
    found = _INTERNED.get(identity)
    if found is not None:
        return found
    term = Term.__new__(Term)
    term.op, term.args, term.params, term.sort = op, args, params, sort
    code = _OP_CODE.get(op)
    if code is None:
        code = _OP_CODE[op] = _stable(op)
    bits = sort if isinstance(sort, int) else _stable(sort.name)
    # NOTE(datapath-names): order must not depend on an opcode's name, or equal obligations would not look equal.
    named = (str(params[0]).rpartition(".")[2],) if op == "uf" else params
    term.key = hash((code, bits, *[a.key for a in args], *[_stable(p) for p in named]))
    _INTERNED[identity] = term
    return term


def as_written(op: str, args: tuple[Term, ...], params: tuple[int | str, ...], sort: Sort) -> Term:
    """The node of that operation without any rewriting: for terms that were written down and are read again."""
    return _node(op, args, params, sort)


def const(value: int, width: int) -> Term:
    """The constant `value` modulo 2**width."""
    if width < 1:
        raise ValueError(f"width must be 1 or more, got {width}")
    return _node("const", (), (value & ((1 << width) - 1),), width)


def var(name: str, sort: Sort) -> Term:
    """A free variable: bit-vector, register file or memory."""
    return _node("var", (), (name,), sort)


TRUE: Final = const(1, 1)
FALSE: Final = const(0, 1)


def bit(value: bool) -> Term:
    """A one-bit constant."""
    return TRUE if value else FALSE


def _same_width(a: Term, b: Term) -> int:
    if a.sort != b.sort or not isinstance(a.sort, int):
        raise ValueError(f"operands must have one width, got {a.sort} and {b.sort}")
    return a.sort


# Sums: constant + sum of coefficient * term, terms ordered by structural key.


def _linear(t: Term) -> tuple[int, dict[Term, int]]:
    if t.op == "const":
        return int(t.params[0]), {}
    if t.op == "sum":
        return int(t.params[0]), dict(zip(t.args, (int(p) for p in t.params[1:]), strict=True))
    return 0, {t: 1}


def _sum(constant: int, parts: dict[Term, int], width: int) -> Term:
    mask = (1 << width) - 1
    constant &= mask
    kept = [(t, c & mask) for t, c in parts.items() if c & mask]
    if not kept:
        return const(constant, width)
    if constant == 0 and len(kept) == 1 and kept[0][1] == 1:
        return kept[0][0]
    choices = [t for t, c in kept if t.op == "ite" and c == 1]
    if len(choices) == 1:  # a sum with one choice is a choice of sums, so that what is common cancels
        condition, then, otherwise = choices[0].args
        rest = _sum(constant, {t: c for t, c in kept if t is not choices[0]}, width)
        return ite(condition, add(then, rest), add(otherwise, rest))
    if len(kept) > 1:
        kept.sort(key=lambda item: item[0].key)
    return _node("sum", tuple(t for t, _ in kept), (constant, *(c for _, c in kept)), width)


def _combine(a: Term, b: Term, sign: int) -> Term:
    width = _same_width(a, b)
    constant, parts = _linear(a)
    other, more = _linear(b)
    for t, c in more.items():
        parts[t] = parts.get(t, 0) + sign * c
    return _sum(constant + sign * other, parts, width)


def add(a: Term, b: Term) -> Term:
    """a + b modulo 2**width."""
    return _combine(a, b, 1)


def sub(a: Term, b: Term) -> Term:
    """a - b modulo 2**width."""
    return _combine(a, b, -1)


def neg(a: Term) -> Term:
    """-a modulo 2**width."""
    return sub(const(0, a.width), a)


def mul(a: Term, b: Term) -> Term:
    """a * b modulo 2**width."""
    width = _same_width(a, b)
    for left, right in ((a, b), (b, a)):
        if left.value is not None:
            constant, parts = _linear(right)
            return _sum(constant * left.value, {t: c * left.value for t, c in parts.items()}, width)
    return _commutative("mul", a, b, width)


def _commutative(op: str, a: Term, b: Term, width: int) -> Term:
    args = (a, b) if a.key <= b.key else (b, a)
    return _node(op, args, (), width)


def _absorbed(
    a: Term, b: Term, width: int, absorbing: int, neutral: int, of: Callable[[int, int], int]
) -> Term | None:
    """The result where operands are equal or constants decide, else None."""
    if a is b:
        return a
    x, y = a.value, b.value
    if x is not None and y is not None:
        return const(of(x, y), width)
    for value, constant, other in ((x, a, b), (y, b, a)):
        if value == absorbing:
            return constant
        if value == neutral:
            return other
    return None


def and_(a: Term, b: Term) -> Term:
    """Bitwise and."""
    width = _same_width(a, b)
    found = _absorbed(a, b, width, 0, (1 << width) - 1, operator.and_)
    return _commutative("and", a, b, width) if found is None else found


def or_(a: Term, b: Term) -> Term:
    """Bitwise or."""
    width = _same_width(a, b)
    found = _absorbed(a, b, width, (1 << width) - 1, 0, operator.or_)
    if found is not None:
        return found
    if a.op == b.op == "and":  # (x & m) | (x & ~m) is x
        for x, m in (a.args, a.args[::-1]):
            if x in b.args and not_(m) in b.args:
                return x
    return _commutative("or", a, b, width)


def xor(a: Term, b: Term) -> Term:
    """Bitwise exclusive or."""
    width = _same_width(a, b)
    if a is b:
        return const(0, width)
    if a.value is not None and b.value is not None:
        return const(a.value ^ b.value, width)
    for left, right in ((a, b), (b, a)):
        if left.value == 0:
            return right
        if left.value == (1 << width) - 1:
            return not_(right)
    return _commutative("xor", a, b, width)


def not_(a: Term) -> Term:
    """Bitwise complement."""
    if a.value is not None:
        return const(~a.value, a.width)
    return a.args[0] if a.op == "not" else _node("not", (a,), (), a.width)


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


Binary = Callable[[Term, Term], Term]
Folded = Callable[[int, int, int], int]  # two unsigned values and their width; the result modulo 2**width


def _shift(op: str, folded: Folded, keeps_sign: bool = False) -> Binary:
    def shift(a: Term, count: Term) -> Term:
        width = _same_width(a, count)
        n = count.value
        if n == 0:
            return a
        if n is not None and a.value is not None:
            return const(folded(a.value, min(n, width), width), width)
        if n is not None and n >= width and not keeps_sign:
            return const(0, width)
        return _node(op, (a, count), (), width)

    return shift


shl: Final = _shift("shl", lambda value, n, _: value << n)  # 0 where the count >= width
lshr: Final = _shift("lshr", lambda value, n, _: value >> n)  # logical: 0 where the count >= width
ashr: Final = _shift("ashr", lambda value, n, width: _signed(value, width) >> n, keeps_sign=True)  # the sign everywhere


def _divide(op: str, folded: Folded) -> Binary:
    def divide(a: Term, b: Term) -> Term:
        width = _same_width(a, b)
        x, y = a.value, b.value
        if x is not None and y:
            return const(folded(x, y, width), width)
        return _node(op, (a, b), (), width)

    return divide


def _signed_quotient(x: int, y: int, width: int) -> int:
    """Truncated towards zero."""
    a, b = _signed(x, width), _signed(y, width)
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# Where the divisor is 0: SMT-LIB's values, all ones of a udiv, the dividend of a urem.
udiv: Final = _divide("udiv", lambda x, y, _: x // y)
urem: Final = _divide("urem", lambda x, y, _: x % y)
sdiv: Final = _divide("sdiv", _signed_quotient)
srem: Final = _divide("srem", lambda x, y, width: x - _signed_quotient(x, y, width) * y)  # the dividend's sign


def extract(a: Term, high: int, low: int) -> Term:
    """Bits high..low of a, both included."""
    width = a.width
    if not 0 <= low <= high < width:
        raise ValueError(f"bits {high}..{low} are not within a width of {width}")
    if low == 0 and high == width - 1:
        return a
    if a.value is not None:
        return const(a.value >> low, high - low + 1)
    if a.op == "extract":
        base = int(a.params[1])
        return extract(a.args[0], high + base, low + base)
    if a.op == "concat":
        return _extract_concat(a, high, low)
    if a.op == "zext":
        return _extract_zext(a, high, low)
    if a.op == "sext" and high < a.args[0].width:
        return extract(a.args[0], high, low)
    if low == 0 and a.op == "sum":  # the low bits of a sum are the sum of the low bits
        parts: dict[Term, int] = {}
        for t, c in zip(a.args, a.params[1:], strict=True):
            small = extract(t, high, 0)
            constant, inner = _linear(small)
            if constant:
                break
            for u, d in inner.items():
                parts[u] = parts.get(u, 0) + int(c) * d
        else:
            return _sum(int(a.params[0]), parts, high + 1)
    return _node("extract", (a,), (high, low), high - low + 1)


def _extract_concat(a: Term, high: int, low: int) -> Term:
    top, bottom = a.args
    if high < bottom.width:
        return extract(bottom, high, low)
    if low >= bottom.width:
        return extract(top, high - bottom.width, low - bottom.width)
    return concat(extract(top, high - bottom.width, 0), extract(bottom, bottom.width - 1, low))


def _extract_zext(a: Term, high: int, low: int) -> Term:
    inner = a.args[0]
    if high < inner.width:
        return extract(inner, high, low)
    if low >= inner.width:
        return const(0, high - low + 1)
    return zext(extract(inner, inner.width - 1, low), high - low + 1)


def concat(*parts: Term) -> Term:
    """The parts joined, the first one highest."""
    joined = parts[-1]
    for top in reversed(parts[:-1]):
        joined = _concat2(top, joined)
    return joined


def _concat2(top: Term, bottom: Term) -> Term:
    width = top.width + bottom.width
    if top.value is not None and bottom.value is not None:
        return const(top.value << bottom.width | bottom.value, width)
    if top.value == 0:
        return zext(bottom, width)
    if _adjacent(top, bottom):
        return extract(top.args[0], int(top.params[0]), int(bottom.params[1]))
    if bottom.op == "concat" and _adjacent(top, bottom.args[0]):
        return _concat2(_concat2(top, bottom.args[0]), bottom.args[1])
    return _node("concat", (top, bottom), (), width)


def _adjacent(top: Term, bottom: Term) -> bool:
    if not top.op == bottom.op == "extract":
        return False
    return top.args[0] is bottom.args[0] and top.params[1] == int(bottom.params[0]) + 1


def zext(a: Term, width: int) -> Term:
    """a with zero bits above, to `width`."""
    if width == a.width:
        return a
    if width < a.width:
        raise ValueError(f"cannot extend {a.width} bits to {width}")
    if a.value is not None:
        return const(a.value, width)
    return _node("zext", (a.args[0] if a.op == "zext" else a,), (), width)


def sext(a: Term, width: int) -> Term:
    """a with its sign bit repeated, to `width`."""
    if width == a.width:
        return a
    if width < a.width:
        raise ValueError(f"cannot extend {a.width} bits to {width}")
    if a.value is not None:
        return const(_signed(a.value, a.width), width)
    if a.op == "zext":
        return zext(a.args[0], width)
    return _node("sext", (a.args[0] if a.op == "sext" else a,), (), width)


def eq(a: Term, b: Term) -> Term:
    """One bit: a = b (bit-vectors, register files or memories)."""
    if a.sort != b.sort:
        raise ValueError(f"operands must have one sort, got {a.sort} and {b.sort}")
    if a is b:
        return TRUE
    if isinstance(a.sort, int):
        if a.value is not None and b.value is not None:
            return FALSE
        if a.op == "sum" or b.op == "sum":
            difference = sub(a, b)
            if difference.value is not None:
                return bit(difference.value == 0)
        if a.sort == 1:
            return not_(xor(a, b))
    args = (a, b) if a.key <= b.key else (b, a)
    return _node("eq", args, (), 1)


def ult(a: Term, b: Term) -> Term:
    """One bit: a < b, unsigned."""
    _same_width(a, b)
    if a is b or b.value == 0:
        return FALSE
    if a.value is not None and b.value is not None:
        return bit(a.value < b.value)
    return _node("ult", (a, b), (), 1)


def slt(a: Term, b: Term) -> Term:
    """One bit: a < b, signed."""
    width = _same_width(a, b)
    if a is b:
        return FALSE
    if a.value is not None and b.value is not None:
        return bit(_signed(a.value, width) < _signed(b.value, width))
    return _node("slt", (a, b), (), 1)


def ite(condition: Term, then: Term, otherwise: Term) -> Term:
    """then where the one-bit condition is 1, else otherwise."""
    if then.sort != otherwise.sort or condition.sort != 1:
        raise ValueError(f"ite of {condition.sort}, {then.sort} and {otherwise.sort}")
    if condition.value is not None:
        return then if condition.value else otherwise
    if then is otherwise:
        return then
    if condition.op == "not":
        return ite(condition.args[0], otherwise, then)
    if condition.op == "eq" and {condition.args[0], condition.args[1]} == {then, otherwise}:
        return otherwise
    if then.sort == 1:
        if then is TRUE and otherwise is FALSE:
            return condition
        if then is FALSE and otherwise is TRUE:
            return not_(condition)
    return _node("ite", (condition, then, otherwise), (), then.sort)


def all_of(bits: Iterable[Term]) -> Term:
    """The conjunction of one-bit terms; 1 where there are none."""
    result = TRUE
    for b in bits:
        result = and_(result, b)
    return result


def any_of(bits: Iterable[Term]) -> Term:
    """The disjunction of one-bit terms; 0 where there are none."""
    result = FALSE
    for b in bits:
        result = or_(result, b)
    return result


def uf(name: str, sort: Sort, *args: Term) -> Term:
    """An uninterpreted function of everything in args."""
    return _node("uf", args, (name,), sort)


_DISTINCT: set[tuple[Term, Term]] = set()


@contextmanager
def distinct_registers(pairs: Iterable[tuple[Term, Term]]) -> Iterator[None]:
    """Within the block, register numbers of a pair are taken to differ when register files are read and written.

    NOTE(distinct-registers): terms built inside are equal to what they stand for only where the pairs do differ, so
    the pairs must be premises of every obligation that is built from them.
    """
    added = {pair for a, b in pairs for pair in ((a, b), (b, a))} - _DISTINCT
    _DISTINCT.update(added)
    try:
        yield
    finally:
        _DISTINCT.difference_update(added)


def _differ(a: Term, b: Term) -> bool:
    if a.value is not None and b.value is not None:
        return a.value != b.value
    return (a, b) in _DISTINCT


def select(array: Term, index: Term) -> Term:
    """The register `index` of a register file."""
    sort = array.sort
    if not isinstance(sort, Array) or index.sort != sort.index_bits:
        raise ValueError(f"select of {sort} by {index.sort}")
    while array.op == "store":
        base, written, value = array.args
        if written is index:
            return value
        if not _differ(written, index):
            break
        array = base
    if array.op == "ite" and index.value is not None:
        condition, then, otherwise = array.args
        return ite(condition, select(then, index), select(otherwise, index))
    return _node("select", (array, index), (), sort.value_bits)


def store(array: Term, index: Term, value: Term) -> Term:
    """The register file with register `index` replaced."""
    sort = array.sort
    if not isinstance(sort, Array) or index.sort != sort.index_bits or value.sort != sort.value_bits:
        raise ValueError(f"store to {sort} by {index.sort} of {value.sort}")
    if select(array, index) is value:
        return array
    if array.op == "store":
        base, written, old = array.args
        if written is index:
            return store(base, index, value)
        if _differ(index, written) and index.key < written.key:
            return _node("store", (store(base, index, value), written, old), (), sort)
    return _node("store", (array, index, value), (), sort)


def load(memory: Term, address: Term, size: int) -> Term:
    """`size` bytes at the 64-bit address, little-endian, as a term of 8*size bits."""
    if memory.op == "write" and memory.args[1] is address and memory.args[2].width == 8 * size:
        return memory.args[2]
    return _node("load", (memory, address), (size,), 8 * size)


def write(memory: Term, address: Term, value: Term) -> Term:
    """The memory with the bytes of value (a whole number of bytes, little-endian) at the 64-bit address."""
    if value.width % 8 or address.sort != 64:
        raise ValueError(f"write of {value.width} bits at an address of {address.sort}")
    if memory.op == "write" and memory.args[1] is address and memory.args[2].width == value.width:
        memory = memory.args[0]
    return _node("write", (memory, address, value), (), MEMORY)


def postorder(roots: Iterable[Term]) -> Iterator[Term]:
    """Every term below the roots once, arguments before their users."""
    seen: set[Term] = set()
    stack = [(r, False) for r in reversed(list(roots))]
    while stack:
        term, expanded = stack.pop()
        if expanded:
            yield term
        elif term not in seen:
            seen.add(term)
            stack.append((term, True))
            stack.extend((a, False) for a in reversed(term.args) if a not in seen)


def substitute(roots: Iterable[Term], bindings: dict[Term, Term]) -> tuple[Term, ...]:
    """The roots with variables replaced, rebuilt through the folding constructors."""
    roots = tuple(roots)
    done: dict[Term, Term] = dict(bindings)
    for t in postorder(roots):
        if t not in done:
            done[t] = rebuilt(t, tuple(done[a] for a in t.args)) if t.args else t
    return tuple(done[r] for r in roots)


def rebuilt(term: Term, args: tuple[Term, ...]) -> Term:
    """The same operation on other arguments, folded again."""
    op, params = term.op, term.params
    if op == "sum":
        total = const(int(params[0]), term.width)
        for a, c in zip(args, params[1:], strict=True):
            total = add(total, mul(a, const(int(c), term.width)))
        return total
    if op == "extract":
        return extract(args[0], int(params[0]), int(params[1]))
    if op in {"zext", "sext"}:
        return (zext if op == "zext" else sext)(args[0], term.width)
    if op == "uf":
        return uf(str(params[0]), term.sort, *args)
    if op == "load":
        return load(args[0], args[1], int(params[0]))
    return _BUILDERS[op](*args)


_BUILDERS: Final[dict[str, Callable[..., Term]]] = {
    "mul": mul, "and": and_, "or": or_, "xor": xor, "not": not_, "shl": shl, "lshr": lshr, "ashr": ashr,
    "udiv": udiv, "urem": urem, "sdiv": sdiv, "srem": srem, "concat": concat, "eq": eq, "ult": ult, "slt": slt,
    "ite": ite, "select": select, "store": store, "write": write,
}  # fmt: skip


def text(term: Term) -> str:
    """A readable prefix form; shared subterms are repeated."""
    if term.op == "const":
        return f"0x{int(term.params[0]):x}:{term.width}"
    if term.op == "var":
        return str(term.params[0])
    head = " ".join([term.op, *(str(p) for p in term.params)])
    return f"({head} {' '.join(text(a) for a in term.args)})"
