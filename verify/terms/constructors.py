"""The constructors of terms: they fold constants, rewrite by the rules, and never decide what needs a solver.

The functions are made from `rules.RULES` and `sums`; each returns a term equal to the operation's meaning in SMT-LIB,
for all values of the variables.  Operands that do not fit are a ValueError, or a TypeError where a width is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from types import CodeType
from typing import Any, Final, Protocol

from verify.terms import nodes, sums
from verify.terms.matching import OPERATIONS, source
from verify.terms.nodes import FALSE, MEMORY, TRUE, Array, Sort, Term, as_written, const, postorder, uf
from verify.terms.rules import RULES, Rule, rules_in_force


class Unary(Protocol):
    """A term of a term."""

    def __call__(self, a: Term, /) -> Term: ...


class Binary(Protocol):
    """A term of two terms, of one width but for `concat`, `select`."""

    def __call__(self, a: Term, b: Term, /) -> Term: ...


class Ternary(Protocol):
    """A term of three terms."""

    def __call__(self, a: Term, b: Term, c: Term, /) -> Term: ...


@dataclass(frozen=True, slots=True)
class Constructors:
    """One function an operation; all that one of them makes is made by these."""

    add: Binary
    sub: Binary
    mul: Binary
    neg: Unary
    and_: Binary
    or_: Binary
    xor: Binary
    not_: Unary
    shl: Binary  # 0 where the count >= width
    lshr: Binary  # logical, likewise
    ashr: Binary  # the sign everywhere, likewise
    udiv: Binary  # all ones where the divisor is 0
    urem: Binary  # the dividend where the divisor is 0
    sdiv: Binary  # truncated towards zero; 1 or -1 by the dividend's sign where the divisor is 0
    srem: Binary  # the dividend's sign
    extract: Callable[[Term, int, int], Term]  # bits high..low, both included
    concat: Binary  # the first one highest
    zext: Callable[[Term, int], Term]  # to a width
    sext: Callable[[Term, int], Term]
    eq: Binary  # one bit; bit-vectors, register files or memories
    ult: Binary  # one bit
    slt: Binary
    ite: Ternary  # the second where the one-bit first is 1, else the third
    select: Binary  # the register of that number
    store: Ternary  # the register file with register `b` replaced by c
    load: Callable[[Term, Term, int], Term]  # bytes at the 64-bit address, little-endian: 8 * size bits
    write: Ternary  # the memory with the bytes of c at the 64-bit address, little-endian
    choice: Callable[[Term, Term], Term | None]  # see `sums.Rewriting`


def _differ(i: Term, j: Term) -> bool:
    """Whether two register numbers differ without any fact."""
    return i.op == "const" and j.op == "const" and i.params[0] != j.params[0]


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def _quotient(x: int, y: int, width: int) -> int:
    a, b = _signed(x, width), _signed(y, width)
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _check_sorts(a: Sort, b: Sort) -> None:
    if a != b:
        raise ValueError(f"operands must have one sort, got {a} and {b}")


def _check_choice(condition: Term, then: Term, otherwise: Term) -> None:
    if then.sort != otherwise.sort or condition.sort != 1:
        raise ValueError(f"ite of {condition.sort}, {then.sort} and {otherwise.sort}")


def _check_select(array: Term, index: Term) -> None:
    if not isinstance(array.sort, Array) or index.sort != array.sort.index_bits:
        raise ValueError(f"select of {array.sort} by {index.sort}")


def _check_store(array: Term, index: Term, value: Term) -> None:
    sort = array.sort
    if not isinstance(sort, Array) or index.sort != sort.index_bits or value.sort != sort.value_bits:
        raise ValueError(f"store to {sort} by {index.sort} of {value.sort}")


def _check_load(memory: Term, address: Term, size: int) -> None:
    if memory.sort != MEMORY or address.sort != 64 or size < 1:
        raise ValueError(f"load of {size} bytes from {memory.sort} at an address of {address.sort}")


def _check_write(memory: Term, address: Term, value: Term) -> None:
    if memory.sort != MEMORY or value.width % 8 or address.sort != 64:
        raise ValueError(f"write of {value.width} bits to {memory.sort} at an address of {address.sort}")


SCOPE: Final[dict[str, Any]] = {  # what the functions made of rules use
    "node": as_written, "precedes": nodes.precedes, "const": const, "bit": nodes.bit, "TRUE": TRUE, "FALSE": FALSE,
    "MEMORY": MEMORY, "signed": _signed, "quotient": _quotient, "same_width": sums.same_width,
    "combined": sums.combined, "scaled": sums.scaled, "low_bits": sums.low_bits, "written": sums.written,
    "check_sorts": _check_sorts, "check_choice": _check_choice, "check_select": _check_select,
    "check_store": _check_store, "check_load": _check_load, "check_write": _check_write,
}  # fmt: skip
Differ = Callable[[Term, Term], bool]
Observe = Callable[[str, tuple[tuple[str, Sort], ...]], None]  # rule, its names with integers or sorts


@cache
def _code(rules: tuple[Rule, ...], traced: bool) -> CodeType:
    text = "\n\n".join(source(name, rules, traced) for name in OPERATIONS)
    return compile(text, "<constructors>", "exec")


def constructors(
    rules: tuple[Rule, ...] = RULES, differ: Differ = _differ, observe: Observe | None = None
) -> Constructors:
    """Constructors that apply these rules; `differ` says which register numbers are kept apart.

    `observe` is told of each rule that applies.
    """
    scope: dict[str, Any] = {**SCOPE, "differ": differ, "observe": observe}
    exec(_code(rules, observe is not None), scope)
    made = Constructors(**{f.name: scope[f.name] for f in fields(Constructors)})
    scope["made"] = made
    scope["difference"] = lambda a, b: sums.difference(a, b, made)
    return made


_IN_FORCE: Final = rules_in_force()
_MADE: Final = constructors(_IN_FORCE)
add, sub, mul, neg = _MADE.add, _MADE.sub, _MADE.mul, _MADE.neg
and_, or_, xor, not_ = _MADE.and_, _MADE.or_, _MADE.xor, _MADE.not_
shl, lshr, ashr = _MADE.shl, _MADE.lshr, _MADE.ashr
udiv, urem, sdiv, srem = _MADE.udiv, _MADE.urem, _MADE.sdiv, _MADE.srem
extract, zext, sext = _MADE.extract, _MADE.zext, _MADE.sext
eq, ult, slt, ite = _MADE.eq, _MADE.ult, _MADE.slt, _MADE.ite
select, store, load, write = _MADE.select, _MADE.store, _MADE.load, _MADE.write


def concat(*parts: Term) -> Term:
    """The parts joined, the first one highest."""
    joined = parts[-1]
    for top in reversed(parts[:-1]):
        joined = _MADE.concat(top, joined)
    return joined


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


def substitute(roots: Iterable[Term], bindings: Mapping[Term, Term]) -> tuple[Term, ...]:
    """The roots with terms replaced; what holds one is rebuilt through the constructors, all else stays as it is."""
    roots = tuple(roots)
    done: dict[Term, Term] = dict(bindings)
    for t in postorder(roots):
        if t not in done:
            args = tuple(done[a] for a in t.args)
            done[t] = t if args == t.args else rebuilt(t, args)
    return tuple(done[r] for r in roots)


def under(distinct: Iterable[tuple[Term, Term]], roots: Iterable[Term]) -> tuple[Term, ...]:
    """The roots rewritten once more, register numbers of a pair being taken to differ.

    NOTE(distinct-registers): the results are equal to the roots only where the pairs do differ, so the pairs must be
    premises of every obligation that is made from them.
    """
    roots = tuple(roots)
    if _IN_FORCE is not RULES:
        return roots
    apart = {pair for a, b in distinct for pair in ((a, b), (b, a))}
    if not apart:
        return roots
    made = constructors(differ=lambda i, j: (i, j) in apart or _differ(i, j))
    done: dict[Term, Term] = {}
    for t in postorder(roots):
        args = tuple(done[a] for a in t.args)
        done[t] = rebuilt(t, args, made) if args != t.args or t.op in {"select", "store"} else t
    return tuple(done[r] for r in roots)


def normal_form(term: Term) -> Term:
    """The term as all rules make it, whichever are in force: to find what is known of it, never to state it."""
    if _IN_FORCE is RULES:
        return term
    made, done = _all_rules(), dict[Term, Term]()
    for t in postorder((term,)):
        done[t] = rebuilt(t, tuple(done[a] for a in t.args), made) if t.args else t
    return done[term]


@cache
def _all_rules() -> Constructors:
    return constructors(RULES)


def rebuilt(term: Term, args: Sequence[Term], made: Constructors = _MADE) -> Term:
    """The same operation on other arguments, by the constructors."""
    op, params = term.op, term.params
    if op == "sum":
        total = const(int(params[0]), term.width)
        for a, c in zip(args, params[1:], strict=True):
            total = made.add(total, a if c == 1 else made.mul(a, const(int(c), term.width)))
        return total
    if op in {"zext", "sext"}:
        return (made.zext if op == "zext" else made.sext)(args[0], term.width)
    if op == "uf":
        return uf(str(params[0]), term.sort, *args)
    built: Term = getattr(made, _CONSTRUCTOR.get(op, op))(*args, *params)
    return built


_CONSTRUCTOR: Final = {"and": "and_", "or": "or_", "not": "not_"}
