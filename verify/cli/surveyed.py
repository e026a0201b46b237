"""A survey of forms, taken from the ledger and completed: what `opcode-range` and `report` begin with."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from verify.cli.options import forms_in, forms_of, ledger_of
from verify.cli.progress import counting
from verify.models.schemes.scheme import Scheme
from verify.report.judged import JudgedForm
from verify.report.surveys import Survey
from verify.survey.confirmed import recorded_confirmations
from verify.survey.documents import Asked, document
from verify.survey.ledger import Ledger
from verify.survey.rows import is_lasting
from verify.survey.selection import EVERYTHING, Selection
from verify.survey.settings import forms_mark

if TYPE_CHECKING:
    from verify.judge.encoding import Judge
    from verify.survey.class_ledger import ClassLedger
    from verify.survey.forms import ShardResult

SAVE_EVERY = 10.0  # seconds between two stores of the forms' rows


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: ranges, what they are judged under, what counts; where it is kept and how it is run."""

    ranges: tuple[str, ...]
    scheme: Scheme
    cpu: str
    assumptions: frozenset[str]
    selection: Selection = EVERYTHING
    folder: str | None = None
    jobs: int | None = None
    fresh: bool = False
    quiet: bool = False


def surveyed(asked: Request) -> Survey:
    """The document of the survey.  What is damaged in the ledger is said on standard error."""
    begun = time.monotonic()
    names = [f.name for f in forms_in(asked.ranges, asked.cpu)]
    scheme, assumptions = asked.scheme, asked.assumptions
    mark = forms_mark(scheme.name, asked.cpu, assumptions)
    part = mark if len(names) < len(forms_of(asked.cpu)) else ""
    ledger = ledger_of(asked.folder, scheme.name, asked.cpu, assumptions, part)
    survey = _Survey(ledger, mark, {} if asked.fresh else ledger.forms(mark, names), asked.fresh)
    try:
        rows = survey.complete(names, scheme, asked.cpu, assumptions, asked.jobs or os.cpu_count() or 1, asked.quiet)
    finally:  # all its files have been read by now
        for notice in ledger.notices:
            click.echo(f"ubp-verify: {notice}", err=True)
    known = partial(_knowing_judge, ledger, scheme, assumptions)
    question = Asked(scheme, asked.cpu, tuple(sorted(assumptions)))
    seconds = time.monotonic() - begun
    return document(question, rows, seconds, known, recorded_confirmations(scheme), asked.selection)


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
                with counting("forms", len(names), quiet, len(names) - len(missing)) as told:
                    classes = self.ledger.classes(assumptions)
                    before = {} if self.fresh else classes.known()
                    with closing(judged_forms(missing, setting, known, before, jobs, _dealt_again)) as learnt:
                        for found in learnt:
                            self._take(found, classes)
                            told(len(found.rows))
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
