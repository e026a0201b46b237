"""Mutant of linux-uprobes-6.18: where the step faults the instruction begins again, so that the handler runs twice."""

from dataclasses import replace

from edited import mutant, on_fault

from verify.models.schemes.program import Program, Set
from verify.models.x86.machine import NO_FAULT
from verify.terms import const

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0f0b", "8b03")


def changed(program: Program) -> Program:
    forgotten = Set("vector", const(NO_FAULT, 8))  # the fault is raised again at the next hit, and delivered then
    return replace(on_fault(program, lambda actions: (*actions, forgotten)), later=program)


SCHEME = mutant("counts-twice-at-fault", changed)
