"""Selectors for the forms that load them: far pointers, return frames and popped selectors that a program may use.

Decides nothing about outcomes.  Random words are almost never valid selectors; these are, or nearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.executor.layout import CHUNK, REGIONS, STACK
from verify.models.x86.isa.forms import Form

#: code (64-bit, 32-bit), data, null, CPUNODE; other RPLs; the kernel's, a local and one beyond the table
SELECTORS: Final = np.array(
    [0x33, 0x33, 0x33, 0x23, 0x2B, 0x2B, 0, 3, 0x7B, 0x30, 0x32, 0x20, 0x28, 0x10, 0x18, 0x37, 0x2F, 0x83],
    dtype=np.uint64,
)
RETURNS: Final = frozenset({"retf", "iret", "iretd", "iretq"})
FAR: Final = frozenset({"lfs", "lgs", "lss", "call", "jmp"})
FLAG_IMAGE: Final = 0x4CD5 | 0x300  # nt of df tf if and the status flags
NOWHERE: Final = 0x1234_5000  # nothing is mapped there
Places = NDArray[np.signedinteger]


def align_frames(states: NDArray[np.void], form: Form, rng: np.random.Generator) -> None:
    """Lets most return frames begin at a chunk."""
    if form.opcode.mnemonic in RETURNS or _pops_selector(form):
        top = states["gprs"][:, 4]
        inside = (top >= STACK.address + CHUNK) & (top < STACK.end - CHUNK)
        states["gprs"][:, 4] = np.where(inside & (rng.random(len(states)) < 0.8), top & ~np.uint64(CHUNK - 1), top)


def put_behind_a_gap(gprs: NDArray[np.uint64], released: int, size: int, rng: np.random.Generator) -> None:
    """Lets the stack that a far return to another level reads begin around the first byte of a region, here and there.

    Its frame then lies in another region, `released` bytes and two words of `size` bytes below.
    """
    count = len(gprs)
    for region in REGIONS:
        top = region.address - released - 2 * size
        if any(r is not region and r.holds(top - 2 * size, 8 * size) for r in REGIONS):
            place = np.uint64(top) - np.uint64(size) * rng.integers(0, 3, count, dtype=np.uint64)
            gprs[:, 4] = np.where(rng.random(count) < 0.4, place, gprs[:, 4])


def put_selectors(
    entries: NDArray[np.void], states: NDArray[np.void], targets: Sequence[int], form: Form, rng: np.random.Generator
) -> None:
    """Writes selectors into the chunks where the form will find them."""
    trial = entries["trial"].astype(np.int64)
    into = states["gprs"][trial, 4] - entries["address"]
    top = np.flatnonzero(into < CHUNK)
    place = into[top].astype(np.int64)
    opcode = form.opcode
    if opcode.mnemonic in RETURNS:
        _put_frames(entries["chunk"], top, place, opcode.operand_size // 8, rng)
    elif _pops_selector(form):
        _put(entries["chunk"], top, place, 2, rng.choice(SELECTORS, len(top)))
    elif opcode.mnemonic in FAR and (opcode.operand_size // 8 + 2) == opcode.memory_size:
        aimed = np.array(targets, dtype=np.uint64)[trial] - entries["address"] + np.uint64(opcode.memory_size - 2)
        rows = np.flatnonzero(aimed < CHUNK - 1)
        _put(entries["chunk"], rows, aimed[rows].astype(np.int64), 2, rng.choice(SELECTORS, len(rows)))


def _pops_selector(form: Form) -> bool:
    return form.opcode.mnemonic == "pop" and bool({"fs", "gs"} & set(form.opcode.op_kinds))


def _put_frames(
    chunks: NDArray[np.uint8], rows: Places, places: Places, size: int, rng: np.random.Generator
) -> None:
    """Frames of five words: ip (mostly nowhere), cs, flags, rsp, ss; as much of them as the chunk has room for."""
    count = len(rows)
    ips = np.where(rng.random(count) < 0.7, np.uint64(NOWHERE), rng.integers(0, 1 << 63, count, dtype=np.uint64))
    flags = rng.integers(0, 1 << 32, count, dtype=np.uint64) & np.uint64(FLAG_IMAGE) | np.uint64(2)
    words = (ips, rng.choice(SELECTORS, count), flags, rng.integers(0, 1 << 63, count, dtype=np.uint64),
             np.where(rng.random(count) < 0.7, np.uint64(0x2B), rng.choice(SELECTORS, count)))  # fmt: skip
    for n, word in enumerate(words):
        _put(chunks, rows, places + n * size, size, word)


def _put(chunks: NDArray[np.uint8], rows: Places, places: Places, size: int, words: NDArray[np.uint64]) -> None:
    """Writes the low `size` bytes of a word at a place in each row, those inside the row."""
    for k in range(size):
        inside = places + k < CHUNK
        chunks[rows[inside], places[inside] + k] = (words[inside] >> np.uint64(8 * k)).astype(np.uint8)
