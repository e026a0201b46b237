"""Expression DAGs: shared, simplified integer expressions over the cells of one concrete state.

A node's value is an integer within lo..hi; truth values are 0 and 1. Equal nodes of one `Dag` are one object. Every
value fits a signed word of `WORD` bits with one bit to spare, so that engines may compute in words of 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Interval = tuple[int, int]
WORD = 63


class TooWide(ValueError):
    """A value that does not fit `WORD` bits."""


class Node:
    """One operation: const, read (a cell), select (array cell by index), not, and, or, eq, lt, add, sub, mul, ite; div
    and mod, by a positive constant, rounded down.
    """

    __slots__ = ("args", "hi", "lo", "number", "op", "value")

    def __init__(self, op: str, args: tuple[Node, ...], value: tuple[int, ...], span: Interval, number: int) -> None:
        self.op, self.args, self.value, self.number = op, args, value, number
        self.lo, self.hi = span

    @property
    def constant(self) -> int | None:
        """The value where it is known."""
        return self.value[0] if self.op == "const" else None

    def __repr__(self) -> str:
        if self.op in ("const", "read", "select"):
            return f"{self.op}{self.value}{self.args or ''}"
        return f"({self.op} {' '.join(map(repr, self.args))})"


class Dag:
    """Makes nodes; the only place where they are simplified."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, tuple[int, ...], tuple[int, ...]], Node] = {}
        self.false, self.true = self.const(0), self.const(1)

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def span(self) -> Interval:
        """The least and the greatest value of all nodes."""
        return min(node.lo for node in self._nodes.values()), max(node.hi for node in self._nodes.values())

    def _node(self, op: str, args: tuple[Node, ...], value: tuple[int, ...], lo: int, hi: int) -> Node:
        key = (op, tuple(arg.number for arg in args), value)
        found = self._nodes.get(key)
        if found is None:
            if lo < -(1 << WORD - 1) or hi >= 1 << WORD - 1:
                raise TooWide(f"a value of {lo}..{hi} needs {signed_bits(lo, hi)} bits, expected {WORD} or fewer")
            found = self._nodes[key] = Node(op, args, value, (lo, hi), len(self._nodes))
        return found

    def const(self, value: int) -> Node:
        """A constant."""
        return self._node("const", (), (value,), value, value)

    def read(self, cell: int, lo: int, hi: int) -> Node:
        """The value of a cell."""
        return self.const(lo) if lo == hi else self._node("read", (), (cell,), lo, hi)

    def select(self, index: Node, first: int, count: int, span: Interval) -> Node:
        """Cell `first + index`, or the low end of `span` where index is not in 0..count-1."""
        return self._node("select", (index,), (first, count, span[0]), *span)

    def negation(self, node: Node) -> Node:
        """1 where a truth value is 0, and 0 where it is 1."""
        if node.constant is not None:
            return self.const(1 - node.constant)
        return node.args[0] if node.op == "not" else self._node("not", (node,), (), 0, 1)

    def conjunction(self, nodes: Iterable[Node]) -> Node:
        """1 where all are 1; 1 where there is none."""
        return self._junction("and", nodes, self.true, self.false)

    def disjunction(self, nodes: Iterable[Node]) -> Node:
        """1 where one is 1; 0 where there is none."""
        return self._junction("or", nodes, self.false, self.true)

    def _junction(self, op: str, nodes: Iterable[Node], unit: Node, zero: Node) -> Node:
        kept: dict[int, Node] = {}
        for node in nodes:
            for part in node.args if node.op == op else (node,):
                if part is not unit:
                    kept[part.number] = part
        if zero.number in kept or any(node.op == "not" and node.args[0].number in kept for node in kept.values()):
            return zero
        args = tuple(kept.values())
        return unit if not args else args[0] if len(args) == 1 else self._node(op, args, (), 0, 1)

    def equal(self, a: Node, b: Node) -> Node:
        """1 where both have the same value, else 0."""
        if a is b:
            return self.true
        if a.hi < b.lo or b.hi < a.lo:
            return self.false
        if a.constant is not None and b.constant is not None:
            return self.const(int(a.constant == b.constant))
        if a.constant is not None:
            a, b = b, a
        if b.constant is not None and (a.lo, a.hi) == (0, 1):
            return a if b.constant == 1 else self.negation(a)
        spread = self._spread(a, b, self.equal)
        if spread is not None:
            return spread
        a, b = (a, b) if b.constant is not None or a.number < b.number else (b, a)
        return self._node("eq", (a, b), (), 0, 1)

    def less(self, a: Node, b: Node) -> Node:
        """1 where `a` is below `b`, else 0."""
        if a.hi < b.lo:
            return self.true
        if a.lo >= b.hi:
            return self.false
        spread = self._spread(a, b, self.less)
        return self._node("lt", (a, b), (), 0, 1) if spread is None else spread

    def _spread(self, a: Node, b: Node, compare: object) -> Node | None:
        """A comparison of a choice with a constant as a choice of comparisons, where a branch is constant."""
        assert callable(compare)
        if b.constant is not None and a.op == "ite" and any(arg.constant is not None for arg in a.args[1:]):
            return self.choice(a.args[0], compare(a.args[1], b), compare(a.args[2], b))
        if a.constant is not None and b.op == "ite" and any(arg.constant is not None for arg in b.args[1:]):
            return self.choice(b.args[0], compare(a, b.args[1]), compare(a, b.args[2]))
        return None

    def add(self, a: Node, b: Node) -> Node:
        """The sum; integers do not overflow."""
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant + b.constant)
        if a.constant == 0:
            return b
        return a if b.constant == 0 else self._node("add", (a, b), (), a.lo + b.lo, a.hi + b.hi)

    def subtract(self, a: Node, b: Node) -> Node:
        """The difference; it may be negative."""
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant - b.constant)
        return a if b.constant == 0 else self._node("sub", (a, b), (), a.lo - b.hi, a.hi - b.lo)

    def multiply(self, a: Node, b: Node) -> Node:
        """The product."""
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant * b.constant)
        corners = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        return self._node("mul", (a, b), (), min(corners), max(corners))

    def divide(self, a: Node, by: int) -> Node:
        """The quotient, rounded down; `by` is at least 1."""
        if a.lo // by == a.hi // by:
            return self.const(a.lo // by)
        return a if by == 1 else self._node("div", (a, self.const(by)), (), a.lo // by, a.hi // by)

    def remainder(self, a: Node, by: int) -> Node:
        """What is left of the division, 0..by-1; `by` is at least 1."""
        if a.constant is not None:
            return self.const(a.constant % by)
        if a.lo // by == a.hi // by:
            return self.subtract(a, self.const(a.lo // by * by))
        return self._node("mod", (a, self.const(by)), (), 0, by - 1)

    def choice(self, condition: Node, then: Node, otherwise: Node) -> Node:
        """`then` where the condition is 1, else `otherwise`."""
        if condition.constant is not None:
            return then if condition.constant else otherwise
        if then is otherwise:
            return then
        if condition.op == "not":
            condition, then, otherwise = condition.args[0], otherwise, then
        if min(then.lo, otherwise.lo) >= 0 and max(then.hi, otherwise.hi) <= 1:
            if then.constant is not None:
                return (
                    self.disjunction((condition, otherwise))
                    if then.constant
                    else self.conjunction((self.negation(condition), otherwise))
                )
            if otherwise.constant is not None:
                return (
                    self.disjunction((self.negation(condition), then))
                    if otherwise.constant
                    else self.conjunction((condition, then))
                )
        low, high = min(then.lo, otherwise.lo), max(then.hi, otherwise.hi)
        return self._node("ite", (condition, then, otherwise), (), low, high)


def signed_bits(lo: int, hi: int) -> int:
    """The bits of a signed word that holds lo..hi."""
    return max((lo if lo >= 0 else ~lo).bit_length(), (hi if hi >= 0 else ~hi).bit_length()) + 1


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The conjuncts of a truth value."""
    return node.args if node.op == "and" else (node,)


def interval(node: Node, facts: Mapping[Node, Interval]) -> Interval:
    """Bounds of a node where the bounds in `facts` hold."""
    lo, hi = node.lo, node.hi
    if node.op in ("add", "sub", "ite"):
        bounds = [interval(arg, facts) for arg in node.args]
        if node.op == "add":
            lo, hi = bounds[0][0] + bounds[1][0], bounds[0][1] + bounds[1][1]
        elif node.op == "sub":
            lo, hi = bounds[0][0] - bounds[1][1], bounds[0][1] - bounds[1][0]
        else:
            lo, hi = min(bounds[1][0], bounds[2][0]), max(bounds[1][1], bounds[2][1])
    known = facts.get(node, (lo, hi))
    return max(lo, known[0]), min(hi, known[1])


def bounds(conditions: Iterable[Node]) -> dict[Node, Interval]:
    """Bounds that follow from conditions of the form x == c, x < c, c < x and x != c at an end of its range."""
    facts: dict[Node, Interval] = {}
    for condition in conditions:
        for node, (lo, hi) in _bound(condition):
            old = facts.get(node, (node.lo, node.hi))
            facts[node] = (max(old[0], lo), min(old[1], hi))
    return facts


def _bound(condition: Node) -> Iterator[tuple[Node, Interval]]:
    negated = condition.op == "not"
    inner = condition.args[0] if negated else condition
    if inner.op == "read":
        yield inner, (0, 0) if negated else (1, 1)
    if inner.op not in ("eq", "lt"):
        return
    a, b = inner.args
    if inner.op == "lt":
        if negated:  # a >= b
            yield a, (b.lo, a.hi)
            yield b, (b.lo, a.hi)
        else:
            yield a, (a.lo, b.hi - 1)
            yield b, (a.lo + 1, b.hi)
    elif b.constant is not None:
        if not negated:
            yield a, (b.constant, b.constant)
        elif b.constant in (a.lo, a.hi):
            yield a, (a.lo + int(b.constant == a.lo), a.hi - int(b.constant == a.hi))


def evaluate(node: Node, cells: tuple[int, ...]) -> int:
    """The value of a node in a state, node by node; slow, and independent of every generated program."""
    args = node.args
    match node.op:
        case "const":
            return node.value[0]
        case "read":
            return cells[node.value[0]]
        case "select":
            first, count, default = node.value
            index = evaluate(args[0], cells)
            return cells[first + index] if 0 <= index < count else default
        case "not":
            return 1 - evaluate(args[0], cells)
        case "and":
            return int(all(evaluate(arg, cells) for arg in args))
        case "or":
            return int(any(evaluate(arg, cells) for arg in args))
        case "ite":
            return evaluate(args[1] if evaluate(args[0], cells) else args[2], cells)
    a, b = (evaluate(arg, cells) for arg in args)
    return computed(node.op, a, b)


def computed(op: str, a: int, b: int) -> int:
    """The value of an operation on two integers."""
    match op:
        case "eq":
            return int(a == b)
        case "lt":
            return int(a < b)
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "div":
            return a // b
        case "mod":
            return a % b
    raise ValueError(f"not an operation on two integers: {op}")
