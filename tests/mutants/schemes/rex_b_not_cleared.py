"""Mutant of linux-uprobes-6.18: REX.B stays set, so the base is r14 in place of rsi."""

from dataclasses import replace

from edited import edited, mutant

from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.program import Action, Actions, Program, Run

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("498b1d11223344",)


def byte(piece: Byte | Word) -> Byte | Word:
    return replace(piece, keep=0xFF) if isinstance(piece, Byte) and piece.keep == 0xFE else piece


def changed(program: Program) -> Program:
    def wrong(a: Action) -> Actions:
        return (replace(a, code=Code(tuple(map(byte, a.code.pieces)))),) if isinstance(a, Run) else (a,)

    return edited(program, wrong)


SCHEME = mutant("rex-b-not-cleared", changed)
