"""Mutant of linux-uprobes-6.18: where the step faults, the program's memory is what the implementation made of it."""

from edited import mutant, on_fault

from verify.models.schemes.program import Program, Set
from verify.models.schemes.vocabulary import own, sort_of

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0f0b", "8903")


def changed(program: Program) -> Program:
    return on_fault(program, lambda actions: (*actions, Set("memory", own("memory", sort_of("memory")))))


SCHEME = mutant("abort-leaves-memory", changed)
