"""A perf event on a uprobe: hits of any process, on all processors, without BPF.

Decides nothing. It is a consumer of its own beside the BPF links of `uprobe`; it is gone when its descriptors are.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from verify.live.hiding import refuse
from verify.live.uprobe_syscalls import open_perf_counter


class PerfCounter:
    """A counter on one file offset; a context manager. Raises OSError where the event is refused."""

    def __init__(self, path: str, offset: int) -> None:
        self._path, self._offset = path, offset
        self._descriptors: list[int] = []

    def __enter__(self) -> Self:
        refuse("perf")
        refuse("uprobes")
        try:
            for cpu in range(os.cpu_count() or 1):
                self._descriptors.append(open_perf_counter(self._path, self._offset, cpu))
        except OSError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def count(self) -> int:
        """Hits so far."""
        return sum(int.from_bytes(os.read(descriptor, 8), "little") for descriptor in self._descriptors)
