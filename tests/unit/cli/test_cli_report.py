"""`ubp-verify report`: pages are written where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.cli import status


def test_pages_of_some_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "pages"
    assert status(["report", str(place), "9c", "--jobs", "1", "--ledger", str(tmp_path / "ledger")]) == 0
    assert capsys.readouterr().out == f"{place / 'index.html'}\n"
    names = {p.name for p in place.iterdir() if not p.name.startswith("protocol")}
    assert names == {"index.html", "map-one-byte.html", "search.js"}
    assert "tf-in-pushed-flags" in (place / "index.html").read_text()


def test_several_schemes_have_a_folder_each(tmp_path: Path) -> None:
    names = ["identity", "linux-uprobes-6.18"]
    schemes = [word for name in names for word in ("--scheme", name)]
    assert status(["report", str(tmp_path), "9c", "-q", "--jobs", "1", "--ledger", str(tmp_path / "l"), *schemes]) == 0
    assert all((tmp_path / name / "index.html").is_file() for name in names)
    assert all(f"{name}/index.html" in (tmp_path / "index.html").read_text() for name in names)


def test_a_place_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert status(["report", str(tmp_path / "file"), "9c", "-q", "--jobs", "1", "--ledger", str(tmp_path / "l")]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert "no report in" in line


def test_a_page_a_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "to send"
    asked = ["report", str(place), "9c", "--format", "findings", "--jobs", "1", "--ledger", str(tmp_path / "l")]
    assert status(asked) == 0
    assert capsys.readouterr().out == f"{place}\n"
    assert {p.name for p in place.iterdir()} == {"README.md", "tf-in-pushed-flags.md"}
    assert "ubp-verify insn 9c" in (place / "tf-in-pushed-flags.md").read_text()


@pytest.mark.parametrize(("content", "said"), [
    ('{"schema":"ubp-verify/forms/1"}', "interleavings/1"), ("no JSON", "interleavings/1"), (None, "No such file"),
])  # fmt: skip
def test_a_file_beside_that_is_something_else(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "beside").write_text(content)
    assert status(["report", str(tmp_path / "pages"), "9c", "--with", str(tmp_path / "beside")]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert "beside" in line and said in line


def test_protocols_with_their_traces_are_beside_the_survey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["interleavings", "ref-count", "--threads", "2", "--variant", "no-lock", "--format", "json"]) == 0
    (tmp_path / "runs").write_text(capsys.readouterr().out)
    asked = ["report", str(tmp_path), "9c", "-q", "--jobs", "1", "--ledger", str(tmp_path / "l"), "--with"]
    assert status([*asked, str(tmp_path / "runs")]) == 0
    page = (tmp_path / "protocol-ref-count.html").read_text()
    assert "registered_is_armed is violated in 8 steps" in page and "2,305" in page
    assert "recorded evidence" in (tmp_path / "map-one-byte.html").read_text()
