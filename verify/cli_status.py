"""The exit statuses of all commands; 0 is done and everything decided."""

from __future__ import annotations

from typing import Final

REFUTED: Final = 1  # with --check: something is refuted; `confirm`: the machine contradicts a model
UNDECIDED: Final = 2  # done but something undecided; `confirm`: the judge is not available here
USAGE: Final = 64
FAULT: Final = 70  # a fault of our own
INTERRUPTED: Final = 130
