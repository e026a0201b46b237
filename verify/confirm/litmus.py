"""The litmus catalogue against this machine's processors: does a processor show what the fetch model forbids?

Decides that for each test: a result that the model does not permit is a defect of the model. An allowed result that is
never seen is none: processors may be stronger than the axioms, and a run is finite.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from verify.concurrency.litmus.fetch import INT3, OTHER, Litmus, Results, outcomes, permits
from verify.confirm.results import Kept, Standing, file_name
from verify.live.litmus.litmus import LitmusRun, Observed, observe
from verify.live.results import processor
from verify.report.confirmations import LitmusConfirmation
from verify.report.confirmations import LitmusRow as Documented
from verify.report.records import replaced

SECONDS_A_TEST: Final = 60.0
KEPT: Final = 16  # outcomes of one test in a file
SHOWN: Final = 6  # outcomes of one test in a line of text; all are in the JSON
Observer = Callable[[LitmusRun, int, float, int], Observed]
NAMED: Final = {INT3: "int3", OTHER: "other"}


@dataclass(frozen=True, slots=True)
class LitmusRow:
    """One test: what the model allows, what was seen how often, what of that the model forbids.

    `unfinished` says why there were fewer runs than asked for; empty where there were enough.
    """

    test: Litmus
    allowed: tuple[Results, ...]
    seen: tuple[tuple[Results, int], ...]
    forbidden: tuple[Results, ...]
    runs: int
    seconds: float
    unfinished: str

    @property
    def of_interest(self) -> int:
        """How often the test's own outcome was seen."""
        return sum(number for results, number in self.seen if results == self.test.outcome)


def judged(test: Litmus, seen: Observed) -> LitmusRow:
    """What was seen of one test, held against the model."""
    allowed = outcomes(test)
    counts = tuple(sorted(seen.counts, key=lambda row: -row[1]))
    wrong = tuple(results for results, _ in counts if not permits(allowed, results))
    return LitmusRow(test, tuple(sorted(allowed)), counts, wrong, seen.runs, seen.seconds, seen.reason)


def confirmed(
    tests: Sequence[Litmus], runs: int, seconds: float | None, seed: int, observer: Observer | None = None
) -> Iterator[LitmusRow]:
    """Every test run at least `runs` times; `seconds` for all of them, a test at most 60."""
    left = seconds if seconds is not None else SECONDS_A_TEST * len(tests)
    for number, test in enumerate(tests):
        if left <= 0:
            yield judged(test, Observed((), 0, 0.0, "no time was left"))
            continue
        run = LitmusRun(test.initial, test.writer, test.reader, test.at)
        row = judged(test, (observer or observe)(run, runs, min(left, SECONDS_A_TEST), seed + number))
        left -= row.seconds
        yield row


def shown(results: Results) -> str:
    """One outcome in words: hex values, int3, other; joined by commas."""
    return ",".join(NAMED.get(value, f"{value:x}") for value in results)


def line(row: LitmusRow) -> str:
    """One row of the table for people."""
    permitted = [shown(results) for results in row.allowed]
    more = f" and {len(permitted) - SHOWN} more" if len(permitted) > SHOWN else ""
    seen = [f"{shown(results)}: {number:,}" for results, number in row.seen[:SHOWN]]
    others = f"; {len(row.seen) - SHOWN} more outcomes" if len(row.seen) > SHOWN else ""
    return (
        f"{row.test.name:<40} {shown(row.test.outcome)} is {row.test.verdict}, seen {row.of_interest:,} times in "
        f"{row.runs:,}; allowed: {' | '.join(permitted[:SHOWN])}{more}; seen: {'; '.join(seen) or 'nothing'}{others}"
    )


def defects(row: LitmusRow) -> list[str]:
    """A line for each outcome that was seen and is forbidden, and one if the runs were too few."""
    counts = dict(row.seen)
    lines = [
        f"DEFECT OF THE MODEL: {row.test.name}: {shown(r)} was seen {counts[r]:,} times and is forbidden"
        for r in row.forbidden
    ]
    return lines + ([f"{row.test.name}: only {row.runs:,} runs: {row.unfinished}"] if row.unfinished else [])


@dataclass(slots=True)
class LitmusResult:
    """The rows so far of a run over `tests` tests with the wanted number of runs each."""

    tests: int
    wanted: int
    seed: int
    rows: list[LitmusRow] = field(default_factory=list)

    def document(self) -> LitmusConfirmation:
        """All rows for programs."""
        weak = [row for row in self.rows if row.test.verdict == "allowed"]
        return LitmusConfirmation(
            kernel=platform.release(), processor=processor(), seconds=round(sum(r.seconds for r in self.rows), 1),
            complete=len(self.rows) == self.tests and not self.unfinished, wanted_runs=self.wanted, seed=self.seed,
            tests=len(self.rows), runs=sum(row.runs for row in self.rows), defects=self.defects,
            unfinished=self.unfinished,
            allowed_and_seen=tuple(row.test.name for row in weak if row.of_interest),
            allowed_and_not_seen=tuple(row.test.name for row in weak if not row.of_interest),
            rows=tuple(map(_documented, self.rows)),
        )  # fmt: skip

    @property
    def defects(self) -> tuple[str, ...]:
        """The tests that showed what the model forbids."""
        return tuple(row.test.name for row in self.rows if row.forbidden)

    @property
    def unfinished(self) -> dict[str, str]:
        """Why a test has fewer runs than wanted."""
        return {row.test.name: row.unfinished for row in self.rows if row.unfinished}

    def lines(self) -> Iterator[str]:
        """The whole run in one line."""
        found = self.document()
        yield (
            f"{found.tests} tests, {found.runs:,} runs on {found.processor} in {found.seconds} s: "
            f"{len(found.defects)} show what the model forbids; of the allowed outcomes of interest "
            f"{len(found.allowed_and_seen)} were seen and {len(found.allowed_and_not_seen)} were not"
        )

    def kept(self) -> Iterable[Kept]:
        """One file, without what the catalogue says and with at most 16 outcomes a test."""
        found = self.document()
        yield Kept(file_name("litmus"), replaced(found, rows=tuple(map(_brief, found.rows))), "rows")

    @property
    def standing(self) -> Standing:
        """A defect weighs more than a test that did not run often enough."""
        if self.defects:
            return Standing.DISAGREES
        return Standing.UNDECIDED if self.unfinished else Standing.AGREES


def _documented(row: LitmusRow) -> Documented:
    return Documented(
        name=row.test.name, reason=row.test.reason, outcome=shown(row.test.outcome), verdict=row.test.verdict,
        runs=row.runs, seconds=round(row.seconds, 2), seen={shown(r): n for r, n in row.seen},
        seen_in_all=len(row.seen), forbidden_and_seen=tuple(map(shown, row.forbidden)),
        allowed=tuple(map(shown, row.allowed)),
    )  # fmt: skip


def _brief(row: Documented) -> Documented:
    return replaced(row, seen=dict(list(row.seen.items())[:KEPT]), allowed=None)
