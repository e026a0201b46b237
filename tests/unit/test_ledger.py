"""The ledger: what is stored comes back, damage is named and set aside, an interrupted run goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from verify import cli_survey
from verify.cli import status
from verify.ledger import Ledger, default_directory, fingerprint
from verify.smt.verdicts import Decision, Verdict, Witness

SCHEME = "linux-uprobes-6.18"
WITNESS = Witness((("v0", 5), ("v1", (1, 2, 3))), ((0x1000, 8, 1, 14),), 7, ((0x2000, 2, 0xBEEF),))
ROWS = (
    ("a" * 24, Decision(Verdict.PROVED)),
    ("b" * 24, Decision(Verdict.REFUTED, WITNESS)),
    ("c" * 24, Decision(Verdict.REFUTED, Witness((), ()))),
)
MARK = fingerprint("test")
SURVEY = ["opcode-range", "9c-9d", "d8", "--jobs", "1", "--format", "json"]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path, SCHEME)
    ledger.add(ROWS)
    ledger.keep_forms(MARK, [{"form": "PUSHFQ/none", "verdict": "refuted"}])
    return tmp_path


def obligations(folder: Path) -> Path:
    return folder / f"obligations-{SCHEME}.jsonl"


def forms(folder: Path) -> Path:
    return folder / f"forms-{SCHEME}.json"


def document(capsys, *arguments: object) -> dict:
    assert status([*SURVEY, *(str(a) for a in arguments)]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out) | {"err": captured.err}


def verdicts(found: dict) -> list[tuple[str, str]]:
    return [(f["form"], f["verdict"]) for f in found["forms"]]


def test_what_is_stored_comes_back(filled):
    again = Ledger(filled, SCHEME)
    assert again.decisions == dict(ROWS)
    assert again.notices == []
    assert again.forms(MARK)["PUSHFQ/none"]["verdict"] == "refuted"


def test_each_scheme_has_its_own(filled):
    assert Ledger(filled, "identity").decisions == {}


def test_unknown_is_not_stored(filled):
    Ledger(filled, SCHEME).add([("d" * 24, Decision(Verdict.UNKNOWN, reason="resource limit"))])
    assert "d" * 24 not in Ledger(filled, SCHEME).decisions


def test_rows_of_other_code_or_options_are_not_used(filled):
    assert Ledger(filled, SCHEME).forms(fingerprint("other options")) == {}
    assert fingerprint("a", "b") != fingerprint("ab") != fingerprint("b", "a")


DAMAGE = {
    "truncated line": lambda raw: raw[:-9],
    "garbage": lambda raw: b"\x00\xff\xfe garbage",
    "garbage behind": lambda raw: raw + b"\x9c\x9d\n",
    "another shape": lambda raw: raw + b'{"digest": 3}\n',
    "a number": lambda raw: raw + b"17\n",
    "unknown verdict": lambda raw: raw.replace(b'"proved"', b'"prowed"', 1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_decisions_are_named_set_aside_and_rebuilt(filled, name):
    path = obligations(filled)
    damaged = DAMAGE[name](path.read_bytes())
    path.write_bytes(damaged)
    ledger = Ledger(filled, SCHEME)
    (notice,) = ledger.notices
    assert str(path) in notice and "damaged-1" in notice
    assert ledger.decisions == {}
    assert path.with_name(path.name + ".damaged-1").read_bytes() == damaged
    ledger.add(ROWS)
    assert Ledger(filled, SCHEME).decisions == dict(ROWS)
    path.write_bytes(damaged)
    assert "damaged-2" in Ledger(filled, SCHEME).notices[0]


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"rows": [{}]}', b'{"rows": 1}'])
def test_damaged_rows_are_named_and_set_aside(filled, contents):
    forms(filled).write_bytes(contents)
    ledger = Ledger(filled, SCHEME)
    assert ledger.forms(MARK) == {}
    (notice,) = ledger.notices
    assert str(forms(filled)) in notice
    assert forms(filled).with_name(forms(filled).name + ".damaged-1").read_bytes() == contents
    assert ledger.decisions == dict(ROWS)


def test_a_survey_names_damage_and_gives_the_same_result(tmp_path, capsys):
    first = document(capsys, "--ledger", tmp_path)
    assert first["err"] == ""
    for path in (obligations(tmp_path), forms(tmp_path)):
        path.write_bytes(path.read_bytes()[:-20])
    second = document(capsys, "--ledger", tmp_path)
    lines = second["err"].splitlines()
    assert len(lines) == 2 and all(line.startswith("ubp-verify: ledger ") for line in lines)
    assert verdicts(second) == verdicts(first)
    assert document(capsys, "--ledger", tmp_path)["err"] == ""


def test_a_second_run_judges_nothing(tmp_path, capsys, monkeypatch):
    first = document(capsys, "--ledger", tmp_path)
    monkeypatch.setattr("verify.parallel.judged_forms", lambda *_: pytest.fail("judged again"))
    assert document(capsys, "--ledger", tmp_path)["forms"] == first["forms"]


def test_an_interrupted_run_keeps_its_rows_and_the_next_one_goes_on(tmp_path, capsys, monkeypatch):
    from verify import parallel

    whole = document(capsys, "--ledger", tmp_path / "whole")
    asked: list[str] = []
    real = parallel.judged_forms

    def interrupted(names, *rest):
        yield from real(names[:5], *rest)
        raise KeyboardInterrupt

    def counted(names, *rest):
        asked.extend(names)
        return real(names, *rest)

    monkeypatch.setattr(parallel, "judged_forms", interrupted)
    assert status([*SURVEY, "--ledger", str(tmp_path / "cut")]) == 130
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr(parallel, "judged_forms", counted)
    resumed = document(capsys, "--ledger", tmp_path / "cut")
    assert verdicts(resumed) == verdicts(whole)
    assert len(asked) == len(whole["forms"]) - 5


def started(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "verify.cli", "opcode-range", *arguments]


def wait_for_decisions(folder: Path, process: subprocess.Popen[Any]) -> None:
    """Until the ledger has one; a run that ends without is a failure, however long it takes."""
    while not (obligations(folder).exists() and obligations(folder).stat().st_size):
        assert process.poll() is None, "the run ended and no decision was stored"
        time.sleep(0.05)


def test_a_run_that_is_killed_leaves_a_ledger_that_the_next_one_reads(tmp_path):
    command = started("00-ff", "--jobs", "1", "--ledger", str(tmp_path), "-q")
    process = subprocess.Popen(command, cwd=Path(cli_survey.__file__).parents[1], stdout=subprocess.DEVNULL)
    wait_for_decisions(tmp_path, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ledger = Ledger(tmp_path, SCHEME)
    assert ledger.decisions
    assert ledger.notices == []


def test_control_c_ends_with_130_and_one_line(tmp_path):
    command = started("00-ff", "--jobs", "2", "--ledger", str(tmp_path), "-q")
    process = subprocess.Popen(
        command, cwd=Path(cli_survey.__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_decisions(tmp_path, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("ubp-verify: interrupted")
    assert json.loads(forms(tmp_path).read_text(encoding="utf-8"))["rows"]


def test_the_ledger_of_a_checkout_is_its_proofs_folder(tmp_path, monkeypatch):
    (tmp_path / "proofs").mkdir()
    (tmp_path / "verify" / "smt").mkdir(parents=True)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert default_directory() == tmp_path / "proofs"
    monkeypatch.chdir("/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_directory() == tmp_path / "cache" / "ubp-verify"
