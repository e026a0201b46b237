"""Tasks dealt to worker processes one at a time: results as they come, a worker's death or silence as a result.

Decides nothing about tasks.  Workers are forked, ignore SIGINT (the parent ends them), and die with their parent; none
is left when the iterator ends, whichever way.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final, Generic, TypeVar

from verify.workers.parent import die_with_parent
from verify.workers.patience import Patience

Task = TypeVar("Task")
Answer = TypeVar("Answer")
PATIENCE: Final = 120.0  # seconds for one task, as `Patience` counts them
SECONDS_TO_LEAVE: Final = 5.0
TICK: Final = 1.0


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task without an answer, and why: an exception, a worker that died or that had to be killed."""

    reason: str


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: ForkProcess
    channel: Connection[Any, Any]
    number: int
    task: Task | None = None
    patience: Patience = field(default_factory=lambda: Patience(PATIENCE))


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _serve(channel: Connection[Any, Any], begin: Callable[[], AbstractContextManager[Callable[[Any], Any]]]) -> None:
    """A worker's life: answers tasks until nobody asks any more."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    with begin() as answer, contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task = channel.recv()
            try:
                found = answer(task)
            except Exception as error:  # a fault of our own concerns one task, the others go on
                found = TaskFailed(f"internal fault: {type(error).__name__}: {error}")
            channel.send(found)


def imap_unordered(
    tasks: Iterable[Task], begin: Callable[[], AbstractContextManager[Callable[[Task], Answer]]], jobs: int,
    patience: float = PATIENCE, pinned: bool = False,
) -> Generator[tuple[Task, Answer | TaskFailed], None, None]:  # fmt: skip
    """Each task with its answer, in the order of answers; `tasks` is drawn from when a worker is free.

    `begin` opens what a worker answers with, once a worker. `pinned`: each worker and its children keep to a processor
    of their own, which is faster for those that wait for each other.
    """
    workers: list[_Worker[Task]] = []
    queue = iter(tasks)
    try:
        while True:
            _fill(workers, queue, partial(_started, begin, pinned), jobs, patience)
            busy = [w for w in workers if w.task is not None]
            if not busy:
                return
            ready = wait([w.channel for w in busy], TICK)
            for worker in busy:
                task = worker.task
                assert task is not None
                if worker.channel in ready:
                    yield task, _answer(worker, workers)
                elif worker.patience.is_over(worker.process.pid or 0):
                    _end(worker, workers, at_once=True)
                    yield task, TaskFailed(f"no answer within {patience:g} s")
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in list(workers):
            _end(worker, workers)


def _fill(
    workers: list[_Worker[Task]], queue: Iterator[Task], started: Callable[[int], _Worker[Task]], jobs: int,
    patience: float,
) -> None:  # fmt: skip
    """Gives every idle worker a task, and starts workers while there are tasks."""
    while True:
        idle = next((w for w in workers if w.task is None), None)
        if idle is None and len(workers) >= jobs:
            return
        task = next(queue, None)
        if task is None:
            return
        if idle is None:
            idle = started(min(set(range(jobs)) - {w.number for w in workers}))
            workers.append(idle)
        idle.task, idle.patience = task, Patience(patience)
        try:
            idle.channel.send(task)
        except OSError:  # it has died: reading tells
            continue


def _started(begin: Any, pinned: bool, number: int) -> _Worker[Any]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, begin), daemon=True)
    process.start()
    there.close()
    if pinned:
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid or 0, {allowed[number % len(allowed)]})
    return _Worker(process, here, number)


def _answer(worker: _Worker[Any], workers: list[_Worker[Any]]) -> Any:
    """The answer of a worker; of one that has died, how it ended."""
    try:
        found = worker.channel.recv()
    except (EOFError, OSError):
        _end(worker, workers)
        return TaskFailed(f"the worker process ended with status {worker.process.exitcode}")
    worker.task = None
    return found


def _end(worker: _Worker[Any], workers: list[_Worker[Any]], at_once: bool = False) -> None:
    """Waits for a worker to leave, kills it where it does not."""
    workers.remove(worker)
    worker.channel.close()
    worker.process.join(0 if at_once else SECONDS_TO_LEAVE)
    if worker.process.exitcode is None:
        worker.process.kill()
        worker.process.join()
