"""`ubp-verify confirm semantics`: the processor as judge of the semantics."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Final

import click

from verify.cli.options import forms_in
from verify.cli.request import Request, answering, refuse_part, seeded, timed, unavailable
from verify.confirm.semantics import SemanticsResult, mismatch_lines
from verify.live.capabilities import ExecutorUnavailable
from verify.live.differential.run import Settings, available, survey
from verify.models.x86.isa.forms import Form

FIRST_STATES: Final = 64  # of a form in the first round of a run with --seconds


EXAMPLES: Final = """\b
Examples:
  ubp-verify confirm semantics --seconds 60
  ubp-verify confirm semantics d8-df
"""


@click.command(epilog=EXAMPLES)
@click.argument("ranges", nargs=-1, metavar="[RANGE...]")
@click.option("--states", type=click.IntRange(1, 1 << 16), default=256, show_default=True,
              help="First runs of a form and round; attacks on read sets come on top.")  # fmt: skip
@timed("Repeat rounds for so long, after a short one over every form; default: one round.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@seeded
@answering
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def semantics(
    ranges: tuple[str, ...], states: int, seconds: float | None, jobs: int | None, seed: int, style: str, store: bool,
    quiet: bool,
) -> int:  # fmt: skip
    """The processor judges the semantics of the forms in RANGE... (as for opcode-range; default all)."""
    refuse_part(store, ranges)
    forms = forms_in(ranges)
    try:
        judge = available()
    except ExecutorUnavailable as error:
        return unavailable(str(error))
    settings = Settings(states, seed=seed, first=states if seconds is None else FIRST_STATES)
    result = SemanticsResult(settings, judge, len(forms))
    status = Request(style, store).answered(
        result, _news(result, forms, seconds, jobs or len(os.sched_getaffinity(0)), quiet)
    )
    if status and result.nothing_ran:
        return unavailable(f"no form of these ranges could be executed: {result.nothing_ran}")
    return status


def _dealt_again(task: tuple[int, str], reason: str) -> None:
    click.echo(f"ubp-verify: {reason}; {task[1]} is judged again", err=True)


def _news(
    result: SemanticsResult, forms: Sequence[Form], seconds: float | None, jobs: int, quiet: bool
) -> Generator[Iterable[str], None, None]:
    """The lines of each new mismatch, while forms are being judged; progress on a terminal."""
    begun, shown = time.monotonic(), not quiet and sys.stderr.isatty()
    try:
        with closing(survey(forms, result.settings, seconds, jobs, _dealt_again)) as results:
            for round_number, found in results:
                new = result.take(round_number, found)
                result.seconds = time.monotonic() - begun
                yield (line for mismatch in new for line in mismatch_lines(mismatch))
                if shown:
                    done = len(result.executed) + len(result.skipped)
                    text = f"\r{done}/{result.wanted} forms, {result.states} states\x1b[K"
                    click.echo(text, nl=False, err=True)
    finally:
        if shown:
            click.echo("\r\x1b[K", nl=False, err=True)
