"""What every confirmation answers: a document, lines for people, files to keep, and how the models stand.

Decides nothing about models.  Kept files lie in proofs/live, one a kind and machine; they are written aside and
renamed, so that a reader sees the old file or the new one.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from verify.ledger.files import locked, replace
from verify.live.results import processor
from verify.report.confirmations import Confirmation
from verify.report.records import Document, row_by_row


class Standing(Enum):
    """How the models stand after a confirmation."""

    AGREES = "nothing contradicts the models"
    DISAGREES = "something contradicts a model"
    UNDECIDED = "something was not judged, for want of time or of something that this machine lacks"
    LOST = "a judgement was lost to a fault of our own"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a result: its name, its content, and the field whose items stand on a line each."""

    name: str
    document: Document
    rows: str


class Result(Protocol):
    """What a judge has said so far."""

    def document(self) -> Confirmation:
        """All of it, for programs."""

    def lines(self) -> Iterator[str]:
        """What people read at the end; what was shown as it came is left out."""

    def kept(self) -> Iterable[Kept]:
        """The files that are kept of it."""

    @property
    def standing(self) -> Standing:
        """How the models stand."""


def file_name(kind: str) -> str:
    """The name of a result's file: kind, kernel release without the build's own suffix, vendor and family."""
    release = re.match(r"[0-9.]+", platform.release())
    vendor, _, family = processor().split()[:3]
    return f"{kind}-{release[0] if release else platform.release()}-{vendor.lower()}-{family.removeprefix('0x')}h.json"


def keep(result: Result, folder: Path) -> tuple[Path, ...]:
    """Writes the files of a result below `folder`, made where it is missing; their paths.  Raises OSError."""
    found = []
    with locked(folder):
        for file in result.kept():
            path = folder / file.name
            replace(path, row_by_row(file.document, file.rows).encode())
            found.append(path)
    return tuple(found)
