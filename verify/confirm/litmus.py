"""The litmus catalogue against this machine's processors: does a processor show what the fetch model forbids?

Decides that for each test: a result that the model does not permit is a defect of the model. An allowed result that is
never seen is none: processors may be stronger than the axioms, and a run is finite.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from verify.concurrency.litmus.fetch import INT3, OTHER, Litmus, Results, outcomes, permits
from verify.live.litmus.litmus import LitmusRun, Observed, observe
from verify.live.results import keep, processor

SCHEMA: Final = "ubp-verify/live-litmus"
SECONDS_A_TEST: Final = 60.0
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


def document(rows: Sequence[LitmusRow], wanted: int, seed: int) -> dict[str, Any]:
    """All rows as one JSON object."""
    weak = [row.test.name for row in rows if row.test.verdict == "allowed" and row.of_interest]
    unseen = [row.test.name for row in rows if row.test.verdict == "allowed" and not row.of_interest]
    return {
        "schema": SCHEMA, "kernel": platform.release(), "processor": processor(), "wanted_runs": wanted, "seed": seed,
        "tests": len(rows), "runs": sum(row.runs for row in rows), "seconds": round(sum(r.seconds for r in rows), 1),
        "defects": [row.test.name for row in rows if row.forbidden],
        "unfinished": {row.test.name: row.unfinished for row in rows if row.unfinished},
        "allowed_and_seen": weak, "allowed_and_not_seen": unseen,
        "rows": [_row_document(row) for row in rows],
    }  # fmt: skip


def _row_document(row: LitmusRow) -> dict[str, Any]:
    return {
        "name": row.test.name, "reason": row.test.reason, "outcome": shown(row.test.outcome),
        "verdict": row.test.verdict, "runs": row.runs, "seconds": round(row.seconds, 2),
        "allowed": [shown(results) for results in row.allowed], "seen": {shown(r): n for r, n in row.seen},
        "forbidden_and_seen": [shown(results) for results in row.forbidden],
    }  # fmt: skip


def summary(found: dict[str, Any]) -> str:
    """The whole run in one line."""
    return (
        f"{found['tests']} tests, {found['runs']:,} runs on {found['processor']} in {found['seconds']} s: "
        f"{len(found['defects'])} show what the model forbids; of the allowed outcomes of interest "
        f"{len(found['allowed_and_seen'])} were seen and {len(found['allowed_and_not_seen'])} were not"
    )


def kept(found: dict[str, Any], folder: Path) -> Path:
    """Writes the run's document, one test a line; the file's path."""
    return keep("litmus", {**found, "rows": [_brief(row) for row in found["rows"]]}, folder)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the model's allowed outcomes, which follow from the catalogue, and at most 16 seen ones."""
    seen = dict(list(row["seen"].items())[:16])
    return {**{k: v for k, v in row.items() if k != "allowed"}, "seen": seen, "seen_in_all": len(row["seen"])}
