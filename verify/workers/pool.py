"""Tasks dealt to worker processes one at a time: each answered once, in the order of answers or of tasks.

Decides nothing about tasks.  Workers are forked, ignore SIGINT (the parent ends them), and die with their parent; none
is left when the iterator ends, whichever way.  A task whose worker dies may be dealt again; what stays without an
answer is a result too, and says why.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Final, Generic, TypeVar

from verify.workers.parent import die_with_parent
from verify.workers.patience import Patience

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Begin = Callable[[], AbstractContextManager[Callable[[Task], Answer]]]
PATIENCE: Final = 120.0  # seconds for one task, as `Patience` counts them
SECONDS_TO_LEAVE: Final = 5.0
TICK: Final = 1.0
AHEAD: Final = 4  # tasks a worker that may be drawn beyond the one whose answer is waited for


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task without an answer, and why: an exception, a worker that died or that had to be killed."""

    reason: str


def nobody(task: object, reason: str) -> None:
    """Is told of nothing."""


@dataclass(frozen=True, slots=True)
class Policy(Generic[Task]):
    """How workers are treated.

    patience: seconds for one task, as `Patience` counts them; a worker that is silent for longer is killed, its task
    is not dealt again. pinned: each worker and its children keep to a processor of their own, which is faster for those
    that wait for each other. retries: how often a task is dealt again when its worker has died. grace: seconds that
    workers have to leave when nobody asks any more; 0: they are killed. lost: told each task that is dealt again, and
    why.
    """

    patience: float = PATIENCE
    pinned: bool = False
    retries: int = 0
    grace: float = SECONDS_TO_LEAVE
    lost: Callable[[Task, str], None] = nobody
    near: bool = False  # a worker's next task is the one behind its last: like tasks lie side by side; all are drawn


def pure(lost: Callable[[Task, str], None] = nobody) -> Policy[Task]:
    """For workers that hold nothing but memory: no limit in time, one retry, killed when nobody asks any more."""
    return Policy(math.inf, retries=1, grace=0.0, lost=lost)


@dataclass(slots=True)
class _Job(Generic[Task]):
    number: int
    task: Task
    deaths: int = 0  # of workers that had it


@dataclass(slots=True)
class _Worker(Generic[Task, Answer]):
    process: ForkProcess
    channel: Connection[Task, Answer | TaskFailed]
    number: int
    job: _Job[Task] | None = None
    last: int = -1  # the number of its last task
    patience: Patience = field(default_factory=lambda: Patience(PATIENCE))


def imap_unordered(
    tasks: Iterable[Task], begin: Begin[Task, Answer], jobs: int, patience: float = PATIENCE, pinned: bool = False,
    policy: Policy[Task] | None = None,
) -> Generator[tuple[Task, Answer | TaskFailed], None, None]:  # fmt: skip
    """Each task with its answer, in the order of answers; `tasks` is drawn from when a worker is free.

    `begin` opens what a worker answers with, once a worker. `policy` stands for `patience` and `pinned` with the rest.
    """
    pool = _Pool(tasks, begin, jobs, policy or Policy(patience, pinned), lambda _: True)
    with closing(pool.answers()) as answers:
        for job, answer in answers:
            yield job.task, answer


def imap(
    tasks: Iterable[Task], begin: Begin[Task, Answer], jobs: int, policy: Policy[Task]
) -> Generator[tuple[Task, Answer | TaskFailed], None, None]:
    """Each task with its answer, in the order of tasks; few are drawn before their turn."""
    waiting: dict[int, tuple[Task, Answer | TaskFailed]] = {}
    turn = 0
    pool = _Pool(tasks, begin, jobs, policy, lambda drawn: drawn - turn < AHEAD * jobs)
    with closing(pool.answers()) as answers:
        for job, answer in answers:
            waiting[job.number] = job.task, answer
            while turn in waiting:
                turn += 1
                yield waiting.pop(turn - 1)


class _Pool(Generic[Task, Answer]):
    """The workers and what is dealt to them. `may_draw` is asked whether another task than the n drawn is wanted."""

    def __init__(
        self, tasks: Iterable[Task], begin: Begin[Task, Answer], jobs: int, policy: Policy[Task],
        may_draw: Callable[[int], bool],
    ) -> None:  # fmt: skip
        self.begin, self.jobs, self.policy, self.may_draw = begin, jobs, policy, may_draw
        self.queue = enumerate(tasks)
        self.undealt: dict[int, Task] = dict(self.queue) if policy.near else {}
        self.drawn = 0
        self.again: deque[_Job[Task]] = deque()
        self.workers: list[_Worker[Task, Answer]] = []

    def answers(self) -> Generator[tuple[_Job[Task], Answer | TaskFailed], None, None]:
        """Each task with its answer; whichever way it ends, no worker is left."""
        try:
            while True:
                self._fill()
                busy = [w for w in self.workers if w.job is not None]
                if not busy:
                    return
                ready = wait([w.channel for w in busy], TICK)
                for worker in busy:
                    job = worker.job
                    assert job is not None
                    found = self._found(worker, job, worker.channel in ready)
                    if found is not None:
                        yield job, found[0]
        finally:
            self._dismiss()

    def _fill(self) -> None:
        """Gives every idle worker a task, and starts workers while there are tasks."""
        while True:
            idle = next((w for w in self.workers if w.job is None), None)
            if idle is None and len(self.workers) >= self.jobs:
                return
            job = self._next(idle.last if idle is not None else -1)
            if job is None:
                return
            idle = idle or self._started()
            idle.job, idle.last, idle.patience = job, job.number, Patience(self.policy.patience)
            with contextlib.suppress(OSError):  # it has died: reading tells
                idle.channel.send(job.task)

    def _next(self, last: int) -> _Job[Task] | None:
        if self.again:
            return self.again.popleft()
        if self.undealt:
            number = last + 1 if last >= 0 and last + 1 in self.undealt else middle(self.undealt)
            return _Job(number, self.undealt.pop(number))
        if not self.may_draw(self.drawn):
            return None
        for number, task in self.queue:
            self.drawn = number + 1
            return _Job(number, task)
        return None

    def _found(self, worker: _Worker[Task, Answer], job: _Job[Task], ready: bool) -> tuple[Answer | TaskFailed] | None:
        """The answer, in a tuple; None where there is none yet."""
        if ready:
            try:
                answer = worker.channel.recv()
            except (EOFError, OSError):
                return self._died(worker, job)
            worker.job = None
            return (answer,)
        if self.policy.patience < math.inf and worker.patience.is_over(worker.process.pid or 0):
            self._bury(worker)
            return (TaskFailed(f"no answer within {self.policy.patience:g} s"),)
        return None

    def _died(self, worker: _Worker[Task, Answer], job: _Job[Task]) -> tuple[TaskFailed] | None:
        """How the worker ended, where its task is not dealt again."""
        worker.process.join(SECONDS_TO_LEAVE)  # its channel is closed: it is about to end
        self._bury(worker)
        reason = f"the worker process ended with status {worker.process.exitcode}"
        job.deaths += 1
        if job.deaths <= self.policy.retries:
            self.again.append(job)
            self.policy.lost(job.task, reason)
            return None
        return (TaskFailed(reason if job.deaths == 1 else f"{reason}, as did the one before"),)

    def _started(self) -> _Worker[Task, Answer]:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, self.begin), daemon=True)
        worker = _Worker(process, here, min(set(range(self.jobs)) - {w.number for w in self.workers}))
        with _ctrl_c_held_back():  # no worker that nobody knows of
            process.start()
            self.workers.append(worker)
        there.close()
        if self.policy.pinned:
            allowed = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process.pid or 0, {allowed[worker.number % len(allowed)]})
        return worker

    def _dismiss(self) -> None:
        """Waits for the workers to leave, kills those that do not."""
        try:
            if self.policy.grace:
                for worker in self.workers:
                    worker.process.terminate()
                end = time.monotonic() + self.policy.grace
                for worker in self.workers:
                    worker.process.join(max(0.0, end - time.monotonic()))
        finally:
            for worker in self.workers:
                worker.process.kill()
            for worker in list(self.workers):
                self._bury(worker)

    def _bury(self, worker: _Worker[Task, Answer]) -> None:
        """Kills a worker that has not ended."""
        self.workers.remove(worker)
        worker.channel.close()
        worker.process.kill()
        worker.process.join()


def middle(numbers: Iterable[int]) -> int:
    """Where another worker begins: the middle of the longest stretch of ascending numbers, its first one where it
    begins at 0.
    """
    stretches: list[list[int]] = []
    for n in numbers:
        if stretches and stretches[-1][-1] == n - 1:
            stretches[-1].append(n)
        else:
            stretches.append([n])
    longest = max(stretches, key=len)
    return longest[0 if longest[0] == 0 else len(longest) // 2]


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """SIGINT waits until the block is over.  A mask would not do: the signal may come to another thread, such as a
    progress bar's, and Python handles it in this one all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are handled there
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _serve(channel: Connection[Answer | TaskFailed, Task], begin: Begin[Task, Answer]) -> None:
    """A worker's life: answers tasks until nobody asks any more."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    with begin() as answer, contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task = channel.recv()
            try:
                found: Answer | TaskFailed = answer(task)
            except Exception as error:  # a fault of our own concerns one task, the others go on
                found = TaskFailed(f"internal fault: {type(error).__name__}: {error}")
            channel.send(found)
