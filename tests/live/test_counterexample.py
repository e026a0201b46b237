"""A counterexample's own state is run for real: confirmed, not reproducible with a reason, or contradicted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from verify.claim.probes import Probe, probe
from verify.cli import status
from verify.judge.encoding import Judge
from verify.live.capabilities import processor
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.forms import Cpu

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel")]


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = status(["insn", *arguments, "--cpu", "amd", "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("encoding", "observable"),
    [("9c", "memory-values"), ("4990", "gprs"), ("f3a4", "hits"), ("0f0003", "next-ip"),
     ("66ffd3", "fault"), ("48ff1b", "memory-values"), ("48ff1c24", "memory-values"),
     ("d9e8", "x87-pointers"), ("6766e010", "next-ip"), ("41418e5424f8", "containment"), ("482ecc", "containment"),
     ("4848f1", "trap"), ("4848cd04", "fault"),
     pytest.param("c5d974cb", "vector", marks=pytest.mark.needs("avx")),
     pytest.param("c4e2599dcb", "trap", marks=pytest.mark.needs("fma"))],
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
     ("e800000000", "confirmed: identical"),
     ("f20f410d00000000", "not reproducible here: identical"), ("e2fe", "confirmed: identical")],
)  # fmt: skip
def test_other_verdicts_are_answered_too(capsys: pytest.CaptureFixture[str], encoding: str, answer: str) -> None:
    code, row = answered(capsys, encoding, "--confirm")
    assert (code, str(row["kernel"])[: len(answer)]) == (0, answer)


@pytest.mark.parametrize(
    ("encoding", "hidden", "answer"),
    [("8fe878c2c000", "xop", "XOP"), ("8fe978d1c0", "xop", "XOP"), ("c5f890b640000000", "avx512", "AVX512F"),
     ("62f17c48c2c111", "avx512", "AVX512F"), ("c5fd70c111", "avx2", "AVX2"), ("c4e2599dcb", "fma", "FMA"),
     ("c5f877", "avx", "AVX"), ("f30fc7f8", "rdpid", "RDPID")],
)  # fmt: skip
def test_what_the_processor_lacks_is_not_reproducible(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, encoding: str, hidden: str, answer: str
) -> None:
    """#UD in both places is no agreement."""
    monkeypatch.setenv("UBP_VERIFY_HIDE", hidden)
    code, row = answered(capsys, encoding, "--confirm")
    assert (code, str(row["kernel"]).startswith(f"not reproducible here: the processor has no {answer}")) == (2, True)


def test_what_is_undefined_here_and_emulated_by_the_kernel_runs_on_when_probed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "avx512f" in processor().features:
        pytest.skip("this processor has AVX-512: kmovq is no #UD")
    code, row = answered(capsys, "c5f890b640000000", "--confirm")  # kmovq k6, [rsi+0x40], taken for a nop
    assert code == 2 and "AVX512F; it is undefined here, and a program runs on when probed" in str(row["kernel"])


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


@pytest.mark.needs("cc")
@pytest.mark.parametrize(
    ("encoding", "observable"),
    [("f3a4", "hits"), ("0f0003", "containment"), ("d9e8", "x87-pointers"), ("66ffd3", "memory-values"),
     ("67640f1fc3", "fault"), pytest.param("c4e2599dcb", "trap", marks=pytest.mark.needs("fma"))],
)  # fmt: skip
def test_the_emitted_program_shows_the_deviation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, encoding: str, observable: str
) -> None:
    code, row = answered(capsys, encoding, "--emit-reproducer", str(tmp_path), "--observable", observable)
    assert code == 0 and "the counterexample's state" in str(row["reproducer_state"])
    ran = subprocess.run(["sh", tmp_path / "run.sh"], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and ran.stdout.splitlines()[-1].startswith(f"deviation shown: {observable} (run ")


@pytest.mark.parametrize("encoding", ["8b03", "d7", "ff23"])
def test_what_a_handler_sees_of_a_fault_is_confirmed_where_its_assumption_is_dropped(
    capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    code, row = answered(capsys, encoding, "--without-assumption", "fault-frame", "--confirm")
    assert code == 0
    assert str(row["kernel"]).startswith("confirmed: deviates in fault in the counterexample's state")
    assert "signal frame: trapno" in str(row["kernel"])
