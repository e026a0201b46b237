"""The running kernel as judge: is an encoding refused, and does a program see the probe that was accepted.

Runs each encoding in a child of its own from a few full states, without and with a real uprobe on it, and compares all
that the program can see. Decides about the states that were run, not about all states. What differs between two runs
without a probe (time stamps, random numbers) is left out. Needs the privileges that `uprobe.missing` names.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Final, Self

from verify.live.corpus import PREFIX_BYTES, Layout, place
from verify.live.kernel_child import CODE, HLT, ChildLost, Stop, Tracee
from verify.live.kernel_outcome import Difference, Outcome, Setting, differences, kind
from verify.live.kernel_ptrace import RIP, untraceable
from verify.live.kernel_registration import COPIED, image, refusals
from verify.live.kernel_state import TARGET, X87_AREA, State, standard_states
from verify.live.needs import refuse_hidden
from verify.live.uprobe import Probes, UprobesUnavailable, missing

LAYOUT: Final = Layout(CODE, TARGET)
BATCH: Final = 2000
X87_EPILOGUE: Final = b"\xd9\x34\x25" + X87_AREA.to_bytes(4, "little")     # fnstenv [area]
X87_POINTERS: Final = "x87-pointers"
UNDEFINED: Final = "undefined"
LOST: Final = -1                                    # signal number of a run that killed the child


@dataclass(frozen=True, slots=True)
class Deviation:
    """A difference that the program saw: in which state, at which hit (from 1), on which observable."""

    state: str
    hit: int
    difference: Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """The kernel's verdict on one encoding as it stood at `origin`.

    `errno` is that of the refusal (0: accepted); `ends` names how the run without a probe ended in each state
    (arrived, trap, fault, runaway; "undefined" for #UD).
    """

    encoding: bytes
    origin: int
    errno: int
    deviations: tuple[Deviation, ...]
    ends: tuple[str, ...]

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


def is_x87(encoding: bytes) -> bool:
    """Whether the opcode behind the prefixes is d8..df or 9b: then the environment is stored behind it."""
    rest = encoding.lstrip(PREFIX_BYTES)
    return bool(rest) and (0xD8 <= rest[0] <= 0xDF or rest[0] == 0x9B)


def code_text(encodings: Sequence[bytes]) -> bytes:
    """The code region: one encoding a slot, x87 ones followed by fnstenv, everything else hlt; raises NotHere."""
    refuse_hidden(encodings)
    slots = ((e + X87_EPILOGUE * is_x87(e)).ljust(LAYOUT.stride, bytes((HLT,))) for e in encodings)
    return b"".join(slots)


@contextlib.contextmanager
def idle_child() -> Iterator[Tracee]:
    """A child with a nop to run: to ask it what the machine has."""
    text = code_text((b"\x90",))
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        yield child


class _Runner:
    """Runs slots of one code file in a child, which is replaced when it dies."""

    def __init__(self, descriptor: int, text: bytes) -> None:
        self._descriptor, self.text = descriptor, text
        self._stack = contextlib.ExitStack()
        self._accessible = True
        self.restart()
        self.states = standard_states(self.child)
        self.plain: dict[tuple[str, int], Outcome] = {}     # the runs without a probe, by state and slot

    def restart(self) -> None:
        self._stack.close()
        self.child = self._stack.enter_context(Tracee(self._descriptor, len(self.text)))
        self._accessible = True

    def close(self) -> None:
        self._stack.close()

    def setting(self, index: int) -> Setting:
        """Where slot `index` runs."""
        return Setting(CODE + index * LAYOUT.stride, self.text)

    def run(self, state: State, index: int) -> Outcome:
        """One run of slot `index` from the state; a run that kills the child has the signal number LOST."""
        if state.accessible != self._accessible:
            self.child.protect_data(state.accessible)
            self._accessible = state.accessible
        self.child.data[:] = state.data
        try:
            stop = self.child.run(state.at(CODE + index * LAYOUT.stride), state.xstate)
        except ChildLost:
            self.restart()
            return Outcome(Stop(LOST, 0, 0, (0,) * 27, b""), state.data)
        data = self.child.data[:]
        return Outcome(stop, state.data if data == state.data else data)


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
        while batch := list(islice(encodings, BATCH)):
            text = code_text([place(e, LAYOUT, i) for i, e in enumerate(batch)])
            with image((text,)) as (_, descriptor), contextlib.closing(_Runner(descriptor, text)) as runner:
                state = runner.states[0]
                ends = [end(runner.run(state, i).stop, runner.setting(i)) for i in range(len(batch))]
            yield from (e for e, how in zip(batch, ends, strict=True) if how != UNDEFINED)

    def compare(self, encodings: Iterator[bytes], hits: int = 3) -> Iterator[Comparison]:
        """The verdict on each encoding, in order; `hits` runs with the probe in the first state, one in the others."""
        while batch := list(islice(encodings, BATCH)):
            yield from _compared([place(e, LAYOUT, i) for i, e in enumerate(batch)], hits)


def _compared(encodings: Sequence[bytes], hits: int) -> list[Comparison]:
    text = code_text(encodings)
    origins = [LAYOUT.stride * i for i in range(len(encodings))]
    errnos = refusals([text[o : o + COPIED] for o in origins])
    accepted = [i for i, errno in enumerate(errnos) if not errno]
    with image((text,)) as (path, descriptor), contextlib.closing(_Runner(descriptor, text)) as runner:
        runner.plain = {(s.name, i): runner.run(s, i) for s in runner.states for i in range(len(encodings))}
        deviations = _deviations(runner, path, accepted, hits) if accepted else {}
    return [Comparison(e, CODE + origins[i], errnos[i], tuple(deviations.get(i, ())), _ends(runner, i))
            for i, e in enumerate(encodings)]


def _ends(runner: _Runner, index: int) -> tuple[str, ...]:
    return tuple(end(runner.plain[state.name, index].stop, runner.setting(index)) for state in runner.states)


def end(stop: Stop, at: Setting) -> str:
    """How a run without a probe ended: the kind of its stop, UNDEFINED for #UD."""
    undefined = stop.signal == signal.SIGILL and stop.registers[RIP] == at.origin
    return UNDEFINED if undefined else kind(stop, at)


def _deviations(runner: _Runner, path: str, accepted: Sequence[int], hits: int) -> dict[int, list[Deviation]]:
    seen: dict[int, list[Deviation]] = {}
    with Probes(len(accepted)) as probes, probes.attached(path, [LAYOUT.stride * i for i in accepted]):
        for state in runner.states:
            wanted = hits if state is runner.states[0] else 1
            for counter, index in enumerate(accepted):
                counted = partial(probes.hits, counter)
                rows = [row for hit in range(1, wanted + 1) for row in _seen(runner, state, index, hit, counted)]
                if wanted == 1 and any(row.difference.observable == X87_POINTERS for row in rows):
                    rows += _seen(runner, state, index, 2, counted)
                seen.setdefault(index, []).extend(rows)
    return {i: kept for i, rows in seen.items() if (kept := _stable(runner, i, rows))}


def _seen(runner: _Runner, state: State, index: int, hit: int, counted: Callable[[], int]) -> list[Deviation]:
    """What the program sees of one run with the probe."""
    before = counted()
    ended = runner.run(state, index)
    outcome = Outcome(ended.stop, ended.data, counted() - before)
    plain = runner.plain[state.name, index]
    return [Deviation(state.name, hit, d) for d in differences(plain, outcome, runner.setting(index))]


def _stable(runner: _Runner, index: int, rows: list[Deviation]) -> list[Deviation]:
    """The deviations on observables that do not differ between two runs without a probe.

    The x87 pointers must differ in two runs: a context switch before they are stored loses them (NOTE(x87-pointers)).
    """
    concerned = {row.state for row in rows}
    varying = {(s.name, d.observable) for s in runner.states if s.name in concerned
               for d in differences(runner.plain[s.name, index], runner.run(s, index), runner.setting(index))}
    kept = [row for row in rows if (row.state, row.difference.observable) not in varying]
    pointers = sum(row.difference.observable == X87_POINTERS for row in kept)
    return kept if pointers != 1 else [row for row in kept if row.difference.observable != X87_POINTERS]
