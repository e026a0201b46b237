"""Mutant of linux-uprobes-6.18: the scratch register's own value is kept on the program's stack during the step."""

from dataclasses import replace

from edited import mutant, scratch_of

from verify.models.schemes.linux.actions import RSP
from verify.models.schemes.program import Program, Store
from verify.models.schemes.vocabulary import register
from verify.terms import TRUE, const, sub

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0fb91d11223344",)  # ud1 never completes, so its fault alone can tell


def changed(program: Program) -> Program:
    scratch = scratch_of(program)
    if scratch is None:
        return program
    kept = Store(sub(register(RSP), const(8, 64)), register(scratch), 8, None, stack=TRUE)
    return replace(program, actions=(kept, *program.actions))


SCHEME = mutant("stores-before-fault", changed)
