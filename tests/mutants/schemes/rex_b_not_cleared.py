"""Mutant of linux-uprobes-6.18: REX.B stays set, so the base is r14 in place of rsi."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("498b1d11223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not isinstance(real, Step):
        return real
    return replace(real, slot=tuple(replace(b, keep=0xFF) if b.keep == 0xFE else b for b in real.slot))


SCHEME = replace(REAL, name="mutant-rex-b-not-cleared", plan=plan)
