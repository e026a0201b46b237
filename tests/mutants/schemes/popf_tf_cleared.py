"""Mutant of linux-uprobes-6.18: the trap flag that popf set is cleared."""

from dataclasses import replace

from edited import mutant

from verify.models.schemes.linux.actions import OWN_TF, TRAPPED
from verify.models.schemes.program import Program

OBLIGATION = "trap"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("9d",)


def changed(program: Program) -> Program:
    if OWN_TF in program.actions:
        return program
    return replace(program, actions=(*program.actions[: -len(TRAPPED)], OWN_TF, *TRAPPED))


SCHEME = mutant("popf-tf-cleared", changed)
