"""Mutant of linux-uprobes-6.18: VEX.B stays as it was, so the base is r14 in place of rsi."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("c4c268f21d11223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not isinstance(real, Step):
        return real
    return replace(real, slot=tuple(replace(b, bits=0) if b.bits == 0x60 else b for b in real.slot))


SCHEME = replace(REAL, name="mutant-vex-b-not-set", plan=plan)
