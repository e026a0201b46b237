"""Normal forms of a statement's nodes: equal normal nodes are equal for all values; the rules are in RULES.md beside.

A node is a position in one table, arguments before their users.  Sums are polynomials modulo 2**width, conjunctions
and exclusive-ors are flat and sorted, slices are pushed inwards, a bit-vector is a concatenation of slices where it can
be.  Facts (a node with what it is, given something else) are applied as nodes are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce, wraps
from itertools import pairwise
from typing import Concatenate, Final, ParamSpec

from verify.certificates.statement import Node, Sort

Parts = dict[int, int]  # node -> coefficient
LIMIT: Final = 400_000  # nodes made or found for one statement: deterministic, unlike a time limit
LIFTED: Final = 12  # choices within each other into which a choice is lifted


class Exhausted(Exception):
    """The work for one statement is used up."""


Given = ParamSpec("Given")


def _once(method: Callable[Concatenate[Table, Given], int]) -> Callable[Concatenate[Table, Given], int]:
    """The method computed once for the same arguments while the facts are the same."""
    name = method.__name__

    @wraps(method)
    def looked_up(self: Table, *args: Given.args, **_: Given.kwargs) -> int:
        key = (name, *args)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = method(self, *args)  # type: ignore[call-arg]
        return found

    return looked_up


class Table:
    """Normal nodes, each once."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.nodes: list[Node] = []
        self.interned: dict[Node, int] = {}
        self.facts: dict[int, tuple[int, int]] = {}  # node -> what it is, and which assertion says so
        self.current = -1  # the assertion that is being rewritten: its own facts do not apply
        self.memo: dict[tuple[object, ...], int] = {}
        self.work, self.limit = 0, limit

    def node(self, op: str, sort: Sort, params: tuple[int | str, ...], args: tuple[int, ...]) -> int:
        """The node, or what a fact says that it is."""
        self.work += 1
        if self.work > self.limit:
            raise Exhausted
        node = Node(op, sort, params, args)
        found = self.interned.get(node)
        if found is None:
            found = self.interned[node] = len(self.nodes)
            self.nodes.append(node)
        fact = self.facts.get(found)
        return found if fact is None or fact[1] == self.current else fact[0]

    def width(self, x: int) -> int:
        """Bits of a bit-vector."""
        sort = self.nodes[x].sort
        assert isinstance(sort, int)
        return sort

    def const(self, value: int, width: int) -> int:
        """A constant, modulo 2**width."""
        return self.node("const", width, (value & (1 << width) - 1,), ())

    def value(self, x: int) -> int | None:
        """The constant's value."""
        node = self.nodes[x]
        return int(node.params[0]) if node.op == "const" else None

    def rebuilt(self, x: Node, args: Sequence[int]) -> int:
        """The normal node of an operation on normal arguments."""
        made = _BY_OPERATION.get(x.op)
        return made(self, x, args) if made else self.node(x.op, x.sort, x.params, tuple(args))

    # sums: sum-polynomial

    def parts(self, x: int) -> tuple[int, Parts]:
        """The constant, and the coefficient of each term; of a complement, -1 - x."""
        op, sort, params, args = self.nodes[x]
        if op == "const":
            return int(params[0]), {}
        if op == "sum":
            return int(params[0]), dict(zip(args, map(int, params[1:]), strict=True))
        if op == "xor" and len(args) == 1 and sort != 1:  # params: all ones
            return -1, {args[0]: -1}
        return 0, {x: 1}

    def polynomial(self, constant: int, terms: Parts, width: int) -> int:
        """constant + sum of coefficient * term."""
        mask = (1 << width) - 1
        kept = sorted((t, c & mask) for t, c in terms.items() if c & mask)
        constant &= mask
        if not kept:
            return self.const(constant, width)
        if constant == mask and len(kept) == 1 and kept[0][1] == mask and width > 1:
            return self.xor(width, (kept[0][0], self.const(mask, width)))
        if constant == 0 and len(kept) == 1 and kept[0][1] == 1:
            return kept[0][0]
        return self.node("sum", width, (constant, *(c for _, c in kept)), tuple(t for t, _ in kept))

    def combined(self, pairs: Iterable[tuple[int, int]], width: int) -> int:
        """The sum of nodes with factors."""
        if width == 1:  # a sum modulo 2
            return self.xor(1, [x for x, c in pairs if c & 1])
        constant, total = self._total(pairs)
        return self.polynomial(constant, total, width)

    def _total(self, pairs: Iterable[tuple[int, int]]) -> tuple[int, Parts]:
        constant, total = 0, Parts()
        for x, factor in pairs:
            c, terms = self.parts(x)
            constant += factor * c
            for t, k in terms.items():
                total[t] = total.get(t, 0) + factor * k
        return constant, total

    def product(self, a: int, b: int) -> int:
        """A product; constant factors are coefficients."""
        width, factor, rest = self.width(a), 1, list[int]()
        if width == 1:
            return self.conjunction(1, (a, b))
        for x in (a, b):
            c, terms = self.parts(x)
            if not terms:
                factor *= c
            elif c == 0 and len(terms) == 1:
                ((t, k),) = terms.items()
                factor *= k
                rest += self.nodes[t].args if self.nodes[t].op == "mul" else (t,)
            else:
                rest.append(x)
        if not rest:
            return self.const(factor, width)
        x = rest[0] if len(rest) == 1 else self.node("mul", width, (), tuple(sorted(rest)))
        return self.combined([(x, factor)], width)

    # and, xor

    @_once
    def complement(self, x: int) -> int:
        """Every bit inverted."""
        width = self.width(x)
        if self.nodes[x].op == "sum":
            return self.combined([(self.const(-1, width), 1), (x, -1)], width)
        return self.xor(width, (x, self.const(-1, width)))

    def xor(self, width: int, xs: Sequence[int]) -> int:
        """Exclusive or."""
        constant, odd = 0, dict[int, None]()
        for x in self._flat("xor", xs):
            value = self.value(x)
            if value is not None:
                constant ^= value
            elif x in odd:
                del odd[x]
            else:
                odd[x] = None
        mask = (1 << width) - 1
        if not odd:
            return self.const(constant, width)
        cut = self._cut([*odd, *([self.const(constant, width)] if constant not in {0, mask} else [])])
        if cut:
            return self._slicewise(self.xor, cut, [*odd, self.const(constant, width)])
        if constant == 0 and len(odd) == 1:
            return next(iter(odd))
        if constant not in {0, mask}:
            return self.node("xor", width, (constant,), tuple(sorted(odd)))
        inner = next(iter(odd)) if len(odd) == 1 else self.node("xor", width, (0,), tuple(sorted(odd)))
        if constant == 0:
            return inner
        if self.nodes[inner].op in {"sum", "const"}:
            return self.complement(inner)
        if self._negated(inner) >= 0:
            return self._negated(inner)
        return self.node("xor", width, (mask,), (inner,))

    def _flat(self, op: str, xs: Sequence[int]) -> Iterable[int]:
        for x in xs:
            node = self.nodes[x]
            if node.op == op:
                yield from self._flat(op, node.args)
                if op == "xor" and node.params[0]:
                    yield self.const(int(node.params[0]), self.width(x))
            else:
                yield x

    def conjunction(self, width: int, xs: Sequence[int]) -> int:
        """And of all bits: and-zero, and-ones, and-same, and-complement, and-resolve."""
        mask, kept, constant = (1 << width) - 1, dict[int, None](), (1 << width) - 1
        for x in self._flat("and", xs):
            value = self.value(x)
            if value is None:
                kept[x] = None
            else:
                constant &= value
        if constant == 0 or any(self._negated(x) in kept for x in kept):
            return self.const(0, width)
        if not kept:
            return self.const(constant, width)
        masked = [] if constant == mask else [self.const(constant, width)]
        cut = self._cut([*kept, *masked])
        if cut:
            return self._slicewise(self.conjunction, cut, [*kept, *masked])
        if width == 1:
            resolved = self._resolved(kept)
            if resolved is not None:
                return self.conjunction(1, resolved)
        found = sorted(kept)
        if masked:
            found += masked
        return found[0] if len(found) == 1 else self.node("and", width, (), tuple(found))

    def _negated(self, x: int) -> int:
        """What x is the complement of; -1 where it is none."""
        node = self.nodes[x]
        if node.op != "xor" or len(node.args) != 1 or node.params[0] != (1 << self.width(x)) - 1:
            return -1
        return node.args[0]

    def _resolved(self, kept: Iterable[int]) -> list[int] | None:
        """The conjuncts with one of them shortened by the others; None where none is."""
        known = set(kept)
        false = {self._negated(x) for x in known}
        for x in known:
            inner = self._negated(x)
            if inner < 0 or self.nodes[inner].op != "and":
                continue
            args = self.nodes[inner].args
            rest = [a for a in args if a not in known]
            if any(a in false or self._negated(a) in known for a in rest):
                return [y for y in known if y != x]
            if len(rest) < len(args):
                return [*(y for y in known if y != x), self.complement(self.conjunction(1, rest))]
        return None

    def _cut(self, xs: Sequence[int]) -> list[int]:
        """Where the operands are cut: the ends of slices from the top down, the width first; [] where nowhere."""
        width = self.width(xs[0])
        ends = {width, 0}
        for x in xs:
            node = self.nodes[x]
            if node.op == "concat":
                at = 0
                for part in reversed(node.args):
                    at += self.width(part)
                    ends.add(at)
        if len(ends) == 2 and width > 1:
            for x in xs:
                value = self.value(x)
                if value is not None:
                    ends |= _runs(value, width)
        return sorted(ends, reverse=True) if len(ends) > 2 else []

    def _slicewise(self, made: Callable[[int, Sequence[int]], int], cut: list[int], xs: Sequence[int]) -> int:
        return self.concat([
            made(high - low, [self.extract(x, high - 1, low) for x in xs]) for high, low in pairwise(cut)
        ])  # fmt: skip

    # slices

    def concat(self, xs: Iterable[int]) -> int:
        """The highest first: flat, constants joined, neighbouring slices of one node joined."""
        done: list[int] = []
        for x in xs:
            for y in self.nodes[x].args if self.nodes[x].op == "concat" else (x,):
                joined = self._joined(done[-1], y) if done else None
                if joined is None:
                    done.append(y)
                else:
                    done[-1] = joined
        return done[0] if len(done) == 1 else self.node("concat", sum(map(self.width, done)), (), tuple(done))

    def _joined(self, a: int, b: int) -> int | None:
        x, y = self.nodes[a], self.nodes[b]
        if x.op == y.op == "const":
            wide = self.width(b)
            return self.const(int(x.params[0]) << wide | int(y.params[0]), self.width(a) + wide)
        if x.op == y.op == "extract" and x.args == y.args and x.params[1] == int(y.params[0]) + 1:
            return self.extract(x.args[0], int(x.params[0]), int(y.params[1]))
        return None

    @_once
    def extract(self, x: int, high: int, low: int) -> int:
        """Bits high..low."""
        op, _, params, args = self.nodes[x]
        wide = high - low + 1
        if wide == self.width(x):
            return x
        match op:
            case "const":
                return self.const(int(params[0]) >> low, wide)
            case "extract":
                return self.extract(args[0], high + int(params[1]), low + int(params[1]))
            case "concat":
                return self.concat(self._pieces(args, high, low))
            case "and" | "xor":
                given = [self.extract(a, high, low) for a in args]
                if op == "and":
                    return self.conjunction(wide, given)
                return self.xor(wide, [*given, self.const(int(params[0]) >> low, wide)])
            case "sum" if low == 0:
                pairs = [(self.extract(a, high, 0), int(c)) for a, c in zip(args, params[1:], strict=True)]
                return self.combined([*pairs, (self.const(int(params[0]), wide), 1)], wide)
            case "mul" if low == 0:
                first, *rest = (self.extract(a, high, 0) for a in args)
                for other in rest:
                    first = self.product(first, other)
                return first
            case "sext":
                return self._of_extended(args[0], high, low)
            case "ite":
                return self.choice(args[0], *(self.extract(a, high, low) for a in args[1:]))
        return self.node("extract", wide, (high, low), (x,))

    def _pieces(self, args: Sequence[int], high: int, low: int) -> list[int]:
        found, at = list[int](), 0
        for part in reversed(args):
            wide = self.width(part)
            if low < at + wide and high >= at:
                found.insert(0, self.extract(part, min(high - at, wide - 1), max(low - at, 0)))
            at += wide
        return found

    def _of_extended(self, x: int, high: int, low: int) -> int:
        width = self.width(x)
        if high < width:
            return self.extract(x, high, low)
        low = min(low, width - 1)
        return self.extended(self.extract(x, width - 1, low), high - low + 1) if low < width - 1 or high > low else x

    def extended(self, x: int, wide: int) -> int:
        """Sign extension to a width."""
        op, _, params, args = self.nodes[x]
        width = self.width(x)
        if wide == width:
            return x
        if op == "const":
            value = int(params[0])
            return self.const(value - (value >> (width - 1) << width), wide)
        if op == "sext":
            return self.extended(args[0], wide)
        if op == "concat" and self.value(self.extract(args[0], self.width(args[0]) - 1, self.width(args[0]) - 1)) == 0:
            return self.concat((self.const(0, wide - width), x))
        return self.node("sext", wide, (), (x,))

    # comparisons

    @_once
    def equal(self, a: int, b: int) -> int:
        """One bit: a = b."""
        sort = self.nodes[a].sort
        if a == b:
            return self.const(1, 1)
        if not isinstance(sort, int):
            return self._same_array(a, b)
        if sort == 1:
            return self.complement(self.xor(1, (a, b)))
        constant, terms = self._total([(a, 1), (b, -1)])
        mask = (1 << sort) - 1
        kept = {t: c & mask for t, c in terms.items() if c & mask}
        if not kept:
            return self.const(constant & mask == 0, 1)
        joined = [x for x in (a, b) if self.nodes[x].op == "concat"]
        cut = self._cut(joined) if joined else []
        if cut and not {self.nodes[x].op for x in (a, b)} & {"sum", "mul"}:
            return self._slices_equal(a, b, cut)
        lifted = self._equal_choice(a, b)
        return self._zero(constant & mask, kept, sort) if lifted is None else lifted

    def _slices_equal(self, a: int, b: int, cut: list[int]) -> int:
        pairs = [(self.extract(a, h - 1, low), self.extract(b, h - 1, low)) for h, low in pairwise(cut)]
        return self.conjunction(1, [self.equal(x, y) for x, y in pairs])

    def _zero(self, constant: int, kept: Parts, width: int) -> int:
        """One bit: constant + the sum is 0, in one of its forms."""
        mask = (1 << width) - 1
        if len(kept) == 1:
            ((t, c),) = kept.items()
            if c & 1:
                return self.node("eq", 1, (), (t, self.const(-constant * pow(c, -1, mask + 1), width)))
        if len(kept) == 2 and constant == 0:
            (t, c), (u, d) = sorted(kept.items())
            if (c + d) & mask == 0 and c & 1:
                return self.node("eq", 1, (), (t, u))
        forms = [sorted((t, s * c & mask) for t, c in kept.items()) for s in (1, -1)]
        sign = 1 if forms[0] <= forms[1] else -1
        total = self.polynomial(sign * constant, {t: sign * c for t, c in kept.items()}, width)
        return self.node("eq", 1, (), (total, self.const(0, width)))

    def _equal_choice(self, a: int, b: int) -> int | None:
        """eq-ite: a choice compared with what one arm decides, or with a choice by the same condition."""
        x, y = self.nodes[a], self.nodes[b]
        if x.op == y.op == "ite" and x.args[0] == y.args[0]:
            return self.choice(x.args[0], self.equal(x.args[1], y.args[1]), self.equal(x.args[2], y.args[2]))
        for choice, other in ((x, b), (y, a)):
            if choice.op == "ite":
                arms = [self.equal(arm, other) for arm in choice.args[1:]]
                if any(self.value(arm) is not None for arm in arms):
                    return self.choice(choice.args[0], *arms)
        return None

    def _same_array(self, a: int, b: int) -> int:
        """eq-extensional: two chains of stores over one array agree where one of them has written."""
        (one, first), (other, second) = self._chain(a), self._chain(b)
        if one != other or not first + second:
            lifted = self._equal_choice(a, b)
            return self.node("eq", 1, (), (min(a, b), max(a, b))) if lifted is None else lifted
        return self.conjunction(1, [self.equal(self.select(a, i), self.select(b, i)) for i in dict.fromkeys(first + second)])

    def _chain(self, x: int) -> tuple[int, list[int]]:
        written = []
        while self.nodes[x].op == "store":
            x, index, _ = self.nodes[x].args
            written.append(index)
        return x, written

    def less(self, op: str, a: int, b: int) -> int:
        """One bit: a < b, unsigned or signed."""
        x, y, width = self.value(a), self.value(b), self.width(a)
        if a == b or (op == "ult" and y == 0):
            return self.const(0, 1)
        if x is not None and y is not None:
            half = 0 if op == "ult" else 1 << (width - 1)
            return self.const((x ^ half) < (y ^ half), 1)
        return self.node(op, 1, (), (a, b))

    # choices

    def choice(self, c: int, then: int, otherwise: int) -> int:
        """then where the bit c is 1."""
        value = self.value(c)
        if value is not None or then == otherwise:
            return then if value != 0 else otherwise
        negated = self._negated(c)
        if negated >= 0:
            return self.choice(negated, otherwise, then)
        then, otherwise = self._arm(c, then, 1), self._arm(c, otherwise, 2)
        if then == otherwise:
            return then
        if self.nodes[c].op == "eq" and set(self.nodes[c].args) == {then, otherwise}:
            return otherwise
        if self.nodes[then].sort == 1:
            found = self._choice_of_bits(c, then, otherwise)
            if found is not None:
                return found
        return self.node("ite", self.nodes[then].sort, (), (c, then, otherwise))

    def _arm(self, c: int, x: int, which: int) -> int:
        while self.nodes[x].op == "ite" and self.nodes[x].args[0] == c:
            x = self.nodes[x].args[which]
        return x

    def _choice_of_bits(self, c: int, then: int, otherwise: int) -> int | None:
        no = self.complement(c)
        if then == c or self.value(then) == 1:  # c or otherwise
            return self.complement(self.conjunction(1, (no, self.complement(otherwise))))
        if then == no or self.value(then) == 0:
            return self.conjunction(1, (no, otherwise))
        if otherwise == c or self.value(otherwise) == 0:
            return self.conjunction(1, (c, then))
        if otherwise == no or self.value(otherwise) == 1:  # not c, or then
            return self.complement(self.conjunction(1, (c, self.complement(then))))
        return None

    # register files

    @_once
    def select(self, array: int, index: int) -> int:
        """The register of that number: select-same, select-other, select-split, select-ite."""
        op, sort, _, args = self.nodes[array]
        if op == "store":
            same = self.equal(args[1], index)
            value = self.value(same)
            if value == 1:
                return args[2]
            under = self.select(args[0], index)
            return under if value == 0 else self.choice(same, args[2], under)
        if op == "ite":
            return self.choice(args[0], self.select(args[1], index), self.select(args[2], index))
        assert isinstance(sort, tuple)
        return self.node("select", sort[1], (), (array, index))

    def store(self, array: int, index: int, value: int) -> int:
        """The file with a register replaced: store-noop, store-over, store-order."""
        if self.select(array, index) == value:
            return array
        op, sort, _, args = self.nodes[array]
        if op == "store":
            same = self.value(self.equal(args[1], index))
            if same == 1:
                return self.store(args[0], index, value)
            if same == 0 and index < args[1]:
                return self.store(self.store(args[0], index, value), args[1], args[2])
        return self.node("store", sort, (), (array, index, value))

    # memory: an array of bytes, read and written some bytes at once

    def load(self, x: Node, memory: int, address: int) -> int:
        """The bytes at an address: load-written."""
        op, _, _, args = self.nodes[memory]
        if op == "write" and args[1] == address and self.width(args[2]) == x.sort:
            return args[2]
        return self.node("load", x.sort, (), (memory, address))

    def write(self, memory: int, address: int, value: int) -> int:
        """The memory with the bytes at an address replaced: write-over, write-same."""
        op, sort, _, args = self.nodes[memory]
        if op == "write" and args[1] == address and self.width(args[2]) == self.width(value):
            return self.write(args[0], address, value)
        inner = self.nodes[value]
        if inner.op == "load" and inner.args == (memory, address):
            return memory
        return self.node("write", sort, (), (memory, address, value))

    # shifts and divisions

    def shifted(self, op: str, x: int, count: int) -> int:
        """A shift; by a constant it is a slice."""
        by, width = self.value(count), self.width(x)
        if by is None:
            return self.node(op, width, (), (x, count))
        if op == "ashr":
            return self.extended(self.extract(x, width - 1, min(by, width - 1)), width)
        if by >= width:
            return self.const(0, width)
        if by == 0:
            return x
        zeros = self.const(0, by)
        kept = self.extract(x, width - 1 - by, 0) if op == "shl" else self.extract(x, width - 1, by)
        return self.concat((kept, zeros) if op == "shl" else (zeros, kept))

    def divided(self, op: str, a: int, b: int) -> int:
        """A quotient or remainder; of constants (divisor not 0) a constant."""
        x, y, width = self.value(a), self.value(b), self.width(a)
        if x is None or not y:
            return self.node(op, width, (), (a, b))
        if op[0] == "s":
            x, y = x - (x >> (width - 1) << width), y - (y >> (width - 1) << width)
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return self.const(quotient if op.endswith("div") else x - quotient * y, width)


def _runs(value: int, width: int) -> set[int]:
    """The bits of a constant at which a run of equal bits begins."""
    changes = (value ^ value >> 1) & (1 << width - 1) - 1
    return {i + 1 for i in range(width - 1) if changes >> i & 1}


Made = Callable[[Table, Node, Sequence[int]], int]


def _width_of(x: Node) -> int:
    assert isinstance(x.sort, int)
    return x.sort


_BY_OPERATION: Final[dict[str, Made]] = {
    "sum": lambda t, x, a: t.combined(
        [*zip(a, map(int, x.params[1:]), strict=True), (t.const(int(x.params[0]), _width_of(x)), 1)], _width_of(x)),
    "add": lambda t, x, a: t.combined([(a[0], 1), (a[1], 1)], _width_of(x)),
    "sub": lambda t, x, a: t.combined([(a[0], 1), (a[1], -1)], _width_of(x)),
    "neg": lambda t, x, a: t.combined([(a[0], -1)], _width_of(x)),
    "mul": lambda t, x, a: reduce(t.product, a),
    "and": lambda t, x, a: t.conjunction(_width_of(x), a),
    "or": lambda t, x, a: t.complement(t.conjunction(_width_of(x), [t.complement(y) for y in a])),
    "xor": lambda t, x, a: t.xor(_width_of(x), [*a, t.const(int((*x.params, 0)[0]), _width_of(x))]),
    "not": lambda t, x, a: t.complement(a[0]),
    "extract": lambda t, x, a: t.extract(a[0], int(x.params[0]), int(x.params[1])),
    "concat": lambda t, x, a: t.concat(a),
    "zext": lambda t, x, a: t.concat([t.const(0, _width_of(x) - t.width(a[0])), a[0]]) if _width_of(x) > t.width(a[0]) else a[0],
    "sext": lambda t, x, a: t.extended(a[0], _width_of(x)),
    "eq": lambda t, x, a: t.equal(a[0], a[1]),
    "ult": lambda t, x, a: t.less("ult", a[0], a[1]),
    "slt": lambda t, x, a: t.less("slt", a[0], a[1]),
    "ite": lambda t, x, a: t.choice(a[0], a[1], a[2]),
    "select": lambda t, x, a: t.select(a[0], a[1]),
    "store": lambda t, x, a: t.store(a[0], a[1], a[2]),
    "load": lambda t, x, a: t.load(x, a[0], a[1]),
    "write": lambda t, x, a: t.write(a[0], a[1], a[2]),
    **{op: lambda t, x, a: t.shifted(x.op, a[0], a[1]) for op in ("shl", "lshr", "ashr")},
    **{op: lambda t, x, a: t.divided(x.op, a[0], a[1]) for op in ("udiv", "urem", "sdiv", "srem")},
}  # fmt: skip
