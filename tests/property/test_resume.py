"""An interrupted survey that is taken up again gives the rows of an uninterrupted one, byte for byte.

It is cut at counted points: when it has written to its ledger so many times.  `make resume` cuts a survey of more forms
at more points.
"""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from verify.cli import status, surveyed
from verify.ledger import files
from verify.ledger import folder as stored
from verify.models.schemes.registry import DEFAULT
from verify.survey import forms

RANGES = os.environ.get("UBP_VERIFY_RESUME", "0f40 9c").split()
POINTS = range(1, 12, 4) if "UBP_VERIFY_RESUME" not in os.environ else range(1, 60, 4)
FORK = get_context("fork")
KILLED = 9


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Rows are stored after every four forms."""
    monkeypatch.setattr(surveyed, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(forms, "CHUNK", 4)
    monkeypatch.setattr(forms.chunks, "__defaults__", (4,))


def survey(folder: Path, jobs: int) -> int:
    return status(["opcode-range", *RANGES, "-q", "--jobs", str(jobs), "--ledger", str(folder)])


def rows(folder: Path) -> bytes:
    return (folder / f"forms-{DEFAULT}.tsv").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    assert survey(folder, 1) == 0
    return rows(folder)


def cut(folder: Path, jobs: int, point: int, kill: bool) -> None:
    """A survey of a process of its own: at the point, Ctrl-C, or death with half of what is written in the file."""
    count = [0]

    def counted(real):
        def write(path: Path, text: bytes) -> None:
            count[0] += 1
            if count[0] != point:
                real(path, text)
            elif kill:
                target = path.with_name(f"{path.name}{files.PARTIAL}") if real is replace else path
                with target.open("ab") as file:
                    file.write(text[: len(text) // 2])
                os._exit(KILLED)
            else:
                raise KeyboardInterrupt

        return write

    replace = files.replace
    stored.replace, stored.append = counted(files.replace), counted(files.append)
    os._exit(survey(folder, jobs))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kill", [False, True], ids=["interrupted", "killed"])
def test_an_interrupted_survey_that_is_taken_up_again_gives_the_same_rows(tmp_path, whole, capfd, jobs, kill):
    for point in POINTS:
        process = FORK.Process(target=cut, args=(tmp_path, jobs, point, kill))
        process.start()
        process.join()
        ended = process.exitcode == 0  # so few writes were left
        assert process.exitcode in {0, KILLED if kill else 130}
        assert "damaged" not in capfd.readouterr().err
        if ended:
            break
    assert survey(tmp_path, jobs) == 0
    assert rows(tmp_path) == whole
    assert capfd.readouterr().err == ""


def test_the_number_of_jobs_does_not_matter(tmp_path, whole):
    assert survey(tmp_path, 2) == 0
    assert rows(tmp_path) == whole
