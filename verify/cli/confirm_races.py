"""`ubp-verify confirm races`: the running kernel as judge of the protocols."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from typing import Final

import click

from verify.cli.request import Request, answering, chosen, refuse_part, seeded, timed
from verify.confirm import races as confirmation
from verify.live.races.races import Scenario

EXAMPLES: Final = """\b
Examples:
  ubp-verify confirm races
  ubp-verify confirm races --seconds 60
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@timed("For all scenarios together; default: 20.")
@seeded
@answering
def races(names: tuple[str, ...], seconds: float | None, seed: int, style: str, store: bool) -> int:
    """The running kernel judges the protocols, by the scenarios NAME... (root)."""
    refuse_part(store, names)
    scenarios = chosen("scenario", names, confirmation.SCENARIOS)
    result = confirmation.RacesResult(len(scenarios), seed)
    return Request(style, store).answered(result, _news(result, scenarios, seconds))


def _news(
    result: confirmation.RacesResult, scenarios: Sequence[Scenario], seconds: float | None
) -> Generator[Iterable[str], None, None]:
    begun = time.monotonic()
    for outcome in confirmation.confirmed(scenarios, seconds, result.seed):
        result.outcomes.append(outcome)
        result.seconds = time.monotonic() - begun
        yield confirmation.lines(outcome)
