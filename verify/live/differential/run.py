"""The semantics judged by the processor of this machine, form by form.

A form is run from random and boundary states, its predictions compared and its read set attacked; what is found is
shrunk to the fewest components that show it.  What is not executed is said, with the reason.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from random import Random
from typing import Final

import numpy as np

from verify.live.capabilities import VENDORS, Capabilities, ExecutorUnavailable
from verify.live.differential.comparison import Comparison, Finding
from verify.live.differential.errata import SLOW, is_repeatable, known, skip_reason
from verify.live.differential.shrink import described, shrunk
from verify.live.differential.states import Trials, encodings, trials
from verify.live.differential.unread_state import apart_components, changed_trials, disagreements
from verify.live.executor.executor import Executor
from verify.live.features import BY_STATE, NO_BIT, NOT_TOLD
from verify.live.needs import lacks
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Cpu, Form, form
from verify.workers.pool import Policy, TaskFailed, imap_unordered, nobody

SHRUNK: Final = 3  # mismatches of a form that are shrunk; the others are counted
FEW: Final = 16  # states of forms that wait for an interrupt


@dataclass(frozen=True, slots=True)
class Settings:
    """Per form and round: first runs (the attack doubles them), encodings among which they are divided, the seed.

    `first`: the most first runs of a form in the first round.
    """

    states: int = 256
    encodings: int = 8
    seed: int = 1
    first: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A disagreement of semantics and processor that was seen twice, in its smallest state."""

    form: str
    check: str  # "predicted": a claim is wrong; "unread": what is declared unread made a difference; "masked"
    component: str
    code: str  # the instruction's bytes, hex
    state: str
    expected: str
    seen: str
    trials: int  # how many trials showed it
    explained: str | None  # the source of a known processor difference


@dataclass(frozen=True, slots=True)
class FormTrials:
    """What a form's trials showed; `skipped`: why it was not judged."""

    form: str
    states: int
    completed: int
    mismatches: tuple[Mismatch, ...]
    skipped: str | None = None
    lost: str | None = None  # why there is no judgement: an exception, a worker that died


def vendor(caps: Capabilities) -> Cpu:
    """The vendor whose semantics this processor has; ValueError for one that is not modelled."""
    if caps.vendor not in VENDORS:
        raise ValueError(f"no semantics for processors of {caps.vendor}")
    return VENDORS[caps.vendor]


def judged(executor: Executor, form: Form, settings: Settings, round_number: int = 0) -> FormTrials:
    """One round of trials of a form."""
    reason = skip_reason(form.opcode)
    if reason is not None:
        return FormTrials(form.name, 0, 0, (), reason)
    if absent := executor.capabilities.absent(form.opcode.cpuid):
        return FormTrials(form.name, 0, 0, (), lacks(absent))
    cpu = vendor(executor.capabilities)
    seed = zlib.crc32(f"{settings.seed} {round_number} {form.name}".encode())
    rng, numbers = Random(seed), np.random.default_rng(seed)
    slow = form.opcode.mnemonic in SLOW
    chosen = encodings(form, min(settings.encodings, settings.states), rng, cpu, executor.origin,
                       executor.capabilities.fsgsbase)
    if not chosen:
        return FormTrials(form.name, 0, 0, (), f"no encoding on {cpu.value} processors")
    states_each = max((FEW if slow else settings.states) // len(chosen), 1)
    first = Comparison(executor, trials(executor, chosen, form, states_each, numbers))
    result = first.all()
    if result.undefined and result.undefined + result.predicted_undefined == result.states:
        return _undefined(form, result.states)
    states, mismatches = result.states, list[Mismatch]()
    if first.expected and is_repeatable(form.opcode) and any(m.environments > 1 for m in first.models):
        for component in (None, *apart_components(first)):
            claims = not result.findings and not any(m.check == "predicted" for m in mismatches)
            again, found = _attacked(executor, form, first, numbers, component, claims)
            states += again
            mismatches += found
    mismatches += _mismatches(executor, form, first.trials, None, result.findings)
    return FormTrials(form.name, states, result.completed, tuple(mismatches))


def _attacked(
    executor: Executor, form: Form, first: Comparison, rng: np.random.Generator, component: str | None, claims: bool
) -> tuple[int, list[Mismatch]]:
    """States and mismatches of a second run; `claims`: those about changed states too, where the first ones stand."""
    second = Comparison(executor, changed_trials(first, executor, form, rng, component), first)
    findings = second.all().findings
    found = list(_mismatches(executor, form, first.trials, second.trials, disagreements(first, second, component)))
    if claims:
        found += _mismatches(executor, form, second.trials, None, findings)
    return len(second.trials.states), found


def _undefined(form: Form, states: int) -> FormTrials:
    """A form of which every trial raised #UD: skipped where CPUID does not tell whether it is here, else a mismatch."""
    needs = " ".join(form.opcode.cpuid)
    if any(NOT_TOLD.get(n) in {BY_STATE, NO_BIT} for n in form.opcode.cpuid):
        return FormTrials(form.name, 0, 0, (), f"#UD, and CPUID does not tell {needs}")
    wrong = Mismatch(form.name, "predicted", "fault", "", "any", f"{needs} is there", "#UD always", states, None)
    return FormTrials(form.name, states, 0, (wrong,))


def _mismatches(
    executor: Executor, form: Form, first: Trials, second: Trials | None, found: Sequence[Finding]
) -> Iterator[Mismatch]:
    """One mismatch for each component, the first ones shrunk; a disagreement that does not come again is dropped."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.check, component_of(finding.component)), []).append(finding)
    for number, ((check, component), group) in enumerate(groups.items()):
        smallest = None
        for finding in group[:SHRUNK]:
            smallest = shrunk(executor, first, second, finding, number < SHRUNK)
            if smallest is not None:
                break
        if smallest is None:
            continue
        decoded = smallest.trials.probes[0].decoded
        assert isinstance(decoded, Decoded)
        row = known(decoded, component, executor.capabilities.vendor)
        yield Mismatch(
            form.name, check, smallest.finding.component, decoded.data.hex(), described(executor, smallest),
            smallest.finding.expected, smallest.finding.seen, len(group), row.source if row else None,
        )  # fmt: skip


def component_of(name: str) -> str:
    """The component without the register's number."""
    return name if name == "x87" else name.rstrip("0123456789")


def survey(
    forms: Sequence[Form], settings: Settings, seconds: float | None = None, jobs: int = 1,
    lost: Callable[[tuple[int, str], str], None] = nobody,
) -> Generator[tuple[int, FormTrials], None, None]:
    """(round, result) of every form, judged by `jobs` processes, as they come.

    One round; with `seconds` a first one of few states, which always reaches every form, then whole ones until the
    time is over.  What was skipped in the first round is not tried again.  Trials depend on form, round and seed alone:
    where a process dies, another one judges its form again, and `lost` is told.
    """
    skipped: set[str] = set()
    tasks = _tasks(forms, settings, seconds, skipped)
    policy = Policy(retries=1, lost=lost)
    with closing(imap_unordered(tasks, partial(_judge, settings), jobs, policy=policy)) as answers:
        for (round_number, name), result in answers:
            if isinstance(result, TaskFailed):
                yield round_number, FormTrials(name, 0, 0, (), lost=result.reason)
                continue
            if result.skipped is not None:
                skipped.add(name)
            yield round_number, result


def _tasks(
    forms: Sequence[Form], settings: Settings, seconds: float | None, skipped: set[str]
) -> Iterator[tuple[int, str]]:
    """Rounds and forms, those that were skipped meanwhile left out; later rounds are shuffled."""
    begun, names = time.monotonic(), [f.name for f in forms]
    yield from ((0, n) for n in names)
    if seconds is None:
        return
    for round_number in count(1):
        names = [n for n in names if n not in skipped]
        Random(settings.seed + round_number).shuffle(names)
        for name in names:
            if time.monotonic() - begun > seconds:
                return
            yield round_number, name
        if not names:
            return


@contextmanager
def _judge(settings: Settings) -> Iterator[Callable[[tuple[int, str]], FormTrials]]:
    """What a worker answers with: its own executor's judgement of a form."""
    with Executor() as executor:
        first = replace(settings, states=min(settings.states, settings.first))
        yield lambda task: judged(executor, form(task[1]), settings if task[0] else first, task[0])


def available() -> dict[str, object]:
    """The judge, as results name it; ExecutorUnavailable where nothing can be executed or the vendor has no model."""
    with Executor() as executor:
        caps = executor.capabilities
    try:
        vendor(caps)
    except ValueError as error:
        raise ExecutorUnavailable(str(error)) from error
    return processor(caps)


def processor(caps: Capabilities) -> dict[str, object]:
    """Vendor, family and model, as results name the judge."""
    return {"vendor": caps.vendor, "family": caps.family, "model": caps.model}
