"""What the environment refuses ends with status 74 and one line that names the place: no traceback, no status 70."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from verify.cli import status
from verify.survey.settings import RECORDED

SURVEY = ("opcode-range", "90", "-q", "--jobs", "1")
FULL = Path("/dev/full")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that a command which ends with 74 says."""
    assert status(list(arguments)) == 74
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("ubp-verify: "), lines
    return lines[0]


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process can grow: as on a full disk.  Held for a command alone: test reports are files too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("home", ["/proc/none", "/dev/null"])
def test_a_home_that_cannot_be_written(
    home: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert home in refused(capsys, *SURVEY, "--cpu", "intel")  # nothing of that is recorded, so it is to be written


def test_recorded_protocols_serve_where_nothing_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an installed copy: what it brings along is compared with; what is to be recorded is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.chdir(tmp_path)
    check = ["interleavings", "ref-count", "--threads", "2"]
    assert status([*check, "--check"]) == 0
    assert capsys.readouterr().err == ""
    assert "/proc/none" in refused(capsys, *check, "--record")


@pytest.mark.parametrize("name", ["forms-{}.tsv", "obligations-{}.tsv"])
def test_a_folder_where_a_file_of_the_ledger_should_be(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / name.format(RECORDED[0])
    place.mkdir()
    line = refused(capsys, *SURVEY, "--ledger", str(tmp_path))
    assert "directory" in line and str(place) in line


def test_a_folder_where_a_manifest_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "protocols" / "ref-count.json").mkdir(parents=True)
    line = refused(capsys, "interleavings", "ref-count", "--threads", "2", "--check", "--ledger", str(tmp_path))
    assert "ref-count.json" in line


def test_a_disk_that_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_room():
        line = refused(capsys, *SURVEY, "--ledger", str(tmp_path))
    assert "too large" in line


def test_a_reproducer_for_which_there_is_no_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_room():
        line = refused(capsys, "insn", "9c", "--emit-reproducer", str(tmp_path))
    assert "too large" in line


def test_a_place_that_is_none_is_wrong_usage_where_it_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert status([*SURVEY, "--ledger", str(tmp_path / "file" / "folder")]) == 64
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "seeded"])
def test_an_error_of_the_system_without_place_or_reason(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import verify.survey.explanation

    def fails(*_: object, **__: object) -> None:
        raise TimeoutError(text) if text else TimeoutError

    monkeypatch.setattr(verify.survey.explanation, "encoding_row", fails)
    assert refused(capsys, "insn", "9c") == f"ubp-verify: {text or 'TimeoutError'}"


@pytest.mark.skipif(not FULL.exists(), reason="missing: /dev/full")
@pytest.mark.parametrize("arguments", [("insn", "9c"), ("--help",)], ids=" ".join)
def test_an_output_that_takes_nothing(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "verify.cli", *arguments]
    with FULL.open("wb") as output:
        run = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr) == (74, "ubp-verify: No space left on device\n")


def test_an_output_that_is_closed() -> None:
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m verify.cli --help >&-"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (74, "ubp-verify: standard output is closed\n")


@pytest.mark.parametrize("arguments", [["forms"], ["classify", "-"], ["classify", "-", "--format", "json"]])
def test_a_reader_that_has_had_enough_ends_a_command_quietly(arguments: list[str]) -> None:
    """As `| head -1` does; 1 would say that something is refuted."""
    command = [sys.executable, "-m", "verify.cli", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdin and run.stdout and run.stderr
        run.stdout.close()
        with suppress(BrokenPipeError):
            run.stdin.write(b"4889d8\n" * 20_000)
            run.stdin.close()
        assert (run.stderr.read(), run.wait()) == (b"", 141)
