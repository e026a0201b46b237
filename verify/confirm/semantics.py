"""Results of `confirm --semantics` as a document, as text, and as the small file that is kept.

Decides nothing about semantics; `verify.live.differential.run` does.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from verify.live.differential.run import FormTrials, Mismatch, Settings, component_of
from verify.models.x86.semantics.dispatch import is_exact

SCHEMA: Final = 1


@dataclass(slots=True)
class Summary:
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

    def document(self) -> dict[str, Any]:
        """The run as one JSON object."""
        return {
            "schema": SCHEMA, "judge": self.judge, "kernel": platform.release(), "seed": self.settings.seed,
            "seconds": round(self.seconds, 1), "rounds": self.rounds, "complete": self.complete,
            "forms": {
                "wanted": self.wanted, "executed": len(self.executed), "skipped": len(self.skipped),
                "completed": sum(self.executed.values()),
            },
            "states": self.states, "mismatches": [asdict(m) for m in self.mismatches.values()],
            "unexplained": len(self.unexplained), "lost": self.lost, "skipped": skipped_by_reason(self.skipped),
        }  # fmt: skip


def skipped_by_reason(skipped: dict[str, str]) -> dict[str, int]:
    """Reason -> number of forms, most frequent first."""
    return dict(Counter(skipped.values()).most_common())


def exact_share(forms: Iterable[str]) -> tuple[int, int]:
    """How many of the forms have an exact datapath, and how many a routed one."""
    from verify.models.x86.isa.forms import form  # noqa: PLC0415  start-up time

    exact = [is_exact(form(name).opcode.mnemonic) for name in forms]
    return sum(exact), len(exact) - sum(exact)


def lines(summary: Summary) -> Iterator[str]:
    """The run in words, without its mismatches."""
    judge = summary.judge
    yield f"judge: {judge['vendor']} family {judge['family']} model {judge['model']}, seed {summary.settings.seed}"
    exact, routed = exact_share(summary.executed)
    yield f"forms executed: {len(summary.executed)} of {summary.wanted} ({exact} exact, {routed} routed)"
    rate = summary.states / summary.seconds if summary.seconds else 0.0
    yield f"states: {summary.states} in {summary.seconds:.1f} s ({rate:.0f} a second), {summary.rounds} rounds"
    faulting = sum(not c for c in summary.executed.values())
    if faulting:
        yield f"forms of which every state faulted, as predicted or not: {faulting}"
    for reason, count in list(skipped_by_reason(summary.skipped).items())[:20]:
        yield f"skipped: {count} forms: {reason}"
    for name, reason in summary.lost.items():
        yield f"lost: {name}: {reason}"
    left = summary.wanted - len(summary.executed.keys() | summary.skipped.keys() | summary.lost.keys())
    if left:
        yield f"not reached: {left} forms"
    known = len(summary.mismatches) - len(summary.unexplained)
    yield f"mismatches: {len(summary.unexplained)} unexplained, {known} known processor differences"


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


def keep(summary: Summary, folder: Path) -> Path:
    """Writes the run's document; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / kept_name(summary.judge)
    path.write_text(json.dumps(summary.document(), indent=1) + "\n")
    return path
