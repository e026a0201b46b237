"""`ubp-verify confirm litmus`: the processors as judge of the model of code that is modified while it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Final

import click

from verify.cli.request import Request, answering, chosen, refuse_part, seeded, timed, unavailable
from verify.concurrency.litmus.catalogue import CATALOGUE
from verify.concurrency.litmus.fetch import Litmus
from verify.confirm import litmus as confirmation
from verify.live.litmus import litmus as judge

EXAMPLES: Final = """\b
Examples:
  ubp-verify confirm litmus
  ubp-verify confirm litmus breakpoint-set --seconds 10
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--runs", type=click.IntRange(1), default=1_000_000, show_default=True, help="Of each test, at least.")
@timed("For all tests together; default: a minute a test.")
@seeded
@answering
def litmus(names: tuple[str, ...], runs: int, seconds: float | None, seed: int, style: str, store: bool) -> int:
    """The processors judge the fetch model, by the litmus tests NAME..."""
    refuse_part(store, names)
    tests = chosen("litmus test", names, CATALOGUE)
    if reason := judge.unavailable():
        return unavailable(reason)
    result = confirmation.LitmusResult(len(tests), runs, seed)
    return Request(style, store).answered(result, _news(result, tests, seconds))


def _news(
    result: confirmation.LitmusResult, tests: Sequence[Litmus], seconds: float | None
) -> Generator[Iterable[str], None, None]:
    for row in confirmation.confirmed(tests, result.wanted, seconds, result.seed):
        result.rows.append(row)
        yield confirmation.line(row), *confirmation.defects(row)
