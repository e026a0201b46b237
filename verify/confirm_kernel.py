"""The running kernel against the scheme's model: does the model predict what the kernel does with each encoding?

Decides three things of an encoding: is the refusal predicted, is identity predicted, is the deviation predicted.
Shadow stacks and containment cannot be seen by the judge: an encoding refuted on these alone is predicted identical.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from verify.live.kernel import LAYOUT, Comparison, KernelJudge, code_text
from verify.live.kernel_child import CODE, Tracee
from verify.live.kernel_record import processor, survey_encodings
from verify.live.kernel_registration import image
from verify.live.kernel_state import standard_states
from verify.live.reproducer import emit, standard_situation
from verify.models.isa.decode import Decoded, decode
from verify.models.isa.forms import Cpu
from verify.models.isa.ranges import OpcodeRange
from verify.models.schemes.registry import SCHEMES
from verify.smt.judge import Judge, Judgement
from verify.smt.verdicts import Verdict

SCHEME: Final = "linux-uprobes-6.18"
UNSEEN: Final = frozenset({"shadow-stack", "containment"})  # no shadow stacks here; what follows in a slot is hlt


def machine_cpu() -> Cpu:
    """The vendor whose decoder this machine has."""
    return Cpu.AMD if processor().startswith("AuthenticAMD") else Cpu.INTEL


def predicted(judgement: Judgement) -> str | None:
    """refused, identical, deviates, or None where the model says nothing (no instruction, unknown)."""
    if judgement.verdict is Verdict.REFUSED:
        return "refused"
    if judgement.verdict is Verdict.PROVED:
        return "identical"
    if judgement.verdict is Verdict.REFUTED:
        seen = {d.observable for d in judgement.deviations} - UNSEEN
        return "deviates" if seen else "identical"
    return None


@dataclass(slots=True)
class Agreement:
    """Counts of predictions and what disagreed."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (predicted, seen)
    disagreements: list[tuple[str, str, str, str]] = field(default_factory=list)  # hex, predicted, seen, observables
    confirmed: int = 0  # refuted and seen to deviate

    def take(self, judgement: Judgement, comparison: Comparison) -> None:
        """Counts one encoding that the processor knows."""
        said, seen = predicted(judgement), comparison.result
        self.counts[said or "nothing", seen] += 1
        self.confirmed += said == seen == "deviates"
        if said is not None and said != seen:
            where = ",".join(comparison.observables) or ",".join(d.observable for d in judgement.deviations)
            self.disagreements.append((comparison.encoding.hex(), said, seen, where))

    @property
    def judged(self) -> int:
        """Encodings of which the model says something."""
        return sum(n for (said, _), n in self.counts.items() if said != "nothing")

    @property
    def unsound(self) -> list[str]:
        """Encodings that the model calls identical and the kernel shows to deviate: the worst defect."""
        return [h for h, said, seen, _ in self.disagreements if (said, seen) == ("identical", "deviates")]

    def document(self) -> dict[str, Any]:
        """Counts for JSON."""
        share = 1 - len(self.disagreements) / self.judged if self.judged else 0.0
        return {
            "scheme": SCHEME, "processor": processor(), "compared": sum(self.counts.values()), "judged": self.judged,
            "agreement": round(share, 6), "confirmed": self.confirmed, "unsound": self.unsound,
            "predicted_and_seen": {f"{a}/{b}": n for (a, b), n in sorted(self.counts.items())},
            "disagreements": [list(d) for d in self.disagreements],
        }  # fmt: skip


def wanted(encodings: Iterable[bytes], ranges: tuple[OpcodeRange, ...], cpu: Cpu) -> Iterator[bytes]:
    """The encodings whose form lies in one of the ranges."""
    for data in encodings:
        decoded = decode(data, cpu)
        if isinstance(decoded, Decoded) and any(decoded.form in r for r in ranges):
            yield data


def compared(ranges: tuple[OpcodeRange, ...], step: int) -> Iterator[tuple[Agreement, Comparison]]:
    """Every `step`-th encoding of the corpus, run for real and predicted; raises UprobesUnavailable."""
    cpu, judge, agreement = machine_cpu(), Judge(SCHEMES[SCHEME]), Agreement()
    with KernelJudge() as kernel:
        for comparison in kernel.compare(wanted(survey_encodings(kernel, step), ranges, cpu)):
            if comparison.valid:
                agreement.take(judge.judgement(comparison.encoding, cpu), comparison)
            yield agreement, comparison


def confirmation(data: bytes, judgements: list[Judgement]) -> str:
    """What the running kernel says of one encoding, in the judge's standard states: a line."""
    with KernelJudge() as kernel:
        found = next(iter(kernel.compare(iter([data]))))
    said = {p for j in judgements if (p := predicted(j)) is not None}
    seen = found.result
    where = f" in {', '.join(found.observables)}" if found.observables else ""
    if seen in said:
        return f"confirmed: {seen}{where}"
    if said == {"deviates"} and seen == "identical":
        return "not reproducible here: identical in the judge's standard states"
    return f"contradicted: the model says {' or '.join(sorted(said)) or 'nothing'}, the kernel {seen}{where}"


def write_reproducer(directory: Path, data: bytes, summary: str) -> tuple[Path, Path]:
    """A C program and a shell script that show the deviation in the judge's first standard state."""
    text = code_text((b"\x90",))
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        state = next(iter(standard_states(child)))
    return emit(directory, standard_situation(data, CODE + 2 * LAYOUT.stride, state), summary)
