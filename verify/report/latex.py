"""Tables of a survey for a paper: LaTeX with the package booktabs, a file each, for `input`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from verify.report.records import VERDICTS
from verify.report.surveys import Survey
from verify.report.text import group_name, in_order

SPECIAL: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def latex(surveys: Sequence[Survey]) -> Iterator[tuple[str, str]]:
    """File names and tables: of each scheme its forms by cause and by opcode range, and all schemes side by side."""
    for survey in surveys:
        yield f"causes-{survey.scheme}.tex", _by_cause(survey)
        yield f"ranges-{survey.scheme}.tex", _by_range(survey)
    yield "schemes.tex", _side_by_side(surveys)


def escaped(words: str) -> str:
    """The words as LaTeX prints them."""
    return "".join(SPECIAL.get(c, c) for c in words)


def _table(alignment: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [r"\begin{tabular}{" + alignment + "}", r"\toprule", _line(head), r"\midrule", *map(_line, rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _by_cause(survey: Survey) -> str:
    rows = [(f.cause.name, f.cause.harm, f"{f.forms:,}", f"{f.emitted:,}") for f in survey.causes]
    return _table("llrr", ("cause", "costs", "forms", "as compilers emit them"), rows)


def _by_range(survey: Survey) -> str:
    rows = []
    for name, group in groupby(in_order(survey.forms), key=group_name):
        members = list(group)
        counts = (f"{sum(r.verdict == v for r in members):,}" for v in VERDICTS)
        rows.append((name, f"{len(members):,}", *counts))
    return _table("l" + "r" * (len(VERDICTS) + 1), ("opcodes", "forms", *VERDICTS), rows)


def _side_by_side(surveys: Sequence[Survey]) -> str:
    rows = [(s.scheme, *(f"{s.totals.get(v, 0):,}" for v in VERDICTS)) for s in surveys]
    return _table("l" + "r" * len(VERDICTS), ("scheme", *VERDICTS), rows)
