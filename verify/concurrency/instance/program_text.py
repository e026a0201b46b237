"""Program text of dags, for the generated Python and C engines.

Names in the text are made here only: `n` is the packed state, `v12` a shared node; no name of a protocol reaches it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from verify.concurrency.instance.dag import Node, conjuncts, signed_bits
from verify.concurrency.instance.instance import Model, Slot, Transition


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one programming language writes what dags need."""

    conjunction: str
    disjunction: str
    negation: str
    choice: str  # of condition, then, otherwise
    wide: str  # suffix-bearing pattern for a constant of state width
    word: str  # pattern that narrows a state-wide value to an ordinary integer


GROUPED = 10  # bits of the cells by which states are sorted
INT_BITS = 31  # one to spare
PYTHON = Dialect(" and ", " or ", "not {0}", "({1} if {0} else {2})", "{0}", "{0}")
C = Dialect(" && ", " || ", "!{0}", "({0} ? {1} : {2})", "((state){0}u)", "((int)({0}))")
C_WIDE = replace(C, word="((number)({0}))")  # where values need more than 32 bits
C_WITHOUT_BRANCHES = replace(
    C, conjunction=" & ", disjunction=" | "
)  # every part is evaluated: best where all are rare


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes nodes of one model in one dialect; `names` are nodes already held in a variable."""

    model: Model
    dialect: Dialect

    def read(self, slot: Slot, source: str = "n") -> str:
        """The value of a cell of the packed state `source`."""
        shifted = f"({source} >> {slot.offset})" if slot.offset else source
        value = self.dialect.word.format(f"{shifted} & {(1 << slot.width) - 1}")
        return f"(({value}) + {slot.lo})" if slot.lo else f"({value})"

    def expression(self, node: Node, names: dict[int, str]) -> str:
        """The text of a node."""
        if node.number in names:
            return names[node.number]
        d, args = self.dialect, [self.expression(arg, names) for arg in node.args]
        match node.op:
            case "const":
                return f"({node.value[0]})" if node.value[0] < 0 else str(node.value[0])
            case "read":
                return self.read(self.model.slots[node.value[0]])
            case "select":
                return self._select(node, args[0])
            case "not":
                return "(" + d.negation.format(args[0]) + ")"
            case "and":
                return "(" + d.conjunction.join(args) + ")"
            case "or":
                return "(" + d.disjunction.join(args) + ")"
            case "ite":
                return d.choice.format(*args)
        if node.op in ("div", "mod"):
            return self._division(node, args[0])
        sign = {"eq": "==", "lt": "<", "add": "+", "sub": "-", "mul": "*"}[node.op]
        return f"({args[0]} {sign} {args[1]})"

    def _division(self, node: Node, value: str) -> str:
        by = node.args[1].value[0]
        if self.dialect is PYTHON:
            return f"({value} {'//' if node.op == 'div' else '%'} {by})"
        more = shift(node)
        raised = f"({value} + {more * by})" if more else value
        return f"({raised} / {by} - {more})" if node.op == "div" else f"({raised} % {by})"

    def _select(self, node: Node, index: str) -> str:
        first, count, default = node.value
        slot = self.model.slots[first]
        place = f"{slot.offset} + {index} * {slot.width}" if slot.width != 1 else f"{slot.offset} + {index}"
        value = self.dialect.word.format(f"(n >> ({place})) & {(1 << slot.width) - 1}")
        value = f"(({value}) + {slot.lo})" if slot.lo else f"({value})"
        if node.args[0].lo >= 0 and node.args[0].hi < count:
            return value
        within = f"(({_unsigned(node.args[0])}){index} < {count}u)"
        if self.dialect is PYTHON:
            within = f"(0 <= {index}{self.dialect.conjunction}{index} < {count})"
        return self.dialect.choice.format(within, value, str(default))

    def successor(self, transition: Transition, names: dict[int, str]) -> str:
        """The packed state after a transition from `n`."""
        clear, fixed = 0, 0
        parts: list[str] = []
        for cell, node in transition.updates:
            slot = self.model.slots[cell]
            clear |= ((1 << slot.width) - 1) << slot.offset
            if node.constant is not None:
                fixed |= (node.constant - slot.lo) << slot.offset
                continue
            value = self.expression(node, names)
            value = f"({value} - {slot.lo})" if slot.lo else value
            cast = f"(state){value}" if self.dialect is not PYTHON else value
            parts.append(f"(({cast}) << {slot.offset})" if slot.offset else f"({cast})")
        kept = ((1 << self.model.bits) - 1) & ~clear
        text = f"n & {self.wide(kept)}" if clear else "n"
        return " | ".join([f"({text})", *([self.wide(fixed)] if fixed else []), *parts])

    def wide(self, value: int) -> str:
        """A constant as wide as a state."""
        if self.dialect is not PYTHON and value >= 1 << 64:
            return f"(((state){value >> 64}ull << 64) | {value & ((1 << 64) - 1)}ull)"
        return str(value) if self.dialect is PYTHON else f"{value}ull"


def c_dialect(model: Model) -> Dialect:
    """How C computes with the values of a model: in `int`, or where these do not fit in `number`."""
    return C if signed_bits(*model.dag.span) <= INT_BITS else C_WIDE


def shift(node: Node) -> int:
    """How many divisors make what is divided not negative, for languages that round towards 0."""
    return max(0, -(node.args[0].lo // node.args[1].value[0]))


def _unsigned(index: Node) -> str:
    """The type that turns a negative index into a large one, and keeps every other."""
    return "unsigned" if signed_bits(index.lo, index.hi) <= INT_BITS else "uint64_t"


def shared(nodes: Iterable[Node]) -> list[Node]:
    """Nodes worth a variable: operations used more than once, children before parents."""
    uses: Counter[int] = Counter()
    order: list[Node] = []

    def visit(node: Node) -> None:
        uses[node.number] += 1
        if uses[node.number] == 1:
            for arg in node.args:
                visit(arg)
            order.append(node)

    for node in nodes:
        visit(node)
    return [node for node in order if uses[node.number] > 1 and node.op not in ("const", "not")]


def outcomes(transition: Transition) -> tuple[Node, ...]:
    """Everything that is computed once the guard holds."""
    return (*(node for _, node in transition.updates), *(x for check in transition.checks for x in (check.holds,)))


@dataclass(frozen=True, slots=True)
class Group:
    """Transitions whose guards all begin with `cell == value`: `cases` by value, remaining conjuncts beside each."""

    slot: Slot
    cases: tuple[tuple[int, tuple[tuple[Transition, tuple[Node, ...]], ...]], ...]


@functools.lru_cache(maxsize=4)
def grouped(model: Model) -> tuple[tuple[Group, ...], tuple[Transition, ...]]:
    """Transitions by the enumeration that their guards test most often, per thread; and those that test none."""
    narrow = {slot.number for slot in model.slots if slot.width <= GROUPED}
    tested = [
        (transition, {cell: value for cell, value in _tests(transition) if cell in narrow})
        for transition in model.transitions
    ]
    popularity = Counter(cell for _, tests in tested for cell in tests)
    groups: dict[int, dict[int, list[tuple[Transition, tuple[Node, ...]]]]] = {}
    rest: list[Transition] = []
    for transition, tests in tested:
        if not tests:
            rest.append(transition)
            continue
        cell = max(tests, key=lambda number: (popularity[number], -number))
        remaining = tuple(part for part in conjuncts(transition.guard) if _test(part) != (cell, tests[cell]))
        groups.setdefault(cell, {}).setdefault(tests[cell], []).append((transition, remaining))
    found = tuple(
        Group(model.slots[cell], tuple((value, tuple(items)) for value, items in sorted(cases.items())))
        for cell, cases in sorted(groups.items())
    )
    return found, tuple(rest)


@functools.lru_cache(maxsize=4)
def step_numbers(model: Model) -> dict[str, int]:
    """A number for each step that a model has transitions of, by its name."""
    names = dict.fromkeys(transition.step.name for transition in model.transitions)
    return {name: number for number, name in enumerate(names)}


def _test(node: Node) -> tuple[int, int] | None:
    """(cell, value) of a node `cell == constant`."""
    if node.op == "eq" and node.args[0].op == "read" and node.args[1].constant is not None:
        return node.args[0].value[0], node.args[1].constant
    return None


def _tests(transition: Transition) -> list[tuple[int, int]]:
    return [found for part in conjuncts(transition.guard) if (found := _test(part)) is not None]
