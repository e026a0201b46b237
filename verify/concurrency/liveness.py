"""Liveness: leads-to properties under the fairness of each step, by strongly connected components.

An obligation is pending from a state with premise and without claim until the claim holds. It is violated by a run that
stays among pending states and is fair: a component in which every weakly fair step is taken or somewhere disabled, and
every strongly fair step is taken or everywhere disabled. A run may also stop for ever where no fair step is enabled
(Lamport's stuttering; Streett's condition for strong fairness). Fairness is of a step and its threads; a step's
choices share it. The graph is the full one, without symmetry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from verify.concurrency.circuit import Node
from verify.concurrency.frontier import distinct
from verify.concurrency.ground import Model
from verify.concurrency.vectors import Expansion, Orbits, States, Values

Indices = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Fairness:
    """Fair step instances: `group[transition number]` is its fair instance (-1: none), `strong` by instance."""

    group: Indices
    strong: Truths
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """The graph of pending states: sorted `states`, edges source -> target with the number of the transition, and
    (state, fair instance) pairs where an instance is enabled, whether or not its target is pending."""

    states: States
    source: Indices
    target: Indices
    transition: Indices
    enabled_state: Indices
    enabled_group: Indices
    begin: Truths  # where an obligation begins


@dataclass(frozen=True, slots=True)
class Component:
    """A fair component as indices into the pending states; one index and no edge where the run stops for ever."""

    graph: Pending
    members: Indices
    fairness: Fairness


def fairness(model: Model) -> Fairness:
    """The fair instances of a model."""
    keys: dict[tuple[str, tuple[int, ...]], int] = {}
    group = np.full(len(model.transitions), -1, dtype=np.int64)
    strong: list[bool] = []
    for transition in model.transitions:
        if transition.step.fair is not None:
            key = (transition.step.name, transition.threads)
            if key not in keys:
                keys[key] = len(keys)
                strong.append(transition.step.fair == "strong")
            group[transition.number] = keys[key]
    return Fairness(group, np.array(strong, dtype=np.bool_), tuple(f"{name} {who}" for name, who in keys))


def pending(model: Model, levels: list[States], premise: Node, claim: Node, fair: Fairness) -> Pending:
    """The pending graph of one obligation; `levels` are the reachable states, representatives of their orbits where
    threads are symmetric."""
    expansion = Expansion.of(model)
    begins = [
        _where(model, states, lambda values: values.truth(premise) & ~values.truth(claim))
        for states in everywhere(model, levels)
    ]
    frontier = found = distinct(np.concatenate(begins))
    while len(frontier):
        parts = [
            after
            for start in range(0, len(frontier), CHUNK)
            for _, _, after in expansion.moves(frontier[start : start + CHUNK])
        ]
        after = distinct(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
        place = np.minimum(np.searchsorted(found, after), len(found) - 1)
        frontier = _where(model, after[found[place] != after], lambda values: ~values.truth(claim))
        found = np.sort(np.concatenate((found, frontier)), kind="stable")
    return _graph(model, found, premise, expansion, fair)


def everywhere(model: Model, levels: list[States]) -> Iterator[States]:
    """Every reachable state, some more than once."""
    if not model.symmetric:
        yield from levels
        return
    orbits, states = Orbits.of(model), np.concatenate(levels)
    for order in permutations(range(model.threads)):
        yield orbits.permuted(states, order)


def _where(model: Model, states: States, test: object) -> States:
    """The states that pass a test on their values."""
    assert callable(test)
    parts = [states[i : i + CHUNK] for i in range(0, len(states), CHUNK)]
    kept = [part[test(Values(model, part))] for part in parts]
    return np.concatenate(kept) if kept else states


def _graph(model: Model, states: States, premise: Node, expansion: Expansion, fair: Fairness) -> Pending:
    sources: list[Indices] = []
    targets: list[Indices] = []
    taken: list[Indices] = []
    able: list[Indices] = []
    groups: list[Indices] = []
    begin: list[Truths] = []
    for start in range(0, len(states), CHUNK):
        part = states[start : start + CHUNK]
        begin.append(Values(model, part).truth(premise))
        for transition, where, after in expansion.moves(part):
            place = np.minimum(np.searchsorted(states, after), len(states) - 1)
            inside = states[place] == after
            group = fair.group[transition.number]
            if group >= 0:
                able.append(where + start)
                groups.append(np.full(len(where), group, dtype=np.int64))
            sources.append(where[inside] + start)
            targets.append(place[inside])
            taken.append(np.full(int(inside.sum()), transition.number, dtype=np.int64))
    return Pending(
        states,
        _joined(sources),
        _joined(targets),
        _joined(taken),
        _joined(able),
        _joined(groups),
        np.concatenate(begin) if begin else np.empty(0, dtype=np.bool_),
    )


def _joined(parts: list[Indices]) -> Indices:
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, dtype=np.int64)


def fair_component(graph: Pending, fair: Fairness) -> Component | None:
    """A component in which a fair run can stay for ever, the smallest; None where the property holds."""
    count = len(graph.states)
    if not count:
        return None
    idle = np.ones(count, dtype=np.bool_)
    idle[graph.enabled_state] = False
    if idle.any():
        stop = np.flatnonzero(idle)
        begins = stop[graph.begin[stop]]
        return Component(graph, (begins if len(begins) else stop)[:1].astype(np.int64), fair)
    alive = np.ones(count, dtype=np.bool_)
    while True:
        label, inner = _components(graph, alive)
        if not alive.any():
            return None
        removed = _unfair(graph, fair, label, inner, alive)
        if not removed.any():
            return _smallest(graph, fair, label, alive)
        alive &= ~removed


def _components(graph: Pending, alive: Truths) -> tuple[Indices, Truths]:
    """Number of the component of each living state, and which edges stay inside one; components without an edge are
    taken out of `alive`."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import, and only liveness needs it
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    count = len(graph.states)
    living = alive[graph.source] & alive[graph.target]
    source, target = graph.source[living], graph.target[living]
    matrix = csr_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(count, count))
    _, label = connected_components(matrix, directed=True, connection="strong")
    inner = living & (label[graph.source] == label[graph.target])
    alive &= (np.bincount(label[graph.source[inner]], minlength=int(label.max()) + 1) > 0)[label]
    compact = np.zeros(count, dtype=np.int64)
    compact[alive] = np.unique(label[alive], return_inverse=True)[1]
    return compact, inner


def _unfair(graph: Pending, fair: Fairness, label: Indices, inner: Truths, alive: Truths) -> Truths:
    """States to remove: of components that fail a weakly fair instance, and where a strongly fair instance is enabled
    that is never taken inside its component."""
    groups, components = len(fair.strong), int(label.max()) + 1
    size = np.bincount(label[alive], minlength=components)
    live = alive[graph.enabled_state]
    # a state may enable one instance by several choices: each pair counts once
    pairs = np.unique(graph.enabled_state[live] * groups + graph.enabled_group[live])
    able = np.bincount(label[pairs // groups] * groups + pairs % groups, minlength=components * groups)
    group = fair.group[graph.transition]
    moving = inner & (group >= 0)
    taken = np.bincount(label[graph.source[moving]] * groups + group[moving], minlength=components * groups)
    able, taken = able.reshape(components, groups), taken.reshape(components, groups)
    starved = (able == size[:, None]) & (taken == 0) & ~fair.strong[None, :]
    blocked = (able > 0) & (taken == 0) & fair.strong[None, :]
    removed: Truths = alive & starved.any(axis=1)[label]
    hit = live & blocked[label[graph.enabled_state], graph.enabled_group]
    removed[graph.enabled_state[hit]] = True
    return removed


def _smallest(graph: Pending, fair: Fairness, label: Indices, alive: Truths) -> Component:
    sizes = np.bincount(label[alive])
    chosen = int(np.argmin(np.where(sizes > 0, sizes, sizes.max() + 1)))
    return Component(graph, np.flatnonzero(alive & (label == chosen)).astype(np.int64), fair)
