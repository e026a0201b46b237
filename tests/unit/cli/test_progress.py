"""A bar on a terminal leaves standard output alone; in a pipe there is nothing, or with -v a plain line a step."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest
from rich.console import Console

from verify.cli.common import NAME
from verify.cli.progress import _bar, counted, counting


@contextmanager
def asked(**given: bool) -> Iterator[None]:
    """A command for which that was given."""
    with click.Context(click.Command("c")) as context:
        context.meta[NAME] = given
        yield


def test_what_a_command_writes_while_a_bar_is_shown_goes_where_it_is_sent() -> None:
    """Rich sends it to the terminal if it is let: `classify FILE > results` had nothing in its file."""
    before, terminal = sys.stdout, io.StringIO()
    with _bar(Console(file=terminal, force_terminal=True)) as bar:
        bar.add_task("lines", total=2)
        assert sys.stdout is before and not isinstance(sys.stderr, io.StringIO)


def test_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with asked(verbose=True):
        assert list(counted("forms", range(20), 20)) == list(range(20))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ubp-verify: forms: 0 of 20" and lines[-1] == "ubp-verify: forms: 20 of 20"
    assert len(lines) == 11


def test_lines_where_nobody_knows_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    with asked(verbose=True), counting("lines", None) as told:
        told(999)
        told(2)
    assert capsys.readouterr().err == "ubp-verify: lines: 0\nubp-verify: lines: 1,001\n"


@pytest.mark.parametrize("given", [{}, {"verbose": True, "quiet": True}])
def test_nothing_in_a_pipe(given: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    with asked(**given), counting("forms", 20) as told:
        told(20)
    assert capsys.readouterr().err == ""


def test_an_interrupt_says_how_many_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), counting("forms", 20, quiet=True) as told:
        told(7)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "ubp-verify: forms: 7 of 20\n"
