"""Uprobes on slots of a private file: set many at once, read their hit counts, ask whether one is refused.

Decides whether this machine lets the caller use uprobes at all (`missing`). Says nothing about what a probed
instruction does. Every probe lives behind a file descriptor of this process: it is gone when the descriptor or the
process is.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from verify.live.hiding import HIDDEN, hidden, refuse
from verify.live.uprobe_syscalls import UPROBE_PMU, create_counters, link_uprobes, load_counting_program

CAP_PERFMON, CAP_BPF, CAP_SYS_ADMIN = 38, 39, 21    # include/uapi/linux/capability.h
WAITING_THREADS: Final = 200                        # a refusal waits some 50 ms for RCU, without using a CPU
MINIMUM_RELEASE: Final = (6, 6)                     # first with BPF_TRACE_UPROBE_MULTI


class UprobesUnavailable(RuntimeError):
    """The machine or the caller's privileges do not allow uprobes; the message names everything that is missing."""


def effective_capabilities() -> int:
    """The effective capabilities of this process (include/uapi/linux/capability.h); none where root is hidden."""
    if "root" in hidden():
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


def _release() -> tuple[int, int]:
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def _absent_features() -> Iterator[str]:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        yield f"Linux on x86_64, this is {platform.system()} on {platform.machine()}"
        return
    if _release() < MINIMUM_RELEASE:
        wanted = ".".join(map(str, MINIMUM_RELEASE))
        yield f"Linux {wanted} or later (BPF multi-uprobe), this is {platform.release()}"
    if not (UPROBE_PMU / "type").exists():
        yield f"kernel option CONFIG_UPROBE_EVENTS ({UPROBE_PMU} does not exist)"
    capabilities = effective_capabilities()
    for bit, name in ((CAP_PERFMON, "CAP_PERFMON"), (CAP_BPF, "CAP_BPF")):
        if not capabilities & (1 << bit | 1 << CAP_SYS_ADMIN):
            yield f"capability {name} (or CAP_SYS_ADMIN)"


def missing() -> tuple[str, ...]:
    """What this machine or process lacks for uprobe tests, each a phrase for people; empty where they can run."""
    absent = tuple(_absent_features())
    if absent:
        return absent
    if "uprobes" in hidden():
        return (HIDDEN.format("uprobes"),)
    try:
        with Probes(1):
            return ()
    except OSError as error:
        return (f"permission to load a BPF program ({error.strerror}, errno {error.errno})",)


class Probes:
    """Uprobes with one hit counter each; a context manager that removes them all, whatever happens."""

    def __init__(self, counters: int) -> None:
        self._stack = contextlib.ExitStack()
        self.capacity = counters

    def __enter__(self) -> Self:
        refuse("uprobes")
        with contextlib.ExitStack() as stack:
            table = create_counters(self.capacity)
            stack.callback(os.close, table)
            self._program = load_counting_program(table)
            stack.callback(os.close, self._program)
            counts = mmap.mmap(table, -(-8 * self.capacity // mmap.PAGESIZE) * mmap.PAGESIZE, prot=mmap.PROT_READ)
            self._counts = memoryview(counts).cast("Q")
            stack.callback(counts.close)
            stack.callback(self._counts.release)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def attached(
        self, path: str, offsets: Sequence[int], first: int = 0, returning: bool = False
    ) -> Iterator[None]:
        """Probes on the file offsets while the context lasts; the n-th has the counter `first` + n.

        With `returning` they count returns of the functions that begin there.

        A file that nobody has mapped accepts every probe; refusals show when it is mapped. OSError otherwise.
        """
        link = link_uprobes(self._program, path, offsets, range(first, first + len(offsets)), returning)
        try:
            yield
        finally:
            os.close(link)

    def hits(self, index: int) -> int:
        """The hits so far of the n-th probe."""
        return int(self._counts[index])

    def refusal(self, path: str, offset: int) -> int:
        """The errno with which the kernel refuses a probe at an offset of a mapped file, 0 where it sets it."""
        try:
            os.close(link_uprobes(self._program, path, (offset,), (0,)))
        except OSError as error:
            return int(error.errno or 0)
        return 0

    def refusals(self, path: str, offsets: Sequence[int]) -> list[int]:
        """`refusal` of many offsets; they wait side by side."""
        with ThreadPoolExecutor(WAITING_THREADS) as pool:
            return list(pool.map(lambda offset: self.refusal(path, offset), offsets))
