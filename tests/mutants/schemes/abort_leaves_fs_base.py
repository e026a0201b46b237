"""Mutant of linux-uprobes-6.18: where the step faults, the fs base is the implementation's own."""

from edited import mutant, on_fault

from verify.models.schemes.program import Program, Set
from verify.models.schemes.vocabulary import own, sort_of

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0f0b", "8b03")


def changed(program: Program) -> Program:
    return on_fault(program, lambda actions: (*actions, Set("fs_base", own("fs_base", sort_of("fs_base")))))


SCHEME = mutant("abort-leaves-fs-base", changed)
