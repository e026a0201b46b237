"""What hooks are made of: constant bytes, absolute jumps, copies with an operand moved, and what every hook shows.

A hook replaces the first bytes of a function by a jump; the instructions that it overwrites run in a slot, which ends
in a jump back.  No host comes into play, so nobody mends what the program sees there.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.models.schemes.assumptions import Entry as Deviation
from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.program import Context, Entry, Leaves, Program, Run
from verify.models.schemes.vocabulary import LENGTH, ORIGIN, SLOT, field
from verify.terms import Term, add, const, sub

Pieces = tuple[Byte | Word, ...]
MOST: Final = 16  # instructions that a slot's code runs for one of the original
PATCH: Final = 5  # bytes of a near jump


@cache
def fixed(text: str) -> Pieces:
    """Constant bytes, from hex."""
    return tuple(Byte(None, bits=b) for b in bytes.fromhex(text))


def absolute(target: Term, opcode: str = "ff2500000000") -> Pieces:
    """jmp [rip+0] and the address behind it: 14 bytes; `opcode`: with bytes between the two."""
    return (*fixed(opcode), Word(target, 8))


def copied(low: int, high: int) -> Pieces:
    """The original's bytes from one offset up to another."""
    return tuple(map(Byte, range(low, high)))


def moved(length: int, spot: tuple[int, int], value: Term | None = None, shift: int = 0) -> Pieces:
    """The original with its 4-byte displacement at `spot` made that of the slot, `shift` bytes from its beginning."""
    at = spot[0]
    distance = sub(ORIGIN, add(SLOT, const(shift, 64)))
    value = add(field(at, 4), distance) if value is None else value
    return (*copied(0, at), Word(value, 4), *copied(at + 4, length))


NEXT: Final = add(ORIGIN, LENGTH)


def jumped(
    pieces: Pieces, length: int, located: tuple[tuple[int, int], ...] = (), reach: int = 0
) -> Program:
    """The plan of a slot with this code; `located`: where it stands like the original besides their beginnings."""
    code = Code(pieces, ((0, 0), *located), closed=True)
    return Program((Run(code, SLOT, Context(Leaves(), instructions=MOST)),), Entry.JUMP, length=length, reach=reach)


NO_FAULT_IN_SLOT: Final = Deviation(
    "no-fault-in-slot",
    "at a fault of a copied instruction, or a signal that comes meanwhile, ip and registers are the slot's",
    "the design: the program runs the slot itself, and nobody mends what a handler is shown",
    "488b06 with rsi at no page: from the design",
    "a handler that looks at ip: unwinders of exceptions, garbage collectors, crash reporters, restartable sequences",
    "hook no instruction that may fault, or describe the slot to the unwinder",
)
NO_TF_IN_SLOT: Final = Deviation(
    "no-tf-in-slot",
    "a program that sets TF is trapped behind every instruction of the slot, with the slot's addresses",
    "the design: the slot's instructions are the program's own",
    "90 with TF set: from the design",
    "a program that single-steps itself, and a debugger on it",
    "hook no program that sets TF itself",
)
NO_TRANSFER_INSIDE: Final = Deviation(
    "no-transfer-inside",
    "control that comes to one of the bytes behind the first that the jump covers runs the jump's operand",
    "the design: several bytes, or instructions, are replaced by one jump",
    "a loop whose head is the second instruction of its function: from the design",
    "a program with a branch, a return address, a jump table or a thread's ip there",
    "hook where the control-flow graph leads to the first byte alone",
)
OF_THE_SLOT: Final = host_entries(
    "code-not-read not-restartable no-shadow-stack",
    "the design: the program runs the slot, and a call is a push and a jump there"
)
JUMP_ENTRIES: Final = NO_FAULT_IN_SLOT, NO_TF_IN_SLOT, NO_TRANSFER_INSIDE, *OF_THE_SLOT
HELD: Final = frozenset({"code-as-in-file"})  # what is in memory is copied
