"""How far the running kernel agrees with a scheme's predictions: counts, and what disagreed.

Decides nothing; the rows come from `verify.confirm.kernel`.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

from verify.confirm.predictions import Disagreement
from verify.confirm.results import Kept, Standing, file_name
from verify.live.kernel.judge import KernelComparison
from verify.live.kernel.placement import unavailable
from verify.live.kernel.record import record
from verify.live.results import processor
from verify.report.confirmations import (
    EncodingDisagreement,
    KernelConfirmation,
    KernelSurvey,
    StateDisagreement,
    StateKind,
    Ways,
)
from verify.report.records import from_fields

ELSEWHERE: Final = "deviates in other states"  # than those in which the encoding was run
WAYS: Final = {
    "ways": "how the kernel runs them",
    "ways_in_32_bits": "how it runs them where a 32-bit process has the file mapped (analysed-as-64-bit)",
}


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One encoding that the processor knows: what the model says, what the kernel does, on which observables.

    `assumed`: the assumptions that leave out what differed; `frame`: what is wrong with the trap numbers of its frames;
    `states`: how many were predicted one by one, `apart` those of them in which the kernel did something else.
    """

    encoding: str
    said: str  # nothing: the model says nothing
    seen: str
    where: str
    comparison: KernelComparison
    assumed: tuple[str, ...] = ()
    frame: str = ""
    states: int = 0
    apart: tuple[Disagreement, ...] = ()


@dataclass(slots=True)
class Agreement:
    """Counts of predictions of a scheme, what disagreed, and what the kernel showed.

    `although`: why the kernel is no judge of the scheme, where it was asked all the same.
    """

    scheme: str
    although: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (predicted, seen)
    disagreements: list[KernelRow] = field(default_factory=list)
    comparisons: list[KernelComparison] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> encodings
    lost: list[str] = field(default_factory=list)  # why encodings have no row
    runs: Counter[str] = field(default_factory=Counter)  # with the probe, by kind of state
    deviating: Counter[str] = field(default_factory=Counter)  # encodings that deviate in a kind of state
    assumed: Counter[str] = field(default_factory=Counter)  # encodings that differ in what an assumption leaves out
    frames: Counter[str] = field(default_factory=Counter)  # faults delivered to a handler, by their trap number
    states: int = 0  # predicted one by one
    apart: list[Disagreement] = field(default_factory=list)  # those in which the kernel did something else
    ways: dict[str, Ways] = field(default_factory=dict)  # rows of WAYS: how encodings are run, against their plans
    seconds: float = 0.0
    complete: bool = False  # whether all tasks had their answer

    def take_all(self, rows: Iterable[KernelRow], skipped: Counter[str]) -> None:
        """Counts the encodings of a task, and those of it that have no row."""
        for found in rows:
            self.take(found)
        self.skipped += skipped

    def take(self, found: KernelRow) -> None:
        """Counts one encoding."""
        comparison = found.comparison
        self.counts[found.said, found.seen] += 1
        self.comparisons.append(comparison)
        self.runs.update(dict(comparison.runs))
        self.deviating.update({d.kind for d in comparison.deviations})
        self.assumed.update(found.assumed)
        self.states += found.states
        self.apart += found.apart
        self.frames.update("stale" if a != b else "equal" for a, b in comparison.frames)
        elsewhere = (found.said, found.seen) == (ELSEWHERE, "identical")
        if (found.said not in {"nothing", found.seen} and not elsewhere) or found.frame:
            self.disagreements.append(found)

    @property
    def judged(self) -> int:
        """Encodings of which the model says something."""
        return sum(n for (said, _), n in self.counts.items() if said != "nothing")

    @property
    def unsound(self) -> list[str]:
        """Encodings that the model calls identical and the kernel shows to deviate: the worst defect."""
        return sorted(r.encoding for r in self.disagreements if (r.said, r.seen) == ("identical", "deviates"))

    def document(self) -> KernelConfirmation:
        """Counts and disagreements for programs."""
        share = 1 - len(self.disagreements) / self.judged if self.judged else 0.0
        kinds = {k: StateKind(runs=n, deviating=self.deviating[k]) for k, n in sorted(self.runs.items())}
        rows = sorted((r.encoding, r.said, r.seen, _first(r)) for r in self.disagreements)
        return KernelConfirmation(
            kernel=platform.release(), processor=processor(), seconds=round(self.seconds, 1),
            complete=self.complete and not self.lost, scheme=self.scheme, although=self.although,
            compared=sum(self.counts.values()), judged=self.judged, agreement=round(share, 6),
            confirmed=self.counts["deviates", "deviates"], unsound=tuple(self.unsound),
            predicted_and_seen={f"{a}/{b}": n for (a, b), n in sorted(self.counts.items())}, states=kinds,
            assumed=dict(sorted(self.assumed.items())), frames=dict(sorted(self.frames.items())),
            one_by_one=self.states, apart=tuple(map(_apart, self.apart)), not_run=unavailable(),
            skipped=dict(self.skipped.most_common()), lost=tuple(self.lost), ways=self.ways.get("ways"),
            ways_in_32_bits=self.ways.get("ways_in_32_bits"),
            disagreements=tuple(EncodingDisagreement(encoding=e, model=m, kernel=k, where=w) for e, m, k, w in rows),
        )  # fmt: skip

    def lines(self) -> Iterator[str]:
        """All of it in words."""
        yield from _lines(self.document())

    def kept(self) -> Iterable[Kept]:
        """What was predicted and seen, and what the kernel did whatever is predicted."""
        yield Kept(file_name("predictions"), self.document(), "disagreements")
        yield Kept(file_name("kernel"), survey(self.comparisons), "deviations")

    @property
    def standing(self) -> Standing:
        """Disagreement on an encoding, on a state or on how it is run weighs more than what was lost."""
        if self.disagreements or self.apart or any(w.disagreements for w in self.ways.values()):
            return Standing.DISAGREES
        return Standing.LOST if self.lost else Standing.AGREES


def survey(comparisons: Iterable[KernelComparison]) -> KernelSurvey:
    """What the kernel did with the encodings, small enough for git."""
    return from_fields(asdict(record(comparisons)), KernelSurvey)


def _first(row: KernelRow) -> str:
    """Where the first deviation of a row was seen, in words."""
    shown = [d for d in (*row.comparison.deviations, *row.comparison.assumed)
             if d.difference.observable in row.where.split(",")]
    state = f" in state {shown[0].state!r}, hit {shown[0].hit}: {shown[0].difference.detail}" if shown else ""
    return (row.frame + " " if row.frame else "") + row.where + state


def _apart(row: Disagreement) -> StateDisagreement:
    return StateDisagreement(encoding=row.encoding, kind=row.kind, state=row.state, model=row.said, kernel=row.seen)


def _lines(found: KernelConfirmation) -> Iterator[str]:
    if found.although:
        yield f"although {found.although}"
    for row in found.disagreements:
        yield f"{row.encoding:<32} model {row.model}, kernel {row.kernel}: {row.where}"
    for kind, state in found.states.items():
        yield f"state {kind:<40} {state.runs:>9,} runs, {state.deviating:,} encodings deviate"
    for kind, reason in found.not_run.items():
        yield f"state {kind:<40} not run: {reason}"
    for name, number in found.assumed.items():
        yield f"left out by assumption {name}: {number:,} encodings"
    for what, number in found.frames.items():
        yield f"faults delivered to a handler, trap number {what}: {number:,}"
    for a in found.apart:
        yield f"{a.encoding:<32} {a.kind}, state {a.state!r}: model {_named(a.model)}, kernel {_named(a.kernel)}"
    yield f"predicted state by state: {found.one_by_one:,}, apart {len(found.apart)}"
    yield f"predicted/seen: {', '.join(f'{pair} {n:,}' for pair, n in found.predicted_and_seen.items())}"
    yield (
        f"{found.compared:,} encodings compared with {found.scheme} on {found.processor}, {found.judged:,} predicted: "
        f"{found.agreement:.3%} agree; {found.confirmed:,} deviations confirmed; "
        f"{len(found.unsound)} called identical and deviating; {found.seconds} s"
    )
    for reason, number in found.skipped.items():
        yield f"skipped: {number:,} encodings: {reason}"
    for ways, title in ((found.ways, WAYS["ways"]), (found.ways_in_32_bits, WAYS["ways_in_32_bits"])):
        if ways is not None:
            yield from _way_lines(title, ways)
    for reason in found.lost:
        yield f"lost: {reason}"


def _named(observables: tuple[str, ...]) -> str:
    return ",".join(observables) or "identical"


def _way_lines(title: str, ways: Ways) -> Iterator[str]:
    if ways.reason:
        yield f"{title}: {ways.reason}"
        return
    for row in ways.disagreements:
        yield f"{row.encoding:<32} plan: {row.plan}; kernel: {row.kernel}"
    yield (
        f"{title}: {ways.compared:,} encodings of {ways.kinds:,} kinds of plan, "
        f"{len(ways.disagreements)} otherwise than planned"
    )
