"""The modes --litmus and --races of `ubp-verify confirm`: this machine as judge of the models of concurrency.

Exit status: 0 nothing contradicts the models; 1 something does; 2 the judge is not available here, or time was short;
64 wrong usage.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from verify.cli_confirm import Request

EXIT_DISAGREEMENT: Final = 1
EXIT_UNAVAILABLE: Final = 2


def litmus(request: Request) -> int:
    """The processors judge the fetch model: every litmus test, or those named."""
    from verify import confirm_litmus  # noqa: PLC0415  start-up time
    from verify.live.litmus import unavailable  # noqa: PLC0415

    try:
        tests = confirm_litmus.chosen(request.ranges)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if reason := unavailable():
        return _unavailable(reason)
    rows = []
    for row in confirm_litmus.confirmed(tests, request.runs, request.seconds, request.seed):
        rows.append(row)
        if request.style == "text":
            click.echo("\n".join([confirm_litmus.line(row), *confirm_litmus.defects(row)]))
    found = confirm_litmus.document(rows, request.runs, request.seed)
    click.echo(json.dumps(found) if request.style == "json" else confirm_litmus.summary(found))
    if request.store:
        from verify.cli_options import ledger_directory  # noqa: PLC0415  start-up time

        click.echo(f"kept in {confirm_litmus.keep(found, ledger_directory(None) / 'live')}", err=True)
    return EXIT_DISAGREEMENT if found["defects"] else EXIT_UNAVAILABLE if found["unfinished"] else 0


def races(request: Request) -> int:
    """The running kernel judges the protocols: every scenario, or those named."""
    from verify import confirm_races  # noqa: PLC0415  start-up time
    from verify.live.uprobe import UprobesUnavailable  # noqa: PLC0415

    try:
        scenarios = confirm_races.chosen(request.ranges)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    outcomes, begun = [], time.monotonic()
    try:
        for outcome in confirm_races.confirmed(scenarios, request.seconds, request.seed):
            outcomes.append(outcome)
            if request.style == "text":
                click.echo("\n".join(confirm_races.lines(outcome)))
    except UprobesUnavailable as error:
        return _unavailable(str(error))
    found = confirm_races.document(outcomes, time.monotonic() - begun, request.seed)
    click.echo(json.dumps(found) if request.style == "json" else confirm_races.summary(found))
    if request.store:
        from verify.cli_options import ledger_directory  # noqa: PLC0415  start-up time

        click.echo(f"kept in {confirm_races.keep(found, ledger_directory(None) / 'live')}", err=True)
    return EXIT_DISAGREEMENT if found["disagree"] else EXIT_UNAVAILABLE if found["not_run"] else 0


def _unavailable(reason: str) -> int:
    click.echo(f"ubp-verify: the judge is not available here: {reason}", err=True)
    return EXIT_UNAVAILABLE
