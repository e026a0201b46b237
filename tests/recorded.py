"""What is recorded in `proofs/`, whatever code recorded it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from verify.report.judged import JudgedForm
from verify.report.records import rows_of

PROOFS: Final = Path(__file__).parents[1] / "proofs"


def recorded(kind: str) -> list[Path]:
    """The files of a kind, one a scheme."""
    return sorted(PROOFS.glob(f"{kind}-*.tsv"))


def texts(path: Path) -> list[str]:
    """The texts of the rows in a file."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return [fields[2] for fields in lines if fields[0] != "#"]


def form_rows(path: Path) -> list[JudgedForm]:
    """The rows of forms in a file."""
    return rows_of(texts(path), JudgedForm)


def form_row(name: str, **fields: Any) -> JudgedForm:
    """The row of a form, refuted if nothing else is said."""
    rest: dict[str, Any] = dict(
        opcode="", mnemonic="", addressing="none", verdict="refuted", observables={}, irregular=None, reason="",
        refused_with=(), over_cautious=False, obligations=0, queries=(), rests_on=(),
    )  # fmt: skip
    return JudgedForm(form=name, **(rest | fields))
