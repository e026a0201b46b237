"""Mutant of linux-uprobes-6.18: an indirect call leaves the slot's return address on the stack."""

from edited import edited, mutant

from verify.models.schemes.program import Program, Store

OBLIGATION = "memory-values"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("ffd3",)


def changed(program: Program) -> Program:
    return edited(program, lambda a: () if isinstance(a, Store) else (a,))


SCHEME = mutant("no-call-fixup", changed)
