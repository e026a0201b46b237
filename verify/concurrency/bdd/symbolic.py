"""Symbolic states: dags and transitions of a model as decision diagrams.

A shared cell that names a thread is one bit per thread, inside that thread's block of the variable order; every other
cell is its packed bits. The shared cells come first, then block by block the threads; current and next bits are
interleaved.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from verify.concurrency.instance.dag import Node, computed
from verify.concurrency.instance.instance import Model, Slot, Transition
from verify.concurrency.language.domains import ThreadId
from verify.concurrency.results.exploration import BoundHit

VALUES = 1 << 12  # of a cell, and square root of the pairs of values that an operation may go through
LOOKUP_WORK, NODE_WORK = 5, 100  # units
NODE_BYTES = 40  # of a CUDD node and its share of the unique table; dd's own need more
Diagram = Any  # a node of dd
Manager = Any  # dd.cudd.BDD or dd.autoref.BDD
Cases = dict[int, Diagram]
"""A symbolic integer: for each value, where it has it."""


def manager() -> tuple[str, Manager, Callable[[Diagram, Diagram, Set[str]], Diagram]]:
    """Name, a fresh manager and its and-exists: CUDD where the wheel has it, else dd's own."""
    try:
        with _without_graphs():
            from dd import cudd  # noqa: PLC0415 - optional part of the wheel
    except ImportError:
        from dd import autoref  # noqa: PLC0415

        own = autoref.BDD()
        own.configure(reordering=False)
        return "dd.autoref", own, lambda u, v, names: own.exist(names, u & v)
    fast = cudd.BDD()
    fast.configure(reordering=False)
    return "dd.cudd", fast, cudd.and_exists


@contextlib.contextmanager
def _without_graphs() -> Iterator[None]:
    """While dd is imported, networkx is not: dd does without, and importing it takes longer than a search."""
    if "networkx" in sys.modules:
        yield
        return
    sys.modules["networkx"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["networkx"]


@dataclass(frozen=True, slots=True)
class Relation:
    """One transition: `guard` over current bits, `relation` over current and the `modified` bits' next versions.

    fixed: the modified bits' next values and their cube, where they are the same in every state.
    """

    transition: Transition
    guard: Diagram
    relation: Diagram
    modified: frozenset[str]
    broken: Diagram  # where the guard holds and a check fails
    forward: dict[str, str]  # from the modified bits to their next versions
    backward: dict[str, str]
    fixed: tuple[dict[str, bool], Diagram] | None


class Encoding:
    """The bits of a model in one manager; `look` is called between two operations, and may raise.

    Raises Bound for integers of more values than can be gone through.
    """

    def __init__(self, model: Model, look: Callable[[], None] = lambda: None) -> None:
        self.model, self.look = model, look
        self.name, self.bdd, self.and_exists = manager()
        self.bits: dict[int, tuple[str, ...]] = {}
        names: list[str] = []
        for slot in model.slots:
            if slot.thread is None and not self._one_hot(slot):
                names += self._plain(slot)
        for thread in range(model.threads):
            names += [bit for slot in model.slots if slot.thread == thread for bit in self._plain(slot)]
            names += [f"c{slot.number}_{thread}" for slot in model.identities]
        for slot in model.slots:
            count = model.threads if self._one_hot(slot) else slot.width
            self.bits[slot.number] = tuple(f"c{slot.number}_{i}" for i in range(count))
        self.names = tuple(names)
        self.places = {name: place for place, name in enumerate(names)}
        self.bdd.declare(*(version for name in names for version in (name, name + "n")))
        self.current = {name: self.bdd.var(name) for name in names}
        self.following = {name: self.bdd.var(name + "n") for name in names}
        self._memory: dict[int, Diagram] = {}
        self._counts: dict[int, tuple[int, int, Diagram]] = {}  # the node is held, so that its key stays its own
        self._cases: dict[int, Cases] = {}

    @staticmethod
    def _one_hot(slot: Slot) -> bool:
        return slot.thread is None and isinstance(slot.domain, ThreadId)

    @staticmethod
    def _plain(slot: Slot) -> list[str]:
        return [f"c{slot.number}_{bit}" for bit in range(slot.width)]

    def pattern(self, slot: Slot, value: int) -> tuple[tuple[str, bool], ...]:
        """The bits of a cell when it holds `value`."""
        if self._one_hot(slot):
            return tuple((name, value == thread + 1) for thread, name in enumerate(self.bits[slot.number]))
        return tuple((name, bool((value - slot.lo) >> bit & 1)) for bit, name in enumerate(self.bits[slot.number]))

    def cube(self, state: int) -> Diagram:
        """The diagram of one packed state."""
        cells = self.model.cells(state)
        pairs = (pair for slot in self.model.slots for pair in self.pattern(slot, cells[slot.number]))
        return self.bdd.cube(dict(pairs))

    def state(self, diagram: Diagram) -> int:
        """Some packed state of a diagram that is not false."""
        picked = self.bdd.pick(diagram, care_vars=set(self.names))
        cells = []
        for slot in self.model.slots:
            bits = [bool(picked[name]) for name in self.bits[slot.number]]
            if self._one_hot(slot):
                cells.append(bits.index(True) + 1 if any(bits) else 0)
            else:
                cells.append(slot.lo + sum(bit << i for i, bit in enumerate(bits)))
        return self.model.packed(tuple(cells))

    # --- dags ---------------------------------------------------------------------------------------------------
    def truth(self, node: Node) -> Diagram:
        """Where a truth value is 1."""
        if node.number not in self._memory:
            self._memory[node.number] = self._truth(node)
        return self._memory[node.number]

    def cases(self, node: Node) -> Cases:
        """Where an integer has each of its values."""
        if node.number not in self._cases:
            self._cases[node.number] = self._integer(node)
        return self._cases[node.number]

    def _truth(self, node: Node) -> Diagram:
        match node.op:
            case "const":
                return self.bdd.true if node.value[0] else self.bdd.false
            case "not":
                return ~self.truth(node.args[0])
            case "and":
                return self._all(map(self.truth, node.args))
            case "or":
                return ~self._all(~self.truth(arg) for arg in node.args)
            case "eq" | "lt":
                return self._compared(node)
        return self.cases(node).get(1, self.bdd.false)

    def _all(self, diagrams: Iterable[Diagram]) -> Diagram:
        result = self.bdd.true
        for diagram in diagrams:
            self.look()
            result &= diagram
        return result

    def _compared(self, node: Node) -> Diagram:
        left, right = self._operands(node)
        result = self.bdd.false
        for a, where in left.items():
            self.look()
            for b, there in right.items():
                if a == b if node.op == "eq" else a < b:
                    result |= where & there
        return result

    def _operands(self, node: Node) -> tuple[Cases, Cases]:
        """The cases of both operands. Raises Bound where these are too many to be gone through."""
        left, right = (self.cases(arg) for arg in node.args)
        if len(left) * len(right) > VALUES**2:
            raise BoundHit(f"{len(left)} times {len(right)} values, too many for diagrams")
        return left, right

    def _integer(self, node: Node) -> Cases:
        match node.op:
            case "const":
                return {node.value[0]: self.bdd.true}
            case "read":
                return self._read(node.value[0])
            case "select":
                first, count, default = node.value
                parts: list[tuple[Cases, Diagram]] = []
                for index, where in self.cases(node.args[0]).items():
                    cell = self._read(first + index) if 0 <= index < count else {default: self.bdd.true}
                    parts.append((cell, where))
                return self._merged(parts)
            case "ite":
                condition = self.truth(node.args[0])
                return self._merged([(self.cases(node.args[1]), condition), (self.cases(node.args[2]), ~condition)])
            case "add" | "sub" | "mul" | "div" | "mod":
                return self._computed(node)
        truth = self.truth(node)
        return {1: truth, 0: ~truth}

    def _merged(self, parts: Iterable[tuple[Cases, Diagram]]) -> Cases:
        result: Cases = {}
        for cases, where in parts:
            self.look()
            for value, there in cases.items():
                result[value] = result.get(value, self.bdd.false) | (there & where)
        return {value: where for value, where in result.items() if where != self.bdd.false}

    def _computed(self, node: Node) -> Cases:
        left, right = self._operands(node)
        parts = []
        for a, where in left.items():
            for b, there in right.items():
                parts.append(({computed(node.op, a, b): where}, there))
        return self._merged(parts)

    def _read(self, cell: int) -> Cases:
        slot = self.model.slots[cell]
        if slot.hi - slot.lo >= VALUES:
            raise BoundHit(f"{slot.hi - slot.lo + 1} values of {slot.label}, too many for diagrams")
        return {
            value: self._all(
                self.current[name] if bit else ~self.current[name] for name, bit in self.pattern(slot, value)
            )
            for value in range(slot.lo, slot.hi + 1)
        }

    # --- transitions ------------------------------------------------------------------------------------------------
    def relation(self, transition: Transition) -> Relation:
        """The relation of one transition, over the bits that it may modify."""
        guard = self.truth(transition.guard)
        modified: list[str] = []
        relation = guard
        for cell, node in transition.updates:
            slot, change = self.model.slots[cell], self.bdd.false
            for value, where in self.cases(node).items():
                if slot.lo <= value <= slot.hi:
                    after = self._all(
                        self.following[name] if bit else ~self.following[name]
                        for name, bit in self.pattern(slot, value)
                    )
                    change |= where & after
            relation &= change
            modified += self.bits[cell]
        broken = guard & ~self._all(self.truth(check.holds) for check in transition.checks)
        forward = {name: name + "n" for name in modified}
        backward = {after: name for name, after in forward.items()}
        fixed = self._fixed(transition)
        return Relation(transition, guard, relation, frozenset(modified), broken, forward, backward, fixed)

    def _fixed(self, transition: Transition) -> tuple[dict[str, bool], Diagram] | None:
        """The bits that a transition writes and their cube, where it writes only constants."""
        values: dict[str, bool] = {}
        for cell, node in transition.updates:
            slot = self.model.slots[cell]
            if node.constant is None or not slot.lo <= node.constant <= slot.hi:
                return None
            values |= dict(self.pattern(slot, node.constant))
        return values, self.bdd.cube(values)

    def image(self, states: Diagram, one: Relation) -> Diagram:
        """The successors of some states by one transition."""
        if not one.modified:
            return states & one.guard
        if one.fixed is not None:
            return self.and_exists(states, one.guard, one.modified) & one.fixed[1]
        return self.bdd.let(one.backward, self.and_exists(states, one.relation, one.modified))

    def before(self, states: Diagram, one: Relation) -> Diagram:
        """The predecessors of some states by one transition."""
        if not one.modified:
            return states & one.guard
        if one.fixed is not None:
            return one.guard & self.bdd.let(one.fixed[0], states)
        return self.and_exists(one.relation, self.bdd.let(one.forward, states), one.backward.keys())

    def preimage(self, state: int, one: Relation) -> Diagram:
        """The states that one transition takes to `state`."""
        values = dict(self.bdd.pick_iter(self.cube(state)).__next__())
        fixed = {name + "n": values[name] for name in one.modified}
        kept = {name: value for name, value in values.items() if name not in one.modified}
        before = self.bdd.let(fixed, one.relation) if fixed else one.guard
        return before & self.bdd.cube(kept)

    def bytes(self) -> int:
        """Memory of the manager. CUDD answers by its own accounts; dd's nodes are counted, which takes time."""
        if self.name != "dd.cudd":
            return len(self.bdd) * NODE_BYTES
        return int(self._statistics()["mem"])

    def work(self) -> int:
        """Units of work done in the manager: what CUDD looked up, or dd's own nodes, of which it drops none."""
        if self.name != "dd.cudd":
            return NODE_WORK * len(self.bdd)
        return LOOKUP_WORK * int(self._statistics()["cache_lookups"])

    def _statistics(self) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # dd tells of a unit that it changed long ago
            return dict(self.bdd.statistics())

    def count(self, states: Diagram) -> int:
        """The exact number of states of a diagram over the current bits."""
        deep = 2 * len(self.places) + 500  # one call a bit
        sys.setrecursionlimit(max(sys.getrecursionlimit(), deep))
        place, ways = self._ones(states)
        return ways << place

    def _ones(self, node: Diagram) -> tuple[int, int]:
        """Place of a node's bit, and how many ways its bit and those below have to make it true."""
        if node in (self.bdd.true, self.bdd.false):
            return len(self.places), int(node == self.bdd.true)
        key = int(node)
        if key not in self._counts:
            place, total = self.places[node.var], 0
            for child in (node.low, node.high):
                below, ways = self._ones(~child if node.negated else child)
                total += ways << (below - place - 1)
            self._counts[key] = place, total, node
        return self._counts[key][:2]
