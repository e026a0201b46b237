"""The files that a running process has mapped as code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def mapped_code(pid: int, proc: Path = PROC) -> list[str]:
    """The files of the process's executable mappings, in the order of addresses, each once; deleted ones left out.

    Raises OSError where the process is gone or may not be looked at.
    """
    found: dict[str, None] = {}
    for line in (proc / str(pid) / "maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/") and not fields[5].endswith(" (deleted)"):
            found[fields[5]] = None
    return list(found)
