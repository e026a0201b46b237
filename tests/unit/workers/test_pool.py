"""Tasks dealt to processes: all answers come, a fault or death concerns one task, and no process is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from verify.workers.pool import TaskFailed, imap_unordered


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
