"""Mutant of a corrected linux-uprobes-6.18: the emulator forgets that an opcode behind VEX is of another map.

The corrected scheme steps every VEX, EVEX or XOP instruction and corrects ip; the mutant asks the emulator first, as
the real one does, and takes vzeroupper (c5 f8 77) for ja.
"""

from dataclasses import replace

from verify.models.schemes.linux.decoder import KernelDecoded
from verify.models.schemes.linux.uprobes_6_18 import DECODER, emulation, relative
from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.schemes.plan import Fixup, Plan, Refuse, Step, copied

OBLIGATION = "vector"  # expected to fail on each witness, where the corrected scheme keeps it
WITNESSES = ("c5f877",)


def _stepped(data: bytes, decoded: KernelDecoded, real: Plan) -> Plan:
    if relative(data, decoded) is None:
        return Step(copied(data), decoded.length, frozenset({Fixup.IP}))
    if isinstance(real, Step) and real.scratch:
        return replace(real, fixups=frozenset({Fixup.IP}))
    return Refuse("rip-relative operand behind a misread opcode", 524)


def corrected_plan(data: bytes) -> Plan:
    real = REAL.plan(data)
    decoded = DECODER.decode(data)
    if decoded is None or not decoded.vex_size or isinstance(real, Refuse):
        return real
    return _stepped(data, decoded, real)


def plan(data: bytes) -> Plan:
    corrected = corrected_plan(data)
    decoded = DECODER.decode(data)
    if decoded is None or isinstance(corrected, Refuse):
        return corrected
    return emulation(data, decoded) or corrected


CORRECTED = replace(REAL, name="linux-uprobes-6.18-corrected", plan=corrected_plan)
SCHEME = replace(REAL, name="mutant-opcode-map-forgotten", plan=plan)
