"""What a plan makes of an instruction, read from actions that are made here."""

from __future__ import annotations

import pytest

from verify.causes.effects import Effect, Kind, effect, step
from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.linux.actions import NEXT, called, gone, held, jumped, moved, pushed, stepped, target
from verify.models.schemes.program import UNPROBED, Actions, Program

SPOT = (1, 4)


@pytest.mark.parametrize(("actions", "found"), [
    (gone(NEXT), Effect(Kind.NOP)),
    (gone(target(SPOT)), Effect(Kind.JUMP, field=SPOT)),
    (jumped(0xF, SPOT), Effect(Kind.CONDITIONAL, 0xF, SPOT)),
    (jumped(0x0, None), Effect(Kind.CONDITIONAL, 0x0, None)),
    (called(SPOT), Effect(Kind.CALL, field=SPOT, steps_otherwise=True)),
    (pushed(12), Effect(Kind.PUSH, register=12, steps_otherwise=True)),
    ((), Effect(Kind.OTHER)),
])  # fmt: skip
def test_an_effect_is_named_by_the_instruction_that_has_it(actions: Actions, found: Effect) -> None:
    assert effect(Program(actions, length=5)) == found


def test_what_is_done_around_a_step() -> None:
    plain = step(stepped(ORIGINAL, 3, (moved(),)))
    assert plain is not None and plain.moves_ip and plain.scratch == -1
    assert not (plain.returns or plain.keeps_tf)
    bare = step(stepped(ORIGINAL, 3, (), *held(6, NEXT), keeps_tf=True))
    assert bare is not None and (bare.moves_ip, bare.keeps_tf, bare.scratch, bare.held) == (False, True, 6, NEXT)
    assert step(Program(gone(NEXT), length=3)) is None


def test_without_a_probe_the_instruction_runs_in_place() -> None:
    found = step(UNPROBED)
    assert found is not None and found.in_place
