"""Normal forms of a statement's nodes: equal normal nodes are equal in every assignment.  RULES.md has the rules.

A node is a position in one table, arguments before their users.  Sums are polynomials modulo 2**width, conjunctions
and exclusive-ors are flat and sorted, slices are pushed inwards.  Facts, that a node is another one under some of the
assertions, are applied as nodes are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Final

from verify.certificates.statement import Node, Rejected, Sort

ONE: Final = -1
Parts = dict[int, int]  # node, or ONE -> coefficient
LIMIT: Final = 500_000  # steps for one statement, about nodes and operands met: counted, unlike time


class Table:
    """Normal nodes, each once."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.nodes: list[Node] = []
        self.interned: dict[Node, int] = {}
        self.facts: dict[int, int] = {}  # node -> what it is
        self.bounds: dict[int, int] = {}  # node -> what it is less than by the facts, unsigned
        self.work, self.limit = 0, limit

    def assume(self, facts: dict[int, int]) -> None:
        """From now on these facts apply and no others."""
        self.facts, self.bounds = facts, {}
        for x, truth in facts.items():
            bound = self.value(self.nodes[x].args[1]) if self.nodes[x].op == "ult" else None
            if bound is not None and self.value(truth) == 1:
                t = self.nodes[x].args[0]
                self.bounds[t] = min(bound, self.bounds.get(t, bound))

    def worked(self, steps: int) -> None:
        """Counts steps.  Raises Rejected where they are too many."""
        self.work += steps
        if self.work > self.limit:
            raise Rejected("too much work")

    def node(self, op: str, sort: Sort, params: tuple[int | str, ...], args: tuple[int, ...]) -> int:
        """The node, or what a fact says that it is."""
        self.worked(1 + len(args))
        node = Node(op, sort, params, args)
        found = self.interned.get(node)
        if found is None:
            found = self.interned[node] = len(self.nodes)
            self.nodes.append(node)
        return self.facts.get(found, found)

    def rebuilt(self, x: Node, args: Sequence[int]) -> int:
        """The normal node of an operation on normal arguments."""
        made = _MADE.get(x.op)
        if made is None:
            return self.node(x.op, x.sort, x.params, tuple(args))
        return made(self, x.sort if isinstance(x.sort, int) else 0, [int(p) for p in x.params], args)

    def width(self, x: int) -> int:
        """Bits of a bit-vector."""
        sort = self.nodes[x].sort
        assert isinstance(sort, int)
        return sort

    def const(self, value: int, width: int) -> int:
        """A constant, modulo 2**width."""
        return self.node("const", width, (value & (1 << width) - 1,), ())

    def value(self, x: int) -> int | None:
        """The constant's value; None for other nodes."""
        node = self.nodes[x]
        return int(node.params[0]) if node.op == "const" else None

    def parts(self, x: int) -> Parts:
        """The coefficient of each term; a complement is -1 - x."""
        op, _, params, args = self.nodes[x]
        if op in {"const", "sum"}:
            return dict(zip((ONE, *args), map(int, params), strict=True))
        if op == "xor" and params[0] == (1 << self.width(x)) - 1:
            return {ONE: -1, self.complement(x): -1}
        return {x: 1}

    def polynomial(self, terms: Parts, width: int) -> int:
        """The sum of coefficient * term; the terms are no sums."""
        mask = (1 << width) - 1
        constant = terms.get(ONE, 0) & mask
        kept = sorted((t, c & mask) for t, c in terms.items() if c & mask and t != ONE)
        if not kept:
            return self.const(constant, width)
        if len(kept) == 1 and (constant, kept[0][1]) == (0, 1):
            return kept[0][0]
        if len(kept) == 1 and (constant, kept[0][1]) == (mask, mask):
            return self.complement(kept[0][0])
        return self.node("sum", width, (constant, *(c for _, c in kept)), tuple(t for t, _ in kept))

    def total(self, pairs: Iterable[tuple[int, int]]) -> Parts:
        """The coefficients of a sum of nodes with factors."""
        terms = Parts()
        for x, factor in pairs:
            for t, k in self.parts(x).items():
                terms[t] = terms.get(t, 0) + factor * k
        return terms

    def combined(self, pairs: Sequence[tuple[int, int]], width: int) -> int:
        """The sum of nodes with factors; of bits, their exclusive or."""
        if width == 1:
            return self.xor([self.const(0, 1), *(x for x, factor in pairs if factor & 1)])
        return self.polynomial(self.total(pairs), width)

    def product(self, a: int, b: int) -> int:
        """A product; by a constant it is a sum."""
        x, y, width = self.value(a), self.value(b), self.width(a)
        if x is not None or y is not None:
            return self.combined([(b, x) if x is not None else (a, y or 0)], width)
        return self.node("mul", width, (), (min(a, b), max(a, b)))

    def complement(self, x: int) -> int:
        """Every bit inverted; of a sum, -1 - x."""
        ones = self.const(-1, self.width(x))
        return self.combined([(ones, 1), (x, -1)], self.width(x)) if self.nodes[x].op == "sum" else self.xor((x, ones))

    def flat(self, op: str, xs: Iterable[int]) -> list[int]:
        """The operands of operands with the same operation, and other operands."""
        found = []
        for x in xs:
            node = self.nodes[x]
            found += self.flat(op, node.args) if node.op == op else [x]
            if node.op == op == "xor":
                found.append(self.const(int(node.params[0]), self.width(x)))
        return found

    def xor(self, xs: Sequence[int]) -> int:
        """Exclusive or: constants together, pairs cancel."""
        constant, odd, width = 0, set[int](), self.width(xs[0])
        for x in self.flat("xor", xs):
            value = self.value(x)
            if value is None:
                odd ^= {x}
            else:
                constant ^= value
        if not odd:
            return self.const(constant, width)
        if len(odd) == 1 and constant == 0:
            return odd.pop()
        return self.node("xor", width, (constant,), tuple(sorted(odd)))

    def conjunction(self, width: int, xs: Iterable[int]) -> int:
        """And: constants together, an operand once, none beside its complement."""
        constant, kept = (1 << width) - 1, set[int]()
        for x in self.flat("and", xs):
            value = self.value(x)
            if value is None:
                kept.add(x)
            else:
                constant &= value
        if constant == 0 or not kept or any(self.complement(x) in kept for x in kept):
            return self.const(constant if not kept else 0, width)
        operands = sorted(kept) + ([self.const(constant, width)] if constant != (1 << width) - 1 else [])
        return operands[0] if len(operands) == 1 else self.node("and", width, (), tuple(operands))

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
                rest, last, split = self.concat(args[:-1]), args[-1], self.width(args[-1])
                if high < split:
                    return self.extract(last, high, low)
                upper = self.extract(rest, high - split, max(low - split, 0))
                return upper if low >= split else self.concat((upper, self.extract(last, split - 1, low)))
            case "sum" if low == 0:
                pairs = [(self.extract(a, high, 0), int(c)) for a, c in zip(args, params[1:], strict=True)]
                return self.combined([*pairs, (self.const(int(params[0]), wide), 1)], wide)
        return self.node("extract", wide, (high, low), (x,))

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
        half = 1 << (self.width(x) - 1)
        signed = {t: (c + half) % (2 * half) - half for t, c in self.parts(x).items()}
        low = high = signed.pop(ONE, 0)
        pairs = [(self.const(low, wide), 1)]
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
        bound = self.bounds.get(x, 1 << width)
        return (0, bound - 1) if 0 < bound <= 1 << (width - 1) else None

    def equal(self, a: int, b: int) -> int:
        """One bit: a = b, as a difference that is 0, its first odd coefficient being 1."""
        sort = self.nodes[a].sort
        if a == b:
            return self.const(1, 1)
        if not isinstance(sort, int):
            return self.node("eq", 1, (), (min(a, b), max(a, b)))
        if sort == 1:
            return self.xor((a, b, self.const(1, 1)))
        terms = self.total([(a, 1), (b, -1)])
        unit = next((c for t, c in sorted(terms.items()) if c & 1 and t != ONE), 1)
        inverse = pow(unit, -1, 1 << sort)
        difference = self.polynomial({t: inverse * c for t, c in terms.items()}, sort)
        value = self.value(difference)
        return self.node("eq", 1, (), (difference, self.const(0, sort))) if value is None else self.const(value == 0, 1)

    def choice(self, c: int, then: int, otherwise: int) -> int:
        """then where the bit c is 1."""
        value, node = self.value(c), self.nodes[c]
        if value is not None or then == otherwise:
            return then if value else otherwise
        if node.op == "xor" and node.params[0]:
            return self.choice(self.complement(c), otherwise, then)
        return self.node("ite", self.nodes[then].sort, (), (c, then, otherwise))

    def select(self, array: int, index: int) -> int:
        """The register of that number, looked for among those that have been stored."""
        op, sort, _, args = self.nodes[array]
        if op == "store":
            return self.choice(self.equal(args[1], index), args[2], self.select(args[0], index))
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


_MADE: Final[dict[str, Callable[[Table, int, Sequence[int], Sequence[int]], int]]] = {  # width, parameters, arguments
    "add": lambda t, w, p, a: t.combined([(a[0], 1), (a[1], 1)], w),
    "sub": lambda t, w, p, a: t.combined([(a[0], 1), (a[1], -1)], w),
    "sum": lambda t, w, p, a: t.combined([(t.const(p[0], w), 1), *zip(a, p[1:], strict=True)], w),
    "mul": lambda t, w, p, a: reduce(t.product, a),
    "and": lambda t, w, p, a: t.conjunction(w, a),
    "or": lambda t, w, p, a: t.complement(t.conjunction(w, map(t.complement, a))),
    "xor": lambda t, w, p, a: t.xor([*a, *(t.const(c, w) for c in p)]),
    "extract": lambda t, w, p, a: t.extract(a[0], p[0], p[1]),
    "concat": lambda t, w, p, a: t.concat(a),
    "sext": lambda t, w, p, a: t.extended(a[0], w),
    "eq": lambda t, w, p, a: t.equal(a[0], a[1]),
    "ite": lambda t, w, p, a: t.choice(a[0], a[1], a[2]),
    "select": lambda t, w, p, a: t.select(a[0], a[1]),
    "store": lambda t, w, p, a: t.store(a[0], a[1], a[2]),
    "write": lambda t, w, p, a: t.write(a[0], a[1], a[2]),
}  # fmt: skip
