"""`ubp-verify confirm kernel`: the running kernel's uprobes as judge of a scheme.

A kernel is no judge of a scheme that models another version: status 2, unless it is asked for all the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import click

from verify.cli.common import given
from verify.cli.options import SCHEME_HELP, assumptions_without, forms_in, ledger_of, opcode_ranges, scheme_named
from verify.cli.request import Request, answering, refuse_part, timed, unavailable
from verify.confirm.agreement import Agreement
from verify.confirm.judges import another_version, has_judge
from verify.confirm.kernel import compared
from verify.judge.encoding import Judge
from verify.live.uprobe import missing
from verify.models.schemes.scheme import Scheme
from verify.survey.encodings import NOTHING, known_of
from verify.survey.settings import ANY_CPU

EXAMPLES: Final = """\b
Examples:
  ubp-verify confirm kernel
  ubp-verify confirm kernel 90-9f --step 10
  ubp-verify confirm kernel --scheme linux-uprobes-6.12 --although
"""


@click.command(epilog=EXAMPLES)
@click.argument("ranges", nargs=-1, metavar="[RANGE...]")
@click.option("--scheme", "scheme_name", metavar="NAME", help=SCHEME_HELP)
@click.option("--although", is_flag=True, help="Compare although the scheme models another version than runs here.")
@click.option("--step", type=click.FloatRange(1), default=2.35, show_default=True,
              help="Compare one in so many encodings of the corpus.")  # fmt: skip
@timed("Begin nothing new after so long; default: the whole corpus.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@answering
def kernel(
    ranges: tuple[str, ...], scheme_name: str | None, although: bool, step: float, seconds: float | None,
    jobs: int | None, style: str, store: bool,
) -> int:  # fmt: skip
    """The running kernel's uprobes judge the scheme that models them, over the encodings in RANGE... (root)."""
    refuse_part(store, ranges)
    scheme = scheme_named(scheme_name)
    forms_in(ranges)
    if not has_judge(scheme):
        raise click.UsageError(another_version(scheme))
    other = another_version(scheme)
    refused = f"{other} (--although compares all the same)" if other and not although else ""
    if reasons := [reason for reason in (refused, *missing()) if reason]:
        return unavailable("; ".join(reasons))
    if other and store:
        raise click.UsageError(f"--store keeps what a kernel says of its own scheme: {other}")
    agreement = Agreement(scheme.name, other)
    news = compared(agreement, opcode_ranges(ranges), step, jobs or len(os.sched_getaffinity(0)),
                    _knowing_judge(scheme), seconds, _dealt_again)  # fmt: skip
    return Request(style, store).answered(agreement, news)


def _dealt_again(encodings: Sequence[bytes], reason: str) -> None:
    which = f"{len(encodings)} encodings from {encodings[0].hex()} on"
    click.echo(f"ubp-verify: {reason}; {which} are judged again", err=True)


def _knowing_judge(scheme: Scheme) -> Judge:
    """A judge that starts with the ledger's decisions, where there is one."""
    assumptions = assumptions_without(())
    try:
        known = known_of(ledger_of(given("ledger"), scheme.name, ANY_CPU, assumptions), assumptions)
    except click.UsageError:
        known = NOTHING
    return known.judge(scheme, assumptions)
