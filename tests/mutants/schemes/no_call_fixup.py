"""Mutant of linux-uprobes-6.18: an indirect call leaves the slot's return address on the stack."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Fixup, Plan, Step

OBLIGATION = "memory-values"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("ffd3",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, fixups=real.fixups - {Fixup.CALL}) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-no-call-fixup", plan=plan)
