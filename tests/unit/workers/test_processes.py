"""Workers end with what they work for."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from verify.workers.processes import pool

FORK = multiprocessing.get_context("fork")


def nothing() -> None:
    """The workers need no preparation."""


def forever(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    while True:
        time.sleep(0.01)


def begun(folder: Path) -> int:
    """The worker's process, once it is at work."""
    while not (found := list(folder.iterdir())):
        time.sleep(0.01)
    return int(found[0].name)


def is_gone(pid: int) -> bool:
    """Whether the process ends; it is waited for as long as the suite is given."""
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)
    return True


def test_an_error_ends_tasks_that_have_begun(tmp_path):
    with pytest.raises(KeyboardInterrupt), pool(1, nothing, ()) as workers:
        workers.submit(forever, str(tmp_path))
        pid = begun(tmp_path)
        raise KeyboardInterrupt
    assert is_gone(pid)


def parent(folder: str) -> None:
    with pool(2, nothing, ()) as workers:
        workers.submit(forever, folder)
        workers.submit(forever, folder).result()


def test_a_killed_parent_leaves_no_workers(tmp_path):
    process = FORK.Process(target=parent, args=(str(tmp_path),))
    process.start()
    begun(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert all(is_gone(int(p.name)) for p in tmp_path.iterdir())
