"""Whether a seeded fault changes anything: the faulty protocol has the behaviours of the right one.

Two arguments, both by complete exploration of the given number of threads. Same relation: the same reachable states and
the same transitions between different states. Reduction, for a step that was split: every run of the faulty protocol is
a run of the right one in which the whole step is taken at the first half (or at the second half), with equal states
whenever no step is half done. The other direction needs no proof: the halves may follow each other at once.
"""

from __future__ import annotations

from typing import Any

from protocol_faults import HALF, Fault

from verify.concurrency.ground import Model, ground
from verify.concurrency.interpreter import program
from verify.concurrency.language import Protocol

Label = tuple[Any, ...]
Item = tuple[int, int, tuple[tuple[Label, Label], ...]]
Relation = tuple[frozenset[int], frozenset[tuple[int, int]]]
MOST = 400_000  # pairs of states that a reduction may look at


def equivalent(fault: Fault, right: Protocol, threads: int) -> str:
    """The argument by which the fault is none; empty where there is none."""
    if threads > 1 and not equivalent(fault, right, 1):
        return ""
    if fault.kind != "split":
        return "same relation" if relation(right, threads) == relation(fault.protocol, threads) else ""
    return next((f"reduction, {when} half" for when in ("first", "second") if reduces(fault, right, threads, when)), "")


def relation(protocol: Protocol, threads: int) -> Relation:
    """Reachable states, and pairs of different states with a transition between them."""
    model = ground(protocol, threads)
    expand = program(model).expand
    states, pending, moves = set(model.initial), list(model.initial), set[tuple[int, int]]()
    while pending:
        state = pending.pop()
        out: list[int] = []
        expand(state, out)
        for after in out:
            if after != state:
                moves.add((state, after))
            if after not in states:
                states.add(after)
                pending.append(after)
    return frozenset(states), frozenset(moves)


class _Pair:
    """The faulty protocol and the right one, side by side."""

    def __init__(self, fault: Fault, right: Protocol, threads: int) -> None:
        self.fault, self.wrong, self.right = fault, ground(fault.protocol, threads), ground(right, threads)
        self.steps, self.moves = program(self.wrong).steps, program(self.right).steps
        places = {(s.variable, s.thread, s.index): s.number for s in self.wrong.slots}
        self.kept = [places[s.variable, s.thread, s.index] for s in self.right.slots]
        self.half = [s.number for s in self.wrong.slots if s.variable == HALF]

    def plain(self, state: int) -> int:
        """A state of the faulty protocol without what only the halves need."""
        cells = self.wrong.cells(state)
        return self.right.packed(tuple(cells[number] for number in self.kept))

    def whole(self, state: int) -> bool:
        """Whether no step is half done."""
        cells = self.wrong.cells(state)
        return not any(cells[number] for number in self.half)

    def taken(self, state: int) -> dict[Label, int]:
        """The successors in the right protocol by step, threads and choices."""
        out: list[tuple[int, int]] = []
        self.moves(state, out)
        return {_label(self.right, number): after for number, after in out}


def reduces(fault: Fault, right: Protocol, threads: int, when: str) -> bool:
    """Whether the split step may be taken as a whole at the named half."""
    pair = _Pair(fault, right, threads)
    seen: set[Item] = {(state, pair.plain(state), ()) for state in pair.wrong.initial}
    pending = list(seen)
    while pending:
        state, other, labels = pending.pop()
        if pair.whole(state) and pair.plain(state) != other:
            return False
        out: list[tuple[int, int]] = []
        pair.steps(state, out)
        can = pair.taken(other)
        for number, after in out:
            label = _label(pair.wrong, number)
            found = _matched(fault, label, dict(labels), can, other, when)
            if found is None:
                return False
            item = (after, found[0], tuple(sorted(found[1].items())))
            if item not in seen:
                seen.add(item)
                pending.append(item)
        if len(seen) > MOST:
            return False
    return True


def _matched(
    fault: Fault, label: Label, halves: dict[Label, Label], can: dict[Label, int], other: int, when: str
) -> tuple[int, dict[Label, Label]] | None:
    """The right protocol's state after a step of the faulty one, and the half steps now open; None: no such step.

    `halves` maps who acts to the label under which the whole step was begun.
    """
    name, who = label[0], label[1][:1]
    if name == fault.step:
        after = can.get(label, -1) if when == "first" else other
        return None if after < 0 else (after, {**halves, who: label})
    if name == fault.step + "_ends":
        whole = halves[who]
        after = other if when == "first" else can.get(whole, -1)
        return None if after < 0 else (after, {key: value for key, value in halves.items() if key != who})
    return (can[label], halves) if label in can else None


def _label(model: Model, number: int) -> Label:
    transition = model.transitions[number]
    return transition.step.name, transition.threads, transition.choices
