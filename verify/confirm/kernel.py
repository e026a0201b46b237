"""The running kernel against the scheme's model: does the model predict what the kernel does with each encoding?

Decides of an encoding: is the refusal predicted, is identity predicted, is the deviation predicted, and is it in each
state that was run (`confirm_states`). What the judge's states cannot show (`UNSEEN`) is left out: an encoding refuted
on that alone is predicted identical.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from verify.claim.verdicts import Verdict
from verify.confirm.agreement import ELSEWHERE, Agreement, KernelRow
from verify.confirm.handling import document, ways
from verify.confirm.predictions import Disagreement, States
from verify.judge.encoding import Judge, Judgement
from verify.live.capabilities import VENDORS
from verify.live.kernel.corpus import registration_corpus, unique
from verify.live.kernel.judge import KernelComparison, KernelJudge, ObservedDeviation
from verify.live.kernel.placement import PLACEMENTS
from verify.live.needs import absent, lacks
from verify.live.results import processor
from verify.models.schemes.program import Entry, Program
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.isa.ranges import OpcodeRange
from verify.workers.pool import Policy, TaskFailed, imap_unordered, nobody

TASK: Final = 10000  # encodings of the corpus, of which most are wanted
UNDEFINED: Final = "#UD in place, whatever CPUID says"
UNSEEN: Final[Mapping[str, str]] = {  # observable -> why the judge's states do not show it
    "shadow-stack": "no shadow stack here",
    "containment": "what follows in a slot does the same there, or is hlt, which stops the program in both places",
    "hits": "of a gather or scatter: needs a page that the kernel maps at a later element, with TF set",
}


WITH_CODE_BEHIND: Final = frozenset(p.name for p in PLACEMENTS if p.tail)
BEFORE: Final = frozenset({6, 13})  # trap numbers that a child's earlier stops leave: of its handler's ud2, of hlt


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


class Predictor:
    """What the model predicts of encodings; a state that breaks an assumption is predicted without it."""

    def __init__(self, judge: Judge, cpu: Cpu) -> None:
        self._judge, self._cpu = judge, cpu
        self._others: dict[str, Judge] = {}
        self._states = States(judge.assumptions)

    def row(self, comparison: KernelComparison) -> KernelRow:
        """The row of one encoding."""
        judgement = self._judge.judgement(comparison.encoding, self._cpu)
        refuted = frozenset(d.observable for d in judgement.deviations)
        rows = [(d, self._reason(d, comparison, refuted)) for d in (*comparison.deviations, *comparison.assumed)]
        deviations = [d for d, reason in rows if not reason]
        where = ",".join(dict.fromkeys(d.difference.observable for d in deviations)) or ",".join(sorted(refuted))
        said = predicted(judgement) or "nothing"
        if deviations and all(_is_predicted(d, refuted, _together(d, comparison)) for d in deviations):
            said = "deviates"  # also where the judge's states hardly ever show it
        seen = "refused" if comparison.errno else "deviates" if deviations else "identical"
        assumed = tuple(sorted({reason for _, reason in rows if reason}))
        frame = _wrong_frame(judgement, comparison)
        states, apart = self._one_by_one(judgement, comparison)
        if (said, seen) == ("deviates", "identical") and states and not self._somewhere(comparison):
            said = ELSEWHERE
        bare = replace(comparison, shown=())
        return KernelRow(comparison.encoding.hex(), said, seen, where, bare, assumed, frame, states, apart)

    def _somewhere(self, comparison: KernelComparison) -> bool:
        """Whether anything is predicted to deviate in one of the states that it was run in."""
        shown = ((self._judge.judgement(s.encoding, self._cpu), s) for s in comparison.shown)
        return any(self._states.deviating(judgement, s).observables for judgement, s in shown)

    def _one_by_one(self, judgement: Judgement, comparison: KernelComparison) -> tuple[int, tuple[Disagreement, ...]]:
        """The states that the assumptions allow, predicted each for itself where the model says something."""
        shown = [s for s in comparison.shown if not s.state.breaks]
        plan = judgement.probe.plan
        if predicted(judgement) is None or (isinstance(plan, Program) and plan.later is not None):
            return 0, ()  # where later hits are handled otherwise they may deviate alone
        own = {comparison.encoding: judgement}
        for s in shown:
            if s.encoding not in own:  # where it stands elsewhere
                own[s.encoding] = self._judge.judgement(s.encoding, self._cpu)
        return len(shown), tuple(a for s in shown if (a := self._states.apart(own[s.encoding], s)) is not None)

    def _reason(self, d: ObservedDeviation, comparison: KernelComparison, refuted: frozenset[str]) -> str:
        """The assumption that leaves a deviation out, or nothing."""
        if d.difference.assumption:
            return d.difference.assumption if d.difference.assumption in self._judge.assumptions else ""
        together = _together(d, comparison)
        if _is_predicted(d, refuted, together):
            return ""
        broken = (a for a in sorted(d.breaks) if _is_predicted(d, self._refuted_without(a, comparison), together))
        return next(broken, "")

    def _refuted_without(self, assumption: str, comparison: KernelComparison) -> frozenset[str]:
        """The observables that are refuted where an assumption does not hold."""
        if assumption not in self._others:
            judge = self._judge
            self._others[assumption] = Judge(judge.scheme, judge.assumptions - {assumption}, judge.decisions)
        found = self._others[assumption].judgement(comparison.encoding, self._cpu)
        return frozenset(d.observable for d in found.deviations)


def _together(d: ObservedDeviation, comparison: KernelComparison) -> frozenset[str]:
    """The observables that deviate in the same run; where both runs end in a fault it is the fault's what differs."""
    rows = (o for o in comparison.deviations if (o.state, o.hit, o.kind) == (d.state, d.hit, d.kind))
    faulted = any(s.end == "fault" and (s.state.name, s.state.kind) == (d.state, d.kind) for s in comparison.shown)
    return frozenset(o.difference.observable for o in rows) | ({"fault"} if faulted else frozenset())


def _is_predicted(d: ObservedDeviation, refuted: frozenset[str], together: frozenset[str]) -> bool:
    """Whether the deviation is one of the refuted observables, or what follows from one.

    Where only one side faults, nothing else is said of the run; code behind an instruction shows where it ran.
    """
    if d.difference.observable in refuted or "fault" in refuted & together:
        return True
    return "containment" in refuted and d.kind in WITH_CODE_BEHIND


def _wrong_frame(judgement: Judgement, comparison: KernelComparison) -> str:
    """Where a frame's trap number is not what the plan makes of it: stale where the abort path delivers the fault."""
    plan = judgement.probe.plan
    stale = isinstance(plan, Program) and plan.entry is Entry.KERNEL
    for plain, probed in comparison.frames:
        if plain not in BEFORE and (plain != probed) != stale:
            return f"trap number {plain} without, {probed} with the probe, {'stale' if stale else 'its own'} expected"
    return ""


def wanted(encodings: Iterable[bytes], ranges: tuple[OpcodeRange, ...], cpu: Cpu) -> Iterator[bytes]:
    """The encodings whose form lies in one of the ranges."""
    for data in encodings:
        decoded = decode(data, cpu)
        if isinstance(decoded, Decoded) and any(decoded.form in r for r in ranges):
            yield data


Answer = tuple[list[KernelRow], Counter[str]]


@contextmanager
def _judge(ranges: tuple[OpcodeRange, ...], judge: Judge) -> Iterator[Callable[[tuple[bytes, ...]], Answer]]:
    """What a worker answers with: the rows of those encodings that are wanted, and why there are no others."""
    cpu = machine_cpu()
    gc.freeze()  # what the parent has made stays
    with KernelJudge() as kernel:
        predictor = Predictor(judge, cpu)

        def rows(encodings: tuple[bytes, ...]) -> Answer:
            here, skipped = present(wanted(encodings, ranges, cpu))
            known = list(kernel.valid(iter(here)))
            skipped[UNDEFINED] = len(here) - len(known)
            return [predictor.row(c) for c in kernel.compare(iter(known)) if c.valid], skipped

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


def sampled(encodings: Iterable[bytes], step: float) -> Iterator[bytes]:
    """One in `step` encodings (1 or more, not only whole numbers), the first one among them."""
    return (e for i, e in enumerate(encodings) if i % step < 1)


def _tasks(step: float, seconds: float | None) -> Iterator[tuple[bytes, ...]]:
    begun, encodings = time.monotonic(), unique(sampled(registration_corpus(), step))
    while task := tuple(islice(encodings, TASK)):
        if seconds is not None and time.monotonic() - begun > seconds:
            return
        yield task


def compared(
    agreement: Agreement, ranges: tuple[OpcodeRange, ...], step: float, jobs: int, judge: Judge,
    seconds: float | None = None, lost: Callable[[tuple[bytes, ...], str], None] = nobody,
) -> Generator[tuple[str, ...], None, None]:  # fmt: skip
    """One in `step` encodings of the corpus, run for real and predicted, taken into the agreement task by task.

    `jobs` processes share the work, each with probes on files of its own; `seconds`: no task begins later.  What is
    yielded is news for people, of which there are none; `lost` is told of encodings that another process judges again,
    because theirs has died.  Raises UprobesUnavailable.
    """
    begun = time.monotonic()
    with KernelJudge():
        pass
    for name, found in ways(ranges, judge.scheme, machine_cpu()):
        agreement.ways[name] = document(found)
    begin = partial(_judge, ranges, judge)
    policy = Policy(pinned=True, retries=1, lost=lost)
    with closing(imap_unordered(_tasks(step, seconds), begin, jobs, policy=policy)) as answers:
        for task, answer in answers:
            if isinstance(answer, TaskFailed):
                agreement.lost.append(f"{len(task)} encodings from {task[0].hex()}: {answer.reason}")
            else:
                agreement.take_all(*answer)
            agreement.seconds = time.monotonic() - begun
            yield ()
    agreement.complete = True
