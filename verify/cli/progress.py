"""How far a command has got: a bar on a terminal, nothing in a pipe and where quiet is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Told = Callable[[int], None]  # that so many more are done


def progress(quiet: bool) -> AbstractContextManager[Progress | None]:
    """A bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return nullcontext()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


@contextmanager
def counting(what: str, total: int | None, quiet: bool) -> Iterator[Told]:
    """What is called with how many more are done; `total`: none where nobody knows."""
    with progress(quiet) as bar:
        task = bar.add_task(what, total=total) if bar is not None else None
        yield (lambda n: bar.advance(task, n)) if bar is not None and task is not None else (lambda n: None)


def shows_lines_itself() -> bool:
    """Whether the output is read on a terminal line by line, which says enough."""
    return sys.stdout.isatty()
