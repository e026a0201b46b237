"""A worker that is killed costs its task one retry; one that kills two is a named failure, and the rest goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verify.cli import status
from verify.judge.encoding import Judge
from verify.report.judged import JudgedForm
from verify.survey import encodings, forms
from verify.survey.explanation import Brief, brief_row
from verify.survey.forms import Worker

RANGE = ("f4-f5", "f8-f9", "fc")  # five forms without operands
LINES = ("90", "9c", "4889d8", "zz", "0f0b", "e2fe", "cc", "f4", "4190", "9d")


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms.chunks, "__defaults__", (2,))
    monkeypatch.setattr(encodings, "CHUNK", 3)


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Has the form HLT and the encoding f4 kill the processes that judge them, so often."""

    def seeded(deaths: int) -> None:
        def fall() -> None:
            if len(list(tmp_path.glob("death-*"))) < deaths:
                (tmp_path / f"death-{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        def row(worker: Worker, name: str) -> JudgedForm:
            if name == "HLT/none":
                fall()
            return real_row(worker, name)

        def brief(data: bytes, judge: Judge, cpus: Any) -> Brief:
            if data == b"\xf4":
                fall()
            return real_brief(data, judge, cpus)

        monkeypatch.setattr(Worker, "_row", row)
        monkeypatch.setattr(encodings, "brief_row", brief)

    real_row, real_brief = Worker._row, brief_row
    yield seeded


def surveyed(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, dict[str, Any], list[str]]:
    ended = status(["opcode-range", *RANGE, "--jobs", "2", "--format", "json", "--ledger", str(folder)])
    captured = capsys.readouterr()
    rows = {row["form"]: row for row in json.loads(captured.out)["forms"]}
    return ended, rows, captured.err.splitlines()


def test_a_survey_survives_its_workers(tmp_path, capsys, seed) -> None:
    ended, right, said = surveyed(capsys, tmp_path / "right")
    assert (ended, said, len(right)) == (0, [], 5)
    seed(1)
    ended, rows, said = surveyed(capsys, tmp_path / "once")
    assert (ended, rows, list(rows)) == (0, right, list(right))
    (line,) = said
    assert line.startswith("ubp-verify: the worker process ended with status -9; 2 forms from ")
    seed(3)
    ended, rows, said = surveyed(capsys, tmp_path / "twice")
    assert (ended, len(said)) == (2, 1)
    apart = {name: row for name, row in rows.items() if row != right[name]}
    assert "HLT/none" in apart and len(apart) == 2
    reason = "internal fault: the worker process ended with status -9, as did the one before"
    assert {(r["verdict"], r["reason"]) for r in apart.values()} == {("unknown", reason)}
    assert surveyed(capsys, tmp_path / "twice") == (0, right, [])  # what was lost is judged again, the rest is kept


def classified(capsys: pytest.CaptureFixture[str], path: Path) -> tuple[int, list[str], list[str]]:
    path.write_text("".join(f"{line}\n" for line in LINES))
    ended = status(["classify", str(path), "--jobs", "2", "--ledger", str(path.parent / "ledger")])
    captured = capsys.readouterr()
    return ended, captured.out.splitlines(), captured.err.splitlines()


def test_a_classification_survives_its_workers(tmp_path, capsys, seed) -> None:
    malformed, right, said = classified(capsys, tmp_path / "lines")
    assert (malformed, [line.partition("\t")[0] for line in right], len(said)) == (64, list(LINES), 1)
    seed(1)
    ended, rows, told = classified(capsys, tmp_path / "lines")
    assert (ended, rows) == (malformed, right)
    (line,) = set(told) - set(said)
    assert line == "ubp-verify: the worker process ended with status -9; 3 lines from 7 on are judged again"
    seed(3)
    _, rows, _ = classified(capsys, tmp_path / "lines")
    assert [a for a, b in zip(rows, right, strict=True) if a == b] == [*right[:6], right[9]]
    assert all("\tunknown\t\tinternal fault: the worker process ended" in line for line in rows[6:9])
