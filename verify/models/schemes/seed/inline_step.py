"""Single-stepping inline: the breakpoint is removed, the instruction steps where it stands, the breakpoint is put back.

The oldest design, and the one that debuggers fall back to.  It needs no decoder: whatever the bytes are, the processor
reads them where they belong.  Every other thread runs past the probe meanwhile: that is the protocol's matter
(`interleavings inline-step`), not an instruction's.
"""

from __future__ import annotations

from typing import Final

from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.processor_entries import PROCESSOR_ENTRIES
from verify.models.schemes.program import Actions, Check, Context, Program, Run, Set, Signal, TrapFlag
from verify.models.schemes.scheme import Plan, Scheme
from verify.models.schemes.vocabulary import IP, ORIGIN, TF, first

SIGTRAP: Final = 5  # signal(7)
TRAP_TRACE: Final = 2  # si_code of a debug trap;  include/uapi/asm-generic/siginfo.h
OWN_TF: Final = Set("tf", first(TF))  # as the program had it: the host knows no instruction that loads it
TRAPPED: Final[Actions] = (Check(first(TF), ()), Signal(SIGTRAP, TRAP_TRACE, IP))  # the trap that it asked for
STEPPED: Final = Program((Run(ORIGINAL, ORIGIN, Context(TrapFlag()), (OWN_TF,)), OWN_TF, *TRAPPED))


def plan(data: bytes) -> Plan:
    """The same plan for all bytes; ValueError where there are fewer than 16, as for every scheme."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    return STEPPED


READ: Final = host_entries("code-not-read", "the design: the first byte is int3 while no thread runs the instruction")
ENTRIES: Final = (
    *host_entries(
        "sigtrap-not-held", "the design: the host takes the debug trap and sends the program a signal of its own"
    ),
    *READ,
    *PROCESSOR_ENTRIES,
)
# What is in memory has the breakpoint and runs, where it stands: a thread that is preempted meanwhile is found in its
# restartable sequence, and a fault is delivered as the processor raised it.
IN_PLACE: Final = frozenset({"breakpoint-in-place", "code-as-in-file", "not-restartable", "fault-frame"})

SCHEME: Final = Scheme(
    name="inline-step",
    summary="the breakpoint is removed, the instruction is single-stepped where it stands, the breakpoint is put back",
    source="the design itself, with no implementation in mind",
    plan=plan,
    entries=ENTRIES,
    holds=IN_PLACE,
)
