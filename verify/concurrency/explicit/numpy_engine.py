"""The numpy engine: breadth-first search, a whole level at a time, over sorted runs of packed states."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from verify.concurrency.explicit.python_engine import exceeded
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.vectors import Expansion, Orbits, States, Truths, Values
from verify.concurrency.results.exploration import Discovery, Limits, Search

Places = npt.NDArray[np.uint32]

CHUNK = 1 << 16  # states expanded at once: their columns stay in the second-level cache
COST = 17.0  # bytes a stored state, the frontier included
WORK = 3  # units a stored state


def distinct(states: States) -> States:
    """Sorted, without repetition; sorts its argument in place. Best where the argument is made of sorted pieces, as
    successors mostly are: a stable sort merges them."""
    states.sort(kind="stable")
    if not len(states):
        return states
    keep = np.empty(len(states), dtype=np.bool_)
    keep[0] = True
    np.not_equal(states[1:], states[:-1], out=keep[1:])
    return states[keep]


@dataclass(slots=True)
class Runs:
    """Visited states as sorted runs, merged when the newest is over half of the one before."""

    runs: list[States] = field(default_factory=list)

    def without(self, states: States) -> States:
        """Those of the sorted `states` that have not been visited."""
        for run in self.runs:
            if not len(states):
                break
            low, high = np.searchsorted(states, (run[0], run[-1] + 1))
            place = np.searchsorted(run, states[low:high])
            fresh = np.ones(len(states), dtype=np.bool_)
            np.not_equal(run[place], states[low:high], out=fresh[low:high])
            states = states[fresh]
        return states

    def add(self, states: States) -> None:
        """Takes in sorted new states."""
        if len(states):
            self.runs.append(states)
        while len(self.runs) > 1 and 2 * len(self.runs[-1]) > len(self.runs[-2]):
            newest = self.runs.pop()
            self.runs[-1] = np.concatenate((self.runs[-1], newest))
            self.runs[-1].sort(kind="stable")


@dataclass(slots=True)
class Explorer:
    """One breadth-first search; it can be taken up again where it stopped.

    keep: the levels, where they are kept; edges: for each kept level (index of the state in it, successor) vectors.
    """

    model: Model
    symmetric: bool
    expansion: Expansion
    orbits: Orbits
    found: Search
    frontier: States
    keep: list[States] | None = None
    edges: list[list[tuple[Places, States]]] | None = None
    visited: Runs = field(default_factory=Runs)
    done: int = 0  # levels that have been expanded

    @staticmethod
    def of(model: Model, symmetric: bool, keep: bool = False, edges: bool = False) -> Explorer:
        """A search that has not begun; with `keep` it remembers its levels, with `edges` their transitions too."""
        expansion, orbits = Expansion.of(model), Orbits.of(model)
        states = np.array(model.initial, dtype=np.int64)
        start = distinct(orbits.representatives(states) if symmetric else states)
        found = Search("numpy", symmetric)
        kept: list[States] | None = [] if keep or edges else None
        return Explorer(model, symmetric, expansion, orbits, found, start, kept, [] if edges else None)

    def run(self, limits: Limits, began: float, deepest: int | None = None) -> None:
        """Level after level until nothing is new, a bound is hit, or `deepest` is reached."""
        while len(self.frontier) and (deepest is None or self.done <= deepest):
            self.step()
            stored = self.found.stored + len(self.frontier)
            self.found.reason = exceeded(limits, stored, self.cost, began, WORK * stored)
            if self.found.reason:
                return
        self.found.complete = not len(self.frontier)

    def step(self) -> None:
        """Takes in the frontier, and makes the next."""
        self.visited.add(self.frontier)
        self.found.depth, self.done = self.done, self.done + 1
        if self.keep is not None:
            self.keep.append(self.frontier)
        if self.edges is not None:
            self.edges.append([])
        self.found.stored += len(self.frontier)
        self.frontier = self.visited.without(self.level(self.frontier))
        self.found.bytes = int(self.found.stored * self.cost)

    @property
    def cost(self) -> float:
        """Bytes a stored state, with what is kept of it."""
        if self.edges is None:
            return COST if self.keep is None else COST + 8
        size = sum(place.nbytes + after.nbytes for level in self.edges for place, after in level)
        return COST + 8 + size / max(1, self.found.stored)

    def level(self, frontier: States) -> States:
        """Sorted distinct successors of a level, which is observed on the way."""
        parts = [self.chunk(frontier[i : i + CHUNK], i) for i in range(0, len(frontier), CHUNK)]
        return parts[0] if len(parts) == 1 else distinct(np.concatenate(parts))

    def chunk(self, states: States, start: int) -> States:
        """Sorted distinct successors of some states, which begin at place `start` of their level."""
        weights = self.orbits.sizes(states) if self.symmetric else None
        self.found.states += len(states) if weights is None else int(weights.sum())
        moved = np.zeros(len(states), dtype=np.bool_)
        out: list[States] = []
        places: list[npt.NDArray[np.intp]] = []
        for transition, where, after in self.expansion.moves(states):
            self.found.taken.add(transition.step.name)
            moved[where] = True
            places.append(where)
            self.found.transitions += len(where) if weights is None else int(weights[where].sum())
            out.append(after)
        self.observe(states, moved)
        if not out:
            return np.empty(0, dtype=np.int64)
        following = np.concatenate(out)
        following = self.orbits.representatives(following) if self.symmetric else following
        if self.edges is not None:
            self.edges[-1].append(((np.concatenate(places) + start).astype(np.uint32), following.copy()))
        return distinct(following)

    def observe(self, states: States, moved: Truths) -> None:
        """Notes what is seen of some states for the first time."""
        values = Values(self.model, states)
        for index, item in enumerate(self.model.observations):
            if index not in self.found.seen:
                hits = values.truth(item.node)
                if hits.any():
                    self.found.seen[index] = Discovery(self.found.depth, int(states[int(hits.argmax())]))
        if self.found.deadlock is None and not moved.all():
            stuck = ~moved & ~values.truth(self.model.terminal)
            if stuck.any():
                self.found.deadlock = Discovery(self.found.depth, int(states[int(stuck.argmax())]))


def search(
    model: Model,
    symmetric: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    keep: bool = False,
) -> Search:
    """Explores every state of a model of at most 63 bits; with `keep` its levels and transitions stay at hand."""
    began = time.perf_counter()
    explorer = Explorer.of(model, symmetric, edges=keep)
    try:
        explorer.run(limits, began)
    except KeyboardInterrupt:
        explorer.found.reason = "interrupted"
    explorer.found.seconds = time.perf_counter() - began
    explorer.found.levels = explorer if keep else None
    return explorer.found


def predecessors(explorer: Explorer, depth: int, targets: Iterable[int]) -> list[int]:
    """The states of a kept level with a transition into one of `targets`, sorted."""
    assert explorer.keep is not None
    level, wanted = explorer.keep[depth], np.array(sorted(targets), dtype=np.int64)
    if explorer.edges is not None:
        parts = [level[place[member(after, wanted)]] for place, after in explorer.edges[depth]]
        return [int(state) for state in distinct(np.concatenate(parts))] if parts else []
    found: set[int] = set()
    for start in range(0, len(level), CHUNK):
        part = level[start : start + CHUNK]
        for _, where, after in explorer.expansion.moves(part):
            after = explorer.orbits.representatives(after) if explorer.symmetric else after  # noqa: PLW2901
            found.update(int(state) for state in part[where[member(after, wanted)]])
    return sorted(found)


def member(states: States, wanted: States) -> Truths:
    """Which of some states are among the sorted `wanted`."""
    place = np.minimum(np.searchsorted(wanted, states), len(wanted) - 1) if len(wanted) > 1 else 0
    found: Truths = np.equal(wanted[place], states)
    return found
