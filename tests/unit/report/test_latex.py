"""Tables for a paper: rows of equal length, special characters escaped, and what a TeX says where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from unit.report.test_findings import survey

from verify.report.latex import escaped, latex

DOCUMENT = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + "\n%s\n" + r"\end{document}"


def test_every_row_has_as_many_cells_as_its_head() -> None:
    tables = dict(latex([survey()]))
    assert set(tables) == {
        "causes-linux-uprobes-6.18.tex", "ranges-linux-uprobes-6.18.tex", "schemes.tex",
    }  # fmt: skip
    for table in tables.values():
        rows = [line for line in table.splitlines() if line.endswith(r" \\")]
        columns = len(table.splitlines()[0].rpartition("{")[2].rstrip("}"))
        assert len(rows) >= 2 and all(row.count(" & ") == columns - 1 for row in rows)
    assert "exchange-taken-for-nop & silent wrong data & 1 & 1" in tables["causes-linux-uprobes-6.18.tex"]


def test_special_characters_are_escaped() -> None:
    assert escaped(r"a_b & 50% {x} #1 $ ^ ~ \ ") == (
        r"a\_b \& 50\% \{x\} \#1 \$ \textasciicircum{} \textasciitilde{} \textbackslash{} "
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_the_tables_compile(tmp_path: Path) -> None:
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n\n".join(dict(latex([survey()])).values()))
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"], cwd=tmp_path, check=True,
                   capture_output=True)  # fmt: skip
