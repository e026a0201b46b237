"""Workers end with their parent, also one that was forked by a process that is gone when it asks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from verify.workers import parent
from verify.workers.pool import imap_unordered, pure

FORK = multiprocessing.get_context("fork")


@contextmanager
def forever() -> Iterator[Callable[[str], None]]:
    """Says that it has outlived its parent, where it does."""
    parent = os.getppid()

    def answer(folder: str) -> None:
        (Path(folder) / str(os.getpid())).touch()
        while os.getppid() == parent:
            time.sleep(0.01)
        for _ in range(50):  # the kernel tells of the new parent a moment before it kills
            time.sleep(0.01)
        (Path(folder) / "orphan").touch()
        os._exit(0)

    yield answer


def begun(folder: Path, workers: int) -> list[int]:
    """The workers' processes, once they are at work."""
    while len(found := list(folder.iterdir())) < workers:
        time.sleep(0.01)
    return [int(each.name) for each in found]


def is_gone(pid: int) -> bool:
    """Whether the process ends; it is waited for as long as the suite is given."""
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)
    return True


def dealing(folder: str) -> None:
    for _ in imap_unordered([folder] * 2, forever, 2, policy=pure()):
        pass


def test_a_killed_parent_leaves_no_workers(tmp_path: Path) -> None:
    process = FORK.Process(target=dealing, args=(str(tmp_path),))
    process.start()
    workers = begun(tmp_path, 2)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert all(is_gone(pid) for pid in workers)
    assert not (tmp_path / "orphan").exists()


def orphan_says(die: Callable[[], None]) -> bytes:
    """What a process whose parent has ended writes behind `die`."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        first = os.getpid()
        if os.fork() == 0:
            while os.getppid() == first:
                time.sleep(0.001)
            die()
            os.write(there, b"alive")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(there)
    with os.fdopen(here, "rb") as file:
        return file.read()


def test_a_parent_that_has_ended_before_it_is_asked_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert orphan_says(parent.die_with_parent) == b""
    monkeypatch.setattr(parent.os, "kill", lambda *_: None)
    assert orphan_says(parent.die_with_parent) == b"alive"  # the kernel alone does not see it


def test_a_parent_that_lives_lets_its_child_live() -> None:
    child = os.fork()
    if child == 0:
        parent.die_with_parent()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


SIGNALLED_IN_A_HOOK = """
import os, signal, sys
from verify.workers.parent import forked
def leave(number, frame):
    raise SystemExit(100)
signal.signal(signal.SIGTERM, leave)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
if {fork}() == 0:
    os._exit(0)
print("went on")
"""


@pytest.mark.parametrize(("fork", "status", "text"), [("forked", 100, ""), ("os.fork", 0, "went on\n")])
def test_a_signal_that_comes_in_a_hook_of_a_fork_is_not_lost(fork: str, status: int, text: str) -> None:
    script = SIGNALLED_IN_A_HOOK.replace("{fork}", fork)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (status, text)
    assert ("Exception ignored" in ran.stderr) == (fork == "os.fork")
