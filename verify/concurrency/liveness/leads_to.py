"""Liveness: leads-to properties under the fairness of each step, by strongly connected components.

An obligation is pending from a state with premise and without claim until the claim holds. It is violated by a run that
stays among pending states and is fair: a component in which every weakly fair step is taken or somewhere disabled, and
every strongly fair step is taken or everywhere disabled. A run may also stop for ever where no fair step is enabled
(Lamport's stuttering; Streett's condition for strong fairness). Fairness is of a step, its threads and its choices, or
of those that it declares (`StepTerm.fair_over`). The graph is the full one, without symmetry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from verify.concurrency.explicit.numpy_engine import distinct
from verify.concurrency.explicit.python_engine import exceeded
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.vectors import Expansion, Orbits, States, Values
from verify.concurrency.liveness.components import strong_components
from verify.concurrency.results.exploration import BoundHit, Limits

Indices = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]
CHUNK = 1 << 16
STATE_BYTES = 400  # of a pending state with its transitions, some ten, and their components
WORK = 5  # units a pending state


@dataclass(frozen=True, slots=True)
class Fairness:
    """Fair step instances: `group[transition number]` is its fair instance (-1: none), `strong` by instance, and
    whether a run must be fair to it (`counted`)."""

    group: Indices
    strong: Truths
    counted: Truths
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

    def stopping(self) -> Indices:
        """The states in which a run may stop, because no fair step is enabled."""
        idle = np.ones(len(self.states), dtype=np.bool_)
        idle[self.enabled_state] = False
        return np.flatnonzero(idle).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Component:
    """A fair component as indices into the pending states; or the states in any of which a run may stop for ever."""

    graph: Pending
    members: Indices
    fairness: Fairness


def fairness(model: Model) -> Fairness:
    """The fair instances of a model."""
    keys: dict[tuple[str, tuple[int, ...], tuple[int, ...]], int] = {}
    group = np.full(len(model.transitions), -1, dtype=np.int64)
    strong: list[bool] = []
    for transition in model.transitions:
        if transition.step.fair is not None:
            key = transition.fair_instance
            if key not in keys:
                keys[key] = len(keys)
                strong.append(transition.step.fair == "strong")
            group[transition.number] = keys[key]
    counted = np.ones(len(strong), dtype=np.bool_)
    names = tuple(f"{name} {who} {chosen}" for name, who, chosen in keys)
    return Fairness(group, np.array(strong, dtype=np.bool_), counted, names)


def pending(
    model: Model,
    begin: States,
    premise: Node,
    claim: Node,
    fair: Fairness,
    limits: Limits,
    rename: Callable[[States], States] = lambda states: states,
) -> Pending:
    """The pending graph of one obligation, which begins in the sorted distinct `begin`; `rename` gives the state that
    stands for a successor. Raises Bound where the graph needs more than `limits` allow."""
    expansion, began = Expansion.of(model), time.perf_counter()
    frontier = found = begin
    while len(frontier):
        parts = [
            after
            for start in range(0, len(frontier), CHUNK)
            for _, _, after in expansion.moves(frontier[start : start + CHUNK])
        ]
        after = distinct(rename(np.concatenate(parts))) if parts else np.empty(0, dtype=np.int64)
        place = np.minimum(np.searchsorted(found, after), len(found) - 1)
        frontier = _where(model, after[found[place] != after], lambda values: ~values.truth(claim))
        found = np.sort(np.concatenate((found, frontier)), kind="stable")
        reason = exceeded(limits, len(found), STATE_BYTES, began, WORK * len(found))
        if reason:
            raise BoundHit(reason)
    return _graph(model, found, premise, expansion, fair, rename)


def beginnings(model: Model, levels: list[States], premise: Node, claim: Node) -> States:
    """The states in which an obligation begins; `levels` are the reachable states, representatives of their orbits
    where threads are symmetric."""
    begins = [
        _where(model, states, lambda values: values.truth(premise) & ~values.truth(claim))
        for states in everywhere(model, levels)
    ]
    return distinct(np.concatenate(begins))


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


def _graph(
    model: Model,
    states: States,
    premise: Node,
    expansion: Expansion,
    fair: Fairness,
    rename: Callable[[States], States],
) -> Pending:
    sources: list[Indices] = []
    targets: list[Indices] = []
    taken: list[Indices] = []
    able: list[Indices] = []
    groups: list[Indices] = []
    begin: list[Truths] = []
    for start in range(0, len(states), CHUNK):
        part = states[start : start + CHUNK]
        begin.append(Values(model, part).truth(premise))
        for transition, where, successors in expansion.moves(part):
            after = rename(successors)
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
    return next(iter(fair_components(graph, fair)), None)


def fair_components(graph: Pending, fair: Fairness) -> tuple[Component, ...]:
    """The components in which a fair run can stay for ever, small ones first; none where the property holds. Where a
    run can stop, only those states."""
    count = len(graph.states)
    if not count:
        return ()
    stop = graph.stopping()
    if len(stop):
        return (Component(graph, stop, fair),)
    alive = np.ones(count, dtype=np.bool_)
    while True:
        label, inner = _components(graph, alive)
        if not alive.any():
            return ()
        removed = _unfair(graph, fair, label, inner, alive)
        if not removed.any():
            return _sorted(graph, fair, label, alive)
        alive &= ~removed


def _components(graph: Pending, alive: Truths) -> tuple[Indices, Truths]:
    """Number of the component of each living state, and which edges stay inside one; components without an edge are
    taken out of `alive`."""
    count = len(graph.states)
    living = alive[graph.source] & alive[graph.target]
    label = strong_components(count, graph.source[living], graph.target[living])
    inner = living & (label[graph.source] == label[graph.target])
    alive &= (np.bincount(label[graph.source[inner]], minlength=int(label.max()) + 1) > 0)[label]
    compact = np.cumsum(np.bincount(label[alive], minlength=count) > 0) - 1  # components that live, numbered anew
    return np.where(alive, compact[label], 0), inner


def _unfair(graph: Pending, fair: Fairness, label: Indices, inner: Truths, alive: Truths) -> Truths:
    """States to remove: of components that fail a weakly fair instance, and where a strongly fair instance is enabled
    that is never taken inside its component."""
    groups, components = len(fair.strong), int(label.max()) + 1
    size = np.bincount(label[alive], minlength=components)
    live = alive[graph.enabled_state]
    # a state may enable one instance in several ways: each pair counts once
    pairs = distinct(graph.enabled_state[live] * groups + graph.enabled_group[live])
    able = np.bincount(label[pairs // groups] * groups + pairs % groups, minlength=components * groups)
    group = fair.group[graph.transition]
    moving = inner & (group >= 0)
    taken = np.bincount(label[graph.source[moving]] * groups + group[moving], minlength=components * groups)
    able, taken = able.reshape(components, groups), taken.reshape(components, groups)
    starved = (able == size[:, None]) & (taken == 0) & (fair.counted & ~fair.strong)[None, :]
    blocked = (able > 0) & (taken == 0) & (fair.counted & fair.strong)[None, :]
    removed: Truths = alive & starved.any(axis=1)[label]
    hit = live & blocked[label[graph.enabled_state], graph.enabled_group]
    removed[graph.enabled_state[hit]] = True
    return removed


def _sorted(graph: Pending, fair: Fairness, label: Indices, alive: Truths) -> tuple[Component, ...]:
    members = np.flatnonzero(alive).astype(np.int64)
    members = members[np.argsort(label[members], kind="stable")]
    parts = np.split(members, np.flatnonzero(np.diff(label[members])) + 1)
    return tuple(Component(graph, part, fair) for part in sorted(parts, key=len))
