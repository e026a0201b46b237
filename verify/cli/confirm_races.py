"""The modes --litmus and --races of `ubp-verify confirm`: this machine as judge of the models of concurrency.

Exit status: 0 nothing contradicts the models; 1 something does; 2 the judge is not available here, or time was short;
64 wrong usage.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import click

from verify.cli.request import Request, unavailable
from verify.cli.status import REFUTED, UNDECIDED

Named = TypeVar("Named", bound=Any)


def chosen(what: str, names: Sequence[str], known: Sequence[Named]) -> tuple[Named, ...]:
    """Those of the known ones that have these names, all where there is none.  A usage error for an unknown name."""
    by_name = {item.name: item for item in known}
    for name in names:
        if name not in by_name:
            raise click.UsageError(f"there is no {what} {name!r}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) or tuple(known)


def litmus(request: Request) -> int:
    """The processors judge the model of code that is modified while it runs: every litmus test, or those named."""
    from verify.concurrency.litmus.catalogue import CATALOGUE  # noqa: PLC0415
    from verify.confirm import litmus  # noqa: PLC0415  start-up time
    from verify.live.litmus import litmus as judge  # noqa: PLC0415

    tests = chosen("litmus test", request.ranges, CATALOGUE)
    if reason := judge.unavailable():
        return unavailable(reason)
    rows = []
    for row in litmus.confirmed(tests, request.runs, request.seconds, request.seed):
        rows.append(row)
        if request.style == "text":
            click.echo("\n".join([litmus.line(row), *litmus.defects(row)]))
    found = litmus.document(rows, request.runs, request.seed)
    click.echo(json.dumps(found) if request.style == "json" else litmus.summary(found))
    request.kept(partial(litmus.kept, found))
    return REFUTED if found["defects"] else UNDECIDED if found["unfinished"] else 0


def races(request: Request) -> int:
    """The running kernel judges the protocols: every scenario, or those named."""
    from verify.confirm import races  # noqa: PLC0415  start-up time
    from verify.live.results import keep  # noqa: PLC0415
    from verify.live.uprobe import UprobesUnavailable  # noqa: PLC0415

    scenarios = chosen("scenario", request.ranges, races.SCENARIOS)
    outcomes, begun = [], time.monotonic()
    try:
        for outcome in races.confirmed(scenarios, request.seconds, request.seed):
            outcomes.append(outcome)
            if request.style == "text":
                click.echo("\n".join(races.lines(outcome)))
    except UprobesUnavailable as error:
        return unavailable(str(error))
    found = races.document(outcomes, time.monotonic() - begun, request.seed)
    click.echo(json.dumps(found) if request.style == "json" else races.summary(found))
    request.kept(partial(keep, "races", found))
    return REFUTED if found["disagree"] else UNDECIDED if found["not_run"] else 0
