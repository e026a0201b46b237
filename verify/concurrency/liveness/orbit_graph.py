"""Liveness on orbits: proves an obligation on a graph in which the threads that it does not name are exchanged.

A run that stays pending for ever ends, up to renaming those threads, in a component of this graph, and it is fair to
the threads that keep their names and to whoever is no thread: without such a component the obligation holds. The
fairness to the other threads is lost among the orbits, so a component proves nothing: the full graph decides then.
Nothing is refuted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from verify.concurrency.explicit.numpy_engine import CHUNK, distinct
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.vectors import Orbits, States, Values
from verify.concurrency.liveness.leads_to import Fairness, Pending, fair_component, fairness, pending
from verify.concurrency.results.exploration import FEWER, Limits, Proved, Refuted, Vacuous, Verdict


@dataclass(frozen=True, slots=True)
class LeadsToObligation:
    """From `premise` to `claim`, about the first `named` threads."""

    premise: Node
    claim: Node
    named: int


def obligations(model: Model) -> dict[str, tuple[LeadsToObligation, ...]]:
    """The obligations of each `eventually` property: for the first choice of its threads where these are exchangeable,
    else for every one; none where there are fewer threads than it is about."""
    named = {prop.name: len(prop.threads) for prop in model.protocol.properties if prop.kind == "eventually"}
    wanted: dict[str, list[LeadsToObligation]] = {name: [] for name in named}
    for name, premise, claim in model.eventualities():
        wanted[name].append(LeadsToObligation(premise, claim, named[name]))
    return {name: tuple(all_[:1] if model.exchangeable else all_) for name, all_ in wanted.items()}


def together(verdicts: list[Verdict]) -> Verdict:
    """The verdict of a property whose obligations have these."""
    refuted = [verdict for verdict in verdicts if isinstance(verdict, Refuted)]
    if refuted:
        return min(refuted, key=lambda verdict: len(verdict.trace.events) if verdict.trace else 0)
    proved = [verdict for verdict in verdicts if not isinstance(verdict, Vacuous)]
    return proved[0] if proved else verdicts[0] if verdicts else Vacuous(FEWER)


def settled(
    model: Model, levels: list[States], obligation: LeadsToObligation, limits: Limits
) -> Proved | Vacuous | None:
    """The verdict, where orbits decide it. `levels`: every reachable state, or a representative of its orbit where
    threads are symmetric. Raises Bound where the graph needs more than `limits` allow."""
    orbits = Orbits.of(model, obligation.named)
    rename = orbits.representatives if model.symmetric else _same
    met, begin = False, list[States]()
    for states in renamed(model, orbits, levels, obligation.named):
        values = Values(model, states)
        premise = values.truth(obligation.premise)
        met = met or bool(premise.any())
        begin.append(rename(states[premise & ~values.truth(obligation.claim)]))
    if not met:
        return Vacuous("the premise holds in no reachable state")
    fair = _of_named(model, obligation.named)
    graph = pending(model, distinct(np.concatenate(begin)), obligation.premise, obligation.claim, fair, limits, rename)
    return Proved() if acyclic(graph) or fair_component(graph, fair) is None else None


def _same(states: States) -> States:
    return states


def _of_named(model: Model, named: int) -> Fairness:
    """The fairness to the first `named` threads and to whoever is no thread."""
    fair = fairness(model)
    if not model.symmetric:
        return fair
    counted = np.zeros(len(fair.strong), dtype=np.bool_)
    for transition in model.transitions:
        if fair.group[transition.number] >= 0 and all(thread < named for thread in transition.fair_threads):
            counted[fair.group[transition.number]] = True
    return replace(fair, counted=counted)


def renamed(model: Model, orbits: Orbits, levels: list[States], named: int) -> Iterator[States]:
    """Every reachable state, up to renaming the threads that are not among the first `named`."""
    if not model.symmetric:
        yield from levels
        return
    states = np.concatenate(levels)
    parts = [states[i : i + CHUNK] for i in range(0, len(states), CHUNK)]
    for chosen in permutations(range(model.threads), named):
        others = iter(range(named, model.threads))
        order = tuple(chosen.index(i) if i in chosen else next(others) for i in range(model.threads))
        yield from (orbits.permuted(part, order) for part in parts)


def acyclic(graph: Pending) -> bool:
    """Whether no run can stay in a graph, and none can stop in it: states without successors are taken away until none
    is left (Kahn 1962)."""
    count = len(graph.states)
    if len(graph.stopping()):
        return False
    order = np.argsort(graph.target, kind="stable")
    first = np.concatenate(([0], np.cumsum(np.bincount(graph.target, minlength=count))))
    left = np.bincount(graph.source, minlength=count)
    ends, removed = np.flatnonzero(left == 0), 0
    while len(ends):
        removed += len(ends)
        lengths = first[ends + 1] - first[ends]
        shift = np.repeat(first[ends] - np.cumsum(lengths) + lengths, lengths)
        before = graph.source[order[np.arange(len(shift)) + shift]]
        np.subtract.at(left, before, 1)
        ends = distinct(before[left[before] == 0])
    return removed == count
