"""What a plan makes of an instruction, read from its actions: the host's own effect, or a run of code.

An effect is named by the instruction that has it: a nop, a jump, a jump on a condition, a call, a push.  Nothing here
knows which implementation the plan is of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from verify.models.schemes.linux.actions import NEXT, RSP, condition_holds
from verify.models.schemes.program import Action, Actions, Agent, Check, Load, Program, Run, Set, Store
from verify.models.schemes.vocabulary import ORIGIN, SLOT, TF, field_of, first, register, variables
from verify.terms import Term, const, sub

GENERAL_REGISTERS: Final = 16
DEEPEST: Final = 4096  # bytes below rsp at which a trampoline is looked for to store


class Kind(Enum):
    """What a hit does, named by an instruction, or `run`; `other`: none of these."""

    NOP = "nop"
    JUMP = "jump"
    CONDITIONAL = "conditional jump"
    CALL = "call"
    PUSH = "push"
    CALLED = "call of a trampoline"
    RUN = "run"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Effect:
    """What one hit does.

    `condition`: 0..15, of a conditional jump; `field`: offset and size in bytes of the displacement of a jump or call,
    none where the implementation sees none; `register`: 0..15, of a push; `steps_otherwise`: where its store fails, a
    copy is run; `below`: of a trampoline, the bytes between rsp and its first store, `stored`: the registers that it
    stores, -1 for anything else.
    """

    kind: Kind
    condition: int = -1
    field: tuple[int, int] | None = None
    register: int = -1
    steps_otherwise: bool = False
    below: int = 0
    stored: tuple[int, ...] = ()


def effect(hit: Program) -> Effect:
    """What a hit does, where nothing fails."""
    actions = tuple(_own(hit.actions))
    if any(isinstance(a, Run) for a in actions):
        return Effect(Kind.RUN)
    if any(isinstance(a, Load | Store) and a.by is Agent.PROGRAM for a in actions):
        return _called(actions)
    return _applied(actions)


def _called(actions: tuple[Action, ...]) -> Effect:
    stores = [a for a in actions if isinstance(a, Store) and a.by is Agent.PROGRAM]
    rsp = register(RSP)
    below = (n for n in range(8, DEEPEST + 1, 8) if stores and stores[0].address == sub(rsp, const(n, 64)))
    return Effect(Kind.CALLED, below=next(below, 0), stored=tuple(_register(s.value) for s in stores))


def _own(actions: Actions) -> Iterator[Action]:
    """The actions without the trap that the program asked for, which ends them."""
    for action in actions:
        if isinstance(action, Check) and action.condition == first(TF):
            return
        yield action


def _applied(actions: tuple[Action, ...]) -> Effect:
    ends = [a.value for a in actions if isinstance(a, Set) and a.target == "ip"]
    if not ends:
        return Effect(Kind.OTHER)
    goes_to, spot = ends[-1], _field(ends[-1])
    falls_through = goes_to == NEXT
    stores = [a for a in actions if isinstance(a, Store)]
    check = next((a for a in actions if isinstance(a, Check)), None)
    if check is not None:
        return Effect(Kind.CONDITIONAL, _condition(check.condition), spot)
    if stores:
        pushed = _register(stores[0].value)
        again = any(isinstance(a, Run) for s in stores for a in s.otherwise or ())
        if falls_through and pushed >= 0:
            return Effect(Kind.PUSH, register=pushed, steps_otherwise=again)
        return Effect(Kind.CALL, field=spot, steps_otherwise=again)
    return Effect(Kind.NOP) if falls_through else Effect(Kind.JUMP, field=spot)


def _field(value: Term) -> tuple[int, int] | None:
    return next((found for v in variables(value) if (found := field_of(v)) is not None), None)


def _condition(term: Term) -> int:
    return next((code for code in range(16) if condition_holds(code) == term), -1)


def _register(value: Term) -> int:
    return next((n for n in range(GENERAL_REGISTERS) if register(n) == value), -1)


@dataclass(frozen=True, slots=True)
class Step:
    """A run of code and what is done around it.

    `moves_ip`: ip is moved from the slot to the original afterwards; `returns`: the return address is written again;
    `keeps_tf`: the host leaves TF as the instruction left it; `scratch`: a register that holds another value meanwhile.
    """

    run: Run
    moves_ip: bool
    returns: bool
    keeps_tf: bool
    scratch: int = -1
    held: Term | None = None

    @property
    def in_place(self) -> bool:
        """Whether the code runs where the original stands."""
        return self.run.at == ORIGIN


def step(hit: Program) -> Step | None:
    """The run of a hit; None where nothing is run."""
    at = next((i for i, a in enumerate(hit.actions) if isinstance(a, Run)), None)
    if at is None:
        return None
    run, before, behind = hit.actions[at], hit.actions[:at], hit.actions[at + 1 :]
    assert isinstance(run, Run)
    scratch = next((a for a in before if isinstance(a, Set) and isinstance(a.target, int)), None)
    return Step(
        run, any(isinstance(a, Set) and a.target == "ip" and SLOT in variables(a.value) for a in behind),
        any(isinstance(a, Store) or (isinstance(a, Check) and _stores(a.otherwise)) for a in behind),
        not any(isinstance(a, Set) and a.target == "tf" for a in behind),
        scratch.target if scratch is not None and isinstance(scratch.target, int) else -1,
        scratch.value if scratch is not None else None,
    )  # fmt: skip


def _stores(actions: Actions) -> bool:
    return any(isinstance(a, Store) for a in actions)
