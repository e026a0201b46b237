"""The semantics judged by the processor of this machine, form by form.

A form is run from random and boundary states, its predictions compared and its read set attacked; what is found is
shrunk to the fewest components that show it.  What is not executed is said, with the reason.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from verify.live.capabilities import FEATURES, Capabilities
from verify.live.differential_attack import changed_trials, disagreements
from verify.live.differential_compare import Comparison, Finding
from verify.live.differential_rows import ALWAYS_THERE, SLOW, is_repeatable, known, skip_reason
from verify.live.differential_shrink import described, shrunk
from verify.live.differential_states import Trials, encodings, trials
from verify.live.executor import Executor
from verify.models.isa.forms import Cpu, Form

SHRUNK: Final = 3  # mismatches of a form that are shrunk; the others are counted
FEW: Final = 16  # states of forms that wait for an interrupt


@dataclass(frozen=True, slots=True)
class Settings:
    """Per form and round: first runs (the attack doubles them), encodings among which they are divided, the seed."""

    states: int = 256
    encodings: int = 8
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A disagreement of semantics and processor that was seen twice, in its smallest state."""

    form: str
    check: str  # "predicted": a claim is wrong; "unread": what is declared unread made a difference
    component: str
    code: str  # the instruction's bytes, hex
    state: str
    expected: str
    seen: str
    trials: int  # how many trials showed it
    explained: str | None  # the source of a known processor difference


@dataclass(frozen=True, slots=True)
class FormResult:
    """What a form's trials showed; `skipped`: why it was not judged."""

    form: str
    states: int
    completed: int
    mismatches: tuple[Mismatch, ...]
    skipped: str | None = None


def vendor(caps: Capabilities) -> Cpu:
    """The vendor whose semantics this processor has; ValueError for one that is not modelled."""
    if caps.vendor in {"AuthenticAMD", "HygonGenuine"}:
        return Cpu.AMD
    if caps.vendor == "GenuineIntel":
        return Cpu.INTEL
    raise ValueError(f"no semantics for processors of {caps.vendor}")


def judged(executor: Executor, form: Form, settings: Settings, round_number: int = 0) -> FormResult:
    """One round of trials of a form."""
    reason = skip_reason(form.opcode)
    if reason is not None:
        return FormResult(form.name, 0, 0, (), reason)
    cpu = vendor(executor.capabilities)
    seed = zlib.crc32(f"{settings.seed} {round_number} {form.name}".encode())
    rng, numbers = Random(seed), np.random.default_rng(seed)
    slow = form.opcode.mnemonic in SLOW
    chosen = encodings(form, min(settings.encodings, settings.states), rng, cpu, executor.origin)
    if not chosen:
        return FormResult(form.name, 0, 0, (), f"no encoding on {cpu.value} processors")
    count = max((FEW if slow else settings.states) // len(chosen), 1)
    first = Comparison(executor, trials(executor, chosen, form, count, numbers))
    result = first.all()
    if result.undefined and result.undefined + result.predicted_undefined == result.states:
        return _absent(form, executor.capabilities, result.states)
    states, mismatches = result.states, list[Mismatch]()
    if first.expected and is_repeatable(form.opcode) and any(m.worlds > 1 for m in first.models):
        second = Comparison(executor, changed_trials(first, executor, form, numbers), first)
        later = second.all().findings
        states += len(second.trials.states)
        apart = disagreements(first, second)
        mismatches += _mismatches(executor, form, first.trials, second.trials, apart)
        if not result.findings:  # claims about changed states, where the first ones stand
            mismatches += _mismatches(executor, form, second.trials, None, later)
    mismatches += _mismatches(executor, form, first.trials, None, result.findings)
    return FormResult(form.name, states, result.completed, tuple(mismatches))


def _absent(form: Form, caps: Capabilities, states: int) -> FormResult:
    """A form of which every trial raised #UD: another processor's, or a mismatch where CPUID says that it is here."""
    names = [n.lower().replace("_", "") for n in form.opcode.cpuid]
    features = {n.replace("_", ""): n for n in FEATURES}
    there = all(n in ALWAYS_THERE or features.get(n) in caps.features for n in names)
    needs = " ".join(form.opcode.cpuid)
    if not there:
        return FormResult(form.name, 0, 0, (), f"#UD: this processor has no {needs}")
    wrong = Mismatch(form.name, "predicted", "fault", "", "any", f"{needs} is there", "#UD always", states, None)
    return FormResult(form.name, states, 0, (wrong,))


def _mismatches(
    executor: Executor, form: Form, first: Trials, second: Trials | None, found: Sequence[Finding]
) -> Iterator[Mismatch]:
    """One mismatch for each component, the first ones shrunk; a disagreement that does not come again is dropped."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.check, component_of(finding)), []).append(finding)
    for number, ((check, component), group) in enumerate(groups.items()):
        smallest = None
        for finding in group[:SHRUNK]:
            smallest = shrunk(executor, first, second, finding, number < SHRUNK)
            if smallest is not None:
                break
        if smallest is None:
            continue
        row = known(form.opcode.mnemonic, component, executor.capabilities.vendor)
        data = smallest.trials.probes[0].decoded.data.hex()  # type: ignore[union-attr]
        yield Mismatch(
            form.name, check, smallest.finding.component, data, described(executor, smallest),
            smallest.finding.expected, smallest.finding.seen, len(group), row.source if row else None,
        )  # fmt: skip


def component_of(finding: Finding) -> str:
    """The component without the register's number."""
    name = finding.component
    return name if name == "x87" else name.rstrip("0123456789")


def survey(
    executor: Executor, forms: Sequence[Form], settings: Settings, seconds: float | None
) -> Iterator[tuple[int, FormResult]]:
    """(round, result) of every form; rounds go on until `seconds` are over, one round without them.

    With `seconds` even the first round ends there.  What was skipped in the first round is not tried again.
    """
    begun, round_number, left = time.monotonic(), 0, list(forms)
    while left:
        again: list[Form] = []
        for form in left:
            if seconds is not None and time.monotonic() - begun > seconds:
                return
            result = judged(executor, form, settings, round_number)
            if result.skipped is None:
                again.append(form)
            yield round_number, result
        if seconds is None:
            return
        left, round_number = again, round_number + 1


def processor(caps: Any) -> dict[str, object]:
    """Vendor, family and model, as results name the judge."""
    return {"vendor": caps.vendor, "family": caps.family, "model": caps.model}
