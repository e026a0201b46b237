"""Mutant of linux-uprobes-6.18: less and less-or-equal are taken for each other."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Emulate, JumpIf, Plan

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = (
    "7c05",
    "0f8e11223344",
)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not (isinstance(real, Emulate) and isinstance(real.effect, JumpIf)):
        return real
    condition = {0xC: 0xE, 0xE: 0xC}.get(real.effect.condition, real.effect.condition)
    return replace(real, effect=replace(real.effect, condition=condition))


SCHEME = replace(REAL, name="mutant-condition-swapped", plan=plan)
