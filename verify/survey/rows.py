"""Results as plain rows: what is stored, printed as JSON and read by reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from verify import __version__
from verify.claim.verdicts import Verdict
from verify.judge.counterexample import Counterexample
from verify.judge.form import FormResult
from verify.models.schemes.scheme import Scheme
from verify.models.x86.machine import OBSERVABLES
from verify.report.records import VERDICTS, record_of
from verify.report.records import Verdict as Name
from verify.report.surveys import FormRow, Obligations, SharedDeviation, Survey
from verify.smt.decisions import NO_REPLAY

INTERNAL_FAULT: Final = "internal fault: "  # begins the reason of what could not be judged
QUESTIONS: Final = "queries"  # kept in rows, not shown: which obligations are distinct
Row = Mapping[str, Any]


def counterexample_row(c: Counterexample) -> dict[str, Any]:
    """A counterexample as an object: hex with widths."""
    behind = {"followed_by": c.followed_by} if c.followed_by else {}
    return {
        "bytes": c.data, **behind, "observable": c.observable, "vendor": c.vendor, "origin": c.origin, "slot": c.slot,
        "initial": dict(c.initial), "in_place": dict(c.in_place), "displaced": dict(c.displaced),
        "first_difference": c.first_difference, "also_refuted": list(c.others),
    }  # fmt: skip


def form_row(r: FormResult) -> dict[str, Any]:
    """A form's verdict as an object; every observable has a verdict: refused where none was judged."""
    known = {name: verdict.value for name, verdict in r.observables}
    row: dict[str, Any] = {
        "form": r.form, "opcode": r.opcode, "mnemonic": r.mnemonic, "addressing": r.addressing,
        "verdict": r.verdict.value, "observables": {o: known.get(o, Verdict.REFUSED.value) for o in OBSERVABLES},
        "irregular": r.irregular.value if r.irregular else None, "reason": r.reason, "refused_with": list(r.refused),
        "over_cautious": r.over_cautious, "obligations": r.obligations, QUESTIONS: sorted(r.queries),
        "rests_on": list(r.rests_on),
    }  # fmt: skip
    if r.looks_behind:
        row["looks_behind"] = True
    if r.undefined_without:
        row["undefined_without"] = list(r.undefined_without)
    if r.counterexample is not None:
        row["counterexample"] = counterexample_row(r.counterexample)
    return row


def is_lasting(row: Row) -> bool:
    """Whether a row is kept between runs: it rests on no fault of this program."""
    return not any(fault in row["reason"] for fault in (INTERNAL_FAULT, NO_REPLAY))


def totals(rows: Iterable[Row]) -> dict[Name, int]:
    """Forms by verdict."""
    count: dict[Name, int] = dict.fromkeys(VERDICTS, 0)
    for row in rows:
        count[row["verdict"]] += 1
    return count


def shared_deviations(scheme: Scheme, assumptions: Iterable[str]) -> tuple[SharedDeviation, ...]:
    """The deviations that are reported at the scheme; `left_out`: an assumption keeps it out of the forms' verdicts."""
    in_force = frozenset(assumptions)
    return tuple(SharedDeviation(**asdict(e), left_out=e.name in in_force) for e in scheme.entries)


def dependents(assumptions: Iterable[str], rows: Iterable[Row]) -> dict[str, int]:
    """How many forms rest on each assumption in force."""
    count = dict.fromkeys(assumptions, 0)
    for row in rows:
        for name in row["rests_on"]:
            count[name] += 1
    return count


def document(scheme: Scheme, cpu: str, assumptions: Sequence[str], rows: Sequence[Row], seconds: float) -> Survey:
    """The whole result of `opcode-range`; distinct are the obligations that neither sharing nor identity settles."""
    obligations = Obligations(
        total=sum(r["obligations"] for r in rows), distinct=len({q for r in rows for q in r[QUESTIONS]})
    )
    return Survey(
        version=__version__, scheme=scheme.name, cpu=cpu, assumptions=tuple(assumptions),
        rests_on=dependents(assumptions, rows), deviations=shared_deviations(scheme, assumptions), totals=totals(rows),
        obligations=obligations, seconds=round(seconds, 3), forms=tuple(map(shown, rows)),
    )  # fmt: skip


def shown(row: Row) -> FormRow:
    """A row as it is shown; ValueError where a field is missing, unknown or of another type."""
    return record_of({name: value for name, value in row.items() if name != QUESTIONS}, FormRow)
