"""Mutant of linux-uprobes-6.18: ip is corrected where the instruction made it absolute."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Fixup, Plan, Step

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = (
    "c3",
    "ffe3",
)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, fixups=real.fixups or frozenset({Fixup.IP})) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-ret-ip-fixed", plan=plan)
