"""Mutant of linux-uprobes-6.18: the scratch register keeps the base after the step."""

from edited import edited, mutant, scratch_of

from verify.models.schemes.linux.actions import held
from verify.models.schemes.program import Program
from verify.models.schemes.vocabulary import ORIGIN

OBLIGATION = "gprs"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("488b1d11223344",)


def changed(program: Program) -> Program:
    scratch = scratch_of(program)
    if scratch is None:
        return program
    restored = held(scratch, ORIGIN)[1]
    return edited(program, lambda a: () if a in restored else (a,))


SCHEME = mutant("no-scratch-restore", changed)
