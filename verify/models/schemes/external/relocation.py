"""What a relocator outside of this project answers, as a plan: bytes and words that run in the slot.

How control comes back is the user's to say: the trap flag behind one instruction, a breakpoint behind the answer's
last byte, or a jump of the answer's own.  A host that steps or has a breakpoint is taken to move ip, and to restore TF
unless the instruction loads it, as a careful one does.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from verify.models.schemes.assumptions import Entry as Deviation
from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.program import (
    Actions,
    Breakpoints,
    Check,
    Context,
    Entry,
    Leaves,
    Program,
    Run,
    Set,
    Signal,
    TrapFlag,
)
from verify.models.schemes.scheme import Plan, Scheme
from verify.models.schemes.vocabulary import AT_IP, FAULT_ADDRESS, IP, ORIGIN, SLOT, TF, first
from verify.terms import FALSE, add, const, eq, ite

MOST: Final = 32  # instructions that an answer may run
LONGEST: Final = 256  # bytes of an answer
SIGTRAP, TRAP_TRACE = 5, 2  # signal(7), its si_code of a debug trap
PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3") | frozenset(range(0x40, 0x50))
LOADS_TF: Final = frozenset({0x9D, 0xCF})  # POPF and IRET


class Ends(Enum):
    """How control comes back from the slot."""

    TRAP = "trap"
    BREAKPOINT = "breakpoint"
    JUMP = "jump"


def relocation(
    original: bytes, code: tuple[Byte | Word, ...], ends: Ends, addresses: tuple[int, int] | None = None
) -> Program:
    """The plan of an answer for one instruction; `addresses`: origin and slot, where it holds for those alone."""
    answer = Code(code, closed=True)
    if ends is Ends.JUMP:
        run = Run(answer, SLOT, Context(Leaves(), instructions=MOST))
        return Program((run,), Entry.JUMP, length=len(original), addresses=addresses, singular=True)
    behind = (answer.length, len(original))
    located = Code(code, ((0, 0), behind), closed=True)
    return Program(_hosted(original, located, ends), length=len(original), addresses=addresses, singular=True)


def _hosted(original: bytes, code: Code, ends: Ends) -> Actions:
    """The answer's run between what a careful host does."""
    loads_tf = next((b for b in original if b not in PREFIXES), 0) in LOADS_TF
    behind = add(SLOT, const(code.length, 64))
    moved = Set("ip", ite(eq(IP, behind), add(ORIGIN, const(len(original), 64)), ORIGIN))
    own_tf = Set("tf", first(TF))
    told = Set("reported", ite(AT_IP, ORIGIN, FAULT_ADDRESS))
    trap: Actions = (Check(first(TF), ()), Signal(SIGTRAP, TRAP_TRACE, IP))
    end = TrapFlag() if ends is Ends.TRAP else Breakpoints((behind,))
    run = Run(code, SLOT, Context(end, instructions=1 if ends is Ends.TRAP else MOST), (moved, own_tf, told))
    cleared: Actions = () if ends is Ends.TRAP else (Set("tf", FALSE),)
    return (*cleared, run, *(() if loads_tf else (own_tf,)), *trap)


def scheme(name: str, source: str, plan: Plan, entries: tuple[Deviation, ...] = ()) -> Scheme:
    """A scheme of one answer, whatever the bytes."""
    return Scheme(name=name, summary="an answer of a relocator outside of this project", source=source,
                  plan=lambda data: plan, entries=entries, holds=frozenset({"code-as-in-file"}))  # fmt: skip
