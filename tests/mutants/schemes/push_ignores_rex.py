"""Mutant of linux-uprobes-6.18: push of r8 to r15 stores the register without REX.B."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Emulate, Plan, Push

OBLIGATION = "memory-values"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4154",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not (isinstance(real, Emulate) and isinstance(real.effect, Push)):
        return real
    return replace(real, effect=Push(real.effect.register & 7))


SCHEME = replace(REAL, name="mutant-push-ignores-rex", plan=plan)
