"""What lies in memory when a trial begins: random bytes where the instruction may look, and what it asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.differential.selectors import put_selectors
from verify.live.executor.layout import CHUNK, REGIONS
from verify.live.executor.records import LOG_DTYPE
from verify.models.x86.isa.forms import Form

PAIRS: Final = {"cmpxchg8b": 4, "cmpxchg16b": 8}  # bytes of rax and of rdx that are compared
WIDE: Final = 4096  # bytes that an operand of unknown size may take


def memory_entries(
    states: NDArray[np.void], targets: Sequence[int], form: Form, rng: np.random.Generator
) -> NDArray[np.void]:
    """Random chunks around every trial's operand, stack top and implicit operands, as the executor takes them."""
    count = len(states)
    size = WIDE // 2 if form.opcode.is_save_restore else max(form.opcode.memory_size, 64)
    chunk = np.uint64(CHUNK)
    spots = np.array(targets, dtype=np.uint64) & ~np.uint64(CHUNK - 1)
    with np.errstate(over="ignore"):
        columns = [spots + np.uint64(k * CHUNK % (1 << 64)) for k in range(-1, size // CHUNK + 2)]
        if form.opcode.implicit_memory or form.opcode.is_string:
            for register in (4, 5, 6, 7):
                place = states["gprs"][:, register] & ~np.uint64(CHUNK - 1)
                columns += [place - chunk, place, place + chunk]
    address = np.stack(columns, axis=1).ravel()
    trial = np.repeat(np.arange(count, dtype=np.uint64), len(columns))
    inside = np.zeros(len(address), dtype=bool)
    for region in REGIONS:
        if region.writable:
            inside |= (address >= region.address) & (address < region.end)
    order = np.lexsort((address[inside], trial[inside]))
    trial, address = trial[inside][order], address[inside][order]
    fresh = np.ones(len(trial), dtype=bool)
    fresh[1:] = (trial[1:] != trial[:-1]) | (address[1:] != address[:-1])
    entries = np.zeros(int(fresh.sum()), dtype=LOG_DTYPE)
    entries["trial"], entries["address"] = trial[fresh], address[fresh]
    entries["chunk"] = np.frombuffer(rng.bytes(64 * len(entries)), dtype=np.uint8).reshape(-1, 64)
    put_selectors(entries, states, targets, form, rng)
    if form.opcode.mnemonic in PAIRS:
        _expected_pairs(entries, states, targets, PAIRS[form.opcode.mnemonic], rng)
    if form.opcode.is_save_restore:
        _image_headers(entries, targets, rng)
    return entries


def _expected_pairs(
    entries: NDArray[np.void], states: NDArray[np.void], targets: Sequence[int], size: int, rng: np.random.Generator
) -> None:
    """In every second trial the operand holds what rdx:rax expects; in every fourth twice what rax holds."""
    trial = entries["trial"].astype(np.int64)
    place = np.array(targets, dtype=np.uint64)[trial] - entries["address"]
    rows = np.flatnonzero(place + np.uint64(2 * size) <= CHUNK)
    rows = rows[rng.random(len(rows)) < 0.75]
    for half, registers in enumerate(((0, 0), (2, 0))):
        chosen = np.where(rng.random(len(rows)) < 0.66, registers[0], registers[1])
        words = states["gprs"][trial[rows], chosen]
        for k in range(size):
            at = place[rows].astype(np.int64) + half * size + k
            entries["chunk"][rows, at] = (words >> np.uint64(8 * k)).astype(np.uint8)


def _image_headers(entries: NDArray[np.void], targets: Sequence[int], rng: np.random.Generator) -> None:
    """State images that may be loaded: masked control words, no reserved bits in MXCSR and in the header."""
    offset = entries["address"] - np.array(targets, dtype=np.uint64)[entries["trial"].astype(np.int64)]
    first = offset == 0
    entries["chunk"][first, 0:2] = (0x7F, 0x03)
    entries["chunk"][first, 2:4] &= np.uint8(0x3F)
    entries["chunk"][first, 24:32] = 0
    entries["chunk"][first, 24:26] = (0x80, 0x1F)
    header = offset == 512
    entries["chunk"][header] = 0
    entries["chunk"][header, 0] = rng.choice(np.array([0xE7, 0x07, 0x03, 0, 0xFF], dtype=np.uint8), int(header.sum()))
