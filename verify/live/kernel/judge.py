"""The running kernel as judge: is an encoding refused, and does a program see the probe that was accepted.

Runs each encoding in a child of its own from full states of many kinds, in several places, without and with a real
uprobe on it, and compares all that the program can see. Decides about the states that were run, not about all states.
What differs between two runs without a probe (time stamps, random numbers) is left out. Needs the privileges that
`uprobe.missing` names.
"""

from __future__ import annotations

import contextlib
import signal
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import Final, Self

from verify.live.kernel.child import HLT, Stop, Tracee
from verify.live.kernel.kinds import Family, kinds
from verify.live.kernel.outcome import RunSetting, kind
from verify.live.kernel.placement import HERE, available, is_x87
from verify.live.kernel.registration import COPIED, image, refusals
from verify.live.kernel.runner import ObservedDeviation, ObservedRuns, Runner, Shown
from verify.live.kernel.state import KernelState, standard_states
from verify.live.ptrace import RIP, untraceable
from verify.live.uprobe import UprobesUnavailable, missing

__all__ = ["LAYOUT", "KernelComparison", "KernelJudge", "ObservedDeviation", "end", "idle_child", "is_x87"]
LAYOUT: Final = HERE.layout
BATCH: Final = 2000
UNDEFINED: Final = "undefined"


@dataclass(frozen=True, slots=True)
class KernelComparison:
    """The kernel's verdict on one encoding as it stood at `origin`.

    `errno` is that of the refusal (0: accepted); `ends` names how the run without a probe ended in each standard state
    (arrived, trap, fault, runaway; "undefined" for #UD). `assumed` are the differences that a named assumption leaves
    out, `runs` the runs with the probe by kind of state, `frames` the trap numbers without and with the probe of faults
    that were delivered to a handler. `shown`: the states that it was run in with the probe.
    """

    encoding: bytes
    origin: int
    errno: int
    deviations: tuple[ObservedDeviation, ...]
    ends: tuple[str, ...]
    assumed: tuple[ObservedDeviation, ...] = ()
    runs: tuple[tuple[str, int], ...] = ()
    frames: tuple[tuple[int, int], ...] = ()
    shown: tuple[Shown, ...] = ()

    @property
    def result(self) -> str:
        """refused, identical or deviates."""
        return "refused" if self.errno else "deviates" if self.deviations else "identical"

    @property
    def observables(self) -> tuple[str, ...]:
        """The names of the observables that deviate, each once."""
        return tuple(dict.fromkeys(d.difference.observable for d in self.deviations))

    @property
    def valid(self) -> bool:
        """Whether the processor knows the encoding: it did not raise #UD in the first state."""
        return self.ends[0] != UNDEFINED


@contextlib.contextmanager
def idle_child() -> Iterator[Tracee]:
    """A child with a nop to run: to ask it what the machine has."""
    text = bytes((0x90, HLT)) * 32
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        yield child


class KernelJudge:
    """The kernel's uprobes as judge; a context manager. Raises UprobesUnavailable where something is missing."""

    def __enter__(self) -> Self:
        if lacking := missing():
            raise UprobesUnavailable("missing for tests against the kernel: " + "; ".join(lacking))
        if why := untraceable():
            raise UprobesUnavailable(f"missing for tests against the kernel: {why}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def registration(self, encodings: Sequence[bytes]) -> list[int]:
        """The errno of the refusal of each encoding (padded with nops to 16 bytes), 0 where the kernel accepts it."""
        return refusals([(e + b"\x90" * COPIED)[:COPIED] for e in encodings])

    def valid(self, encodings: Iterator[bytes]) -> Iterator[bytes]:
        """The encodings, as they came, that the processor knows: those that do not raise #UD in the first state."""
        while batch := list(islice(encodings, 4 * BATCH)):
            with Runner(HERE, batch) as runner:
                state = standard_states(runner.child)[0]
                ends = [end(runner.run(state, i).stop, runner.setting(i)) for i in range(len(batch))]
            yield from (e for e, how in zip(batch, ends, strict=True) if how != UNDEFINED)

    def compare(
        self, encodings: Iterator[bytes], hits: int = 3, wanted: frozenset[str] | None = None, each: bool = False
    ) -> Iterator[KernelComparison]:
        """The verdict on each encoding, in order; `hits` runs with the probe in the first state and in some others.

        `wanted`: the kinds of state, placements included, that are run (None: all). An encoding is run in every
        standard state, in a state of some other kinds, and in one other place; with `each`, in all of them.
        """
        number = 0
        while batch := list(islice(encodings, BATCH)):
            yield from _compared(batch, hits, wanted, number, each)
            number += 1


def _compared(
    encodings: Sequence[bytes], hits: int, wanted: frozenset[str] | None, number: int, each: bool
) -> list[KernelComparison]:
    with Runner(HERE, encodings) as runner:
        offsets = [HERE.offset(i) for i in range(len(encodings))]
        errnos = refusals([runner.text[o : o + COPIED] for o in offsets])
        first = standard_states(runner.child)
        families = _wanted((*((s,) for s in first), *kinds(runner.child)), wanted)
        families = tuple((s,) for f in families for s in f) if each else families
        accepted = [i for i, errno in enumerate(errnos) if not errno]
        seen = _seen(runner, accepted, families, hits, number)
        ends = [tuple(_end(runner, state, i) for state in first) for i in range(len(encodings))]
        origins = [runner.setting(i).origin for i in range(len(encodings))]
    ending = [i for i in accepted if i not in runner.endless]
    there = _elsewhere(encodings, ending, wanted, hits, number, each)
    return [_comparison(e, origins[i], errnos[i], ends[i], [*([seen[i]] if i in seen else ()), *there.get(i, ())])
            for i, e in enumerate(runner.encodings)]


def _wanted(families: Sequence[Family], wanted: frozenset[str] | None) -> tuple[Family, ...]:
    return tuple(f for f in families if wanted is None or f[0].kind in wanted)


def _seen(
    runner: Runner, accepted: Sequence[int], families: Sequence[Family], hits: int, number: int
) -> dict[int, ObservedRuns]:
    """Every run of a placement; batch by batch another family comes first, so that each state has the first hit."""
    if not families:
        return {}
    runner.run_plain(families, accepted)
    turned = (*families[number % len(families) :], *families[: number % len(families)])
    return runner.probed(accepted, turned, hits, families[0][0]) if accepted else {}


def _end(runner: Runner, state: KernelState, index: int) -> str:
    if index in runner.endless:
        return "runaway"
    outcome = runner.plain.get(index, {}).get(state) or runner.run(state, index)
    return end(outcome.stop, runner.setting(index))


def end(stop: Stop, at: RunSetting) -> str:
    """How a run without a probe ended: the kind of its stop, UNDEFINED for #UD."""
    undefined = stop.signal == signal.SIGILL and stop.registers[RIP] == at.origin
    return UNDEFINED if undefined else kind(stop, at)


def _elsewhere(
    encodings: Sequence[bytes], accepted: Sequence[int], wanted: frozenset[str] | None, hits: int, number: int,
    each: bool,
) -> dict[int, list[ObservedRuns]]:  # fmt: skip
    """What the accepted encodings show in another place each, or in each other place."""
    places = [p for p in available() if wanted is None or p.name in wanted]
    found: dict[int, list[ObservedRuns]] = {}
    for turn, placement in enumerate(places):
        chosen = [i for i in accepted if each or zlib.crc32(encodings[i]) // 7 % len(places) == turn]
        if not chosen:
            continue
        with Runner(placement, [encodings[i] for i in chosen]) as runner:
            states = _states_there(runner)
            families = tuple((s,) for s in states) if each else (states,)
            seen = _seen(runner, range(len(chosen)), families, hits, number)
        for i, s in seen.items():
            found.setdefault(chosen[i], []).append(s)
    return found


def _states_there(runner: Runner) -> Family:
    """The standard states plain, other, trap and fault; TF only where no prologue runs before."""
    placement = runner.placement
    plain, other, _, trap, fault = (
        replace(s, name=f"{placement.name}, {s.name}", kind=placement.name)
        for s in standard_states(runner.child, placement.space))
    return (plain, other, fault) if placement.prologue else (plain, other, trap, fault)


def _comparison(
    encoding: bytes, origin: int, errno: int, ends: tuple[str, ...], seen: Sequence[ObservedRuns]
) -> KernelComparison:
    rows = [d for s in seen for d in s.deviations]
    runs: Counter[str] = Counter()
    for s in seen:
        runs.update(s.runs)
    return KernelComparison(
        encoding, origin, errno, tuple(d for d in rows if not d.difference.assumption), ends,
        tuple(d for d in rows if d.difference.assumption), tuple(sorted(runs.items())),
        tuple(f for s in seen for f in s.frames), tuple(w for s in seen for w in s.shown),
    )
