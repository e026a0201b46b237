"""Whether a process without a sign of progress has had its time: by the processor time that it got, not by the clock.

On a busy machine a process waits for a processor; that counts nothing. Waiting for something else does, tick by tick.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")  # of /proc/PID/stat, a second
LONGEST: Final = 2.0  # seconds that one look may count for: who looks may have been kept waiting too
SLEEPING: Final = frozenset("STt")  # /proc/PID/stat, state: waits for an event, or is stopped; proc_pid_stat(5)


@dataclass(slots=True)
class Patience:
    """The time that a process (its children with it) has used up since the last progress; `seconds` are allowed."""

    seconds: float
    _spent: float = 0.0
    _cpu: float = 0.0
    _asleep: bool = False
    _looked: float = field(default_factory=time.monotonic)

    def restart(self) -> None:
        """There was progress."""
        self._spent, self._asleep, self._looked = 0.0, False, time.monotonic()

    def is_over(self, pid: int) -> bool:
        """Looks at the process, and says whether its time is over."""
        now, (asleep, cpu) = time.monotonic(), _standing(pid)
        waited = min(now - self._looked, LONGEST) if asleep and self._asleep else 0.0
        self._spent += max(waited, cpu - self._cpu if self._cpu else 0.0)
        self._asleep, self._cpu, self._looked = asleep, cpu, now
        return self._spent > self.seconds


def _standing(pid: int) -> tuple[bool, float]:
    """Whether a process and all its children wait for events, and the seconds of processor time that they have used."""
    asleep, cpu = True, 0.0
    for one in (pid, *_children(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        asleep = asleep and fields[0] in SLEEPING
        cpu += (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return asleep, cpu


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # gone, or a kernel without CONFIG_PROC_CHILDREN
        return []
