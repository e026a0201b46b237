"""What the modes of `confirm` ask and answer alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from verify.cli.status import FAULT, INTERRUPTED, REFUTED, UNDECIDED
from verify.confirm.results import Result, Standing, keep
from verify.live.capabilities import ExecutorUnavailable
from verify.live.uprobe import UprobesUnavailable
from verify.report.records import encoded

STATUS: Final = {
    Standing.AGREES: 0, Standing.DISAGREES: REFUTED, Standing.UNDECIDED: UNDECIDED, Standing.LOST: FAULT,
}  # fmt: skip
F = TypeVar("F", bound=Callable[..., Any])
Named = TypeVar("Named", bound=Any)


@dataclass(frozen=True, slots=True)
class Request:
    """How a result is wanted: `style` is text or json, `store` keeps it."""

    style: str
    store: bool

    def answered(self, result: Result, news: Generator[Iterable[str], None, None]) -> int:
        """Takes what `news` brings into the result, whose lines are shown as they come; shows and keeps it; the status.

        An interrupt leaves the results so far, which are shown and not kept.
        """
        broken_off = False
        try:
            with closing(news):
                for lines in news:
                    self._shown(lines)
        except KeyboardInterrupt:
            broken_off = True
        except (UprobesUnavailable, ExecutorUnavailable) as error:
            return unavailable(str(error))
        click.echo(encoded(result.document())) if self.style == "json" else self._shown(result.lines())
        if broken_off:
            click.echo("ubp-verify: interrupted; these are the results so far", err=True)
            return INTERRUPTED
        if self.store:
            self._kept(result)
        return STATUS[result.standing]

    def _shown(self, lines: Iterable[str]) -> None:
        if self.style == "text":
            for line in lines:
                click.echo(line)

    def _kept(self, result: Result) -> None:
        from verify.cli.options import ledger_directory  # noqa: PLC0415  start-up time

        for path in keep(result, ledger_directory(None) / "live"):
            click.echo(f"kept in {path}", err=True)


def answering(function: F) -> F:
    """--format and --store; see `Request`."""
    for option in (
        click.option("--store", is_flag=True, help="Keep the result of a whole run in the checkout's proofs/live/."),
        click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True),
    ):
        function = option(function)
    return function


def seeded(function: F) -> F:
    """--seed."""
    return click.option("--seed", type=click.IntRange(0), default=1, show_default=True)(function)


def timed(what: str) -> Callable[[F], F]:
    """--seconds, None where it is not given; `what`: what it does, for people."""
    return click.option("--seconds", type=click.FloatRange(0, min_open=True), default=None, help=what)


def refuse_part(store: bool, names: Sequence[str]) -> None:
    """A usage error where a part is to be kept: it would replace the whole."""
    if store and names:
        raise click.UsageError(f"--store keeps a whole run, this is a part of it: {' '.join(names)}")


def unavailable(reason: str) -> int:
    """Says why nothing is judged; the exit status."""
    click.echo(f"ubp-verify: the judge is not available here: {reason}", err=True)
    return UNDECIDED


def chosen(what: str, names: Sequence[str], known: Sequence[Named]) -> tuple[Named, ...]:
    """Those of the known ones that have these names, all where there is none.  A usage error for an unknown name."""
    by_name = {item.name: item for item in known}
    for name in names:
        if name not in by_name:
            raise click.UsageError(f"there is no {what} {name!r}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) or tuple(known)
