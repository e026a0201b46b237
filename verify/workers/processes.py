"""Worker processes that end when they are not wanted any more: on Ctrl-C, on an error, and when their parent dies.

They are forked, so that what the parent knows is theirs without copying.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Any


@contextmanager
def pool(jobs: int, begin: Callable[..., None], given: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    """Workers that call `begin` with `given` first.  Where the block raises, what has begun is not waited for."""
    others = frozenset(multiprocessing.active_children())
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _begin, (begin, given)) as workers:
        try:
            yield workers
        except BaseException:  # nothing is cancelled: the executor cannot mark cancelled tasks as broken
            for child in frozenset(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def _begin(begin: Callable[..., None], given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    begin(*given)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
