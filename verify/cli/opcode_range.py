"""`ubp-verify opcode-range`: the verdict of every form in a range."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click
from rich.console import Console

from verify.cli import every_scheme
from verify.cli.options import assumptions_without, judging, scheme_named, selecting, selection_of
from verify.cli.status import REFUTED, UNDECIDED
from verify.cli.surveyed import Request, surveyed
from verify.report.records import encoded
from verify.report.surveys import FormRow, Survey
from verify.survey.selection import known_forms

EXAMPLES: Final = """\b
Examples:
  ubp-verify opcode-range
  ubp-verify opcode-range d8-df vex.0f --all
  ubp-verify opcode-range --map
  ubp-verify opcode-range --scheme running --only-compilers
  ubp-verify opcode-range --format json > before.json
  ubp-verify opcode-range --baseline before.json --check -q
"""


@click.command("opcode-range", epilog=EXAMPLES)
@click.argument("ranges", nargs=-1)
@judging
@selecting
@click.option("--format", "style", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
@click.option("--fresh", is_flag=True, help="Judge again what is asked for; nothing is taken from the ledger.")
@click.option("--check", is_flag=True, help="End with status 1 where something is refuted that counts.")
@click.option("--all", "--all-findings", "all_findings", is_flag=True,
              help="Explain every finding and list its forms, not the worst alone.")  # fmt: skip
@click.option("--map", "as_map", is_flag=True, help="The opcode maps alone, 16 x 16, by verdict.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, totals only.")
def opcode_range(
    ranges: tuple[str, ...], scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str,
    jobs: int | None, folder: str | None, fresh: bool, check: bool, all_findings: bool, quiet: bool, as_map: bool,
    observables: str | None, ignored: tuple[str, ...], only_emitted: bool, baseline: str | None,
) -> int:  # fmt: skip
    """Verdict of every form in RANGE... (00-ff, 0f00-0fff, 0f38, vex.0f, evex, d8-df, all; default all)."""
    selection = selection_of(observables, ignored, only_emitted, baseline, known_forms)
    every = every_scheme.schemes_of(scheme_name, as_map or bool(baseline))
    assumptions = assumptions_without(dropped)
    results = [
        surveyed(Request(ranges, scheme, cpu, assumptions, selection, folder, jobs, fresh, quiet))
        for scheme in every or (scheme_named(scheme_name),)
    ]
    if every:
        every_scheme.show(results, style)
    else:
        _show(results[0], style, all_findings, quiet, as_map)
    if check and any(f.verdict == "refuted" and selection.counts_form(f) for r in results for f in r.forms):
        return REFUTED
    return UNDECIDED if any(r.totals["unknown"] or r.totals["vacuous"] for r in results) else 0


def _show(result: Survey, style: str, every: bool, quiet: bool, as_map: bool) -> None:
    if style == "json":
        sys.stdout.write(encoded(result) + "\n")
    elif style == "csv":
        _csv(result.forms)
    else:
        from verify.report.text import print_survey, print_totals  # noqa: PLC0415  start-up time
        from verify.report.wrapped import NARROW  # noqa: PLC0415

        console = _Output(width=None if sys.stdout.isatty() else NARROW)
        if as_map:
            from verify.report.opcode_map import print_maps  # noqa: PLC0415

            print_maps(console, result)
        elif quiet:
            print_totals(console, result)
        else:
            print_survey(console, result, every)


class _Output(Console):
    """Standard output; a closed pipe is an error as any other, not the end of the process with status 1."""

    def on_broken_pipe(self) -> None:
        """Called where the reader has left."""
        raise BrokenPipeError


def _csv(rows: Sequence[FormRow]) -> None:
    import csv  # noqa: PLC0415  this format alone needs it

    writer = csv.writer(sys.stdout)
    first = ("form", "opcode", "mnemonic", "addressing", "verdict")
    writer.writerow((*first, "refuted", "reason", "bytes", "cause", "as compilers emit it"))
    for r in rows:
        refuted = ",".join(o for o, v in r.observables.items() if v == "refuted")
        example = r.counterexample.bytes if r.counterexample is not None else ""
        emitted = "" if r.emitted is None else "yes" if r.emitted else "no"
        writer.writerow((*(getattr(r, n) for n in first), refuted, r.reason, example, r.cause, emitted))
