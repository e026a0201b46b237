"""Rows of encodings that differ in the values of displacement and immediates alone: one is judged, the others share it.

Shared is a row that says `proved` and that no such value can change: the encoding's class is proved and is not the
encoding alone, the plan is the same object, and the class key is found without those values (`is_blind`).  What is
about bytes and not about a class is asked of each encoding: that the scheme looks at nothing behind it, and that the
second decoder agrees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from verify.claim.copies import is_blind
from verify.claim.probes import Probe, has_fixed_values, padded
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.scheme import Plan
from verify.models.x86.isa.capstone_check import disagreement
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu
from verify.report.records import replaced
from verify.survey.explanation import Brief

MOST: Final = 1 << 14  # rows that are kept
Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class _Known:
    plan: Plan  # kept so that its identity stays its own
    brief: Brief


class Templates:
    """The rows of one judge for some vendors."""

    def __init__(self, judge: Judge, cpus: tuple[Cpu, ...]) -> None:
        self.judge, self.cpus = judge, cpus
        self._known: dict[Key, _Known] = {}

    def brief(self, data: bytes, judged: Callable[[bytes], Brief]) -> Brief:
        """What `judged` says of the encoding, whether or not it is asked."""
        scheme = self.judge.scheme
        decoded = decode(data, self.cpus[0], scheme.mode)
        if not isinstance(decoded, Decoded) or len(data) != decoded.layout.length or scheme.continuations(data):
            return judged(data)
        plan = scheme.plan(padded(data))
        key = blanked(decoded), id(plan)
        known = self._known.get(key)
        if known is not None and disagreement(data, decoded) is None:
            return Brief(replaced(known.brief.row, bytes=data.hex()), known.brief.length)
        found = judged(data)
        if is_shared(found, decoded, plan) and self._are_proved(found):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = _Known(plan, Brief(found.row, found.length))
        return found

    def _are_proved(self, brief: Brief) -> bool:
        """Whether whole classes are proved: of one that is refuted an encoding may be proved, for its own values."""
        return all(self.judge.class_result(j.probe).verdict is Verdict.PROVED for j in brief.judged)


def blanked(decoded: Decoded) -> bytes:
    """The bytes of the instruction, those of displacement and immediates 0."""
    layout, data = decoded.layout, bytearray(decoded.data)
    if layout.disp_offset is not None:
        data[layout.disp_offset : layout.disp_offset + layout.disp_size] = bytes(layout.disp_size)
    for at, size in layout.immediates:
        data[at : at + size] = bytes(size)
    return bytes(data)


def is_shared(brief: Brief, decoded: Decoded, plan: Plan) -> bool:
    """Whether every encoding with the same blanked bytes, and with that plan, is of the row's classes.

    Of what is not proved the row may say more than classes do.
    """
    if brief.row.verdict != "proved" or brief.row.looks_behind or has_fixed_values(decoded.form.opcode):
        return False
    return all(j.probe.plan is plan and _is_alike(j.probe, decoded) for j in brief.judged)


def _is_alike(p: Probe, decoded: Decoded) -> bool:
    """Whether the vendor reads the same fields, and the class is found without their values."""
    if p.is_concrete or not isinstance(p.decoded, Decoded) or p.decoded.form is not decoded.form:
        return False
    return p.decoded.layout == decoded.layout and all(is_blind(p.decoded, code) for code in p.codes)
