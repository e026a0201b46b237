"""Programs of the real scheme with some of their actions changed or left out: what mutant schemes are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.program import Action, Actions, Program, Run, Set
from verify.models.schemes.scheme import Plan, Scheme

Edit = Callable[[Action], Actions]  # what stands in an action's place


def mutant(name: str, changed: Callable[[Program], Program], steps_only: bool = True) -> Scheme:
    """The real scheme with its programs changed, those that step code at the first hit alone by default."""

    def plan(data: bytes) -> Plan:
        real = REAL.plan(data)
        if not isinstance(real, Program) or real.later is not None:
            return real
        return changed(real) if not steps_only or step_of(real) is not None else real

    return replace(REAL, name=f"mutant-{name}", plan=plan)


def step_of(program: Program) -> Run | None:
    """What the program runs where nothing fails."""
    return next((a for a in program.actions if isinstance(a, Run)), None)


def scratch_of(program: Program) -> int | None:
    """The general register that is set before the step."""
    first = program.actions[0]
    return first.target if isinstance(first, Set) and isinstance(first.target, int) and step_of(program) else None


def edited(program: Program, edit: Edit) -> Program:
    """The program with each action on its way replaced; what follows a fault or a failure is as it was."""
    return replace(program, actions=tuple(b for a in program.actions for b in edit(a)))


def on_fault(program: Program, edit: Callable[[Actions], Actions]) -> Program:
    """The program with other actions where its step faults."""
    return edited(program, lambda a: (replace(a, on_fault=edit(a.on_fault)),) if isinstance(a, Run) else (a,))


def without(*targets: str | int) -> Edit:
    """Nothing is written there."""
    return lambda a: () if isinstance(a, Set) and a.target in targets else (a,)
