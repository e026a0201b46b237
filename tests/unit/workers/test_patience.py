"""What counts as time without progress: processor time and sleep, not the wait for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from verify.workers import patience
from verify.workers.patience import Patience

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="missing: /proc")


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, float]]:
    """What looks at the process find, one after another; the clock goes one second from look to look."""
    found: list[tuple[bool, float]] = []
    clock = iter(range(100))
    monkeypatch.setattr(patience, "_standing", lambda pid: found.pop(0))
    monkeypatch.setattr(patience.time, "monotonic", lambda: float(next(clock)))
    return found


def looks(held: Patience, number: int) -> list[bool]:
    return [held.is_over(1) for _ in range(number)]


def test_waiting_for_a_processor_counts_nothing(standing: list[tuple[bool, float]]) -> None:
    standing += [(False, 7.0)] * 20
    assert not any(looks(Patience(0.5), 20))


def test_processor_time_counts(standing: list[tuple[bool, float]]) -> None:
    standing += [(False, 7.0 + 0.3 * i) for i in range(5)]
    assert looks(Patience(0.5, _looked=0.0), 5) == [False, False, True, True, True]


def test_sleep_counts_between_two_looks_that_find_it(standing: list[tuple[bool, float]]) -> None:
    standing += [(True, 7.0), (False, 7.0), (True, 7.0), (True, 7.0), (True, 7.0)]
    assert looks(Patience(1.5, _looked=0.0), 5) == [False, False, False, False, True]


def test_progress_starts_it_again(standing: list[tuple[bool, float]]) -> None:
    held = Patience(1.5, _looked=0.0)
    standing += [(True, 7.0)] * 9
    assert looks(held, 3) == [False, False, True]
    held.restart()
    assert looks(held, 3) == [False, False, True]


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that waits, and a child of it that does not stop."""
    loop = "import os\nif os.fork(): os.wait()\nelse:\n while True: pass"
    with subprocess.Popen([sys.executable, "-c", loop], start_new_session=True) as process:
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)


def test_a_child_that_works_is_work(sleeper: int) -> None:
    """The kernel's figures: the parent sleeps, the processor time is the child's."""
    while (found := patience._standing(sleeper))[0] or not found[1]:
        time.sleep(0.01)
    held = Patience(0.1)
    while not held.is_over(sleeper):
        time.sleep(0.01)
    assert patience._standing(sleeper)[1] >= found[1] + 0.1
