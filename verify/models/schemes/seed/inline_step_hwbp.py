"""Running inline with a hardware breakpoint where the instruction goes on, in place of a single step.

The probe's byte is restored, a debug register is armed at the next instruction, and for a relative branch a second one
at its target; when one of them is reached the probe is put back.  TF is not touched.  Where the instruction goes on
elsewhere, or the processor holds the breakpoint back, the host does not get control: the probe is not put back, which
is told as `containment`.  So it is where a fault's handler does not return; no instruction alone shows that.
Every other thread runs past the probe meanwhile.  The protocol `inline-step-hwbp` has the registers for that: it arms
the probed address itself.

A debug register of the thread is used for each address, two at most; a program that uses all four itself leaves none.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.processor_entries import PROCESSOR_ENTRIES
from verify.models.schemes.program import Breakpoints, Context, Program, Run
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.inline_step import IN_PLACE, READ
from verify.models.schemes.seed.xol_table import Read, read
from verify.models.schemes.vocabulary import LENGTH, ORIGIN, field
from verify.terms import add

EINVAL: Final = 22
UNREAD: Final = Refuse("the table has no such instruction", EINVAL)
# SDM vol. 3, 18.3.1.1: a fault pushes an image of RFLAGS with RF set; the kernel returns with it to what comes next.
HELD_BACK: Final = Refuse("containment: the kernel finishes it and returns with RF set: no breakpoint then", EINVAL)
NEXT: Final = add(ORIGIN, LENGTH)
RELATIVE: Final = frozenset({*range(0x70, 0x80), *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB})


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    found = read(data)
    if found is None:
        return UNREAD
    return HELD_BACK if found.is_finished_by_the_kernel else _armed(found.length, _displacement(found))


def _displacement(r: Read) -> tuple[int, int] | None:
    """Offset and size in bytes of a relative branch's displacement."""
    is_branch = (r.map == "1" and r.opcode in RELATIVE) or (r.map == "0f" and 0x80 <= r.opcode <= 0x8F)
    return (r.immediate_at, r.immediate_size) if is_branch else None


@cache
def _armed(length: int, displacement: tuple[int, int] | None) -> Program:
    target = () if displacement is None else (add(NEXT, field(*displacement)),)
    return Program((Run(ORIGINAL, ORIGIN, Context(Breakpoints((NEXT, *target), armed=True))),), length=length)


SCHEME: Final = Scheme(
    name="inline-step-hwbp",
    summary="the breakpoint is removed, the instruction runs in place up to a hardware breakpoint, then it is put back",
    source="the design itself, with no implementation in mind",
    plan=plan,
    entries=(*READ, *PROCESSOR_ENTRIES),
    holds=IN_PLACE,
)
