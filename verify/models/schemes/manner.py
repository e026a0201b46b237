"""How a plan says that hits are handled, in a word each: what a judge sees of a running implementation from outside."""

from __future__ import annotations

from enum import Enum

from verify.models.schemes.program import Agent, Entry, Load, Program, Run, Store
from verify.models.schemes.scheme import Plan, Refuse


class Manner(Enum):
    """How one hit is handled, where nothing fails."""

    REFUSED = "refuse"
    IN_PLACE = "in place"  # no probe
    STEPPED = "step"  # the processor runs code
    APPLIED = "emulate"  # the host applies the effect itself
    CALLED = "call"  # the program is made to run code of the host's


def manners(plan: Plan) -> tuple[Manner, ...]:
    """That of the first hit and, where the plan is another then, of later ones."""
    return (Manner.REFUSED,) if isinstance(plan, Refuse) else tuple(map(_manner, plan.hits))


def _manner(hit: Program) -> Manner:
    if hit.entry is Entry.NONE:
        return Manner.IN_PLACE
    if any(isinstance(a, Run) for a in hit.actions):
        return Manner.STEPPED
    called = any(isinstance(a, Load | Store) and a.by is Agent.PROGRAM for a in hit.actions)
    return Manner.CALLED if called else Manner.APPLIED
