"""Mutant of linux-uprobes-6.18: the scratch register is chosen by modrm.reg alone."""

from dataclasses import replace

from edited import scratch_of, step_of

from verify.models.schemes.code import Byte, Code
from verify.models.schemes.linux.actions import NEXT, held, moved, stepped
from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.program import Program
from verify.models.schemes.scheme import Plan

OBLIGATION = "gprs"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("c4e248f21d11223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    step = step_of(real) if isinstance(real, Program) else None
    if step is None or not isinstance(real, Program) or scratch_of(real) is None:
        return real
    pieces = list(step.code.pieces)
    at = next(i for i, b in enumerate(pieces) if isinstance(b, Byte) and b.keep == 0x38)
    register = 7 if data[at] >> 3 & 7 == 6 else 6
    pieces[at] = Byte(at, keep=0x38, bits=0x80 | register)
    return stepped(Code(tuple(pieces)), real.length, (moved(),), *held(register, NEXT))


SCHEME = replace(REAL, name="mutant-scratch-ignores-vvvv", plan=plan)
