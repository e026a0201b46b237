"""Mutant of linux-uprobes-6.18: the trap flag of the step is left set."""

from edited import edited, mutant, on_fault, without

from verify.models.schemes.linux.actions import OWN_TF
from verify.models.schemes.program import Program

OBLIGATION = "trap"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4889d8",)


def changed(program: Program) -> Program:
    return on_fault(edited(program, without("tf")), lambda actions: tuple(a for a in actions if a != OWN_TF))


SCHEME = mutant("tf-not-cleared", changed)
