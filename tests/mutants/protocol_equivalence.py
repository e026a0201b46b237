"""Whether a seeded fault changes anything: the faulty protocol has the behaviours of the right one.

Two arguments, both by complete exploration of the given number of threads. Same relation: the same reachable states and
the same transitions between different states as the protocol, or a variant of it that is declared right. Reduction, for
a step that was split: every run of the faulty protocol is a run of the right one in which the whole step is taken at
some moment between the halves (or not at all, or at the second half another step leads there), with equal states
whenever no step is half done. The other direction needs no proof: the halves may follow each other at once. What is
seen between the halves is for the verdicts to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol_faults import HALF, Fault

from verify.concurrency.explicit.python_engine import program
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.language.protocol import Protocol

Label = tuple[Any, ...]  # step, threads, choices
Open = tuple[tuple[Label, Label, bool], ...]  # half steps: who, which step, and whether the right protocol has taken it
Place = tuple[int, Open]  # a state of the right protocol
Relation = tuple[frozenset[int], frozenset[tuple[int, int]]]
MOMENTS = ("at the second half", "at the first half", "at any moment")  # cheap ones first
MOST = 400_000  # states of the faulty protocol that a reduction may look at, each with where the right one may be


def equivalent(fault: Fault, right: Protocol, threads: int) -> str:
    """The argument by which the fault is none; empty where there is none."""
    if threads > 1 and not equivalent(fault, right, 1):
        return ""
    if fault.kind != "split":
        found = relation(fault.protocol, threads)
        return next(
            (f"same relation{name}" for name, one in declared_right(right) if relation(one, threads) == found), ""
        )
    return next((f"reduction, {when}" for when in MOMENTS if reduces(fault, right, threads, when)), "")


def declared_right(right: Protocol) -> Iterator[tuple[str, Protocol]]:
    """The protocol, and its variants with the same variables of which every property is declared to hold."""
    yield "", right
    for variant in right.variants:
        if not (variant.expected or variant.skipped or variant.shared or variant.local):
            yield f" as {variant.name}", right.with_variant(variant.name)


def relation(protocol: Protocol, threads: int) -> Relation:
    """Reachable states, and pairs of different states with a transition between them."""
    model = instantiate(protocol, threads)
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
        self.fault, self.wrong, self.right = fault, instantiate(fault.protocol, threads), instantiate(right, threads)
        self.steps, self.moves = program(self.wrong).steps, program(self.right).steps
        places = {(s.variable, s.thread, s.index): s.number for s in self.wrong.slots}
        self.kept = [places[s.variable, s.thread, s.index] for s in self.right.slots]
        self.known: dict[int, dict[Label, int]] = {}
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
        if state in self.known:
            return self.known[state]
        out: list[tuple[int, int]] = []
        self.moves(state, out)
        return self.known.setdefault(state, {_label(self.right, number): after for number, after in out})


def reduces(fault: Fault, right: Protocol, threads: int, when: str) -> bool:
    """Whether the split step may always be taken as a whole, at one of the `MOMENTS`."""
    pair = _Pair(fault, right, threads)
    seen = {(state, frozenset({(pair.plain(state), ())})) for state in pair.wrong.initial}
    pending = list(seen)
    while pending:
        state, places = pending.pop()
        out: list[tuple[int, int]] = []
        pair.steps(state, out)
        for number, after in out:
            found = _followed(pair, places, _label(pair.wrong, number), after, when)
            if not found:
                return False
            if (after, found) not in seen:
                seen.add((after, found))
                pending.append((after, found))
        if len(seen) > MOST:
            return False
    return True


def _followed(pair: _Pair, places: frozenset[Place], label: Label, after: int, when: str) -> frozenset[Place]:
    """Where the right protocol may be after a step of the faulty one; nowhere: that step is none of its own."""
    found = {place for old in places for place in _matched(pair, old, label, when)}
    if not pair.whole(after):
        return frozenset(_taken(pair, found) if when == "at any moment" else found)
    plain = pair.plain(after)
    reached = any(plain in (other, *pair.taken(other).values()) for other, _ in (*found, *places))
    return frozenset({(plain, ())}) if reached else frozenset()


def _matched(pair: _Pair, place: Place, label: Label, when: str) -> list[Place]:
    """The same step in the right protocol; a first half is noted, a second one takes what was not taken before."""
    (other, halves), name, who = place, label[0], label[1][:1]
    can = pair.taken(other)
    if name == pair.fault.step:
        early = when == "at the first half" and label in can
        return [(can[label] if early else other, tuple(sorted((*halves, (who, label, early)))))]
    if name == pair.fault.step + "_ends":
        _, whole, done = next(half for half in halves if half[0] == who)
        rest = tuple(half for half in halves if half[0] != who)
        late = [(can[whole], rest)] if not done and whole in can else []
        if late and when == "at the second half":
            return late
        return [(other, rest), *late]  # not taken at all is a run, too: whether it is this one, equal states will tell
    return [(can[label], halves)] if label in can else []


def _taken(pair: _Pair, places: set[Place]) -> set[Place]:
    """The places, and those where open half steps have been taken as a whole."""
    found, pending = set(places), list(places)
    while pending:
        other, halves = pending.pop()
        can = pair.taken(other)
        for number, (who, label, done) in enumerate(halves):
            if not done and label in can:
                place = (can[label], (*halves[:number], (who, label, True), *halves[number + 1 :]))
                if place not in found:
                    found.add(place)
                    pending.append(place)
    return found


def _label(model: Model, number: int) -> Label:
    transition = model.transitions[number]
    return transition.step.name, transition.threads, transition.choices
