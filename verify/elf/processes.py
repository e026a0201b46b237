"""The files that a running process has mapped as code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class CodeMapping:
    """An executable mapping of a file: proc_pid_maps(5)."""

    file: str
    start: int
    permissions: str  # as the kernel shows them: r-xp

    @property
    def is_shared_or_writable(self) -> bool:
        """Whether Linux leaves it out when it sets breakpoints: kernel/events/uprobes.c, valid_vma, 6.18."""
        return "s" in self.permissions or "w" in self.permissions


def code_mappings(pid: int, proc: Path = PROC) -> list[CodeMapping]:
    """The executable mappings of the process's files, in the order of addresses; those of deleted files left out.

    Raises OSError where the process is gone or may not be looked at.
    """
    found = []
    for line in (proc / str(pid) / "maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/") and not fields[5].endswith(" (deleted)"):
            found.append(CodeMapping(fields[5], int(fields[0].partition("-")[0], 16), fields[1]))
    return found
