"""How far a command has got, on standard error: a bar on a terminal, gone when it is done; in a pipe nothing, or with
-v a plain line a step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from verify.cli.common import is_quiet, is_verbose

T = TypeVar("T")
Told = Callable[[int], None]  # that so many more are done
TENTHS: Final = 10  # lines, where it is known how many there are
UNKNOWN: Final = 1000  # things a line, where it is not


@contextmanager
def counting(what: str, total: int | None, quiet: bool = False, done: int = 0) -> Iterator[Told]:
    """What is called with how many more are done; `total`: none where nobody knows; `done`: before it begins.

    An interrupt says how many there were.
    """
    count = _Count(what, total, done)
    try:
        with _shown(count, quiet or is_quiet()) as told:
            yield told
    except KeyboardInterrupt:
        count.say()
        raise


@contextmanager
def _shown(count: _Count, quiet: bool) -> Iterator[Told]:
    console = Console(stderr=True)
    if not quiet and console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(count.what, total=count.total, completed=count.done)

            def told(n: int) -> None:
                count.add(n)
                bar.advance(task, n)

            yield told
    elif not quiet and is_verbose():
        count.say()
        yield count.told
    else:
        yield count.add


def _bar(console: Console) -> Progress:
    """A bar that leaves standard output alone: of a file, rich would send to the terminal what is written to it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


class _Count:
    """How many are done, and lines that say so: at the beginning, and for each tenth, or each thousand."""

    def __init__(self, what: str, total: int | None, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self.step = UNKNOWN if total is None else max(total // TENTHS, 1)

    def add(self, n: int) -> None:
        """So many more are done."""
        self.done += n

    def told(self, n: int) -> None:
        """The same, with a line where it is time for one."""
        before = self.done
        self.add(n)
        if before // self.step != self.done // self.step or self.done == self.total:
            self.say()

    def say(self) -> None:
        """The line."""
        of = f" of {self.total:,}" if self.total is not None else ""
        click.echo(f"ubp-verify: {self.what}: {self.done:,}{of}", err=True)


def counted(what: str, items: Iterable[T], total: int | None) -> Iterator[T]:
    """The items, counted as they come; `total` where it is known."""
    with counting(what, total) as told:
        for item in items:
            yield item
            told(1)


def step(what: str) -> None:
    """Says what begins, where -v asks for it; on a terminal a bar, or what is printed, says it."""
    if is_verbose() and not sys.stderr.isatty():
        click.echo(f"ubp-verify: {what}", err=True)


def shows_lines_itself() -> bool:
    """Whether the output is read on a terminal line by line, which says enough."""
    return sys.stdout.isatty()
