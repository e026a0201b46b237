"""Mutant of linux-uprobes-6.18: the scratch register holds the origin, not the end of the instruction."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "memory-addresses"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("488b1d11223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, length=0) if isinstance(real, Step) and real.scratch else real


SCHEME = replace(REAL, name="mutant-base-is-origin", plan=plan)
