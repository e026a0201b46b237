"""Mutant of linux-uprobes-6.18: the scratch register's own value is kept on the program's stack during the step."""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Plan, Step

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("0fb91d11223344",)  # ud1 never completes, so its fault alone can tell


def plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    if not (isinstance(real, Step) and real.scratch):
        return real
    return replace(real, scratch=replace(real.scratch, spilled=True))


SCHEME = replace(REAL, name="mutant-stores-before-fault", plan=plan)
