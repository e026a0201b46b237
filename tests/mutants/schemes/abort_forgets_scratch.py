"""Mutant of linux-uprobes-6.18: the scratch register keeps the base where the step faults."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("488b1d11223344",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, restore_scratch_on_abort=False) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-abort-forgets-scratch", plan=plan)
