"""Mutant of linux-uprobes-6.18: where the step faults, the selectors are the implementation's own."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0f0b", "8b03")


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, lost_on_abort=("selectors",)) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-abort-leaves-selectors", plan=plan)
