"""Results as plain rows: what is stored, printed as JSON and read by reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from verify import __version__
from verify.models.machine import OBSERVABLES
from verify.smt.counterexample import Counterexample
from verify.smt.survey import FormResult
from verify.smt.verdicts import Verdict

SCHEMA: Final = "ubp-verify/opcode-range/1"
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
    """A form's verdict as an object; every observable has a verdict."""
    default = Verdict.REFUSED.value if r.verdict is Verdict.REFUSED else Verdict.PROVED.value
    known = {name: verdict.value for name, verdict in r.observables}
    row: dict[str, Any] = {
        "form": r.form, "opcode": r.opcode, "mnemonic": r.mnemonic, "addressing": r.addressing,
        "verdict": r.verdict.value, "observables": {o: known.get(o, default) for o in OBSERVABLES},
        "irregular": r.irregular.value if r.irregular else None, "reason": r.reason, "refused_with": list(r.refused),
        "over_cautious": r.over_cautious, "obligations": r.obligations,
    }  # fmt: skip
    if r.looks_behind:
        row["looks_behind"] = True
    if r.undefined_without:
        row["undefined_without"] = list(r.undefined_without)
    if r.counterexample is not None:
        row["counterexample"] = counterexample_row(r.counterexample)
    return row


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """Forms by verdict."""
    count = {v.value: 0 for v in Verdict}
    for row in rows:
        count[row["verdict"]] += 1
    return count


def document(
    scheme: str, cpu: str, assumptions: Sequence[str], rows: Sequence[Row], distinct: int, seconds: float
) -> dict[str, Any]:
    """The whole result of `opcode-range`."""
    return {
        "schema": SCHEMA, "version": __version__, "scheme": scheme, "cpu": cpu, "assumptions": list(assumptions),
        "totals": totals(rows),
        "obligations": {"total": sum(r["obligations"] for r in rows), "distinct": distinct},
        "seconds": round(seconds, 3), "forms": list(rows),
    }  # fmt: skip
