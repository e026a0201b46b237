"""Mutant of linux-uprobes-6.18: the scratch register is always rax."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Scratch, SlotByte, Step

OBLIGATION = "gprs"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("f72511223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not (isinstance(real, Step) and real.scratch):
        return real
    at = next(i for i, b in enumerate(real.slot) if b.keep == 0x38)
    register = 0
    modrm = SlotByte(at, keep=0x38, bits=0x80 | register)
    return replace(real, slot=(*real.slot[:at], modrm, *real.slot[at + 1 :]), scratch=Scratch(register))


SCHEME = replace(REAL, name="mutant-scratch-is-rax", plan=plan)
