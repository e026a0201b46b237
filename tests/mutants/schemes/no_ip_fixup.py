"""Mutant of linux-uprobes-6.18: ip stays in the slot behind an ordinary instruction."""

from edited import edited, mutant, without

from verify.models.schemes.program import Program

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4889d8",)


def changed(program: Program) -> Program:
    return edited(program, without("ip"))


SCHEME = mutant("no-ip-fixup", changed)
