"""Runs the encodings of one placement in a child, from each state, without and with a probe, and says what differs.

Decides which differences stand: what differs between two runs without a probe does not.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

from verify.live.kernel.child import ChildLost, Stop, Tracee
from verify.live.kernel.frame import LastPageFault, trap_number
from verify.live.kernel.kinds import Family, chosen
from verify.live.kernel.outcome import Difference, KernelOutcome, RunSetting, differences, kind
from verify.live.kernel.placement import Placement
from verify.live.kernel.registration import image
from verify.live.kernel.slots import BLOCKER, occupy
from verify.live.kernel.state import FLAGS, ID_FLAG, STANDARD, KernelState
from verify.live.ptrace import RIP
from verify.live.uprobe import Probes

X87_POINTERS: Final = "x87-pointers"
LOST: Final = -1                                    # signal number of a run that killed the child


@dataclass(frozen=True, slots=True)
class ObservedDeviation:
    """A difference that the program saw: in which state, at which hit (from 1), on which observable.

    `kind` is that of the state, `breaks` the assumptions that do not hold in it.
    """

    state: str
    hit: int
    difference: Difference
    kind: str = STANDARD
    breaks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """One state in which an encoding ran with the probe: the bytes as they stood there, and how it deviated.

    `end`: how the run without the probe ended.
    """

    encoding: bytes
    state: KernelState
    setting: RunSetting
    placement: Placement
    end: str
    observables: frozenset[str]


@dataclass(slots=True)
class ObservedRuns:
    """What one encoding showed: deviations, the states it was in, and how often it ran with the probe by kind of state.

    `frames`: of faults that were delivered, pairs of the trap number without and with the probe.
    """

    deviations: list[ObservedDeviation] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    frames: list[tuple[int, int]] = field(default_factory=list)


class Runner:
    """Runs slots of one placement's code in a child, which is replaced when it dies; a context manager."""

    def __init__(self, placement: Placement, encodings: Sequence[bytes]) -> None:
        self.placement, self.encodings = placement, placement.placed(encodings)
        self.text = placement.text([*self.encodings, BLOCKER])
        self._occupied = False
        self._stack, self._life = contextlib.ExitStack(), contextlib.ExitStack()
        self._protection, self._id = (True, False), False
        self._tracked = LastPageFault()
        self.plain: dict[int, dict[KernelState, KernelOutcome]] = {}    # the runs without a probe, by slot
        self.endless: set[int] = set()                      # slots that a run did not come out of
        self._settings = [placement.setting(i, self.text) for i in range(len(encodings))]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.path, self._descriptor = stack.enter_context(image((self.text,)))
            stack.callback(self._life.close)
            self.restart()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Starts the child, in place of one that died."""
        self._life.close()
        self.child = self._life.enter_context(Tracee(self._descriptor, len(self.text), self.placement.space))
        if len(self.encodings) == 1:  # of many at once each processor has its share
            self.child.stay()
        self._protection, self._id = (True, False), False
        if self.placement.rseq:
            self.child.register_rseq(self.placement.space.code, len(self.text))
        if self._occupied:
            self.occupy()

    def occupy(self) -> None:
        """Has other threads of the child take slots; the blocker behind the encodings is probed."""
        self._occupied = True
        occupy(self.child, self.placement.space.code + self.placement.offset(len(self.encodings)), self.placement.busy)

    def setting(self, index: int) -> RunSetting:
        """Where slot `index` runs."""
        return self._settings[index]

    def run_plain(self, families: Sequence[Family], accepted: Collection[int]) -> None:
        """Runs every slot without a probe in the states that are its own; after an endless run, in no more of them.

        Slots that are not `accepted` are run in the standard states alone.
        """
        self.plain = {index: {} for index in range(len(self.encodings))}
        probed = frozenset(accepted)
        for state, indexes in self.families(families):
            for index in indexes:
                if index not in self.endless and (state.kind == STANDARD or index in probed):
                    outcome = self.plain[index][state] = self.run(state, index)
                    if outcome.stop.signal == signal.SIGSTOP:
                        self.endless.add(index)

    def run(self, state: KernelState, index: int) -> KernelOutcome:
        """One run of slot `index` from the state; a run that kills the child has the signal number LOST."""
        self._prepare(state)
        self.child.data[:] = state.data
        try:
            start = self.setting(index).origin - len(self.placement.prologue)
            stop = self.child.run(state.at(start), state.xstate, state.delivered)
        except ChildLost:
            self.restart()
            return KernelOutcome(Stop(LOST, 0, 0, (0,) * 27, b""), state.data)
        self._id = bool(stop.registers[FLAGS] & ID_FLAG)
        data = self.child.data[:]
        return KernelOutcome(self._tracked.see(stop), state.data if data == state.data else data)

    def _prepare(self, state: KernelState) -> None:
        """Gives the child the protection of its pages and the ID flag, which its registers do not hold."""
        wanted = (state.accessible, state.read_only)
        if wanted != self._protection:
            self.child.protect_data(*wanted)
            self._protection = wanted
        if state.id_flag != self._id:
            self.child.set_id_flag(state.id_flag)

    def families(self, families: Sequence[Family]) -> Iterator[tuple[KernelState, list[int]]]:
        """Each state with the slots whose encodings are run in it."""
        for family in families:
            rows: dict[KernelState, list[int]] = {state: [] for state in family}
            for index, encoding in enumerate(self.encodings):
                if (state := chosen(encoding, family)) is not None:
                    rows[state].append(index)
            yield from ((state, found) for state, found in rows.items() if found)

    def probed(
        self, accepted: Sequence[int], families: Sequence[Family], hits: int, first: KernelState
    ) -> dict[int, ObservedRuns]:
        """What the accepted slots show; `hits` runs with the probe in the state `first`, see `_wanted` for others."""
        found = {index: ObservedRuns() for index in accepted}
        counters = {index: number for number, index in enumerate(accepted)}
        busy = [len(self.encodings)] if self.placement.busy else []
        offsets = [self.placement.offset(index) for index in (*accepted, *busy)]
        with Probes(len(offsets)) as probes, probes.attached(self.path, offsets):
            if busy:
                self.occupy()
            for state, indexes in self.families(families):
                for index in indexes:
                    if index in found and state in self.plain[index]:
                        counted = partial(probes.hits, counters[index])
                        wanted = hits if state is first else _wanted(state, self.encodings[index], hits)
                        self._hit(found[index], state, index, wanted, counted)
        for index, seen in found.items():
            seen.deviations = self._stable(index, seen.deviations)
            seen.shown = list(self._shown(index, seen.deviations))
        return found

    def _shown(self, index: int, rows: Sequence[ObservedDeviation]) -> Iterator[Shown]:
        setting = self.setting(index)
        for state, plain in self.plain[index].items():
            found = (row.difference for row in rows if row.state == state.name)
            observables = frozenset(d.observable for d in found if not d.assumption)
            yield Shown(self.encodings[index], state, setting, self.placement, kind(plain.stop, setting), observables)

    def _hit(self, seen: ObservedRuns, state: KernelState, index: int, wanted: int, counted: Callable[[], int]) -> None:
        """The runs of one slot in one state with the probe."""
        rows = [row for hit in range(1, wanted + 1) for row in self._seen(seen, state, index, hit, counted)]
        if wanted == 1 and any(row.difference.observable == X87_POINTERS for row in rows):
            rows += self._seen(seen, state, index, 2, counted)
        if rows and self.placement.prologue:                # a context switch may have left the sequence
            again = {row.difference.observable for row in self._seen(seen, state, index, wanted + 1, counted)}
            rows = [row for row in rows if row.difference.observable in again]
        seen.deviations += rows

    def _seen(
        self, seen: ObservedRuns, state: KernelState, index: int, hit: int, counted: Callable[[], int]
    ) -> list[ObservedDeviation]:
        """What the program sees of one run with the probe."""
        before = counted()
        run = self.run(state, index)
        outcome = KernelOutcome(run.stop, run.data, counted() - before)
        setting, plain = self.setting(index), self.plain[index][state]
        seen.runs[state.kind] += 1
        if all(stop.frame and _faults(stop, setting) for stop in (plain.stop, outcome.stop)):
            seen.frames.append((trap_number(plain.stop), trap_number(outcome.stop)))
        found = differences(plain, outcome, setting)
        return [ObservedDeviation(state.name, hit, d, state.kind, state.breaks) for d in found]

    def _stable(self, index: int, rows: list[ObservedDeviation]) -> list[ObservedDeviation]:
        """The deviations on observables that do not differ between two runs without a probe.

        The x87 pointers must differ in two runs: a context switch before they are stored loses them
        (NOTE(x87-pointers)).
        """
        concerned = {row.state for row in rows}
        varying = {(s.name, d.observable) for s, outcome in self.plain[index].items() if s.name in concerned
                   for d in differences(outcome, self.run(s, index), self.setting(index))}
        kept = [row for row in rows if (row.state, row.difference.observable) not in varying]
        pointers = sum(row.difference.observable == X87_POINTERS for row in kept)
        return kept if pointers != 1 else [row for row in kept if row.difference.observable != X87_POINTERS]


def _faults(stop: Stop, at: RunSetting) -> bool:
    """Whether the instruction itself faulted."""
    return kind(stop, at) == "fault" and stop.registers[RIP] == at.origin


def _wanted(state: KernelState, encoding: bytes, hits: int) -> int:
    """How many hits in a row a state has: all of them in one state of a few, so that every kind of state has them."""
    return hits if (sum(encoding) + len(state.name)) % 7 == 0 else 1
