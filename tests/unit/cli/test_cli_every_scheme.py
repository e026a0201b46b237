"""`--scheme all`: side by side what each scheme says alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from verify.cli import every_scheme, status
from verify.models.schemes.registry import SCHEMES

NAMES = ["xol-step", "inline-step-hwbp", "gdb-displaced-13"]
Captured = pytest.CaptureFixture[str]


def told(capsys: Captured, *arguments: str) -> tuple[int, str]:
    ended = status(list(arguments))
    return ended, capsys.readouterr().out


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tuple(SCHEMES[n] for n in NAMES)
    monkeypatch.setattr(every_scheme, "schemes", lambda: chosen)


def test_all_are_all_but_the_control() -> None:
    assert [s.name for s in every_scheme.schemes()] == [name for name in SCHEMES if name != "identity"]


@pytest.mark.usefixtures("few")
def test_insn_has_a_line_a_scheme_which_says_what_the_scheme_says_alone(capsys: Captured) -> None:
    ended, out = told(capsys, "insn", "c5fe6f0511223344", "--scheme", "all")
    head, *lines = out.splitlines()
    assert ended == 0 and head.startswith("c5fe6f0511223344  vmovdqu")
    assert [line.split()[0] for line in lines] == NAMES
    ended, out = told(capsys, "insn", "c5fe6f0511223344", "--scheme", "all", "--format", "json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["scheme"] for r in rows] == NAMES
    assert [r["verdict"] for r in rows] == [line.split()[1] for line in lines]
    for name in ("xol-step", "gdb-displaced-13"):
        _, alone = told(capsys, "insn", "c5fe6f0511223344", "--scheme", name, "--format", "json")
        assert json.loads(alone) == rows[NAMES.index(name)]


@pytest.mark.usefixtures("few")
def test_a_reason_stands_beside_a_refusal_and_check_sees_refutations(capsys: Captured) -> None:
    ended, out = told(capsys, "insn", "f3a4", "--scheme", "all", "--check")
    assert ended == 1
    assert "xol-step          refused   hits: with TF set" in out
    assert "inline-step-hwbp  proved\n" in out


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("insn", "90", "--scheme", "all", "--confirm"), "one scheme"),
    (("insn", "0f04", "--scheme", "all"), "not an instruction"),
    (("insn", "9090", "--scheme", "all"), "ends after 1 of 2 bytes"),
])  # fmt: skip
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], sentence: str, capsys: Captured) -> None:
    assert status(list(arguments)) == 64
    err = capsys.readouterr().err
    assert sentence in err and len(err.splitlines()) == 1


def test_a_range_is_compared_by_scheme(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = tuple(SCHEMES[n] for n in ("xol-step", "inline-step"))
    monkeypatch.setattr(every_scheme, "schemes", lambda: chosen)
    asked = ("opcode-range", "9c", "--jobs", "1", "--scheme", "all", "--ledger", str(tmp_path))
    ended, out = told(capsys, *asked)
    assert ended == 0
    assert [line.split() for line in out.splitlines()] == [
        ["scheme", *every_scheme.COLUMNS, "alone"],
        ["xol-step", "2", "0", "0", "0", "0", "2"], ["inline-step", "0", "2", "0", "0", "0", "0"],
        ["2", "forms,", "2", "proved", "under", "some", "scheme;", "alone:", "under", "this", "one", "only"],
    ]  # fmt: skip
    ended, out = told(capsys, *asked, "--format", "csv", "--check")
    assert ended == 1
    table = list(csv.reader(out.splitlines()))
    assert table[0] == ["form", "opcode", *(s.name for s in chosen)]
    assert {row[0]: row[2:] for row in table[1:]}["PUSHFQ/none"] == ["proved", "refuted"]
    ended, out = told(capsys, *asked, "--format", "json")
    assert [json.loads(line)["scheme"] for line in out.splitlines()] == [s.name for s in chosen]
