"""The obligations of an encoding's class: both sides built from the same symbolic state, one goal an observable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from verify.claim.conditions import VerificationCondition, verification_condition
from verify.claim.obligation import Obligation
from verify.claim.premises import instances
from verify.claim.probes import Probe
from verify.claim.theorem import goals
from verify.models.schemes.behaviour import Behaviour, in_place, initial
from verify.models.schemes.meaning import behaviours
from verify.models.schemes.scheme import Refuse
from verify.models.x86.machine import OBSERVABLES, State, symbolic_state
from verify.terms import Term, all_of, under


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: the instruction in place, and as the plan handles it at each kind of hit."""

    here: Behaviour
    there: tuple[Behaviour, ...]


def sides(p: Probe, material: VerificationCondition) -> tuple[State, Sides]:
    """The initial state and both sides.  The plan must be no refusal."""
    assert not isinstance(p.plan, Refuse)
    setup = material.setup
    state = initial(setup, symbolic_state(setup.origin))
    return state, Sides(in_place(setup, state), behaviours(p.plan, setup, state))


def compared(material: VerificationCondition, pair: Sides) -> Mapping[str, Term]:
    """The goals, of all hits together, rewritten where register numbers are kept apart."""
    of_hits = [compared_at(material, pair.here, hit) for hit in pair.there]
    return of_hits[0] if len(of_hits) == 1 else {name: all_of(g[name] for g in of_hits) for name in OBSERVABLES}


def compared_at(material: VerificationCondition, here: Behaviour, hit: Behaviour) -> Mapping[str, Term]:
    """The goals of one kind of hit."""
    found = goals(here, hit, code_not_read="code-not-read" in material.setup.assumptions)
    return dict(zip(OBSERVABLES, under(material.distinct, (found[name] for name in OBSERVABLES)), strict=True))


def obligation(name: str, goal: Term, material: VerificationCondition, assumptions: frozenset[str]) -> Obligation:
    """The goal with the premises that concern it."""
    return Obligation(name, goal, (*material.premises, *instances(goal, assumptions)))


@dataclass(frozen=True, slots=True)
class Built:
    """A class's material, initial state, both sides and goals by observable."""

    material: VerificationCondition
    state: State
    pair: Sides
    goals: Mapping[str, Term]

    def obligations(self) -> Iterator[Obligation]:
        """One obligation an observable."""
        for name, goal in self.goals.items():
            yield obligation(name, goal, self.material, self.material.setup.assumptions)


class Builder:
    """Builds what belongs to a probe under some assumptions; of the last probe it is kept, for who asks next."""

    def __init__(self, assumptions: frozenset[str]) -> None:
        self.assumptions = assumptions
        self._last: tuple[Probe, Built] | None = None

    def built(self, p: Probe) -> Built:
        """The terms of the probe's class.  The plan must be no refusal."""
        if self._last is None or self._last[0] is not p:
            material = verification_condition(p, self.assumptions)
            state, pair = sides(p, material)
            self._last = p, Built(material, state, pair, compared(material, pair))
        return self._last[1]


def obligations(p: Probe, material: VerificationCondition) -> Iterator[Obligation]:
    """One obligation an observable."""
    state, pair = sides(p, material)
    return Built(material, state, pair, compared(material, pair)).obligations()
