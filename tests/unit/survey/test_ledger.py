"""The ledger: what is stored comes back, damage is named and set aside, an interrupted run goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from recorded import form_row, recorded, texts

from verify.claim.verdicts import Decision, Verdict, Witness
from verify.cli import opcode_range, status
from verify.ledger.fingerprint import SURVEY, fingerprint
from verify.ledger.folder import Folder
from verify.ledger.store import Table
from verify.report.judged import JudgedForm
from verify.report.ledgers import DecisionRow
from verify.report.records import row_text, rows_of
from verify.survey.ledger import Ledger, decision_of, decision_text

SCHEME = "linux-uprobes-6.18"
ANSWERS = (("0123456789abcdef", 1 << 80), ("f" * 16, (1, 2)))
WITNESS = Witness((("v0", 5), ("v1", (1, 2, 3))), ((0x1000, 8, 1, 14),), 7, ((0x2000, 2, 0xBEEF),), ANSWERS)
ROWS = (
    ("a" * 24, Decision(Verdict.PROVED)),
    ("b" * 24, Decision(Verdict.REFUTED, WITNESS)),
    ("c" * 24, Decision(Verdict.REFUTED, Witness((), ()))),
)
MARK = fingerprint(SURVEY, "test")
RUN = ["opcode-range", "9c-9d", "d8", "--jobs", "1", "--format", "json"]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path, SCHEME)
    ledger.add(ROWS)
    ledger.keep_forms(MARK, [form_row("PUSHFQ/none")])
    return tmp_path


def obligations(folder: Path) -> Path:
    return folder / f"obligations-{SCHEME}.tsv"


def forms(folder: Path) -> Path:
    return folder / f"forms-{SCHEME}.tsv"


def document(capsys, *arguments: object) -> dict:
    assert status([*RUN, *(str(a) for a in arguments)]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out) | {"err": captured.err}


def verdicts(found: dict) -> list[tuple[str, str]]:
    return [(f["form"], f["verdict"]) for f in found["forms"]]


def test_what_is_stored_comes_back(filled):
    again = Ledger(filled, SCHEME)
    assert again.decisions == dict(ROWS)
    assert again.notices == []
    assert again.forms(MARK)["PUSHFQ/none"] == form_row("PUSHFQ/none")


@pytest.mark.parametrize(("kind", "written"), [
    ("forms", lambda texts: map(row_text, rows_of(texts, JudgedForm))),
    ("obligations", lambda texts: map(decision_text, map(decision_of, rows_of(texts, DecisionRow)))),
])  # fmt: skip
def test_recorded_rows_are_written_as_they_were_read(kind, written):
    (path,) = recorded(kind)
    rows = texts(path)
    assert len(rows) > 500
    assert list(written(rows)) == rows


@pytest.mark.parametrize("change", [{"verdict": "maybe"}, {"queries": None}, {"more": 1}, {"obligations": "7"}])
def test_a_row_of_another_shape_is_damage(filled, change):
    row = json.loads(row_text(form_row("NOP/none"))) | change
    table = Table("forms", SCHEME, MARK)
    Folder(filled).put(table, {"NOP/none": json.dumps(row)})
    again = Ledger(filled, SCHEME)
    assert again.forms(MARK) == {}
    assert "no JudgedForm" in again.notices[0] and "set aside" in again.notices[0]


def test_each_scheme_has_its_own(filled):
    assert Ledger(filled, "identity").decisions == {}


def test_unknown_is_not_stored(filled):
    Ledger(filled, SCHEME).add([("d" * 24, Decision(Verdict.UNKNOWN, reason="resource limit"))])
    assert "d" * 24 not in Ledger(filled, SCHEME).decisions


def test_rows_of_other_code_or_options_are_not_used(filled):
    assert Ledger(filled, SCHEME).forms(fingerprint(SURVEY, "other options")) == {}


def test_decisions_of_other_code_are_not_used_and_are_replaced(filled, monkeypatch):
    monkeypatch.setattr("verify.survey.ledger.obligations_mark", lambda: "0" * 32)
    other = Ledger(filled, SCHEME)
    assert (other.decisions, other.notices) == ({}, [])
    other.add(ROWS[:1])
    assert Ledger(filled, SCHEME).decisions == dict(ROWS[:1])
    monkeypatch.undo()
    assert Ledger(filled, SCHEME).decisions == {}


def test_versions_are_recorded_beside_what_was_decided(filled, monkeypatch):
    monkeypatch.setattr("verify.ledger.folder.versions", lambda: "z3-solver 0, Python 0")
    again = Ledger(filled, SCHEME)
    again.add([("d" * 24, Decision(Verdict.PROVED))])
    again.keep_forms(MARK, [form_row("NOP/none", verdict="proved")])
    assert set(Ledger(filled, SCHEME).decisions) == {*dict(ROWS), "d" * 24}
    assert obligations(filled).read_text().count("z3-solver") == 2
    assert forms(filled).read_text().count("z3-solver") == 2
    again.settle(MARK, ())
    assert obligations(filled).read_text().count("z3-solver") == forms(filled).read_text().count("z3-solver") == 2


def test_rows_that_were_not_asked_for_stay(filled):
    Ledger(filled, SCHEME).keep_forms(MARK, [form_row("NOP/none", verdict="proved")])
    assert set(Ledger(filled, SCHEME).forms(MARK)) == {"NOP/none", "PUSHFQ/none"}
    Ledger(filled, SCHEME).keep_forms(MARK, [form_row("PUSHFQ/none", verdict="unknown")])
    found = {name: row.verdict for name, row in Ledger(filled, SCHEME).forms(MARK).items()}
    assert found == {"NOP/none": "proved", "PUSHFQ/none": "unknown"}


@pytest.mark.parametrize("cut", [1, 9, 60])
def test_a_line_that_is_half_written_is_left_out_and_cut_off_by_the_next_writer(filled, cut):
    path, raw = obligations(filled), obligations(filled).read_bytes()
    path.write_bytes(raw[:-cut])
    ledger = Ledger(filled, SCHEME)
    kept = dict(ROWS[: raw[:-cut].count(b"\n") - 2])
    assert (ledger.decisions, ledger.notices) == (kept, [])
    ledger.add([("d" * 24, Decision(Verdict.PROVED))])
    again = Ledger(filled, SCHEME)
    assert (again.decisions, again.notices) == ({**kept, "d" * 24: Decision(Verdict.PROVED)}, [])


def line(row: bytes) -> bytes:
    """What a program would write that knows nothing of rows."""
    return b"%08x\t%b\n" % (crc32(row), row)


DAMAGE = {
    "garbage": lambda raw: b"\x00\xff\xfe garbage",
    "garbage behind": lambda raw: raw + b"\x9c\x9d\n",
    "another shape": lambda raw: raw + b'{"digest": 3}\n',
    "a number": lambda raw: raw + b"17\n",
    "unknown verdict": lambda raw: raw.replace(b'"proved"', b'"prowed"', 1),
    "unknown verdict, written so": lambda raw: raw + line(b'a\t["prowed","",null]'),
    "another shape, written so": lambda raw: raw + line(b'a\t{"digest":3}'),
    "no JSON, written so": lambda raw: raw + line(b"a\tproved"),
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
        path.write_bytes(path.read_bytes()[:-20] + b"\n")
    second = document(capsys, "--ledger", tmp_path)
    lines = second["err"].splitlines()
    assert len(lines) == 2 and all(line.startswith("ubp-verify: ledger ") for line in lines)
    assert verdicts(second) == verdicts(first)
    assert document(capsys, "--ledger", tmp_path)["err"] == ""


def test_a_second_run_judges_nothing(tmp_path, capsys, monkeypatch):
    first = document(capsys, "--ledger", tmp_path)
    monkeypatch.setattr("verify.survey.forms.judged_forms", lambda *_: pytest.fail("judged again"))
    assert document(capsys, "--ledger", tmp_path)["forms"] == first["forms"]


def started(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "verify.cli", "opcode-range", *arguments]


def wait_for_decisions(folder: Path, process: subprocess.Popen[Any]) -> None:
    """Until the ledger has one; a run that ends without is a failure, however long it takes."""
    while not (obligations(folder).exists() and obligations(folder).stat().st_size):
        assert process.poll() is None, "the run ended and no decision was stored"
        time.sleep(0.05)


def children(process: subprocess.Popen[Any]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not found.exists():
        pytest.skip("missing: a kernel with CONFIG_PROC_CHILDREN")
    return [int(child) for child in found.read_text().split()]


def is_gone(pid: int) -> bool:
    """Whether the process ends; it is waited for as long as the suite is given."""
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)
    return True


def test_a_run_that_is_killed_leaves_a_ledger_that_the_next_one_reads(tmp_path):
    command = started("00-ff", "--jobs", "2", "--ledger", str(tmp_path), "-q")
    process = subprocess.Popen(command, cwd=Path(opcode_range.__file__).parents[2], stdout=subprocess.DEVNULL)
    wait_for_decisions(tmp_path, process)
    workers = children(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) == 2 and all(is_gone(worker) for worker in workers)
    ledger = Ledger(tmp_path, SCHEME)
    assert ledger.decisions
    assert ledger.notices == []


def test_control_c_ends_with_130_and_one_line(tmp_path):
    command = started("00-ff", "--jobs", "2", "--ledger", str(tmp_path), "-q")
    process = subprocess.Popen(
        command, cwd=Path(opcode_range.__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_decisions(tmp_path, process)
    workers = children(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert len(workers) == 2 and not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert err.splitlines()[-1].startswith("ubp-verify: interrupted")
    assert len(forms(tmp_path).read_text(encoding="utf-8").splitlines()) > 2
