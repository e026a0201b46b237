"""Mutant of linux-uprobes-6.18: ip is corrected where the instruction made it absolute."""

from edited import edited, mutant

from verify.models.schemes.linux.actions import OWN_TF, moved
from verify.models.schemes.program import Program, Set, Store

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = (
    "c3",
    "ffe3",
)


def changed(program: Program) -> Program:
    if any(isinstance(a, Store) or (isinstance(a, Set) and a.target == "ip") for a in program.actions):
        return program
    return edited(program, lambda a: (moved(), a) if a == OWN_TF else (a,))


SCHEME = mutant("ret-ip-fixed", changed)
