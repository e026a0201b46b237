"""A counterexample's own state is run for real: confirmed, not reproducible with a reason, or contradicted."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from verify.cli import status
from verify.live.uprobe import missing
from verify.models.isa.forms import Cpu
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.sites import Probe, probe
from verify.smt.judge import Judge

ABSENT = missing()
pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(ABSENT), reason="missing: " + "; ".join(ABSENT))]
COMPILED = bool(shutil.which("cc"))


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = status(["insn", *arguments, "--cpu", "amd", "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("encoding", "observable"),
    [("9c", "memory-values"), ("4990", "gprs"), ("f3a4", "hits"), ("c5d974cb", "vector"), ("0f0003", "containment"),
     ("66ffd3", "memory-values"), ("c4e2599dcb", "trap"), ("d9e8", "x87-pointers"), ("6766e010", "next-ip")],
)  # fmt: skip
def test_the_counterexamples_state_shows_the_deviation(
    capsys: pytest.CaptureFixture[str], encoding: str, observable: str
) -> None:
    code, row = answered(capsys, encoding, "--confirm")
    text = str(row["kernel"])
    assert code == 0
    assert text.startswith("confirmed: deviates in") and "the counterexample's state" in text
    assert observable in text.partition(" in the counterexample")[0]


@pytest.mark.parametrize(
    ("encoding", "answer"),
    [("c3", "confirmed: identical"), ("cc", "confirmed: refused with errno 524"),
     ("e800000000", "not reproducible here: all else identical in the judge's standard states (shadow-stack"),
     ("f20f410d00000000", "not reproducible here: identical"), ("e2fe", "confirmed: identical")],
)  # fmt: skip
def test_other_verdicts_are_answered_too(capsys: pytest.CaptureFixture[str], encoding: str, answer: str) -> None:
    code, row = answered(capsys, encoding, "--confirm")
    assert (code, str(row["kernel"])[: len(answer)]) == (0, answer)


def test_a_wrong_verdict_is_contradicted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is told that pushf is emulated as a nop would be: then it calls identical what deviates."""
    real = Judge.judged
    like = Judge(SCHEMES[DEFAULT])

    def wrong(self: Judge, p: Probe) -> object:
        return real(like, probe(b"\x90", like.scheme, Cpu.AMD) if p.data[:1] == b"\x9c" else p)

    monkeypatch.setattr(Judge, "judged", wrong)
    code, row = answered(capsys, "9c", "--confirm")
    assert code == 1
    assert str(row["kernel"]).startswith("contradicted: the model says identical, the kernel deviates")


@pytest.mark.skipif(not COMPILED, reason="missing: a C compiler")
@pytest.mark.parametrize(
    ("encoding", "observable"),
    [("f3a4", "hits"), ("0f0003", "containment"), ("d9e8", "x87-pointers"), ("66ffd3", "memory-values"),
     ("c4e2599dcb", "trap"), ("67640f1fc3", "fault")],
)  # fmt: skip
def test_the_emitted_program_shows_the_deviation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, encoding: str, observable: str
) -> None:
    code, row = answered(capsys, encoding, "--emit-reproducer", str(tmp_path), "--observable", observable)
    assert code == 0 and "the counterexample's state" in str(row["reproducer_state"])
    ran = subprocess.run(["sh", tmp_path / "run.sh"], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and ran.stdout.splitlines()[-1].startswith(f"deviation shown: {observable} (run ")
