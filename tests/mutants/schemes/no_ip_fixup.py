"""Mutant of linux-uprobes-6.18: ip stays in the slot behind an ordinary instruction."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Fixup, Plan, Step

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("4889d8",)


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    return replace(real, fixups=real.fixups - {Fixup.IP}) if isinstance(real, Step) else real


SCHEME = replace(REAL, name="mutant-no-ip-fixup", plan=plan)
