"""Runs one instruction from a given full state on the processor of this machine and returns the complete outcome.

Decides nothing about what an instruction ought to do.  The instruction runs in a child process that has only the
executor's pages mapped; a crash, hang or runaway of the child is an outcome, and the child is replaced.
Not observed: debug and model-specific registers, shadow stack, timing.
"""

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from verify.live.capabilities import LOADED, capabilities
from verify.live.executor.batch import Batch, Work, execute, slots
from verify.live.executor.child import CodeFile
from verify.live.executor.layout import STACK, ChildLayout
from verify.live.executor.outcomes import (
    CRASHED,
    HUNG,
    KINDS,
    chunks,
    classify,
    differences,
    outcome,
    pack_state,
)
from verify.live.executor.records import LOG_DTYPE, chunks_by_trial
from verify.live.executor.session import Session
from verify.live.executor.state import OBSERVABLES, RFLAGS_FIXED, CpuOutcome, CpuState
from verify.live.needs import refuse_hidden

SLOT_OFFSET: Final = 0x200  # default origin inside the code area
KILL: Final = 9
NO_MEMORY: Final = np.empty(0, LOG_DTYPE)


class Executor:
    """A context manager that owns one child process; raises ExecutorUnavailable where the machine lacks something.

    `code_file`: map the code area from this file, whose contents are the caller's (see `layout.code_image`).
    `background`: bytes of memory not listed in a state.
    `patience`: seconds, as `patience.Patience` counts them, without progress after which the child is killed.
    """

    def __init__(
        self,
        layout: ChildLayout | None = None,
        code_file: CodeFile | None = None,
        background: bytes | None = None,
        patience: float = 5.0,
    ) -> None:
        self.capabilities = capabilities()
        self.layout = layout or ChildLayout()
        self.origin = self.layout.code_base + SLOT_OFFSET
        self._session = Session(self.layout, self.capabilities, code_file, background, patience)
        if code_file is None:
            self._forget_probes()

    def _forget_probes(self) -> None:
        """One int3, after which the kernel knows that nothing in the child is probed.

        A child of a process with uprobes counts as having some until its first trap, which then leaves the trap number
        as it was (Linux 6.18 kernel/events/uprobes.c, dup_mmap's MMF_RECALC_UPROBES, handle_swbp).
        """
        self.run(b"\xcc", CpuState(), observe=())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child and releases the arena."""
        self._session.close()

    @property
    def pid(self) -> int:
        """Process id of the child; it changes when the child had to be replaced."""
        return self._session.pid

    def run(
        self, code: bytes, state: CpuState, origin: int | None = None, observe: Collection[str] = OBSERVABLES
    ) -> CpuOutcome:
        """The outcome of `code` at `origin` from `state`; what is not in `observe` is neither loaded nor compared.

        Raises ValueError for a state that cannot be loaded, or a code file that does not hold the instruction's slot,
        NotHere for an instruction of a hidden feature.
        """
        session, at = self._session, self.origin if origin is None else origin
        vector, memory = _scope(observe, bool(state.memory))
        refuse_hidden((code,))
        session.place(code, at)
        into, out = session.formats(vector)
        session.write_input(pack_state(state, code, self.capabilities, into.itemsize))
        before = chunks(state.memory, session.background) if memory else {}
        session.write_log(_log({0: before}))
        ending = session.call(0, 1, vector, memory)
        if ending is not None:
            return _ended(HUNG if ending.hung else CRASHED, at, ending.status)
        record = session.outputs(1, out)
        classify(record, len(code), at, self.layout)
        changed = self._changed(before, session.read_log()) if memory else ()
        return outcome(record.tobytes(), int(record["kind"][0]), state, changed, self.capabilities)

    def run_many(
        self,
        items: Sequence[tuple[bytes, CpuState]],
        origin: int | None = None,
        observe: Collection[str] = OBSERVABLES,
    ) -> list[CpuOutcome]:
        """The outcomes of many (code, state), each as `run` would give it, in few calls; not with a code file."""
        states, log = self.records(items, observe)
        batch = self.run_batch(None, states, log, origin, observe)
        before = chunks_by_trial(log)
        bounds = np.searchsorted(batch.memory["trial"], np.arange(len(items) + 1))
        out = []
        for i, (_, state) in enumerate(items):
            changed = self._changed(before.get(i, {}), batch.memory[bounds[i] : bounds[i + 1]])
            out.append(self._outcome(batch.outcomes[i], state, changed))
        return out

    def records(
        self, items: Sequence[tuple[bytes, CpuState]], observe: Collection[str] = OBSERVABLES
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Input records with their slots, and memory entries, of (code, state): what `run_batch(None, ...)` takes."""
        into, _ = self._session.formats(_scope(observe, False)[0])
        packed = b"".join(pack_state(state, code, self.capabilities, into.itemsize) for code, state in items)
        states = np.frombuffer(bytearray(packed), dtype=into)
        self._fill_slots([code for code, _ in items], states)
        trials = {i: chunks(state.memory, self._session.background) for i, (_, state) in enumerate(items)}
        return states, _log(trials)

    def run_batch(
        self,
        code: bytes | Sequence[bytes] | None,
        states: NDArray[np.void],
        memory: NDArray[np.void] = NO_MEMORY,
        origin: int | None = None,
        observe: Collection[str] = OBSERVABLES,
    ) -> Batch:
        """Runs `code`, or one instruction a state, from all `states` (see `blank_states`); records in, records out.

        `memory`: (trial, address, chunk) entries of 64 aligned bytes, trial ascending, over the background.
        `code` fills the `slot` and `length` of `states`; None: the records hold them already (see `batch.slots`).
        `observe` without vector and x87: states without XSAVE area.
        Raises ValueError for states of the wrong kind or that cannot be loaded.
        """
        vector, compare = _scope(observe, len(memory) > 0)
        session, at = self._session, self.origin if origin is None else origin
        if states.dtype != session.formats(vector)[0]:
            raise ValueError("states must have the executor's input type, with an XSAVE area exactly if it is observed")
        self._check_memory(memory, len(states))
        if isinstance(code, bytes):
            refuse_hidden((code,))
            session.place(code, at)
            states["length"] = len(code)
        else:
            self._fill_slots(code, states)
            session.clear_slots(at)
        return execute(session, Work(states, memory, at, vector, compare, not isinstance(code, bytes)))

    def _fill_slots(self, codes: Sequence[bytes] | None, states: NDArray[np.void]) -> None:
        if codes is None:
            return
        if len(codes) != len(states):
            raise ValueError(f"{len(codes)} instructions for {len(states)} states")
        refuse_hidden(codes)
        states["slot"] = slots(codes)
        states["length"] = np.fromiter(map(len, codes), dtype=np.uint64, count=len(codes))

    def _check_memory(self, memory: NDArray[np.void], trials: int) -> None:
        """ValueError unless entries are sorted, aligned and inside writable regions: the stub stores them unasked."""
        if not len(memory):
            return
        address, known = memory["address"], np.fromiter(self._session.background, dtype=np.uint64)
        if not np.isin(address, known).all():
            raise ValueError("memory entries must be aligned chunks of 64 bytes in a writable region")
        order = memory["trial"]
        if (order[1:] < order[:-1]).any() or order[-1] >= trials:
            raise ValueError("memory entries must be sorted by trial, each below the number of states")

    def blank_states(self, count: int, observe: Collection[str] = OBSERVABLES) -> NDArray[np.void]:
        """`count` input records of the default state, rsp in the middle of the stack region; to be filled in."""
        vector, _ = _scope(observe, False)
        states = np.zeros(count, dtype=self._session.formats(vector)[0])
        states["rflags"], states["gprs"][:, 4] = RFLAGS_FIXED, STACK.address + STACK.size // 2
        states["slot"] = 0xCC
        if vector:
            area = states["xsave"]
            area["fcw"], area["mxcsr"] = 0x37F, 0x1F80
            area["xstate_bv"] = self.capabilities.xcr0 & LOADED
        return states

    def memory_of(self, state: CpuState, address: int, size: int) -> bytes:
        """`size` bytes at `address` in `state`, given before a run or found behind it, over this executor's background.

        Raises ValueError where they are not inside one region.
        """
        data = bytearray(self._session.background_at(address, size))
        for start, piece in state.memory:
            low, high = max(start, address), min(start + len(piece), address + size)
            if low < high:
                data[low - address : high - address] = piece[low - start : high - start]
        return bytes(data)

    def _outcome(self, record: np.void, state: CpuState, changed: tuple[tuple[int, bytes], ...]) -> CpuOutcome:
        kind, number = int(record["kind"]), int(record["signal"])
        if kind == CRASHED or (kind == HUNG and number == KILL):
            return _ended(kind, int(record["ip"]), -number or int(record["error_code"]))
        return outcome(record.tobytes(), kind, state, changed, self.capabilities)

    def _changed(self, before: dict[int, bytes], log: NDArray[np.void]) -> tuple[tuple[int, bytes], ...]:
        """Differences between the chunks loaded and the chunks that the stub found to differ from the background."""
        background = self._session.background
        after = {int(entry["address"]): entry["chunk"].tobytes() for entry in log}
        keys = before.keys() | after.keys()
        return differences(
            {key: before.get(key, background[key]) for key in keys},
            {key: after.get(key, background[key]) for key in keys},
        )


def _scope(observe: Collection[str], memory: bool) -> tuple[bool, bool]:
    """Whether vector state takes part, and whether memory does; ValueError for an unknown observable."""
    unknown = set(observe) - OBSERVABLES
    if unknown:
        raise ValueError(f"observables are {sorted(OBSERVABLES)}, got {sorted(unknown)}")
    return bool({"vector", "x87"} & set(observe)), memory or "memory" in observe


def _log(trials: dict[int, dict[int, bytes]]) -> NDArray[np.void]:
    """Memory log entries of trials in ascending order: trial -> chunk address -> 64 bytes."""
    entries = [
        trial.to_bytes(8, "little") + address.to_bytes(8, "little") + chunk
        for trial, memory in trials.items()
        for address, chunk in memory.items()
    ]
    return np.frombuffer(b"".join(entries), dtype=LOG_DTYPE)


def _ended(kind: int, origin: int, status: int) -> CpuOutcome:
    """The outcome of a trial during which the child ended or had to be killed."""
    return CpuOutcome(KINDS[kind], None, origin, signal=max(-status, 0), exit_status=status)
