"""Verdicts of forms and counterexamples as rows: what the ledger keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify.claim.verdicts import Verdict
from verify.judge.counterexample import Counterexample
from verify.judge.form import FormResult
from verify.models.x86.machine import OBSERVABLES
from verify.report.judged import CounterexampleRow, JudgedForm
from verify.report.records import Verdict as Name
from verify.smt.decisions import NO_REPLAY

INTERNAL_FAULT: Final = "internal fault: "  # begins the reason of what could not be judged
NAMES: Final[Mapping[Verdict, Name]] = {
    Verdict.PROVED: "proved", Verdict.REFUTED: "refuted", Verdict.REFUSED: "refused", Verdict.VACUOUS: "vacuous",
    Verdict.UNKNOWN: "unknown",
}  # fmt: skip


def counterexample_row(c: Counterexample) -> CounterexampleRow:
    """A counterexample: hex with widths."""
    return CounterexampleRow(
        bytes=c.data, followed_by=c.followed_by, observable=c.observable, vendor=c.vendor, origin=c.origin, slot=c.slot,
        initial=dict(c.initial), in_place=dict(c.in_place), displaced=dict(c.displaced),
        first_difference=c.first_difference, also_refuted=c.others,
    )  # fmt: skip


def form_row(r: FormResult) -> JudgedForm:
    """A form's verdict; every observable has one: refused where none was judged."""
    known = dict(r.observables)
    return JudgedForm(
        form=r.form, opcode=r.opcode, mnemonic=r.mnemonic, addressing=r.addressing, verdict=NAMES[r.verdict],
        observables={o: NAMES[known.get(o, Verdict.REFUSED)] for o in OBSERVABLES},
        irregular=NAMES[r.irregular] if r.irregular else None, reason=r.reason, refused_with=r.refused,
        over_cautious=r.over_cautious, obligations=r.obligations, queries=tuple(sorted(r.queries)),
        rests_on=r.rests_on, looks_behind=r.looks_behind, undefined_without=r.undefined_without,
        counterexample=counterexample_row(r.counterexample) if r.counterexample else None,
    )  # fmt: skip


def is_lasting(row: JudgedForm) -> bool:
    """Whether a row is kept between runs: it rests on no fault of this program."""
    return not any(fault in row.reason for fault in (INTERNAL_FAULT, NO_REPLAY))
