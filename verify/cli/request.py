"""What `confirm` was asked for, and what its modes answer alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from verify.cli.status import INTERRUPTED, UNDECIDED


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; modes take what concerns them."""

    ranges: tuple[str, ...]
    states: int
    seconds: float | None
    seed: int
    style: str
    store: bool
    quiet: bool
    step: float
    jobs: int
    runs: int

    def kept(self, keep: Callable[[Path], Path]) -> None:
        """With --store: keeps a result by `keep`, which is given the folder, and says in which file."""
        if self.store:
            from verify.cli.options import ledger_directory  # noqa: PLC0415  start-up time

            click.echo(f"kept in {keep(ledger_directory(None) / 'live')}", err=True)


def unavailable(reason: str) -> int:
    """Says why nothing is judged; the exit status."""
    click.echo(f"ubp-verify: the judge is not available here: {reason}", err=True)
    return UNDECIDED


def interrupted() -> int:
    """Says that the results are not all; the exit status."""
    click.echo("ubp-verify: interrupted; these are the results so far", err=True)
    return INTERRUPTED
