"""Files that several processes share: appended to or replaced under a lock, read without one.

A last line without its end was being written when it was read, or its writer was killed: it is left out, and cut off
before the next lines are added.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock

LOCK: Final = ".lock"
WAIT: Final = 60.0  # seconds until an OSError says that the lock was not to be had; it is held for milliseconds
ABSENT: Final = (FileNotFoundError, NotADirectoryError)
DAMAGED: Final = ".damaged-"
PARTIAL: Final = ".partial"
T = TypeVar("T")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else writes in the folder meanwhile; it is made where it is missing.  OSError where that cannot be."""
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / LOCK, timeout=WAIT, is_singleton=True):  # one object a file: it may be taken twice
        yield


def replace(path: Path, text: bytes) -> None:
    """Replaces the file whole; a reader sees the old text or the new one.  The caller holds the lock."""
    partial = path.with_name(f"{path.name}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def append(path: Path, text: bytes) -> None:
    """Adds lines behind the complete ones, in one write; the caller holds the lock.

    NOTE(no-fsync): not forced to the disk. A row is in the kernel when this returns, so no death of a process loses it;
    a loss of power may, and a lost or torn row is only decided again. A replaced file is forced: it would take all rows
    with it.
    """
    with path.open("ab+") as file:
        file.truncate(_complete(path))
        file.write(text)


def lines_of(path: Path) -> list[bytes]:
    """The complete lines; none where there is no file."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except ABSENT:
        return []


def first_line(path: Path) -> bytes | None:
    """The first line without its end; None where there is no file."""
    try:
        with path.open("rb") as file:
            return file.readline().rstrip(b"\n")
    except ABSENT:
        return None


def identity(path: Path) -> int | None:
    """What changes when a file is replaced, not when it is appended to; None where there is none."""
    try:
        return path.stat().st_ino
    except ABSENT:
        return None


def _complete(path: Path) -> int:
    """Bytes up to the end of the last complete line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - 4096)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0


def undamaged(path: Path, read: Callable[[], T], empty: T, notices: list[str], writable: bool) -> T:
    """What `read` makes of the file; where it raises ValueError twice, the second time while nobody writes, the file is
    set aside under another name if it may be, a notice says so, and the answer is `empty`.
    """
    try:
        return read()
    except ValueError:
        pass
    writable = writable and os.access(path.parent, os.W_OK)
    with locked(path.parent) if writable else nullcontext():
        try:
            return read()
        except ValueError as error:
            aside = _set_aside(path) if writable else "it is not used"
            notices.append(f"ledger {path} is damaged ({error}); {aside}")
            return empty


def _set_aside(path: Path) -> str:
    number = 1
    while (aside := path.with_name(f"{path.name}{DAMAGED}{number}")).exists():
        number += 1
    path.rename(aside)
    return f"set aside as {aside.name}, being rebuilt"
