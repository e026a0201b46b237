"""Processes on one store, killed at random: what was put stays, nothing is damaged, nothing is taken for damaged.

`make store` lets eight of them run for a minute; the suite runs so many rounds (`test_store_killed.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from verify.ledger.folder import Folder
from verify.ledger.store import Store, Table

TABLES: Final = (Table("classes", "some", "a" * 32), Table("forms", "some", "b" * 32, "cpu-amd"))
SETTLED: Final = 16  # one put in so many is followed by an ordering of the table
READ: Final = 8  # one in so many by a look at everything
LOST, NAMED, FELL = 3, 4, 5  # exit statuses: a row is not there, a notice says damaged, an exception


def work(store: Store, number: int, seed: int, told: int) -> None:
    """Puts rows until it is killed, and says of each that has been put to the descriptor: table, key, value."""
    rng = Random(seed)
    for i in count():
        which = rng.randrange(len(TABLES))
        rows = {f"{number}-{seed}-{i}-{k}": f'"{"x" * rng.randrange(2000)}"' for k in range(rng.randrange(1, 4))}
        store.put(TABLES[which], rows)
        for key, value in rows.items():
            os.write(told, f"{which}\t{key}\t{len(value)}\n".encode())
        if rng.randrange(SETTLED) == 0:
            store.settle(TABLES[which])
        if rng.randrange(READ) == 0 and not rows.items() <= store.get(TABLES[which]).items():
            os._exit(LOST)
        if store.notices:
            os._exit(NAMED)


@dataclass(slots=True)
class Writers:
    """Processes on the store of a folder, with what each has put."""

    root: Path
    rng: Random
    open: Callable[[Path], Store] = Folder
    kills: int = 0
    faults: list[str] = field(default_factory=list)
    _running: dict[int, int] = field(default_factory=dict)  # pid -> number of what it tells

    def start(self) -> None:
        """One more."""
        number = len(list(self.root.glob("told-*")))
        told = os.open(self.root / f"told-{number}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        seed, folder = self.rng.randrange(1 << 30), self.root / "ledger"
        pid = os.fork()
        if pid == 0:
            try:
                work(self.open(folder), number, seed, told)
            finally:
                os._exit(FELL)
        os.close(told)
        self._running[pid] = number

    def kill(self) -> None:
        """One of them, whatever it is doing."""
        pid = self.rng.choice(list(self._running))
        os.kill(pid, signal.SIGKILL)
        self._ended(pid, -signal.SIGKILL)
        self.kills += 1

    def kill_all(self) -> None:
        """The rest."""
        while self._running:
            self.kill()

    def _ended(self, pid: int, expected: int) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != expected:
            self.faults.append(f"writer {self._running[pid]} ended with status {status}")
        del self._running[pid]

    def are_alive(self) -> bool:
        """Whether none has ended by itself."""
        ended = [p for p in self._running if os.waitid(os.P_PID, p, os.WEXITED | os.WNOHANG | os.WNOWAIT)]
        return not ended

    def told(self) -> int:
        """Bytes of what has been told."""
        return sum(path.stat().st_size for path in self.root.glob("told-*"))

    def rows(self) -> Iterator[tuple[int, str, int]]:
        """Table, key and length of the value of every row that was put."""
        for path in self.root.glob("told-*"):
            for line in path.read_text().split("\n")[:-1]:
                which, key, length = line.split("\t")
                yield int(which), key, int(length)

    def judged(self) -> tuple[int, list[str]]:
        """How many rows were put, and what is wrong with the store."""
        store, faults = self.open(self.root / "ledger"), list(self.faults)
        found = [store.get(table) for table in TABLES]
        rows = list(self.rows())
        lost = [key for which, key, length in rows if len(found[which].get(key, "")) != length]
        faults += [f"{len(lost)} rows of {len(rows)} are lost, {lost[0]} for one"] if lost else []
        faults += store.notices
        faults += [f"{path.name} lies there" for path in (self.root / "ledger").rglob("*.damaged-*")]
        return len(rows), faults


def killed(root: Path, seed: int, processes: int, goes_on: Callable[[Writers], bool], store: Callable[[Path], Store]
           ) -> tuple[Writers, int, list[str]]:  # fmt: skip
    """So many writers at a time, one of them killed and replaced whenever another row or two have been put."""
    writers = Writers(root, Random(seed), store)
    for _ in range(processes):
        writers.start()
    while goes_on(writers):
        before, more = writers.told(), writers.rng.randrange(400)
        while writers.told() < before + more and writers.are_alive():
            time.sleep(0.001)
        writers.kill()
        writers.start()
    writers.kill_all()
    return writers, *writers.judged()


def main() -> int:
    """Runs for so long; status 1 where something is lost or damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with TemporaryDirectory() as root:
        writers, rows, faults = killed(
            Path(root), options.seed, options.processes, lambda _: time.monotonic() < end, Folder
        )
    print(f"{options.processes} processes, seed {options.seed}: {writers.kills} killed, {rows} rows put")
    print("\n".join(faults) or "nothing lost, nothing damaged, nothing taken for damaged")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
