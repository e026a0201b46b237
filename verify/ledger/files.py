"""Files that several processes share: appended to or replaced under a lock, read without one.

A file of lines begins with a line that says who wrote it; one of another writer is replaced when something is added.
A last line without its end was being written when it was read, or its writer was killed: it is left out, and cut off
before the next lines are added.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock

LOCK: Final = ".lock"
WAIT: Final = 60.0  # seconds until an OSError says that the lock was not to be had; it is held for milliseconds
T = TypeVar("T")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else writes in the folder meanwhile; it is made where it is missing.  OSError where that cannot be."""
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / LOCK, timeout=WAIT, is_singleton=True):  # one object a file: it may be taken twice
        yield


def replace(path: Path, text: str) -> None:
    """Replaces the file whole; a reader sees the old text or the new one."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def lines_of(path: Path) -> list[str]:
    """The complete lines; none where there is no file."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def first_line(path: Path) -> str | None:
    """The first line without its end; None where there is no file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n")
    except FileNotFoundError:
        return None


def append(path: Path, lines: Iterable[str]) -> None:
    """Adds lines behind the complete ones, in one write; the caller holds the lock."""
    text = "".join(f"{line}\n" for line in lines).encode()
    with path.open("ab+") as file:
        file.truncate(_complete(path))
        file.write(text)


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


def undamaged(
    path: Path, read: Callable[[], T], empty: T, notices: list[str], errors: Sequence[type[Exception]]
) -> T:
    """What `read` makes of the file; where it raises one of the errors twice, the second time while nobody writes, the
    file is set aside under another name, a notice says so, and the answer is `empty`.
    """
    try:
        return read()
    except tuple(errors):
        pass
    writable = os.access(path.parent, os.W_OK)
    with locked(path.parent) if writable else nullcontext():
        try:
            return read()
        except tuple(errors) as error:
            aside = _set_aside(path) if writable else "it is not used"
            notices.append(f"ledger {path} is damaged ({error}); {aside}")
            return empty


def _set_aside(path: Path) -> str:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return f"set aside as {aside.name}, being rebuilt"
