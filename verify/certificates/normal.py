"""Normal forms of a statement's nodes: equal normal nodes are equal in every assignment.  RULES.md has the rules.

A node is a position in one table, arguments before their users.  Sums are polynomials modulo 2**width, conjunctions
and exclusive-ors are flat and sorted, slices are pushed inwards.  Facts, that a node is another one under some of the
assertions, are applied as nodes are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Concatenate, Final, ParamSpec

from verify.certificates.statement import Node, Sort

Parts = dict[int, int]  # node -> coefficient
LIMIT: Final = 400_000  # nodes made or met for one statement: counted, unlike time
Given = ParamSpec("Given")


class Exhausted(Exception):
    """The work for one statement is used up."""


def _once(method: Callable[Concatenate[Table, Given], int]) -> Callable[Concatenate[Table, Given], int]:
    """The method computed once for the same arguments while the facts are the same."""

    def looked_up(self: Table, /, *args: Given.args, **named: Given.kwargs) -> int:
        key = (method.__name__, *args)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = method(self, *args, **named)
        return found

    return looked_up


class Table:
    """Normal nodes, each once."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.nodes: list[Node] = []
        self.interned: dict[Node, int] = {}
        self.facts: dict[int, int] = {}  # node -> what it is
        self.ranges: dict[int, tuple[int, int]] = {}  # node -> least and greatest value by the facts, unsigned
        self.memo: dict[tuple[object, ...], int] = {}
        self.work, self.limit = 0, limit

    def assume(self, facts: dict[int, int]) -> None:
        """From now on these facts apply and no others."""
        self.facts, self.ranges = facts, {}
        self.memo.clear()
        for x, truth in facts.items():
            bound = self.value(self.nodes[x].args[1]) if self.nodes[x].op == "ult" else None
            if bound is not None and self.value(truth) is not None:
                t = self.nodes[x].args[0]
                low, high = self.ranges.get(t, (0, (1 << self.width(t)) - 1))
                self.ranges[t] = (low, min(high, bound - 1)) if self.value(truth) else (max(low, bound), high)

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
        return self.facts.get(found, found)

    def rebuilt(self, x: Node, args: Sequence[int]) -> int:
        """The normal node of an operation on normal arguments."""
        made = _MADE.get(x.op)
        return made(self, x, args) if made else self.node(x.op, x.sort, x.params, tuple(args))

    def width(self, x: int) -> int:
        """Bits of a bit-vector."""
        return _bits(self.nodes[x])

    def const(self, value: int, width: int) -> int:
        """A constant, modulo 2**width."""
        return self.node("const", width, (value & (1 << width) - 1,), ())

    def value(self, x: int) -> int | None:
        """The constant's value; None for other nodes."""
        node = self.nodes[x]
        return int(node.params[0]) if node.op == "const" else None

    # sums

    def parts(self, x: int) -> tuple[int, Parts]:
        """The constant, and the coefficient of each term; a complement is -1 - x."""
        op, sort, params, args = self.nodes[x]
        if op == "const":
            return int(params[0]), {}
        if op == "sum":
            return int(params[0]), dict(zip(args, map(int, params[1:]), strict=True))
        inner = self.complemented(x) if sort != 1 else None
        return (0, {x: 1}) if inner is None else (-1, {inner: -1})

    def polynomial(self, constant: int, terms: Parts, width: int) -> int:
        """constant + the sum of coefficient * term; the terms are no sums."""
        mask = (1 << width) - 1
        kept = sorted((t, c & mask) for t, c in terms.items() if c & mask)
        constant &= mask
        if not kept:
            return self.const(constant, width)
        if len(kept) == 1 and (constant, kept[0][1]) == (0, 1):
            return kept[0][0]
        if len(kept) == 1 and (constant, kept[0][1]) == (mask, mask):
            return self.xor(width, (kept[0][0], self.const(mask, width)))
        return self.node("sum", width, (constant, *(c for _, c in kept)), tuple(t for t, _ in kept))

    def total(self, pairs: Iterable[tuple[int, int]]) -> tuple[int, Parts]:
        """The constant and coefficients of a sum of nodes with factors."""
        constant, terms = 0, Parts()
        for x, factor in pairs:
            c, more = self.parts(x)
            constant += factor * c
            for t, k in more.items():
                terms[t] = terms.get(t, 0) + factor * k
        return constant, terms

    def combined(self, pairs: Sequence[tuple[int, int]], width: int) -> int:
        """The sum of nodes with factors; of bits, their exclusive or."""
        if width == 1:
            return self.xor(1, [x for x, factor in pairs if factor & 1])
        return self.polynomial(*self.total(pairs), width)

    def product(self, a: int, b: int) -> int:
        """A product; by a constant it is a sum."""
        x, y, width = self.value(a), self.value(b), self.width(a)
        if x is not None or y is not None:
            return self.combined([(b, x) if x is not None else (a, y or 0)], width)
        return self.node("mul", width, (), (min(a, b), max(a, b)))

    # bitwise operations

    def complemented(self, x: int) -> int | None:
        """What x is the complement of."""
        op, _, params, args = self.nodes[x]
        return args[0] if op == "xor" and len(args) == 1 and params[0] == (1 << self.width(x)) - 1 else None

    def complement(self, x: int) -> int:
        """Every bit inverted."""
        (op, _, params, _), width, inner, value = self.nodes[x], self.width(x), self.complemented(x), self.value(x)
        if inner is not None:
            return inner
        if op == "sum" or value is not None:
            return self.combined([(self.const(-1, width), 1), (x, -1)], width)
        if op == "xor" and params[0]:
            return self.xor(width, (x, self.const(-1, width)))
        return self.node("xor", width, ((1 << width) - 1,), (x,))

    def flat(self, op: str, xs: Iterable[int]) -> list[int]:
        """The operands of operands with the same operation, and other operands."""
        found = []
        for x in xs:
            node = self.nodes[x]
            found += self.flat(op, node.args) if node.op == op else [x]
            if node.op == op == "xor":
                found.append(self.const(int(node.params[0]), self.width(x)))
        return found

    def xor(self, width: int, xs: Iterable[int]) -> int:
        """Exclusive or: constants together, pairs cancel.  All ones stand outside, as the complement of the rest."""
        constant, odd = 0, set[int]()
        for x in self.flat("xor", xs):
            value = self.value(x)
            if value is None:
                odd ^= {x}
            else:
                constant ^= value
        ones = (1 << width) - 1
        if not odd:
            return self.const(constant, width)
        inner = next(iter(odd))
        if len(odd) > 1 or constant not in {0, ones}:
            inner = self.node("xor", width, (constant % ones if width > 1 else 0,), tuple(sorted(odd)))
        return self.complement(inner) if constant == ones else inner

    def conjunction(self, width: int, xs: Iterable[int]) -> int:
        """And: constants together, an operand once, none beside its complement."""
        constant, kept = (1 << width) - 1, set[int]()
        for x in self.flat("and", xs):
            value = self.value(x)
            if value is None:
                kept.add(x)
            else:
                constant &= value
        if constant == 0 or not kept or any(self.complemented(x) in kept for x in kept):
            return self.const(constant if not kept else 0, width)
        operands = sorted(kept) + ([self.const(constant, width)] if constant != (1 << width) - 1 else [])
        return operands[0] if len(operands) == 1 else self.node("and", width, (), tuple(operands))

    # slices

    def concat(self, xs: Iterable[int]) -> int:
        """The highest first: flat, neighbouring constants joined."""
        done: list[int] = []
        for x in self.flat("concat", xs):
            high, low = self.value(done[-1]) if done else None, self.value(x)
            if high is None or low is None:
                done.append(x)
            else:
                done.append(self.const(high << self.width(x) | low, self.width(done.pop()) + self.width(x)))
        return done[0] if len(done) == 1 else self.node("concat", sum(map(self.width, done)), (), tuple(done))

    @_once
    def extract(self, x: int, high: int, low: int) -> int:
        """Bits high..low, pushed inwards."""
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
            case "sext" if low == 0 or high < self.width(args[0]):
                inner = min(high, self.width(args[0]) - 1)
                return self.extended(self.extract(args[0], inner, low), wide)
            case "ite":
                return self.choice(args[0], self.extract(args[1], high, low), self.extract(args[2], high, low))
        return self.node("extract", wide, (high, low), (x,))

    def _pieces(self, args: Sequence[int], high: int, low: int) -> list[int]:
        found, at = list[int](), 0
        for part in reversed(args):
            wide = self.width(part)
            if low < at + wide and high >= at:
                found.insert(0, self.extract(part, min(high - at, wide - 1), max(low - at, 0)))
            at += wide
        return found

    def extended(self, x: int, wide: int) -> int:
        """Sign extension to a width."""
        value, width, node = self.value(x), self.width(x), self.nodes[x]
        if value is not None:
            return self.const(value - (value >> (width - 1) << width), wide)
        if wide == width:
            return x
        if node.op == "sext":
            return self.extended(node.args[0], wide)
        if node.op == "concat" and self.value(node.args[0]) is not None:
            top = self.extended(node.args[0], wide - width + self.width(node.args[0]))
            return self.concat((top, *node.args[1:]))
        found = self._in_range(x, wide)
        return self.node("sext", wide, (), (x,)) if found is None else found

    def _in_range(self, x: int, wide: int) -> int | None:
        """A sum extended: the sum of wide terms of which its own are the low bits, where it has no signed overflow."""
        constant, terms = self.parts(x)
        half = 1 << (self.width(x) - 1)
        signed = {t: (c + half) % (2 * half) - half for t, c in terms.items()}
        low = high = constant = (constant + half) % (2 * half) - half
        pairs = [(self.const(constant, wide), 1)]
        for t, c in signed.items():
            node = self.nodes[t]
            whole = node.args[0] if node.op == "extract" and node.params[1] == 0 else t
            if node.op in {"sext", "concat"}:
                whole = self.extended(t, wide)
            found = self.range_of(whole) if self.width(whole) == wide else None
            if found is None:
                return None
            low, high = low + min(c * v for v in found), high + max(c * v for v in found)
            pairs.append((whole, c))
        return self.combined(pairs, wide) if -half <= low and high < half else None

    def range_of(self, x: int) -> tuple[int, int] | None:
        """The least and the greatest value, signed, as far as it is known."""
        node, width = self.nodes[x], self.width(x)
        if node.op == "sext":
            half = 1 << (self.width(node.args[0]) - 1)
            return -half, half - 1
        if node.op == "concat" and self.value(node.args[0]) == 0:
            return 0, (1 << (width - self.width(node.args[0]))) - 1
        found = self.ranges.get(x)
        return found if found and found[1] >> (width - 1) == 0 else None

    # comparisons and choices

    @_once
    def equal(self, a: int, b: int) -> int:
        """One bit: a = b."""
        sort = self.nodes[a].sort
        if a == b:
            return self.const(1, 1)
        if not isinstance(sort, int):
            return self.node("eq", 1, (), (min(a, b), max(a, b)))
        if sort == 1:
            return self.complement(self.xor(1, (a, b)))
        constant, terms = self.total([(a, 1), (b, -1)])
        mask = (1 << sort) - 1
        return self._is_zero(constant & mask, {t: c & mask for t, c in terms.items() if c & mask}, sort)

    def _is_zero(self, constant: int, terms: Parts, width: int) -> int:
        """One bit: constant + the sum is 0, written as t = constant, t = u or sum = 0, the sign being chosen."""
        mask, kept = (1 << width) - 1, sorted(terms.items())
        if not kept:
            return self.const(constant == 0, 1)
        if len(kept) == 1 and kept[0][1] & 1:
            return self.node("eq", 1, (), (kept[0][0], self.const(-constant * pow(kept[0][1], -1, mask + 1), width)))
        if len(kept) == 2 and constant == 0 and kept[0][1] & 1 and kept[0][1] + kept[1][1] == mask + 1:
            return self.node("eq", 1, (), (kept[0][0], kept[1][0]))
        sign = 1 if kept <= sorted((t, -c & mask) for t, c in kept) else -1
        total = self.polynomial(sign * constant, {t: sign * c for t, c in kept}, width)
        return self.node("eq", 1, (), (total, self.const(0, width)))

    def choice(self, c: int, then: int, otherwise: int) -> int:
        """then where the bit c is 1."""
        value, negated = self.value(c), self.complemented(c)
        if value is not None:
            return then if value else otherwise
        if negated is not None:
            return self.choice(negated, otherwise, then)
        if then == otherwise:
            return then
        return self.node("ite", self.nodes[then].sort, (), (c, then, otherwise))

    # register files

    @_once
    def select(self, array: int, index: int) -> int:
        """The register of that number, looked for among those that have been stored."""
        op, sort, _, args = self.nodes[array]
        if op == "store":
            return self.choice(self.equal(args[1], index), args[2], self.select(args[0], index))
        if op == "ite":
            return self.choice(args[0], self.select(args[1], index), self.select(args[2], index))
        assert isinstance(sort, tuple)
        return self.node("select", sort[1], (), (array, index))

    def store(self, array: int, index: int, value: int) -> int:
        """The file with a register replaced: not by itself, the last of two that are the same, in order of number."""
        op, sort, _, args = self.nodes[array]
        if self.select(array, index) == value:
            return array
        same = self.value(self.equal(args[1], index)) if op == "store" else None
        if same == 1:
            return self.store(args[0], index, value)
        if same == 0 and index < args[1]:
            return self.store(self.store(args[0], index, value), args[1], args[2])
        return self.node("store", sort, (), (array, index, value))

    def write(self, memory: int, address: int, value: int) -> int:
        """The memory with bytes replaced; the last of two writes to the same bytes."""
        op, sort, _, args = self.nodes[memory]
        if op == "write" and args[1] == address and self.width(args[2]) == self.width(value):
            return self.write(args[0], address, value)
        return self.node("write", sort, (), (memory, address, value))


def _bits(x: Node) -> int:
    assert isinstance(x.sort, int)
    return x.sort


_MADE: Final[dict[str, Callable[[Table, Node, Sequence[int]], int]]] = {
    "add": lambda t, x, a: t.combined([(a[0], 1), (a[1], 1)], _bits(x)),
    "sub": lambda t, x, a: t.combined([(a[0], 1), (a[1], -1)], _bits(x)),
    "neg": lambda t, x, a: t.combined([(a[0], -1)], _bits(x)),
    "sum": lambda t, x, a: t.combined(
        [(t.const(int(x.params[0]), _bits(x)), 1), *zip(a, map(int, x.params[1:]), strict=True)], _bits(x)),
    "mul": lambda t, x, a: reduce(t.product, a),
    "and": lambda t, x, a: t.conjunction(_bits(x), a),
    "or": lambda t, x, a: t.complement(t.conjunction(_bits(x), map(t.complement, a))),
    "xor": lambda t, x, a: t.xor(_bits(x), [*a, *(t.const(int(p), _bits(x)) for p in x.params)]),
    "not": lambda t, x, a: t.complement(a[0]),
    "extract": lambda t, x, a: t.extract(a[0], int(x.params[0]), int(x.params[1])),
    "concat": lambda t, x, a: t.concat(a),
    "zext": lambda t, x, a: t.concat(
        [*([t.const(0, more)] if (more := _bits(x) - t.width(a[0])) else []), a[0]]),
    "sext": lambda t, x, a: t.extended(a[0], _bits(x)),
    "eq": lambda t, x, a: t.equal(a[0], a[1]),
    "ite": lambda t, x, a: t.choice(a[0], a[1], a[2]),
    "select": lambda t, x, a: t.select(a[0], a[1]),
    "store": lambda t, x, a: t.store(a[0], a[1], a[2]),
    "write": lambda t, x, a: t.write(a[0], a[1], a[2]),
}  # fmt: skip
