"""The exit statuses of all commands; 0 is done and everything decided."""

from __future__ import annotations

from typing import Final

REFUTED: Final = 1  # with --check: something is refuted; `confirm`: the machine contradicts a model
UNDECIDED: Final = 2  # done but something undecided; `confirm`: the judge is not available here
USAGE: Final = 64
FAULT: Final = 70  # a fault of our own
ENVIRONMENT: Final = 74  # the environment refuses: a full disk, a place that cannot be written, too many files
INTERRUPTED: Final = 130
READER_LEFT: Final = 141  # the reader closed the pipe

OPEN: Final = frozenset({"unknown", "vacuous"})  # verdicts that decide nothing

#: What was named is no such place: wrong usage, as a wrong value is.  Every other OSError is the environment's.
WRONG_PLACE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError)
SEVERITY: Final = (0, UNDECIDED, REFUTED, INTERRUPTED)


def worse(status: int, other: int) -> int:
    """The status that weighs more: interrupted before refuted before undecided before done."""
    return max(status, other, key=SEVERITY.index)
