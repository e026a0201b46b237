"""Mutant of linux-uprobes-6.18: push of r8 to r15 stores the register without REX.B."""

from dataclasses import replace

from edited import mutant

from verify.models.schemes.linux.actions import pushed
from verify.models.schemes.program import Program

OBLIGATION = "memory-values"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4154",)


PUSHES = {pushed(number): pushed(number & 7) for number in range(16)}


def changed(program: Program) -> Program:
    return replace(program, actions=PUSHES.get(program.actions, program.actions))


SCHEME = mutant("push-ignores-rex", changed, steps_only=False)
