"""Tasks dealt to processes: all answers come, a fault or death concerns one task, and no process is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from verify.workers.pool import AHEAD, TaskFailed, imap, imap_unordered, middle, pure


def act(task: int) -> int:
    if task == 3:
        raise ValueError("three")
    if task == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 7:
        time.sleep(60)
    return task * task


@contextmanager
def squares() -> Iterator[Callable[[int], int]]:
    yield act


def answers(tasks: list[int], jobs: int, patience: float = 60.0) -> dict[int, int | TaskFailed]:
    found = dict(imap_unordered(tasks, squares, jobs, patience))
    assert not multiprocessing.active_children()
    return found


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_task_is_answered_once(jobs: int) -> None:
    tasks = [0, 1, 2, 4, 6, 8, 9]
    assert answers(tasks, jobs) == {n: n * n for n in tasks}


def test_an_exception_concerns_its_task_alone() -> None:
    found = answers([1, 3, 4], 1)
    assert found == {1: 1, 3: TaskFailed("internal fault: ValueError: three"), 4: 16}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_dies_is_named_and_replaced(jobs: int) -> None:
    found = answers([1, 5, 2, 4], jobs)
    assert found == {1: 1, 5: TaskFailed("the worker process ended with status -9"), 2: 4, 4: 16}


def test_a_silent_worker_is_killed() -> None:
    assert answers([1, 7, 2], 1, patience=1.0) == {1: 1, 7: TaskFailed("no answer within 1 s"), 2: 4}


def test_an_early_end_leaves_no_process() -> None:
    with closing(imap_unordered(iter(range(8, 10_000)), squares, 2)) as found:
        next(found)
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_tasks_are_drawn_when_a_worker_is_free() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for n in (0, 1, 2, 4):
            drawn.append(n)
            yield n

    with closing(imap_unordered(tasks(), squares, 1)) as found:
        next(found)
        assert drawn == [0]


@contextmanager
def places() -> Iterator[Callable[[int], frozenset[int]]]:
    yield lambda _: frozenset(os.sched_getaffinity(0))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_pinned_worker_keeps_to_one_processor_and_its_parent_does_not(jobs: int) -> None:
    allowed = os.sched_getaffinity(0)
    found = [place for _, place in imap_unordered(range(20), places, jobs, pinned=True)]
    assert {len(place) for place in found if not isinstance(place, TaskFailed)} == {1}
    assert frozenset().union(*(p for p in found if not isinstance(p, TaskFailed))) <= allowed == os.sched_getaffinity(0)
    assert {place for _, place in imap_unordered(range(3), places, 1)} == {frozenset(allowed)}


@contextmanager
def dying(folder: Path, deaths: dict[int, int]) -> Iterator[Callable[[int], int]]:
    """Answers with the task, after so many workers have been killed by it."""

    def answer(task: int) -> int:
        if len(list(folder.glob(f"{task}-*"))) < deaths.get(task, 0):
            (folder / f"{task}-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    yield answer


@pytest.mark.parametrize("deal", [imap, imap_unordered])
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_worker_costs_one_retry_and_a_second_death_is_named(
    deal: Callable[..., Iterator[tuple[int, object]]], jobs: int, tmp_path: Path
) -> None:
    """Each task is answered once, whichever way; the rest goes on."""
    told: list[tuple[int, str]] = []
    deaths = {2: 1, 5: 2, 9: 1, 11: 5}
    policy = pure(lambda task, reason: told.append((task, reason)))
    found = list(deal(range(14), partial(dying, tmp_path, deaths), jobs, policy=policy))
    assert sorted(task for task, _ in found) == list(range(14))
    failed = TaskFailed("the worker process ended with status -9, as did the one before")
    assert dict(found) == {n: failed if deaths.get(n, 0) > 1 else n for n in range(14)}
    assert sorted(told) == [(n, "the worker process ended with status -9") for n in deaths]
    assert Counter(p.name.partition("-")[0] for p in tmp_path.iterdir()) == {"2": 1, "5": 2, "9": 1, "11": 2}
    assert not multiprocessing.active_children()


def test_a_worker_that_is_killed_between_tasks_costs_nothing_but_the_retry() -> None:
    told: list[int] = []
    with closing(imap_unordered(range(20), own_pid, 1, policy=pure(lambda task, _: told.append(task)))) as answers:
        found = []
        for task, pid in answers:
            found.append(task)
            if task == 4 and not isinstance(pid, TaskFailed):
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (found, told) == (list(range(20)), [5])


@contextmanager
def own_pid() -> Iterator[Callable[[int], int]]:
    yield lambda _: os.getpid()


@contextmanager
def waiting(folder: Path) -> Iterator[Callable[[int], int]]:
    """Task 0 is the last of the first three to be answered."""

    def answer(task: int) -> int:
        while task == 0 and not (folder / "2").exists():
            time.sleep(0.001)
        (folder / str(task)).touch()
        return task

    yield answer


def test_answers_come_in_the_order_of_tasks(tmp_path: Path) -> None:
    begin = partial(waiting, tmp_path)
    assert [task for task, _ in imap(range(9), begin, 2, pure())] == list(range(9))
    for path in tmp_path.iterdir():
        path.unlink()
    assert next(imap_unordered(range(9), begin, 2, policy=pure()))[0] == 1  # as they come: another order


def test_few_tasks_are_drawn_before_their_turn(tmp_path: Path) -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for n in range(100):
            drawn.append(n)
            yield n

    with closing(imap(tasks(), partial(waiting, tmp_path), 2, pure())) as answers:
        assert next(answers)[0] == 0
        assert 3 <= len(drawn) <= 2 * AHEAD + 1
        assert [task for task, _ in answers] == list(range(1, 100))


@contextmanager
def stubborn(folder: Path) -> Iterator[Callable[[int], None]]:
    """Does not end when it is asked to, as a solver that is busy."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def answer(task: int) -> None:
        (folder / str(os.getpid())).touch()
        while task:
            time.sleep(0.01)

    yield answer


def test_an_interrupted_dealer_does_not_ask_its_workers_to_leave(tmp_path: Path, monkeypatch) -> None:
    """They are killed: Ctrl-C waits for nobody."""
    monkeypatch.setattr("verify.workers.pool.ForkProcess.terminate", lambda self: pytest.fail("asked"))
    with pytest.raises(KeyboardInterrupt), closing(imap(range(9), partial(stubborn, tmp_path), 2, pure())) as answers:
        next(answers)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()
    assert not any(Path(f"/proc/{p.name}").exists() for p in tmp_path.iterdir())


@pytest.mark.parametrize("threads", [0, 1])
def test_control_c_while_a_worker_is_started_does_not_lose_it(monkeypatch, threads) -> None:
    """The signal comes when the process is there and nobody knows of it yet; it is held back until somebody does.

    To another thread, too, which takes it where this one would not.
    """
    over = Event()
    for _ in range(threads):
        Thread(target=over.wait, daemon=True).start()
    real = multiprocessing.context.ForkProcess.start

    def start(process: multiprocessing.context.ForkProcess) -> None:
        real(process)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("verify.workers.pool.ForkProcess.start", start)
    with pytest.raises(KeyboardInterrupt):
        list(imap(range(8, 99), squares, 2, pure()))
    over.set()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("left", "begins"), [
    (range(10), 0), (range(1, 10), 5), ([0, 1, 5, 6, 7], 6), ([3], 3), ([0, 1, 2, 7], 0),
])  # fmt: skip
def test_a_worker_without_a_next_task_begins_amid_the_longest_stretch(left: Iterable[int], begins: int) -> None:
    assert middle(left) == begins


def near_sequences(tasks: int, jobs: int) -> dict[int, list[int]]:
    """The tasks of each worker in the order of its answers, dealt so that a worker goes on behind its last one."""
    found: dict[int, list[int]] = {}
    for task, pid in imap_unordered(range(tasks), own_pid, jobs, policy=replace(pure(), near=True)):
        found.setdefault(pid, []).append(task)
    return found


@pytest.mark.parametrize("jobs", [1, 3])
def test_tasks_that_are_dealt_near_the_last_one_are_each_answered_once(jobs: int) -> None:
    found = near_sequences(60, jobs)
    assert sorted(t for own in found.values() for t in own) == list(range(60))
    assert jobs > 1 or found.popitem()[1] == list(range(60))  # who of several has which is a matter of speed
