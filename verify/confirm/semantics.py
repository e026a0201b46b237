"""Results of `confirm semantics` as a document, as text, and as the small file that is kept.

Decides nothing about semantics; `verify.live.differential.run` does.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from verify.confirm.results import Kept, Standing
from verify.live.differential.run import FormTrials, Mismatch, Settings, component_of
from verify.models.x86.semantics.dispatch import is_exact
from verify.report.confirmations import FormCounts, MismatchRow, SemanticsConfirmation


@dataclass(slots=True)
class SemanticsResult:
    """What a run has shown so far."""

    settings: Settings
    judge: dict[str, object]
    wanted: int
    states: int = 0
    seconds: float = 0.0
    rounds: int = 0
    executed: dict[str, bool] = field(default_factory=dict)  # form -> some state completed
    skipped: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)  # form -> why a judgement of it is missing
    mismatches: dict[tuple[str, str, str], Mismatch] = field(default_factory=dict)

    def take(self, round_number: int, result: FormTrials) -> list[Mismatch]:
        """Adds a form's result; its mismatches that no earlier round had."""
        self.rounds = max(self.rounds, round_number + 1)
        self.states += result.states
        if result.skipped is not None:
            self.skipped[result.form] = result.skipped
            return []
        if result.lost is not None:
            self.lost[result.form] = result.lost
            return []
        self.executed[result.form] = self.executed.get(result.form, False) or result.completed > 0
        new = []
        for m in result.mismatches:
            key = (m.form, m.check, component_of(m.component))
            if key not in self.mismatches:
                self.mismatches[key] = m
                new.append(m)
        return new

    @property
    def unexplained(self) -> list[Mismatch]:
        """Mismatches that no row of known processor differences explains."""
        return [m for m in self.mismatches.values() if m.explained is None]

    @property
    def complete(self) -> bool:
        """Whether every form was judged or skipped with a reason, and no judgement was lost."""
        return not self.lost and len(self.executed) + len(self.skipped) == self.wanted

    @property
    def nothing_ran(self) -> str:
        """Why nothing was executed or lost, in words; empty where something was."""
        return "" if self.executed or self.lost else "; ".join(dict.fromkeys(self.skipped.values()))

    def document(self) -> SemanticsConfirmation:
        """The run for programs."""
        forms = FormCounts(wanted=self.wanted, executed=len(self.executed), skipped=len(self.skipped),
                           completed=sum(self.executed.values()))  # fmt: skip
        return SemanticsConfirmation(
            kernel=platform.release(), processor=named(self.judge), seconds=round(self.seconds, 1),
            complete=self.complete, seed=self.settings.seed, rounds=self.rounds, forms=forms, states=self.states,
            unexplained=len(self.unexplained), lost=self.lost, skipped=skipped_by_reason(self.skipped),
            mismatches=tuple(MismatchRow(**asdict(m)) for m in self.mismatches.values()),
        )  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The run in words, without its mismatches."""
        yield f"judge: {named(self.judge)}, seed {self.settings.seed}"
        exact, routed = exact_share(self.executed)
        yield f"forms executed: {len(self.executed)} of {self.wanted} ({exact} exact, {routed} routed)"
        rate = self.states / self.seconds if self.seconds else 0.0
        yield f"states: {self.states} in {self.seconds:.1f} s ({rate:.0f} a second), {self.rounds} rounds"
        faulting = sum(not c for c in self.executed.values())
        if faulting:
            yield f"forms of which every state faulted, as predicted or not: {faulting}"
        for reason, count in list(skipped_by_reason(self.skipped).items())[:20]:
            yield f"skipped: {count} forms: {reason}"
        for name, reason in self.lost.items():
            yield f"lost: {name}: {reason}"
        left = self.wanted - len(self.executed.keys() | self.skipped.keys() | self.lost.keys())
        if left:
            yield f"not reached: {left} forms"
        known = len(self.mismatches) - len(self.unexplained)
        yield f"mismatches: {len(self.unexplained)} unexplained, {known} known processor differences"

    def kept(self) -> Iterable[Kept]:
        """One file, which names the processor alone, since the kernel decides nothing; none where nothing ran."""
        if self.executed or self.lost:
            yield Kept(kept_name(self.judge), self.document(), "mismatches")

    @property
    def standing(self) -> Standing:
        """What is not explained weighs more than what was lost, and that more than that nothing could be run."""
        if self.unexplained:
            return Standing.DISAGREES
        if self.lost:
            return Standing.LOST
        return Standing.AGREES if self.executed else Standing.UNDECIDED


def skipped_by_reason(skipped: dict[str, str]) -> dict[str, int]:
    """Reason -> number of forms, most frequent first."""
    return dict(Counter(skipped.values()).most_common())


def exact_share(forms: Iterable[str]) -> tuple[int, int]:
    """How many of the forms have an exact datapath, and how many a routed one."""
    from verify.models.x86.isa.forms import form  # noqa: PLC0415  start-up time

    exact = [is_exact(form(name).opcode.mnemonic) for name in forms]
    return sum(exact), len(exact) - sum(exact)


def mismatch_lines(m: Mismatch) -> Iterator[str]:
    """One mismatch in words."""
    what = {"predicted": "prediction", "unread": "unread state", "masked": "masked elements"}[m.check]
    yield f"{m.form}: {what}: {m.component}: expected {m.expected}, seen {m.seen} ({m.trials} trials)"
    yield f"  bytes {m.code}"
    yield f"  state {m.state}"
    if m.explained:
        yield f"  known: {m.explained}"


def kept_name(judge: dict[str, object]) -> str:
    """The name of the file in which a processor's results are kept: family and model in hex, as CPUID tables do."""
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(str(judge["vendor"]), "other")
    return f"semantics-{vendor}-{judge['family']:x}h-{judge['model']:x}h.json"



def named(judge: dict[str, object]) -> str:
    """Vendor, family and model in words."""
    return f"{judge['vendor']} family {judge['family']:#x} model {judge['model']:#x}"
