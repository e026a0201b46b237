"""A form's evidence is named by its statements: another statement is another digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.survey import evidence_digests as digests
from verify.survey.evidence import FOLDER, FORMAT, LEDGER

LINES = (
    "class\tNOP/none\tregular\tk1\to1", "class\tNOP/none\tregular\tk2\to2", "class\tRET/none\tregular\tk3\to1",
    "outcome\to1\tgprs\ts1", "outcome\to1\tflags\ts2", "outcome\to2\tgprs\ts3",
)  # fmt: skip


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], head: str = FORMAT) -> dict[str, str]:
    monkeypatch.setattr(digests, "checkout_directory", lambda: folder)
    place = folder / FOLDER / "s" / LEDGER
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join((f"{head}\tmark", *lines)) + "\n")
    return dict(digests.evidence_digests("s"))


def test_statements_of_all_classes_of_a_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(tmp_path, monkeypatch, LINES)
    assert found["NOP/none"].startswith("3 statements, ") and found["RET/none"].startswith("2 statements, ")
    other = said(tmp_path, monkeypatch, (*LINES[:-1], "outcome\to2\tgprs\ts4"))
    assert other["NOP/none"] != found["NOP/none"] and other["RET/none"] == found["RET/none"]


def test_nothing_is_said_where_there_is_none_or_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, monkeypatch, LINES, "another/1") == {}
    assert dict(digests.evidence_digests("no-such-scheme")) == {}
