"""Trials and their outcomes as Python values: registers, x87 words, memory by trial; what moved, over a whole batch.

Decides nothing about semantics.  Conversions are made for a batch at once, or for a register when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.descriptors import CODE_SELECTOR, STACK_SELECTOR
from verify.live.differential.prediction import POINTERS, Bytes, Given, VectorRow
from verify.live.differential.states import Trials
from verify.live.executor.executor import Executor
from verify.live.executor.layout import CHUNK, REGIONS
from verify.live.executor.records import chunks_by_trial
from verify.live.executor.state import CpuState

FILES: Final = ("gprs", "vectors", "masks")
PENDING: Final = 0x80  # of the x87 status word: ES
NO_MASKS: Final = [0] * 8


def vectors_of(area: NDArray[np.void]) -> NDArray[np.uint8]:
    """The 32 vector registers of XSAVE areas, 64 bytes each; absent parts are zero."""
    whole = np.zeros((len(area), 32, 8), dtype=np.uint64)
    whole[:, :16, 0:2] = area["xmm"]
    for name, place in (("ymm_high", slice(2, 4)), ("zmm_high", slice(4, 8))):
        if name in (area.dtype.names or ()):
            whole[:, :16, place] = area[name]
    if "zmm_upper" in (area.dtype.names or ()):
        whole[:, 16:] = area["zmm_upper"]
    return whole.view(np.uint8).reshape(len(area), 32, 64)


def put_vectors(area: NDArray[np.void], vectors: NDArray[np.uint8]) -> None:
    """The reverse of `vectors_of`."""
    whole = np.ascontiguousarray(vectors).view(np.uint64).reshape(len(area), 32, 8)
    area["xmm"] = whole[:, :16, 0:2]
    for name, place in (("ymm_high", slice(2, 4)), ("zmm_high", slice(4, 8))):
        if name in (area.dtype.names or ()):
            area[name] = whole[:, :16, place]
    if "zmm_upper" in (area.dtype.names or ()):
        area["zmm_upper"] = whole[:, 16:]


def x87_word(area: np.void) -> int:
    """st7..st0, tag, status and control of one XSAVE area; the tag is 0 or 3 for each register."""
    value = 0
    for low, high in reversed(area["st"].tolist()):
        value = value << 80 | (high & 0xFFFF) << 64 | low
    abridged, tag = int(area["ftw"]), 0
    for i in range(8):
        tag |= (0 if abridged >> i & 1 else 3) << 2 * i
    return value << 48 | tag << 32 | int(area["fsw"]) << 16 | int(area["fcw"])


class Records:
    """Records of a batch, in or out, by component; lists are made once."""

    def __init__(self, records: NDArray[np.void]) -> None:
        self.rows, self.area = records, records["xsave"]
        self._columns: dict[str, list[int]] = {}
        self._tables: dict[str, list[list[int]]] = {}

    def column(self, name: str) -> list[int]:
        """A field of all trials that is one number."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = (self.area if name == "mxcsr" else self.rows)[name].tolist()
        return found

    def table(self, name: str) -> list[list[int]]:
        """A field of all trials that is several numbers."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = (self.area if name == "masks" else self.rows)[name].tolist()
        return found

    @cached_property
    def has_masks(self) -> bool:
        """Whether this processor has mask registers."""
        return "masks" in (self.area.dtype.names or ())

    @cached_property
    def vectors(self) -> NDArray[np.uint8]:
        """Trials × 32 × 64 bytes."""
        return vectors_of(self.area)

    @cached_property
    def _vector_bytes(self) -> memoryview:
        return memoryview(self.vectors.tobytes())

    def file(self, i: int, name: str) -> Sequence[int]:
        """A register file of trial i."""
        if name == "vectors":
            size = 32 * CHUNK
            return VectorRow(self._vector_bytes[size * i : size * i + size])
        if name == "masks" and not self.has_masks:
            return NO_MASKS
        return self.table(name)[i]


class Input(Records):
    """The states of a batch in the semantics' terms."""

    def __init__(self, executor: Executor, trials: Trials) -> None:
        super().__init__(trials.states)
        self.origin, self.background = executor.origin, background(executor)
        self.only_pending = executor.capabilities.vendor == "AuthenticAMD"
        self.memory = chunks_by_trial(trials.memory)

    def given(self, i: int, wanted: frozenset[str]) -> Given:
        """The state of trial i; the x87 word is left out where it is not wanted."""
        return Given(
            self.origin, self.file(i, "gprs"), self.column("rflags")[i], self.column("fs_base")[i],
            self.column("gs_base")[i], self.file(i, "vectors"), self.file(i, "masks"), self.column("mxcsr")[i],
            x87_word(self.area[i]) if "x87" in wanted else 0, self.column("pkru")[i],
            Bytes(self.memory.get(i, {}), self.background), self.pointers(i),
        )  # fmt: skip

    def pointers(self, i: int) -> tuple[int, int, int]:
        """FIP, FDP, FOP as XRSTOR loads them: none on AMD without a pending exception (APM vol. 2, 11.4.4.3)."""
        if self.only_pending and not self.area["fsw"][i] & PENDING:
            return 0, 0, 0
        fip, fdp, fop = (int(self.area[name][i]) for name in POINTERS)
        return fip, fdp, fop


class Observed(Records):
    """The processor's outcomes of a batch, and what moved."""

    def __init__(self, executor: Executor, trials: Trials) -> None:
        codes = [trials.decoded(i).data for i in trials.which.tolist()]
        batch = executor.run_batch(codes, trials.states, trials.memory)
        super().__init__(batch.outcomes)
        self.memory = chunks_by_trial(batch.memory)

    def word(self, i: int, name: str) -> int:
        """A component that is one word afterwards, as the semantics count it."""
        if name == "x87":
            return x87_word(self.area[i])
        if name in POINTERS:
            return self.pointers(i)[POINTERS.index(name)]
        if name == "opaque":
            return self.column("pkru")[i]
        if name == "selectors":
            es, ds, fs, gs = self.table("selectors")[i]
            cs, ss = self.table("code_stack")[i]
            return es | cs << 16 | ss << 32 | ds << 48 | fs << 64 | gs << 80
        return self.column(name)[i]

    def pointers(self, i: int) -> tuple[int, int, int]:
        """FIP and FDP (32 bits each) and FOP as FNSTENV stored them: all 0 where a preemption has lost them.

        Zeros where a signal ended the run.  NOTE(x87-pointers)
        """
        if self.column("signal")[i]:
            return 0, 0, 0
        environment = self.table("environment")[i]
        return environment[3], environment[5], environment[4] >> 16 & 0x7FF


class Moved:
    """What differs from before: components by trial, registers by file and trial."""

    def __init__(self, before: Records, after: Records) -> None:
        self.components: dict[int, list[str]] = {}
        self.registers: dict[str, dict[int, list[int]]] = {}
        for name, changed in _changed_files(before, after).items():
            rows = self.registers[name] = {}
            for i, n in zip(*(a.tolist() for a in np.nonzero(changed)), strict=True):
                rows.setdefault(i, []).append(n)
            self._note(name, rows)
        for name, rest in _changed_others(before, after).items():
            self._note(name, np.flatnonzero(rest).tolist())

    def _note(self, name: str, trials: Iterable[int]) -> None:
        for i in trials:
            self.components.setdefault(i, []).append(name)


def _changed_files(before: Records, after: Records) -> dict[str, NDArray[np.bool_]]:
    """File -> trials × registers that differ."""
    found = {
        "gprs": before.rows["gprs"] != after.rows["gprs"],
        "vectors": (before.vectors.view(np.uint64) != after.vectors.view(np.uint64)).any(axis=2),
    }
    if before.has_masks:
        found["masks"] = before.area["masks"] != after.area["masks"]
    return found


def _changed_others(before: Records, after: Records) -> dict[str, NDArray[np.bool_]]:
    """Component -> trials in which it differs; the upper six bytes of an x87 register's place are not stored."""
    rows, area, saved = before.rows, before.area, after.area
    found: dict[str, NDArray[np.bool_]] = {
        "mxcsr": area["mxcsr"] != saved["mxcsr"],
        "fs_base": rows["fs_base"] != after.rows["fs_base"],
        "gs_base": rows["gs_base"] != after.rows["gs_base"],
        "selectors": (after.rows["selectors"] != 0).any(axis=1)
        | (after.rows["code_stack"] != (CODE_SELECTOR, STACK_SELECTOR)).any(axis=1),
        "x87": (area["st"][:, :, 0] != saved["st"][:, :, 0]).any(axis=1)
        | ((area["st"][:, :, 1] ^ saved["st"][:, :, 1]) & np.uint64(0xFFFF) != 0).any(axis=1)
        | (area["fcw"] != saved["fcw"]) | (area["fsw"] != saved["fsw"]) | (area["ftw"] != saved["ftw"]),
        "opaque": (rows["pkru"] != after.rows["pkru"]) & (after.rows["signal"] == 0),  # a handler has PKRU of its own
    }  # fmt: skip
    return found


@lru_cache(4)
def background(executor: Executor) -> Mapping[int, bytes]:
    """Chunk address -> 64 bytes of every region, the read-only ones included."""
    chunks = {}
    for region in REGIONS:
        data = executor.memory_of(CpuState(), region.address, region.size)
        chunks.update({region.address + k: data[k : k + CHUNK] for k in range(0, region.size, CHUNK)})
    return chunks
