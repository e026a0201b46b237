"""The numpy engine: breadth-first search, a whole level at a time, over sorted runs of packed states."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from verify.concurrency.explored import Limits, Search, Seen
from verify.concurrency.ground import Model
from verify.concurrency.interpreter import exceeded
from verify.concurrency.vectors import Expansion, Orbits, States, Values

CHUNK = 1 << 16  # states expanded at once: their columns stay in the second-level cache
COST = 17.0  # bytes a stored state, the frontier included


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
            self.runs[-1] = np.sort(np.concatenate((self.runs[-1], newest)), kind="stable")


@dataclass(slots=True)
class Explorer:
    """One breadth-first search."""

    model: Model
    symmetric: bool
    expansion: Expansion
    orbits: Orbits
    found: Search
    keep: list[States] | None = None

    @staticmethod
    def of(model: Model, symmetric: bool, keep: bool = False) -> Explorer:
        """A search that has not begun; with `keep` it remembers its levels."""
        found = Search("numpy", symmetric)
        return Explorer(model, symmetric, Expansion.of(model), Orbits.of(model), found, [] if keep else None)

    def start(self) -> States:
        """The first level."""
        states = np.array(self.model.initial, dtype=np.int64)
        return distinct(self.orbits.representatives(states) if self.symmetric else states)

    def run(self, limits: Limits, began: float, deepest: int | None = None) -> None:
        """Level after level until nothing is new, a bound is hit, or `deepest` is reached."""
        frontier, visited = self.start(), Runs()
        while len(frontier):
            visited.add(frontier)
            if self.keep is not None:
                self.keep.append(frontier)
            if deepest is not None and self.found.depth == deepest:
                return
            self.found.stored += len(frontier)
            frontier = visited.without(self.level(frontier))
            self.found.bytes = int(self.found.stored * COST)
            self.found.reason = exceeded(limits, self.found.stored + len(frontier), COST, began)
            if self.found.reason:
                return
            self.found.depth += bool(len(frontier))
        self.found.complete = True

    def level(self, frontier: States) -> States:
        """Sorted distinct successors of a level, which is observed on the way."""
        parts = [self.chunk(frontier[i : i + CHUNK]) for i in range(0, len(frontier), CHUNK)]
        return parts[0] if len(parts) == 1 else distinct(np.concatenate(parts))

    def chunk(self, states: States) -> States:
        """Sorted distinct successors of some states."""
        weights = self.orbits.sizes(states) if self.symmetric else None
        self.found.states += len(states) if weights is None else int(weights.sum())
        moved = np.zeros(len(states), dtype=np.bool_)
        out: list[States] = []
        for _, where, after in self.expansion.moves(states):
            moved[where] = True
            self.found.transitions += len(where) if weights is None else int(weights[where].sum())
            out.append(after)
        self.observe(states, moved)
        if not out:
            return np.empty(0, dtype=np.int64)
        following = np.concatenate(out)
        return distinct(self.orbits.representatives(following) if self.symmetric else following)

    def observe(self, states: States, moved: np.typing.NDArray[np.bool_]) -> None:
        """Notes what is seen of some states for the first time."""
        values = Values(self.model, states)
        for index, item in enumerate(self.model.observations):
            if index not in self.found.seen:
                hits = values.truth(item.node)
                if hits.any():
                    self.found.seen[index] = Seen(self.found.depth, int(states[int(hits.argmax())]))
        if self.found.deadlock is None and not moved.all():
            stuck = ~moved & ~values.truth(self.model.terminal)
            if stuck.any():
                self.found.deadlock = Seen(self.found.depth, int(states[int(stuck.argmax())]))


def search(model: Model, symmetric: bool = False, limits: Limits = Limits()) -> Search:  # noqa: B008 - frozen
    """Explores every state of a model of at most 63 bits."""
    began = time.perf_counter()
    explorer = Explorer.of(model, symmetric)
    try:
        explorer.run(limits, began)
    except KeyboardInterrupt:
        explorer.found.reason = "interrupted"
    explorer.found.seconds = time.perf_counter() - began
    return explorer.found


def levels(model: Model, symmetric: bool, depth: int) -> list[States]:
    """The sorted states (representatives) at distance 0..depth."""
    explorer = Explorer.of(model, symmetric, keep=True)
    explorer.run(Limits(), time.perf_counter(), depth)
    assert explorer.keep is not None
    return explorer.keep


def predecessors(model: Model, symmetric: bool, level: States, targets: Iterable[int]) -> list[int]:
    """The states of a level with a transition into one of `targets`, sorted."""
    expansion, orbits = Expansion.of(model), Orbits.of(model)
    wanted = np.array(sorted(targets), dtype=np.int64)
    found: set[int] = set()
    for start in range(0, len(level), CHUNK):
        part = level[start : start + CHUNK]
        for _, where, after in expansion.moves(part):
            after = orbits.representatives(after) if symmetric else after  # noqa: PLW2901 - the orbit stands for it
            found.update(int(state) for state in part[where[np.isin(after, wanted)]])
    return sorted(found)
