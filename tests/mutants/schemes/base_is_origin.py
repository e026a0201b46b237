"""Mutant of linux-uprobes-6.18: the scratch register holds the origin, not the end of the instruction."""

from edited import edited, mutant, scratch_of

from verify.models.schemes.linux.actions import NEXT
from verify.models.schemes.program import Program, Set
from verify.models.schemes.vocabulary import ORIGIN

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("488b1d11223344",)


def changed(program: Program) -> Program:
    scratch = scratch_of(program)
    if scratch is None:
        return program
    held = Set(scratch, NEXT)
    return edited(program, lambda a: (Set(scratch, ORIGIN),) if a == held else (a,))


SCHEME = mutant("base-is-origin", changed)
