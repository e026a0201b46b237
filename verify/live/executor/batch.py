"""Runs many trials in few calls: splits them so that records and memory logs fit the arena, and resumes after endings.

Decides the order of calls only; a trial in which the child ended is marked and the rest goes on in a new child.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.capabilities import LOADED, Capabilities
from verify.live.executor.layout import SLOT, slot
from verify.live.executor.outcomes import CRASHED, HUNG, classify
from verify.live.executor.records import LOG_DTYPE
from verify.live.executor.session import Ending, Session

TRIALS: Final = 2048  # of one call: input and output records stay within a second-level cache


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Output records in the order of the trials, and the chunks of memory that differ from the background afterwards.

    `memory` has (trial, address, chunk) entries, trial ascending; a chunk that is absent holds the background.
    """

    outcomes: NDArray[np.void]
    memory: NDArray[np.void]


def slots(codes: Sequence[bytes]) -> NDArray[np.uint8]:
    """One 32-byte slot a row: the instruction, the exit jump, int3; ValueError unless 1..15 bytes each."""
    return np.frombuffer(b"".join(map(slot, codes)), dtype=np.uint8).reshape(-1, SLOT)


def check_loadable(states: NDArray[np.void], caps: Capabilities) -> None:
    """ValueError for XSAVE areas that XRSTOR would refuse (SDM vol. 1, 13.8.1)."""
    area = states["xsave"]
    if (area["mxcsr"] & ~np.uint32(caps.mxcsr_mask)).any():
        raise ValueError("a state's mxcsr has reserved bits set")
    if (area["xstate_bv"] & ~np.uint64(LOADED)).any() or area["xcomp_bv"].any():
        raise ValueError("a state's xstate_bv has unsupported bits set, or xcomp_bv is not 0")


@dataclass(frozen=True, slots=True)
class Work:
    """A batch: input records, the memory log to load, and where and how they run."""

    states: NDArray[np.void]
    memory: NDArray[np.void]
    origin: int
    vector: bool
    compare: bool
    load_code: bool


def execute(session: Session, work: Work) -> Batch:
    """Runs all trials of `work`; records are classified."""
    out = np.zeros(len(work.states), dtype=session.formats(work.vector)[1])
    logs = []
    limit, low = min(TRIALS, session.capacity(work.vector)), 0
    while low < len(out):
        high = _end(work.memory["trial"], low, min(low + limit, len(out)), session.log_capacity)
        logs += _part(session, work, low, high, out[low:high])
        low = high
    return Batch(out, np.concatenate(logs) if logs else np.empty(0, LOG_DTYPE))


def _end(trials: NDArray[np.uint64], low: int, high: int, capacity: int) -> int:
    """The last trial boundary up to `high` whose log entries fit."""
    first, last = np.searchsorted(trials, (low, high))
    return int(trials[first + capacity]) if last - first > capacity else high


def _part(session: Session, work: Work, low: int, high: int, out: NDArray[np.void]) -> list[NDArray[np.void]]:
    """Trials `low`..`high`-1 in one filling of the arena; their memory log, trials counted from the batch's first."""
    states = np.ascontiguousarray(work.states[low:high])
    if work.vector:
        check_loadable(states, session.caps)
    session.write_input(states.view(np.uint8))
    entries = work.memory[slice(*np.searchsorted(work.memory["trial"], (low, high)))].copy()
    entries["trial"] -= np.uint64(low)
    session.write_log(entries)
    endings: list[Ending] = []
    logs, done = [], 0
    while done < high - low:
        session.rewind_log(int(np.searchsorted(entries["trial"], done)))
        ending = session.call(done, high - low, work.vector, work.compare, work.load_code)
        done = session.index if ending is None else ending.index
        log = session.read_log()
        log = log[log["trial"] < done].copy()
        log["trial"] += np.uint64(low)
        logs.append(log)
        if ending is not None:
            endings.append(ending)
            done += 1
    out.view(np.uint8)[:] = session.outputs(high - low, out.dtype).view(np.uint8)
    if not session.caps.fsgsbase:  # then the stub stores no bases: they are 0 from the start
        out["fs_base"], out["gs_base"] = 0, 0
    for ending in endings:
        out[ending.index] = np.zeros((), out.dtype)
    classify(out, states["length"].astype(np.int64), work.origin, session.layout)
    for ending in endings:
        _mark(out, ending, work.origin)
    return logs


def _mark(out: NDArray[np.void], ending: Ending, origin: int) -> None:
    """Turns the record of a trial that ended its child into that outcome; `error_code` holds the exit status."""
    row = out[ending.index : ending.index + 1]
    row["kind"] = HUNG if ending.hung else CRASHED
    row["ip"], row["signal"] = origin, max(-ending.status, 0)
    row["error_code"] = max(ending.status, 0)
