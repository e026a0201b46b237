"""Shortest ways to a state, found by walking back through the breadth-first levels.

Under symmetry the levels hold representatives; a way is then replayed from an initial state with real threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol as Interface

import numpy as np

from verify.concurrency.explicit import numpy_engine
from verify.concurrency.explicit.python_engine import PythonProgram, canonical, program
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model, Transition
from verify.concurrency.instance.vectors import WIDTH, Expansion, States, Values
from verify.concurrency.results.exploration import Discovery, Event, Trace, event, start

Path = tuple[int, ...]
TRIED = 200  # interleavings looked at for further counterexamples


class SearchSpace(Interface):
    """The levels of one model, as far as they have been asked for."""

    def level(self, depth: int) -> int:
        """Number of states (representatives) at a distance; 0 behind the last."""

    def before(self, depth: int, targets: frozenset[int]) -> list[int]:
        """States at a distance with a transition into one of `targets`, sorted."""

    def where(self, depth: int, node: Node | None) -> list[int]:
        """States at a distance that satisfy `node`; None: that have no successor and are not terminal."""


@dataclass(slots=True)
class VectorSpace:
    """Levels as sorted vectors, for states of up to 63 bits."""

    model: Model
    explorer: numpy_engine.Explorer

    @property
    def levels(self) -> list[States]:
        """The levels so far."""
        assert self.explorer.keep is not None
        return self.explorer.keep

    def level(self, depth: int) -> int:
        """As `SearchSpace.level`."""
        while len(self.levels) <= depth and len(self.explorer.frontier):
            self.explorer.step()
        return len(self.levels[depth]) if depth < len(self.levels) else 0

    def before(self, depth: int, targets: frozenset[int]) -> list[int]:
        """As `SearchSpace.before`."""
        return numpy_engine.predecessors(self.explorer, depth, targets)

    def where(self, depth: int, node: Node | None) -> list[int]:
        """As `SearchSpace.where`."""
        states = self.levels[depth]
        values = Values(self.model, states)
        if node is not None:
            return [int(state) for state in states[values.truth(node)]]
        stuck = ~values.truth(self.model.terminal)
        for _, sources, _ in Expansion.of(self.model).moves(states):
            stuck[sources] = False
        return [int(state) for state in np.sort(states[stuck])]


@dataclass(slots=True)
class PlainSpace:
    """Levels as sets, for wider states."""

    model: Model
    symmetric: bool
    code: PythonProgram
    levels: list[set[int]] = field(default_factory=list)
    visited: set[int] = field(default_factory=set)

    def rename(self, state: int) -> int:
        """The representative of a state; itself where the model is not symmetric."""
        return canonical(self.model)(state) if self.symmetric else state

    def after(self, state: int) -> set[int]:
        """The representatives of a state's successors."""
        out: list[int] = []
        self.code.expand(state, out)
        return {self.rename(successor) for successor in out}

    def level(self, depth: int) -> int:
        """As `SearchSpace.level`."""
        if not self.levels:
            self.levels.append({self.rename(state) for state in self.model.initial})
            self.visited |= self.levels[0]
        while len(self.levels) <= depth and self.levels[-1]:
            following = {after for state in self.levels[-1] for after in self.after(state)} - self.visited
            self.visited |= following
            self.levels.append(following)
        return len(self.levels[depth]) if depth < len(self.levels) else 0

    def before(self, depth: int, targets: frozenset[int]) -> list[int]:
        """As `SearchSpace.before`."""
        return sorted(state for state in self.levels[depth] if self.after(state) & targets)

    def where(self, depth: int, node: Node | None) -> list[int]:
        """As `SearchSpace.where`."""
        if node is None:
            found = (s for s in self.levels[depth] if not self.after(s) and not self.code.terminal(s))
            return sorted(found)
        index = next(i for i, item in enumerate(self.model.observations) if item.node is node)
        return sorted(state for state in self.levels[depth] if self.code.observe(state) >> index & 1)


def space(model: Model, symmetric: bool, known: object = None) -> SearchSpace:
    """The levels of a model; `known`: what the numpy engine kept of them."""
    if model.bits > WIDTH:
        return PlainSpace(model, symmetric, program(model))
    if isinstance(known, numpy_engine.Explorer) and known.symmetric == symmetric:
        return VectorSpace(model, known)
    return VectorSpace(model, numpy_engine.Explorer.of(model, symmetric, keep=True))


def trace(model: Model, name: str, seen: Discovery, symmetric: bool, known: SearchSpace | None = None) -> Trace:
    """The shortest interleaving to `seen`, shown for the named property; `known`: levels that are at hand."""
    if seen.path:
        return replayed(model, name, _same, seen.path)
    levels, rename = known or space(model, symmetric), canonical(model) if symmetric else _same
    path = [rename(seen.state)]
    levels.level(seen.depth)
    for depth in reversed(range(seen.depth)):
        path.append(levels.before(depth, frozenset((path[-1],)))[0])
    return replayed(model, name, rename, tuple(path[::-1]))


def counterexamples(model: Model, name: str, symmetric: bool, count: int, deepest: int) -> tuple[Trace, ...]:
    """Up to `count` interleavings that refute the named always property (or no-deadlock), none of them another one with
    threads renamed; first those that are no other one with steps added, and the shortest of each.

    To states at most `deepest` transitions away; of the shortest ways to those, `TRIED` are looked at.
    """
    nodes = [item.node for item in model.observations if (item.property, item.role) == (name, "bad")]
    node = nodes[0] if nodes else None
    levels, rename, code = space(model, symmetric), canonical(model) if symmetric else _same, program(model)
    found, longer = list[Trace](), list[Trace]()
    depth = tried = 0
    while depth <= deepest and levels.level(depth) and len(found) < count and tried < TRIED:
        bad = levels.where(depth, node)
        for path in _paths(levels, depth, frozenset(bad)) if bad else ():
            one, tried = replayed(model, name, rename, path, code=code), tried + 1
            if not any(contains(one.events, known.events) for known in found):
                found.append(one)
            elif len(longer) < count and not any(_alike(one, known) for known in (*found, *longer)):
                longer.append(one)
            if len(found) == count or tried >= TRIED:
                break
        depth += 1
    return tuple((found + longer)[:count])


def _alike(one: Trace, other: Trace) -> bool:
    return len(one.events) == len(other.events) and contains(one.events, other.events)


def contains(events: tuple[Event, ...], fewer: tuple[Event, ...]) -> bool:
    """Whether `fewer` are among `events` in their order, with one thread in the place of another throughout."""

    def rest(at: int, wanted: int, names: dict[str, str]) -> bool:
        if wanted == len(fewer):
            return True
        for place in range(at, len(events) - (len(fewer) - wanted) + 1):
            bound = _renamed(events[place], fewer[wanted], names)
            if bound is not None and rest(place + 1, wanted + 1, bound):
                return True
        return False

    return rest(0, 0, {})


def _renamed(one: Event, other: Event, names: dict[str, str]) -> dict[str, str] | None:
    """The renaming of actors, enlarged so that two events are the same; None where it cannot be."""
    if one.action.split(" ")[0] != other.action.split(" ")[0]:
        return None
    if other.actor in names:
        return names if names[other.actor] == one.actor else None
    thread = other.actor.startswith("thread ")
    if (
        one.actor in names.values()
        or thread != one.actor.startswith("thread ")
        or not (thread or one.actor == other.actor)
    ):
        return None
    return {**names, other.actor: one.actor}


def _paths(levels: SearchSpace, depth: int, targets: frozenset[int]) -> Iterator[Path]:
    """Every shortest way to one of `targets`, which lie at distance `depth`, depth first."""

    def back(at: int, state: int, rest: Path) -> Iterator[Path]:
        if at == 0:
            yield (state, *rest)
            return
        for previous in levels.before(at - 1, frozenset((state,))):
            yield from back(at - 1, previous, (state, *rest))

    for target in sorted(targets):
        yield from back(depth, target, ())


def _same(state: int) -> int:
    return state


def replayed(
    model: Model,
    name: str,
    rename: Callable[[int], int],
    path: Path,
    loop: int | None = None,
    code: PythonProgram | None = None,
    chosen: tuple[int, ...] = (),
) -> Trace:
    """The trace with real threads along representatives; every transition is taken from the model again. `chosen`:
    which one, by its number (-1: any that leads on)."""
    code = code or program(model)
    state = next(first for first in model.initial if rename(first) == path[0])
    states, events = [state], list[Event]()
    for wanted, number in zip(path[1:], chosen or (-1,) * (len(path) - 1), strict=True):
        transition, after = _taken(model, code, rename, state, wanted, number)
        events.append(event(model, state, transition, after))
        states.append(after)
        state = after
    actors = tuple(item.actor for item in events)
    return Trace(name, tuple(events), tuple(states), loop, actors, start(model, states[0]))


def _taken(
    model: Model, code: PythonProgram, rename: Callable[[int], int], state: int, wanted: int, chosen: int
) -> tuple[Transition, int]:
    out: list[tuple[int, int]] = []
    code.steps(state, out)
    number, after = next(pair for pair in out if rename(pair[1]) == wanted and chosen in (-1, pair[0]))
    return model.transitions[number], after
