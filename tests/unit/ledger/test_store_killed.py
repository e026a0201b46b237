"""Eight processes on one store, killed at random (kill -9): nothing lost, nothing damaged, nothing named damaged."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from killed_writers import Writers, killed

from verify.ledger import folder
from verify.ledger.folder import Folder

KILLS = 24


def rounds(writers: Writers) -> bool:
    return writers.kills < KILLS and not writers.faults


def test_eight_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    writers, rows, faults = killed(tmp_path, 1, 8, rounds, Folder)
    assert faults == []
    assert writers.kills == KILLS + 8 and rows > KILLS


@contextmanager
def unlocked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    yield


def half(file: BinaryIO, text: bytes) -> None:
    """Writes a text in two parts; one process in four is killed between them."""
    file.write(text[: len(text) // 2])
    file.flush()
    if os.getpid() % 4 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    file.write(text[len(text) // 2 :])


def in_place(path: Path, text: bytes) -> None:
    """Replaces a file's text, as one that knows nothing of readers and of death."""
    with path.open("wb") as file:
        half(file, text)


def uncut(path: Path, text: bytes) -> None:
    """Adds lines behind whatever is there."""
    with path.open("ab") as file:
        half(file, text)


SEEDED = {  # what is put in the place of what
    "no lock": (folder, "locked", unlocked),
    "replaced in place": (folder, "replace", in_place),
    "a half line is not cut off": (folder, "append", uncut),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_fault_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a store loses or damages something within a few kills, whatever the machine."""
    monkeypatch.setattr(*SEEDED[name])
    for seed in range(50):
        place = tmp_path / str(seed)
        place.mkdir()
        if killed(place, seed, 8, rounds, Folder)[2]:
            return
    pytest.fail("no seed finds it")
