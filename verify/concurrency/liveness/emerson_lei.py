"""Liveness on decision diagrams: leads-to properties of state spaces that are too large for a list of states.

The greatest set of pending states in which every state can reach, inside the set, for each weakly fair instance a state
that disables it or a transition of it, and where a strongly fair instance is enabled, a transition of it. It is empty
exactly where no fair run stays pending: a bottom component of it satisfies every condition (Kesten, Pnueli and Raviv
1998, the feasibility check under justice and compassion). No interleaving is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from verify.concurrency.bdd.engine import Reachability
from verify.concurrency.bdd.symbolic import Diagram, Relation
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model
from verify.concurrency.liveness.orbit_graph import obligations, together
from verify.concurrency.results.exploration import Limits, Proved, Refuted, Vacuous, Verdict


@dataclass(frozen=True, slots=True)
class Instance:
    """What a run must be fair to: where it is `enabled`, and its transitions."""

    strong: bool
    enabled: Diagram
    relations: tuple[Relation, ...]


def judge(
    model: Model, limits: Limits, known: Reachability | None = None, names: Iterable[str] | None = None
) -> dict[str, Verdict]:
    """The verdict of each `eventually` property, or of those in `names`, for one choice of its threads where they are
    exchangeable. Raises Bound where a limit is hit. `known`: the reachable states, where they have been computed.
    """
    wanted = obligations(model)
    reach = known or reached(model, limits)
    reach.bounded(limits)
    fair = instances(reach)
    return {
        name: together([_judged(reach, fair, one.premise, one.claim) for one in wanted[name]])
        for name in names or wanted
    }


def reached(model: Model, limits: Limits) -> Reachability:
    """The reachable states of a model; raises Bound."""
    reach = Reachability(model, limits)
    reach.saturate()
    return reach


def instances(reach: Reachability) -> tuple[Instance, ...]:
    """The fair instances of a model: a step with the threads and choices that it is fair over."""
    members: dict[object, list[Relation]] = {}
    for one in reach.relations:
        if one.transition.step.fair is not None:
            members.setdefault(one.transition.fair_instance, []).append(one)
    found = []
    for relations in members.values():
        enabled = reach.encoding.bdd.false
        for one in relations:
            enabled |= one.guard
        found.append(Instance(relations[0].transition.step.fair == "strong", enabled, tuple(relations)))
    return tuple(found)


def _judged(reach: Reachability, fair: tuple[Instance, ...], premise: Node, claim: Node) -> Verdict:
    encoding, false = reach.encoding, reach.encoding.bdd.false
    where, open_ = encoding.truth(premise), ~encoding.truth(claim)
    if reach.states & where == false:
        return Vacuous("the premise holds in no reachable state")
    states = pending(reach, reach.states & where & open_, open_)
    idle = states
    for one in fair:
        idle &= ~one.enabled
    if idle != false or feasible(reach, states, fair) != false:
        return Refuted()
    return Proved()


def pending(reach: Reachability, begin: Diagram, open_: Diagram) -> Diagram:
    """What `begin` reaches through states where the obligation is open."""
    states, before = begin, None
    while states != before:
        before = states
        for one in reach.relations:
            states |= reach.encoding.image(states, one) & open_
            reach.check()
    return states


def feasible(reach: Reachability, states: Diagram, fair: tuple[Instance, ...]) -> Diagram:
    """The states from which a fair run can stay inside `states`."""
    weak_first = sorted(fair, key=lambda one: one.strong)
    waiting = weak_first[:]  # what has not been asked since the last change; strong fairness costs more to ask for
    false = reach.encoding.bdd.false
    while waiting and states != false:
        one, before = waiting.pop(0), states
        states = _fair_to(reach, states, one)
        if states != before:
            waiting = weak_first[:]
    return states


def _fair_to(reach: Reachability, states: Diagram, one: Instance) -> Diagram:
    """The states from which a run can stay inside `states` until it has been fair to an instance once more."""
    taken = reach.encoding.bdd.false
    for relation in one.relations:
        taken |= states & reach.encoding.before(states, relation)
    if one.strong:
        return (states & ~one.enabled) | backward(reach, states, taken)
    return backward(reach, states, taken | (states & ~one.enabled))


def backward(reach: Reachability, inside: Diagram, goal: Diagram) -> Diagram:
    """The states that reach `goal` through states of `inside`: one thread exhausted before the next is tried."""
    states, groups, current = goal, reach.groups, 0
    applied = [reach.encoding.bdd.false] * len(reach.relations)
    while current < len(groups) and states != inside:
        before = states
        for number in groups[current]:
            if applied[number] != states:
                fresh = states & ~applied[number]
                applied[number] = states
                states |= inside & reach.encoding.before(fresh, reach.relations[number])
                reach.check()
        current = current + 1 if states == before else 0
    return states
