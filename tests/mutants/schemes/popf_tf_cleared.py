"""Mutant of linux-uprobes-6.18: the trap flag that popf set is cleared."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Fixup, Plan, Step

OBLIGATION = "trap"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("9d",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, fixups=real.fixups - {Fixup.KEEP_TF}) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-popf-tf-cleared", plan=plan)
