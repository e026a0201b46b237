"""Counterexamples of leads-to properties: a way to a pending state, and from there a fair loop; and the verdicts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from itertools import permutations

import numpy as np

from verify.concurrency.explicit import numpy_engine
from verify.concurrency.explicit.python_engine import canonical
from verify.concurrency.explicit.shortest import replayed, space, trace
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.vectors import WIDTH, Orbits, States
from verify.concurrency.liveness.fair_runs import starved
from verify.concurrency.liveness.leads_to import (
    Component,
    Fairness,
    Pending,
    beginnings,
    fair_components,
    fairness,
    pending,
)
from verify.concurrency.liveness.orbit_graph import LeadsToObligation, obligations, settled, together
from verify.concurrency.results.exploration import Discovery, Limits, Proved, Refuted, Trace, Unknown, Verdict

Edge = tuple[int, int]  # (target, transition number)
ROUNDS = 100_000  # pairs of a state and of what it has still to be fair to, that are looked at for a shortest round
LASSOS = 8  # fair components of which the one with the shortest lasso is shown


def judge(model: Model, limits: Limits, known: object = None, names: Iterable[str] | None = None) -> dict[str, Verdict]:
    """The verdict of each `eventually` property, or of those in `names`; raises Bound where a limit is hit.

    Where threads are exchangeable, a property of threads is judged for one choice of them. `known`: what the numpy
    engine kept of a complete search.
    """
    wanted = obligations(model) if names is None else {name: obligations(model)[name] for name in names}
    if not wanted:
        return {}
    if model.bits > WIDTH:
        return dict.fromkeys(wanted, Unknown(f"liveness needs states of at most {WIDTH} bits, got {model.bits}"))
    if not isinstance(known, numpy_engine.Explorer) or known.symmetric != model.symmetric or not known.found.complete:
        known = numpy_engine.Explorer.of(model, model.symmetric, keep=True)
        known.run(limits, time.perf_counter())
    if not known.found.complete:
        return dict.fromkeys(wanted, Unknown(f"liveness needs the full graph: {known.found.reason}"))
    return {
        name: together([_judged(model, name, known, obligation, limits) for obligation in found])
        for name, found in wanted.items()
    }


def _judged(
    model: Model, name: str, known: numpy_engine.Explorer, obligation: LeadsToObligation, limits: Limits
) -> Verdict:
    levels = known.keep
    assert levels is not None
    verdict = settled(model, levels, obligation, limits)
    if verdict is not None:
        return verdict
    premise, claim, fair = obligation.premise, obligation.claim, fairness(model)
    graph = pending(model, beginnings(model, levels, premise, claim), premise, claim, fair, limits)
    components = fair_components(graph, fair)
    if not components:
        return Proved()
    lassos = [_lasso(model, name, known, component) for component in components[:LASSOS]]
    return Refuted(min(lassos, key=lambda trace: len(trace.events)))


def _lasso(model: Model, name: str, known: numpy_engine.Explorer, component: Component) -> Trace:
    """The interleaving: to the beginning of the obligation, on to the component, once round it."""
    graph, levels = component.graph, known.keep
    assert levels is not None
    entry = _entry(model, levels, component)
    way = _to_state(model, known, levels, int(graph.states[entry[0]]))
    loop = _round(component, entry[-1])
    indices = [*entry[1:], *(target for target, _ in loop)]
    path = (*way, *(int(graph.states[index]) for index in indices))
    begin = len(way) + len(entry) - 2
    chosen = (*(-1 for _ in range(begin)), *(number for _, number in loop))
    found = replayed(model, name, lambda state: state, path, begin, chosen=chosen)
    unfair = starved(model, found.states[begin:], chosen[begin:])
    if unfair:
        raise AssertionError(f"{name}: the run that is shown is not fair to {unfair[0]}")
    return found


def _entry(model: Model, levels: list[States], component: Component) -> list[int]:
    """Pending states from the beginning of an obligation to the component, the whole way from the start shortest."""
    graph = component.graph
    back: dict[int, list[int]] = {}
    order = np.argsort(graph.target, kind="stable")
    starts = np.searchsorted(graph.target[order], np.arange(len(graph.states) + 1))
    onward: dict[int, int | None] = {int(member): None for member in component.members}
    queue = deque((member, 0) for member in onward)
    best: tuple[int, int] | None = None
    while queue:
        state, far = queue.popleft()
        if best is not None and far >= best[0]:
            break
        if graph.begin[state]:
            total = far + _depth(model, levels, int(graph.states[state]))
            best = min(best, (total, state)) if best is not None else (total, state)
        if state not in back:
            back[state] = [int(graph.source[edge]) for edge in order[starts[state] : starts[state + 1]]]
        for previous in back[state]:
            if previous not in onward:
                onward[previous] = state
                queue.append((previous, far + 1))
    assert best is not None, "every pending state is reached from the beginning of an obligation"
    path: list[int] = []
    at: int | None = best[1]
    while at is not None:
        path.append(at)
        at = onward[at]
    return path


def _depth(model: Model, levels: list[States], state: int) -> int:
    """Distance of a reachable state."""
    state = canonical(model)(state) if model.symmetric else state
    for depth, level in enumerate(levels):
        place = int(np.searchsorted(level, state))
        if place < len(level) and int(level[place]) == state:
            return depth
    raise AssertionError("a pending state is reachable")


def _to_state(model: Model, known: numpy_engine.Explorer, levels: list[States], state: int) -> list[int]:
    """A shortest way to a reachable state."""
    seen = Discovery(_depth(model, levels, state), state)
    path = trace(model, "", seen, model.symmetric, space(model, model.symmetric, known)).states
    if not model.symmetric:
        return list(path)
    orbits = Orbits.of(model)
    for order in permutations(range(model.threads)):
        renamed = orbits.permuted(np.array(path, dtype=np.int64), order)
        if int(renamed[-1]) == state:
            return [int(one) for one in renamed]
    raise AssertionError("two states of one orbit differ by a renaming")


def _round(component: Component, start: int) -> list[Edge]:
    """The edges of a fair way from `start` round the component, back to it; empty where the run stops."""
    graph, fair = component.graph, component.fairness
    members = set(map(int, component.members))
    edges = _edges(graph, members)
    enabled: dict[int, set[int]] = {member: set() for member in members}
    inside = np.isin(graph.enabled_state, component.members)
    for state, group in zip(graph.enabled_state[inside], graph.enabled_group[inside], strict=True):
        enabled[int(state)].add(int(group))
    if not enabled[start]:
        return []
    somewhere = set().union(*enabled.values())
    open_groups = {g for g in range(len(fair.strong)) if g in somewhere}
    return _shortest_round(edges, enabled, start, open_groups, fair) or _some_round(
        edges, enabled, start, open_groups, component
    )


def _shortest_round(
    edges: dict[int, list[Edge]], enabled: dict[int, set[int]], start: int, groups: set[int], fair: Fairness
) -> list[Edge]:
    """A shortest way from `start` back to it that is fair to `groups`; empty where it is not found among `ROUNDS`
    pairs."""
    weak = sum(1 << group for group in groups if not fair.strong[group])
    owed = {state: ~(weak & ~sum(1 << group for group in able)) for state, able in enabled.items()}
    first = (start, sum(1 << group for group in groups) & owed[start])
    came: dict[tuple[int, int], tuple[tuple[int, int], int]] = {}
    queue = deque((first,))
    while queue and len(came) < ROUNDS:
        state, left = queue.popleft()
        for target, number in edges[state]:
            group = int(fair.group[number])
            after = (target, left & owed[target] & (~(1 << group) if group >= 0 else -1))
            if after == (start, 0):
                return [*_way(came, first, (state, left)), (target, number)]
            if after not in came and after != first:
                came[after] = (state, left), number
                queue.append(after)
    return []


def _way(
    came: dict[tuple[int, int], tuple[tuple[int, int], int]], first: tuple[int, int], last: tuple[int, int]
) -> list[Edge]:
    path: list[Edge] = []
    while last != first:
        before, number = came[last]
        path.append((last[0], number))
        last = before
    return path[::-1]


def _some_round(
    edges: dict[int, list[Edge]], enabled: dict[int, set[int]], start: int, open_groups: set[int], component: Component
) -> list[Edge]:
    """A way from `start` back to it that is fair to one more of `open_groups` after the other."""
    path, at, fair = list[Edge](), start, component.fairness
    while open_groups:
        piece = _nearest(edges, enabled, at, open_groups, component)
        states = [at, *(target for target, _ in piece)]
        done = {int(fair.group[number]) for _, number in piece}
        done |= {g for g in open_groups if not fair.strong[g] and any(g not in enabled[s] for s in states)}
        open_groups = open_groups - done
        path += piece
        at = states[-1]
    return path + _walk(edges, at, {start}, at == start and not path)


def _edges(graph: Pending, members: set[int]) -> dict[int, list[Edge]]:
    """The edges inside a component."""
    inside = np.isin(graph.source, list(members)) & np.isin(graph.target, list(members))
    edges: dict[int, list[Edge]] = {member: [] for member in members}
    columns = (graph.source[inside], graph.target[inside], graph.transition[inside])
    for source, target, number in zip(*columns, strict=True):
        edges[int(source)].append((int(target), int(number)))
    return edges


def _nearest(
    edges: dict[int, list[Edge]], enabled: dict[int, set[int]], start: int, groups: set[int], component: Component
) -> list[Edge]:
    """The shortest way that satisfies one more of `groups`: to a state that disables it, or over one of its edges."""
    fair = component.fairness
    came: dict[int, tuple[int, Edge]] = {}
    queue = deque((start,))
    while queue:
        state = queue.popleft()
        if any(not fair.strong[group] and group not in enabled[state] for group in groups):
            return _unwound(came, start, state)
        for target, number in edges[state]:
            if int(fair.group[number]) in groups:
                return [*_unwound(came, start, state), (target, number)]
            if target not in came and target != start:
                came[target] = (state, (target, number))
                queue.append(target)
    raise AssertionError("a fair component satisfies every fair instance")


def _walk(edges: dict[int, list[Edge]], start: int, goals: Iterable[int], leave: bool) -> list[Edge]:
    """The shortest way to one of `goals`; with `leave`, of at least one edge."""
    wanted = set(goals)
    if start in wanted and not leave:
        return []
    came: dict[int, tuple[int, Edge]] = {}
    queue = deque((start,))
    while queue:
        state = queue.popleft()
        for target, number in edges[state]:
            if target in wanted:
                return [*_unwound(came, start, state), (target, number)]
            if target not in came:
                came[target] = (state, (target, number))
                queue.append(target)
    raise AssertionError("a component is strongly connected")


def _unwound(came: dict[int, tuple[int, Edge]], start: int, state: int) -> list[Edge]:
    path: list[Edge] = []
    while state != start:
        state, edge = came[state]
        path.append(edge)
    return path[::-1]
