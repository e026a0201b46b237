"""`ubp-verify opcode-range`: the verdict of every form in a range."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from verify.cli.options import (
    assumptions_without,
    forms_in,
    forms_of,
    judging,
    ledger_of,
    scheme_named,
    selecting,
    selection_of,
)
from verify.cli.status import REFUTED, UNDECIDED
from verify.report.judged import JudgedForm
from verify.report.records import encoded
from verify.report.surveys import FormRow, Survey
from verify.survey.confirmed import recorded_confirmations
from verify.survey.documents import Asked, document
from verify.survey.ledger import Ledger
from verify.survey.rows import is_lasting
from verify.survey.selection import known_forms
from verify.survey.settings import forms_mark

if TYPE_CHECKING:
    from verify.judge.encoding import Judge
    from verify.models.schemes.scheme import Scheme
    from verify.survey.class_ledger import ClassLedger
    from verify.survey.forms import ShardResult

SAVE_EVERY = 10.0  # seconds between two stores of the forms' rows


@click.command("opcode-range")
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
    begun = time.monotonic()
    names = [f.name for f in forms_in(ranges, cpu)]
    scheme = scheme_named(scheme_name)
    selection = selection_of(observables, ignored, only_emitted, baseline, known_forms)
    assumptions = assumptions_without(dropped)
    mark = forms_mark(scheme.name, cpu, assumptions)
    part = mark if len(names) < len(forms_of(cpu)) else ""
    ledger = ledger_of(folder, scheme.name, cpu, assumptions, part)
    survey = _Survey(ledger, mark, {} if fresh else ledger.forms(mark, names), fresh)
    try:
        rows = survey.complete(names, scheme, cpu, assumptions, jobs or os.cpu_count() or 1, quiet)
    finally:  # all its files have been read by now
        for notice in ledger.notices:
            click.echo(f"ubp-verify: {notice}", err=True)
    known = partial(_knowing_judge, ledger, scheme, assumptions)
    result = document(Asked(scheme, cpu, tuple(sorted(assumptions))), rows, time.monotonic() - begun, known,
                      recorded_confirmations(scheme), selection)  # fmt: skip
    _show(result, style, all_findings, quiet, as_map)
    counts = result.totals
    if check and any(f.verdict == "refuted" and selection.counts_form(f) for f in result.forms):
        return REFUTED
    return UNDECIDED if counts["unknown"] or counts["vacuous"] else 0


def _knowing_judge(ledger: Ledger, scheme: Scheme, assumptions: frozenset[str]) -> Judge:
    from verify.survey.encodings import known_of  # noqa: PLC0415  start-up time

    return known_of(ledger, assumptions).judge(scheme, assumptions)


class _Survey:
    """Rows from the ledger, completed by judging what is missing."""

    def __init__(self, ledger: Ledger, mark: str, rows: dict[str, JudgedForm], fresh: bool) -> None:
        self.ledger, self.mark, self.rows, self.fresh = ledger, mark, rows, fresh
        self.new: dict[str, JudgedForm] = {}
        self.saved = time.monotonic()

    def complete(
        self, names: Sequence[str], scheme: Scheme, cpu: str, assumptions: frozenset[str], jobs: int, quiet: bool
    ) -> list[JudgedForm]:
        """The rows of all names, in order."""
        missing = [n for n in names if n not in self.rows]
        if missing:
            from verify.survey.explanation import CPUS  # noqa: PLC0415  start-up time
            from verify.survey.forms import Setting, judged_forms  # noqa: PLC0415

            setting = Setting(scheme, CPUS[cpu], assumptions)
            known = {} if self.fresh else dict(self.ledger.decisions)  # a copy: a judge adds to what it is given
            try:
                with _progress(quiet) as bar:
                    task = bar.add_task("forms", total=len(names), completed=len(names) - len(missing)) if bar else None
                    classes = self.ledger.classes(assumptions)
                    before = {} if self.fresh else classes.known()
                    with closing(judged_forms(missing, setting, known, before, jobs, _dealt_again)) as learnt:
                        for found in learnt:
                            self._take(found, classes)
                            if bar is not None and task is not None:
                                bar.advance(task, len(found.rows))
            finally:
                self._keep()
        if missing or not self.ledger.is_settled:
            self.ledger.settle(self.mark, assumptions)
        return [self.rows[n] for n in names]

    def _take(self, found: ShardResult, classes: ClassLedger) -> None:
        rows = {r.form: r for r in found.rows}
        self.rows.update(rows)
        self.new.update((name, r) for name, r in rows.items() if is_lasting(r))
        self.ledger.add(found.decisions)
        classes.add(found.classes)
        if time.monotonic() - self.saved > SAVE_EVERY:
            self._keep()

    def _keep(self) -> None:
        if self.new:
            self.ledger.keep_forms(self.mark, self.new.values())
            self.new.clear()
        self.saved = time.monotonic()


def _dealt_again(names: Sequence[str], reason: str) -> None:
    click.echo(f"ubp-verify: {reason}; {len(names)} forms from {names[0]} on are judged again", err=True)


def _progress(quiet: bool) -> AbstractContextManager[Progress | None]:
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return nullcontext()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _show(result: Survey, style: str, every: bool, quiet: bool, as_map: bool) -> None:
    if style == "json":
        sys.stdout.write(encoded(result) + "\n")
    elif style == "csv":
        _csv(result.forms)
    else:
        from verify.report.text import print_survey, print_totals  # noqa: PLC0415  start-up time
        from verify.report.wrapped import NARROW  # noqa: PLC0415

        console = Console(width=None if sys.stdout.isatty() else NARROW)
        if as_map:
            from verify.report.opcode_map import print_maps  # noqa: PLC0415

            print_maps(console, result)
        elif quiet:
            print_totals(console, result)
        else:
            print_survey(console, result, every)


def _csv(rows: Sequence[FormRow]) -> None:
    import csv  # noqa: PLC0415  this format alone needs it

    writer = csv.writer(sys.stdout)
    first = ("form", "opcode", "mnemonic", "addressing", "verdict")
    writer.writerow((*first, "refuted", "reason", "bytes"))
    for r in rows:
        refuted = ",".join(o for o, v in r.observables.items() if v == "refuted")
        example = r.counterexample.bytes if r.counterexample is not None else ""
        writer.writerow((*(getattr(r, n) for n in first), refuted, r.reason, example))
