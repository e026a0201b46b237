"""Vectors of packed states: dags, successors and orbit representatives of many states at once, with numpy.

States are int64, so a model needs at most 63 bits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from verify.concurrency.instance.dag import Node, evaluate
from verify.concurrency.instance.instance import DomainCheck, Model, Slot, Transition
from verify.concurrency.instance.program_text import Group, grouped
from verify.concurrency.language.domains import DomainOverflow

States = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.signedinteger[Any]]
Truths = npt.NDArray[np.bool_]
WIDTH = 63
OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.floor_divide, "mod": np.remainder}
MANY = 4096  # states from which narrow columns repay the calls that make them


def column(states: States, slot: Slot) -> Numbers:
    """The values of a cell; of many states, in as few bytes as they need."""
    mask, kind = (1 << slot.width) - 1, narrowest(slot.lo, slot.hi)
    if len(states) < MANY:
        value = (states >> slot.offset) & mask
        return value + slot.lo if slot.lo else value
    if slot.offset % 8 + slot.width < 8 and sys.byteorder == "little":
        bits = states.view(np.uint8)[slot.offset // 8 :: 8] >> (slot.offset % 8)
        value = (bits & mask).view(np.int8)
    else:
        value = ((states >> slot.offset) & mask).astype(kind if slot.lo == 0 else np.int64)
    return np.add(value, slot.lo, dtype=kind, casting="unsafe") if slot.lo else value


def narrowest(lo: int, hi: int) -> type[np.signedinteger[Any]]:
    """The narrowest type for lo..hi."""
    return np.int8 if lo >= -128 and hi < 128 else np.int16 if lo >= -32768 and hi < 32768 else np.int64


class Values:
    """The values of dags over one vector of states; each node is computed once."""

    __slots__ = ("_numbers", "_truths", "model", "states")

    def __init__(self, model: Model, states: States) -> None:
        self.model, self.states = model, states
        self._truths: dict[int, Truths] = {}
        self._numbers: dict[int, Numbers] = {}

    def truth(self, node: Node) -> Truths:
        """A truth value of each state."""
        if node.number not in self._truths:
            self._truths[node.number] = self._truth(node)
        return self._truths[node.number]

    def number(self, node: Node) -> Numbers:
        """An integer of each state, of a type that holds the node's bounds."""
        if node.number not in self._numbers:
            self._numbers[node.number] = self._number(node)
        return self._numbers[node.number]

    def _truth(self, node: Node) -> Truths:
        result: Truths = self._computed(node)
        return result

    def _computed(self, node: Node) -> Any:
        match node.op:
            case "const":
                return np.full(len(self.states), bool(node.value[0]))
            case "not":
                return ~self.truth(node.args[0])
            case "and":
                return reduce(np.logical_and, map(self.truth, node.args))
            case "or":
                return reduce(np.logical_or, map(self.truth, node.args))
            case "eq":
                return np.equal(self._operand(node.args[0]), self._operand(node.args[1]))
            case "lt":
                return np.less(self._operand(node.args[0]), self._operand(node.args[1]))
        number = self.number(node)
        return number.view(np.bool_) if number.dtype == np.int8 and node.lo >= 0 and node.hi <= 1 else number != 0

    def _operand(self, node: Node) -> Numbers | int:
        return node.value[0] if node.op == "const" else self.number(node)

    def _number(self, node: Node) -> Numbers:
        kind = narrowest(node.lo, node.hi)
        match node.op:
            case "const":
                return np.full(len(self.states), node.value[0], dtype=kind)
            case "read":
                return column(self.states, self.model.slots[node.value[0]])
            case "select":
                return self._select(node, kind)
            case "add" | "sub" | "mul" | "div" | "mod":
                operation = OPERATIONS[node.op]
                wide = narrowest(min(node.lo, *(a.lo for a in node.args)), max(node.hi, *(a.hi for a in node.args)))
                return operation(self._operand(node.args[0]), self._operand(node.args[1]), dtype=wide)
            case "ite":
                return np.where(self.truth(node.args[0]), self.number(node.args[1]), self.number(node.args[2]))
        return self.truth(node).view(np.int8)

    def _select(self, node: Node, kind: type[np.signedinteger[Any]]) -> Numbers:
        first, count, default = node.value
        index = self.number(node.args[0])
        if len(self.states) < MANY:
            slot, inside = self.model.slots[first], (index >= 0) & (index < count)
            shift = np.where(inside, np.multiply(index, slot.width, dtype=np.int64) + slot.offset, 0)
            return np.where(inside, ((self.states >> shift) & ((1 << slot.width) - 1)) + slot.lo, default)
        value = np.full(len(self.states), default, dtype=kind)
        for place in range(count):
            cell = self._numbers.get(-1 - first - place)
            if cell is None:
                cell = self._numbers[-1 - first - place] = column(self.states, self.model.slots[first + place])
            value = np.where(index == place, cell, value)
        return value


@dataclass(frozen=True, slots=True)
class Expansion:
    """Successors of vectors of states."""

    model: Model
    groups: tuple[Group, ...]
    rest: tuple[Transition, ...]

    @staticmethod
    def of(model: Model) -> Expansion:
        """The expansion of a model, which has at most `WIDTH` bits."""
        if model.bits > WIDTH:
            raise ValueError(f"a state must fit {WIDTH} bits for numpy, got {model.bits}")
        return Expansion(model, *grouped(model))

    def moves(self, states: States) -> Iterator[tuple[Transition, npt.NDArray[np.intp], States]]:
        """(transition, indices of the states that take it, their successors); raises DomainOverflow."""
        for group in self.groups:
            read = column(states, group.slot)
            for value, items in group.cases:
                where = np.flatnonzero(read == value)
                if len(where):
                    values = Values(self.model, states[where])
                    for transition, left in items:
                        yield from self._taken(transition, left, where, values)
        everywhere = np.arange(len(states))
        values = Values(self.model, states)
        for transition in self.rest:
            yield from self._taken(transition, (transition.guard,), everywhere, values)

    def _taken(
        self, transition: Transition, left: tuple[Node, ...], where: npt.NDArray[np.intp], values: Values
    ) -> Iterator[tuple[Transition, npt.NDArray[np.intp], States]]:
        if left:
            mask = reduce(np.logical_and, map(values.truth, left))
            where = where[mask]
            if not len(where):
                return
            values = Values(self.model, values.states[mask])
        for check in transition.checks:
            self._check(transition, check, values)
        yield transition, where, self._successor(transition, values)

    def _successor(self, transition: Transition, values: Values) -> States:
        clear, fixed = 0, 0
        parts: list[States] = []
        for cell, node in transition.updates:
            slot = self.model.slots[cell]
            clear |= ((1 << slot.width) - 1) << slot.offset
            if node.constant is not None:
                fixed |= (node.constant - slot.lo) << slot.offset
            else:
                value = values.number(node).astype(np.int64)
                parts.append((value - slot.lo if slot.lo else value) << slot.offset)
        result = values.states & ~clear if clear else values.states
        result = result | fixed if fixed else result
        return reduce(np.bitwise_or, parts, result)

    def _check(self, transition: Transition, check: DomainCheck, values: Values) -> None:
        holds = values.truth(check.holds)
        if not holds.all():
            cells = self.model.cells(int(values.states[np.flatnonzero(~holds)[0]]))
            raise DomainOverflow(transition.step.name, check.target, evaluate(check.value, cells))


@dataclass(frozen=True, slots=True)
class Orbits:
    """Representatives and sizes of orbits under renaming of threads; see `interpreter.canonical`."""

    model: Model
    network: tuple[tuple[int, int], ...]

    @staticmethod
    def of(model: Model, fixed: int = 0) -> Orbits:
        """The orbits of a model whose per-thread variables name no thread; the first `fixed` threads keep their
        names."""
        return Orbits(model, tuple((a + fixed, b + fixed) for a, b in sorting_network(model.threads - fixed)))

    def _keys(self, states: States) -> list[States]:
        """For each thread its record, and below it one bit for each shared cell that names the thread."""
        model, ids = self.model, self.model.identities
        named = [(states >> slot.offset) & ((1 << slot.width) - 1) for slot in ids]
        keys = []
        for thread in range(model.threads):
            key = (states >> (thread * model.record)) & ((1 << model.record) - 1)
            for value in named:
                key = (key << 1) | (value == thread + 1)
            keys.append(key)
        return keys

    def representatives(self, states: States) -> States:
        """The representative of each state's orbit."""
        model, ids = self.model, self.model.identities
        keys = self._keys(states)
        for low, high in self.network:
            keys[low], keys[high] = np.minimum(keys[low], keys[high]), np.maximum(keys[low], keys[high])
        moved = (1 << (model.record * model.threads)) - 1
        for slot in ids:
            moved |= ((1 << slot.width) - 1) << slot.offset
        result = states & ~moved
        for position, key in enumerate(keys):
            result |= (key >> len(ids)) << (position * model.record)
            for bit, slot in enumerate(reversed(ids)):
                result |= ((key >> bit) & 1) * ((position + 1) << slot.offset)
        return result

    def permuted(self, states: States, order: tuple[int, ...]) -> States:
        """The states with thread i renamed to `order[i]`."""
        model, ids = self.model, self.model.identities
        moved = (1 << (model.record * model.threads)) - 1
        for slot in ids:
            moved |= ((1 << slot.width) - 1) << slot.offset
        result = states & ~moved
        for thread, place in enumerate(order):
            record = (states >> (thread * model.record)) & ((1 << model.record) - 1)
            result |= record << (place * model.record)
        names = np.array([0, *(place + 1 for place in order)], dtype=np.int64)
        for slot in ids:
            result |= names[(states >> slot.offset) & ((1 << slot.width) - 1)] << slot.offset
        return result

    def sizes(self, representatives: States) -> States:
        """The number of states in the orbit of each representative; of orbits that fix no thread."""
        keys = self._keys(representatives)
        result = np.full(len(representatives), factorial(self.model.threads), dtype=np.int64)
        run = np.ones(len(representatives), dtype=np.int64)
        for before, after in pairwise(keys):
            run = np.where(before == after, run + 1, 1)
            result //= run
        return result


def sorting_network(count: int) -> tuple[tuple[int, int], ...]:
    """Comparators (low, high) that sort `count` keys: Batcher's merge exchange (Knuth, TAOCP 5.2.2, M)."""
    comparators: list[tuple[int, int]] = []
    if count < 2:
        return ()
    top = 1 << ((count - 1).bit_length() - 1)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            comparators += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(comparators)
