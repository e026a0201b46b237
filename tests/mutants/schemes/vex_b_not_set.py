"""Mutant of linux-uprobes-6.18: VEX.B stays as it was, so the base is r14 in place of rsi."""

from dataclasses import replace

from edited import edited, mutant

from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.program import Action, Actions, Program, Run

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("c4c268f21d11223344",)


def byte(piece: Byte | Word) -> Byte | Word:
    return replace(piece, bits=0) if isinstance(piece, Byte) and piece.bits == 0x60 else piece


def changed(program: Program) -> Program:
    def wrong(a: Action) -> Actions:
        return (replace(a, code=Code(tuple(map(byte, a.code.pieces)))),) if isinstance(a, Run) else (a,)

    return edited(program, wrong)


SCHEME = mutant("vex-b-not-set", changed)
