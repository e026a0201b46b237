"""Mutant of linux-uprobes-6.18: the trap flag of the step is left set."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "trap"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4889d8",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, clear_tf=False) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-tf-not-cleared", plan=plan)
