"""Shortest ways to a state, found by walking back through the breadth-first levels.

Under symmetry the levels hold representatives; the way is then replayed from an initial state with real threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from verify.concurrency.explored import Event, Seen, Trace, event
from verify.concurrency.ground import Model
from verify.concurrency.interpreter import Program, canonical, program

Levels = list[set[int]]


def levels(model: Model, code: Program, depth: int, symmetric: bool) -> Levels:
    """States (representatives under symmetry) at distance 0..depth."""
    rename = canonical(model) if symmetric else _same
    frontier = {rename(state) for state in model.initial}
    visited, found = set(frontier), [frontier]
    for _ in range(depth):
        out: list[int] = []
        for state in frontier:
            code.expand(state, out)
        frontier = {rename(state) for state in out} - visited
        visited |= frontier
        found.append(frontier)
    return found


def trace(model: Model, name: str, seen: Seen, symmetric: bool) -> Trace:
    """The shortest interleaving to `seen`, shown for the named property."""
    code = program(model)
    rename = canonical(model) if symmetric else _same
    path = _back(code, levels(model, code, seen.depth - 1, symmetric) if seen.depth else [], rename, rename(seen.state))
    return replayed(model, name, code, rename, path)


def _same(state: int) -> int:
    return state


def _back(code: Program, known: Levels, rename: Callable[[int], int], target: int) -> list[int]:
    """Representatives from an initial state to `target`."""
    path = [target]
    for level in reversed(known):
        path.append(next(before for before in sorted(level) if path[-1] in _after(code, rename, before)))
    return path[::-1]


def _after(code: Program, rename: Callable[[int], int], state: int) -> set[int]:
    out: list[int] = []
    code.expand(state, out)
    return {rename(after) for after in out}


def replayed(model: Model, name: str, code: Program, rename: Callable[[int], int], path: Iterable[int]) -> Trace:
    """The trace with real threads along representatives; every transition is taken from the model again."""
    steps = iter(path)
    start = next(steps)
    state = next(first for first in model.initial if rename(first) == start)
    states, events = [state], list[Event]()
    for wanted in steps:
        out: list[tuple[int, int]] = []
        code.steps(state, out)
        number, after = next(pair for pair in out if rename(pair[1]) == wanted)
        events.append(event(model, state, model.transitions[number], after))
        states.append(after)
        state = after
    return Trace(name, tuple(events), tuple(states), None, tuple(item.actor for item in events))
