"""The running kernel against the scheme's model: does the model predict what the kernel does with each encoding?

Decides three things of an encoding: is the refusal predicted, is identity predicted, is the deviation predicted.
What the judge's states cannot show (`UNSEEN`) is left out: an encoding refuted on that alone is predicted identical.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from verify.live.capabilities import VENDORS
from verify.live.corpus import registration_corpus, unique
from verify.live.kernel import Comparison, KernelJudge
from verify.live.needs import absent, lacks
from verify.live.results import keep, processor
from verify.live.workers import Lost, dealt
from verify.models.isa.decode import Decoded, decode
from verify.models.isa.forms import Cpu
from verify.models.isa.ranges import OpcodeRange
from verify.models.schemes.registry import SCHEMES
from verify.smt.judge import Judge, Judgement
from verify.smt.verdicts import Verdict

TASK: Final = 1000  # encodings of the corpus, of which most are wanted
SCHEME: Final = "linux-uprobes-6.18"
UNDEFINED: Final = "#UD in place, whatever CPUID says"
UNSEEN: Final[Mapping[str, str]] = {  # observable -> why the judge's states do not show it
    "shadow-stack": "no shadow stack here",
    "containment": "what follows in a slot is hlt, which stops the program in both places",
    "hits": "of a gather or scatter: needs a page that the kernel maps at a later element, with TF set",
}


def machine_cpu() -> Cpu:
    """The vendor whose decoder this machine has; Intel's where it is not known."""
    return VENDORS.get(processor().split()[0], Cpu.INTEL)


def predicted(judgement: Judgement) -> str | None:
    """refused, identical, deviates, or None where the model says nothing (no instruction, unknown)."""
    if judgement.verdict is Verdict.REFUSED:
        return "refused"
    if judgement.verdict is Verdict.PROVED:
        return "identical"
    if judgement.verdict is Verdict.REFUTED:
        return "deviates" if any(is_visible(judgement, d.observable) for d in judgement.deviations) else "identical"
    return None


def is_visible(judgement: Judgement, observable: str) -> bool:
    """Whether a deviation on the observable would show in the judge's states, in which all data pages are present."""
    decoded = judgement.probe.decoded
    gathers = isinstance(decoded, Decoded) and decoded.form.opcode.is_vsib
    return observable not in UNSEEN or (observable == "hits" and not gathers)


@dataclass(frozen=True, slots=True)
class Row:
    """One encoding that the processor knows: what the model says, what the kernel does, on which observables."""

    encoding: str
    said: str  # nothing: the model says nothing
    seen: str
    where: str
    comparison: Comparison


def row(judgement: Judgement, comparison: Comparison) -> Row:
    """The row of one encoding."""
    refuted = [d.observable for d in judgement.deviations]
    where = ",".join(comparison.observables) or ",".join(refuted)
    said = predicted(judgement) or "nothing"
    if comparison.result == "deviates" and refuted and set(comparison.observables) <= set(refuted):
        said = "deviates"  # also where the judge's states hardly ever show it
    return Row(comparison.encoding.hex(), said, comparison.result, where, comparison)


@dataclass(slots=True)
class Agreement:
    """Counts of predictions, what disagreed, and what the kernel showed."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (predicted, seen)
    disagreements: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> encodings
    lost: list[str] = field(default_factory=list)  # why encodings have no row

    def take(self, found: Row) -> None:
        """Counts one encoding."""
        self.counts[found.said, found.seen] += 1
        self.comparisons.append(found.comparison)
        if found.said not in {"nothing", found.seen}:
            self.disagreements.append(found)

    @property
    def judged(self) -> int:
        """Encodings of which the model says something."""
        return sum(n for (said, _), n in self.counts.items() if said != "nothing")

    @property
    def unsound(self) -> list[str]:
        """Encodings that the model calls identical and the kernel shows to deviate: the worst defect."""
        return sorted(r.encoding for r in self.disagreements if (r.said, r.seen) == ("identical", "deviates"))

    def document(self) -> dict[str, Any]:
        """Counts for JSON."""
        share = 1 - len(self.disagreements) / self.judged if self.judged else 0.0
        rows = sorted((r.encoding, r.said, r.seen, r.where) for r in self.disagreements)
        return {
            "scheme": SCHEME, "processor": processor(), "compared": sum(self.counts.values()), "judged": self.judged,
            "agreement": round(share, 6), "confirmed": self.counts["deviates", "deviates"], "unsound": self.unsound,
            "predicted_and_seen": {f"{a}/{b}": n for (a, b), n in sorted(self.counts.items())},
            "skipped": dict(self.skipped.most_common()), "lost": self.lost,
            "disagreements": [list(r) for r in rows],
        }  # fmt: skip


def kept(document: dict[str, Any], folder: Path) -> Path:
    """Writes a document of `Agreement`, a disagreement a line; the file's path."""
    return keep("predictions", {"kernel": platform.release(), **document}, folder, "disagreements")


def wanted(encodings: Iterable[bytes], ranges: tuple[OpcodeRange, ...], cpu: Cpu) -> Iterator[bytes]:
    """The encodings whose form lies in one of the ranges."""
    for data in encodings:
        decoded = decode(data, cpu)
        if isinstance(decoded, Decoded) and any(decoded.form in r for r in ranges):
            yield data


@contextmanager
def _judge(
    ranges: tuple[OpcodeRange, ...], judge: Judge
) -> Iterator[Callable[[tuple[bytes, ...]], tuple[list[Row], Counter[str]]]]:  # fmt: skip
    """What a worker answers with: rows of those wanted encodings that the processor has, why others were skipped."""
    cpu = machine_cpu()
    with KernelJudge() as kernel:

        def rows(encodings: tuple[bytes, ...]) -> tuple[list[Row], Counter[str]]:
            here, skipped = present(wanted(encodings, ranges, cpu))
            known = list(kernel.valid(iter(here)))
            skipped[UNDEFINED] = len(here) - len(known)
            return [row(judge.judgement(c.encoding, cpu), c) for c in kernel.compare(iter(known)) if c.valid], skipped

        yield rows


def present(encodings: Iterable[bytes]) -> tuple[list[bytes], Counter[str]]:
    """The encodings whose features the processor has; of the others how many, by reason."""
    here: list[bytes] = []
    skipped: Counter[str] = Counter()
    for data in encodings:
        if names := absent(data):
            skipped[lacks(names)] += 1
        else:
            here.append(data)
    return here, skipped


def _tasks(step: int, seconds: float | None) -> Iterator[tuple[bytes, ...]]:
    begun, encodings = time.monotonic(), unique(islice(registration_corpus(), 0, None, step))
    while task := tuple(islice(encodings, TASK)):
        if seconds is not None and time.monotonic() - begun > seconds:
            return
        yield task


def compared(
    ranges: tuple[OpcodeRange, ...], step: int, jobs: int = 1, judge: Judge | None = None, seconds: float | None = None
) -> Generator[Agreement, None, None]:
    """Every `step`-th encoding of the corpus, run for real and predicted; raises UprobesUnavailable.

    `jobs` processes share the work, each with probes on files of its own; the agreement so far after each task.
    """
    agreement = Agreement()
    with KernelJudge():
        pass
    begin = partial(_judge, ranges, judge or Judge(SCHEMES[SCHEME]))
    with closing(dealt(_tasks(step, seconds), begin, jobs)) as answers:
        for task, rows in answers:
            if isinstance(rows, Lost):
                agreement.lost.append(f"{len(task)} encodings from {task[0].hex()}: {rows.reason}")
                continue
            for found in rows[0]:
                agreement.take(found)
            agreement.skipped += rows[1]
            yield agreement
