"""Results as rows: what is stored, printed as JSON and read by reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from verify import __version__
from verify.claim.verdicts import Verdict
from verify.judge.counterexample import Counterexample
from verify.judge.form import FormResult
from verify.models.schemes.scheme import Scheme
from verify.models.x86.machine import OBSERVABLES
from verify.report.records import VERDICTS
from verify.report.records import Verdict as Name
from verify.report.surveys import CounterexampleRow, JudgedForm, Obligations, SharedDeviation, Survey
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


def totals(rows: Iterable[JudgedForm]) -> dict[Name, int]:
    """Forms by verdict."""
    count: dict[Name, int] = dict.fromkeys(VERDICTS, 0)
    for row in rows:
        count[row.verdict] += 1
    return count


def shared_deviations(scheme: Scheme, assumptions: Iterable[str]) -> tuple[SharedDeviation, ...]:
    """The deviations that are reported at the scheme; `left_out`: an assumption keeps it out of the forms' verdicts."""
    in_force = frozenset(assumptions)
    return tuple(SharedDeviation(**asdict(e), left_out=e.name in in_force) for e in scheme.entries)


def dependents(assumptions: Iterable[str], rows: Iterable[JudgedForm]) -> dict[str, int]:
    """How many forms rest on each assumption in force."""
    count = dict.fromkeys(assumptions, 0)
    for row in rows:
        for name in row.rests_on:
            count[name] += 1
    return count


def document(
    scheme: Scheme, cpu: str, assumptions: Sequence[str], rows: Sequence[JudgedForm], seconds: float
) -> Survey:
    """The whole result of `opcode-range`; distinct are the obligations that neither sharing nor identity settles."""
    obligations = Obligations(
        total=sum(r.obligations for r in rows), distinct=len({q for r in rows for q in r.queries})
    )
    return Survey(
        version=__version__, scheme=scheme.name, cpu=cpu, assumptions=tuple(assumptions),
        rests_on=dependents(assumptions, rows), deviations=shared_deviations(scheme, assumptions), totals=totals(rows),
        obligations=obligations, seconds=round(seconds, 3), forms=tuple(row.shown() for row in rows),
    )  # fmt: skip
