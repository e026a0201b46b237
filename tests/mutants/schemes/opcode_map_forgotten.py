"""Mutant of a corrected linux-uprobes-6.18: the emulator forgets that an opcode behind VEX is of another map.

The corrected scheme steps every VEX, EVEX or XOP instruction and corrects ip; the mutant asks the emulator first, as
the real one does, and takes vzeroupper (c5 f8 77) for ja.
"""

from dataclasses import replace

from verify.models.schemes.linux.uprobes_6_18 import DECODER, IP, emulation, relative, step_by
from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.scheme import Plan, Refuse

OBLIGATION = "vector"  # expected to fail on each witness, where the corrected scheme keeps it
WITNESSES = ("c5f877",)


def corrected_plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    decoded = DECODER.decode(data)
    if decoded is None or not decoded.vex_size or isinstance(real, Refuse):
        return real
    return step_by(decoded.length, IP, relative(data, decoded))


def plan(data: bytes) -> Plan:
    corrected = corrected_plan(data)
    decoded = DECODER.decode(data)
    if decoded is None or isinstance(corrected, Refuse):
        return corrected
    return emulation(data, decoded) or corrected


CORRECTED = replace(REAL, name="linux-uprobes-6.18-corrected", plan=corrected_plan)
SCHEME = replace(REAL, name="mutant-opcode-map-forgotten", plan=plan)
