"""Reports as people read them, compared with the ones in reports/; `make promote` rewrites those.

What differs between machines and runs is masked: seconds, and nothing else.
"""

import os
import re
from pathlib import Path

import pytest

from verify.cli import status

FOLDER = Path(__file__).parent / "reports"
PROMOTE = os.environ.get("UBP_VERIFY_PROMOTE") == "1"
SURVEY = ("opcode-range", "--jobs", "1", "--all-findings")
REPORTS = {
    "opcode-range-90-9f": (*SURVEY, "90-9f"),
    "opcode-range-90-9f-quiet": (*SURVEY, "90-9f", "-q"),
    "opcode-range-90-9f-csv": (*SURVEY, "90-9f", "--format", "csv"),
    "opcode-range-c8-cf-3.15": (*SURVEY, "c8-cf", "--scheme", "linux-uprobes-3.15"),
    "insn-9c": ("insn", "9c"),
    "insn-0f05": ("insn", "0f05"),
    "insn-54": ("insn", "54"),
    "insn-cc": ("insn", "cc"),
    "insn-9c-json": ("insn", "9c", "--format", "json"),
    "schemes": ("schemes",),
    "forms-90-9f": ("forms", "90-9f"),
}


def masked(text: str) -> str:
    return re.sub(r"\b\d+\.\d s$", "N.N s", "\n".join(line.rstrip() for line in text.splitlines()) + "\n", flags=re.M)


@pytest.mark.parametrize("name", REPORTS)
def test_report_is_as_promoted(name, tmp_path, capsys):
    arguments = list(REPORTS[name])
    if arguments[0] == "opcode-range":
        arguments += ["--ledger", str(tmp_path)]
    assert status(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    path = FOLDER / f"{name}.txt"
    if PROMOTE:
        path.write_text(masked(captured.out), encoding="utf-8")
    assert masked(captured.out) == path.read_text(encoding="utf-8")


def test_masking_hides_seconds_alone():
    assert masked("Obligations: 9; 1.7 s\n") == masked("Obligations: 9; 20.3 s\n")
    assert masked("Obligations: 9; 1.7 s\n") != masked("Obligations: 8; 1.7 s\n")


def test_every_promoted_report_is_asked_for():
    assert {p.name.removesuffix(".txt") for p in FOLDER.glob("*.txt")} == set(REPORTS)
