"""`ubp-verify ledger`: sizes by scheme and setting; pruning takes what the present code would not use, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from verify.cli import status
from verify.ledger.folder import Folder
from verify.ledger.store import Table
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT
from verify.survey.settings import classes_mark, forms_mark, obligations_mark, settings_name

FEWER = ASSUMPTIONS - {"user-half"}
OTHER = "0" * 32
CURRENT = (
    Table("obligations", DEFAULT, obligations_mark()),
    Table("classes", DEFAULT, classes_mark(DEFAULT, ASSUMPTIONS)),
    Table("queries", DEFAULT, classes_mark(DEFAULT, FEWER), settings_name("any", FEWER)),
    Table("forms", "identity", forms_mark("identity", "amd", ASSUMPTIONS), "cpu-amd"),
    Table("forms", DEFAULT, OTHER, settings_name("intel", ())),  # a shortened name: nobody can tell
)
STALE = (
    Table("forms", DEFAULT, OTHER),
    Table("outcomes", DEFAULT, classes_mark(DEFAULT, ASSUMPTIONS), settings_name("any", FEWER)),
    Table("forms", "a-scheme-of-old", forms_mark("a-scheme-of-old", "any", ASSUMPTIONS)),
    Table("forms", DEFAULT, forms_mark(DEFAULT, "any", ASSUMPTIONS), "without-an-assumption-of-old"),
    Table("certificates", DEFAULT, obligations_mark()),
)
LEFT = (f"forms-{DEFAULT}.tsv.damaged-1", f"forms-{DEFAULT}.tsv.partial", f"forms-{DEFAULT}.json",
        f"questions-{DEFAULT}.txt", f"cpu-amd/obligations-{DEFAULT}.jsonl.damaged-2")  # fmt: skip
OTHERS = ("notes.txt", "protocols/xol-step.json", "live/kernel-6.18.json", ".lock", "cpu-amd/.lock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for table in (*CURRENT, *STALE):
        Folder(tmp_path).put(table, {"a": "1", "b": "[2]"})
    for name in (*LEFT, *OTHERS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("something")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert status(["ledger", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def document(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, "--format", "json", "--ledger", str(folder), *arguments))
    return found


def keys(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["kind"], row["scheme"], row["setting"]) for row in rows}


def names(tables: tuple[Table, ...]) -> set[tuple[str, str, str]]:
    return {(t.kind, t.scheme, t.setting) for t in tables}


def test_sizes_are_those_of_the_files(folder, capsys) -> None:
    rows = document(capsys, folder)["tables"]
    assert keys([row for row in rows if row["current"]]) == names(CURRENT)
    assert keys([row for row in rows if not row["current"] and row["rows"]]) == names(STALE)
    assert all(row["bytes"] == Path(row["path"]).stat().st_size for row in rows)
    assert {row["rows"] for row in rows} == {0, 2}
    assert {str(Path(row["path"]).relative_to(folder)) for row in rows if not row["rows"]} == set(LEFT)


def test_pruning_takes_what_is_not_current_and_no_more(folder, capsys) -> None:
    before = {p for p in folder.rglob("*") if p.is_file()}
    removed = document(capsys, folder, "--prune")["removed"]
    after = {p for p in folder.rglob("*") if p.is_file()}
    assert {Path(row["path"]) for row in removed} == before - after
    assert keys([row for row in removed if row["rows"]]) == names(STALE)
    assert {str(p.relative_to(folder)) for p in before - after if not p.name.endswith(".tsv")} == set(LEFT)
    assert keys(document(capsys, folder)["tables"]) == names(CURRENT)
    assert document(capsys, folder, "--prune")["removed"] == []
    assert all(Folder(folder).get(table) == {"a": "1", "b": "[2]"} for table in CURRENT)


def test_the_recorded_ledger_is_shown_and_never_pruned(folder, tmp_path, capsys, monkeypatch) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "proofs").mkdir(parents=True)
    (checkout / "verify" / "smt").mkdir(parents=True)
    Folder(checkout / "proofs").put(STALE[0], {"a": "1"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(checkout)
    monkeypatch.setattr("verify.cli.ledger.brought_directory", lambda: None)
    Folder(tmp_path / "cache" / "ubp-verify").put(STALE[0], {"b": "2"})
    assert said(capsys, "--prune") == "1 files removed, 0.0 MB\n"
    line = said(capsys)
    assert re.fullmatch(rf"{checkout / 'proofs'}  {DEFAULT}  not used  0\.0 MB  \(forms 1\)\n", line), line


def test_a_ledger_that_is_not_there_is_wrong_usage(tmp_path, capsys) -> None:
    assert status(["ledger", "--ledger", str(tmp_path / "none")]) == 64
    assert str(tmp_path / "none") in capsys.readouterr().err
