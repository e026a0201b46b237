"""`ubp-verify scan`: what it prints, what it ends with."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest
from unit.elf.made import TEXT_AT, elf

from verify.cli import status
from verify.report.schemas import json_schema
from verify.report.surveys import ExplainedPlace, Scan

CODE = bytes.fromhex("4889d8c5fe7f03c3f490")  # mov; a store that is lost; ret; hlt; nop
FUNCTIONS = (("first", 0, 8), ("second", 8, 2))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(elf(tmp_path / "program", CODE, FUNCTIONS))


def test_text(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "executable, 5 instructions of 5 encodings; scheme linux-uprobes-6.18, cpu any" in out
    assert "refuted                    1   20.00 %" in out
    assert "0x1003  first+0x3  vmovdqu [rbx],ymm0  (c5fe7f03)" in out


def test_check_ends_with_1_where_an_instruction_is_refuted(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--check"]) == 1
    assert status(["scan", file, "--jobs", "1", "--check", "--symbol", "second"]) == 0
    assert status(["scan", file, "--explain", "first+3", "--check"]) == 1
    assert "a probe here   accepted, and the program can notice it" in capsys.readouterr().out


def test_json_is_as_its_schema_says(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json_schema(Scan))
    assert found["totals"] == {"proved": 3, "refuted": 1, "refused": 1}
    assert status(["scan", file, "--explain", hex(TEXT_AT + 1), "--format", "json"]) == 0
    place = json.loads(capsys.readouterr().out)
    jsonschema.validate(place, json_schema(ExplainedPlace))
    assert place["inside"] == "byte 1 of 3 of mov rax,rbx at first"


def test_csv_has_a_line_a_place(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["place"], r["offset"], r["verdict"]) for r in rows] == [
        ("first+0x3", "0x1003", "refuted"), ("second", "0x1008", "refused"),
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), [
    (("--symbol", "third"), "no function 'third'"), (("--range", "5"), "--range is LOW-HIGH"),
    (("--range", "9-5"), "--range is LOW-HIGH"), (("--range", "0-16"), "no code there"),
    (("--explain", "0"), "no executable section"), (("--function-entries", "--symbol", "first"), "give it alone"),
    (("--scheme", "none"), "unknown scheme"),
])  # fmt: skip
def test_wrong_usage_is_a_line_and_64(
    arguments: tuple[str, ...], said: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["scan", file, *arguments]) == 64
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.parametrize("name", [".", "missing", "text"])
def test_what_is_no_elf_file_is_wrong_usage(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("text\n")
    assert status(["scan", str(tmp_path / name)]) == 64
    assert capsys.readouterr().err.count("\n") == 1
