"""How far a command has got: a bar on a terminal, on standard error, gone when it is done; nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
Told = Callable[[int], None]  # that so many more are done


def progress(quiet: bool) -> AbstractContextManager[Progress | None]:
    """A bar, where standard error is a terminal and quiet is not asked for."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return nullcontext()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


@contextmanager
def counting(what: str, total: int | None, quiet: bool = False) -> Iterator[Told]:
    """What is called with how many more are done; `total`: none where nobody knows."""
    with progress(quiet) as bar:
        task = bar.add_task(what, total=total) if bar is not None else None
        yield (lambda n: bar.advance(task, n)) if bar is not None and task is not None else (lambda n: None)


def counted(what: str, items: Iterable[T], total: int | None) -> Iterator[T]:
    """The items, counted as they come; `total` where it is known."""
    with counting(what, total) as told:
        for item in items:
            yield item
            told(1)


def shows_lines_itself() -> bool:
    """Whether the output is read on a terminal line by line, which says enough."""
    return sys.stdout.isatty()
