"""The attack on declared read sets: change all that an outcome does not read, run again, compare what is written.

A component that is written, and that only its own new value is said to read (the flags of MXCSR are sticky), is changed
too in a run of its own, in which all the other outputs are compared.
What is read comes from the outcome's terms (`Prediction.reads`, `Prediction.whole`) at the places where they lie in
this state.  Bits that the semantics predict need no second run: only bits of a datapath are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.differential import states as generated
from verify.live.differential.comparison import Comparison, Finding
from verify.live.differential.expectation import unknown_bits, words, written
from verify.live.differential.observed import FILES, Observed, put_vectors, vectors_of
from verify.live.differential.prediction import FLAGS, POINTERS, Bytes, Prediction, chunks_of
from verify.live.differential.reads import FLAGS_GROUP
from verify.live.differential.states import Trials
from verify.live.executor.executor import Executor
from verify.live.executor.layout import CHUNK
from verify.models.x86.isa.forms import Form
from verify.models.x86.machine import FLAG_BITS
from verify.terms.evaluation import Value, register_file

X87_FIELDS: Final = ("fcw", "fsw", "ftw", "st")
ALL: Final = (1 << 64) - 1
CHANGED_FLAGS: Final = generated.STATUS_BITS | generated.DF | generated.NT | generated.ID  # TF and AC end a run


class Kept:
    """Which parts of the states of a batch are read, as masks over the records; `without`: not by that component."""

    def __init__(self, comparison: Comparison, without: str | None = None) -> None:
        count = len(comparison.trials.states)
        self.gprs = np.zeros((count, 16), dtype=np.uint64)
        self.vectors = np.zeros((count, 32, CHUNK), dtype=np.uint8)
        self.masks = np.zeros((count, 8), dtype=np.uint64)
        self.flags = np.full(count, ALL & ~CHANGED_FLAGS, dtype=np.uint64)
        self.whole: list[frozenset[str]] = [frozenset()] * count
        self.memory: dict[int, list[tuple[int, int]]] = {}
        for i, expected in comparison.expected.items():
            model = comparison.models[int(comparison.trials.which[i])]
            masks, self.whole[i] = _reads(model, without)
            for read, place, mask in zip(model.reads, expected.places, masks, strict=True):
                if mask:
                    self._read(i, read.kind, place, mask)
            for name in self.whole[i] & FLAG_BITS.keys():
                self.flags[i] |= np.uint64(1 << FLAG_BITS[name])
            if model.unsized:
                self.whole[i] |= {"memory"}

    def _read(self, i: int, kind: str, place: int, mask: int) -> None:
        if kind == "memory":
            self.memory.setdefault(i, []).append((place, mask))
        elif kind == "vectors":
            part = np.frombuffer((mask & (1 << 512) - 1).to_bytes(CHUNK, "little"), dtype=np.uint8)
            self.vectors[i, place] |= part
        elif kind == "gprs":
            self.gprs[i, place] |= np.uint64(mask & ALL)
        else:
            self.masks[i, place] |= np.uint64(mask & ALL)

    def rows(self, name: str) -> NDArray[np.bool_]:
        """The trials that read a component as a whole."""
        return np.array([name in w for w in self.whole], dtype=bool)


def _reads(model: Prediction, without: str | None) -> tuple[tuple[int, ...], frozenset[str]]:
    """Masks of the model's reads, and what is read as a whole, by everything but the component."""
    for row in model.apart:
        if row.component == without:
            return row.masks, row.whole
    return tuple(read.mask for read in model.reads), model.whole


def apart_components(comparison: Comparison) -> list[str]:
    """The components that are changed in runs of their own."""
    return sorted({row.component for model in comparison.models for row in model.apart})


def changed_trials(
    comparison: Comparison, executor: Executor, form: Form, rng: np.random.Generator, without: str | None = None
) -> Trials:
    """The trials with everything changed that is not read, or that only the component `without` reads."""
    old, kept = comparison.trials, Kept(comparison, without)
    states = executor.blank_states(len(old.states))
    generated.randomized(states, form, rng, executor.capabilities)
    generated.limited(states, form)
    kept.gprs[kept.rows("gprs")] = ALL
    kept.masks[kept.rows("masks")] = ALL
    kept.vectors[kept.rows("vectors")] = 0xFF
    states["gprs"] = old.states["gprs"] & kept.gprs | states["gprs"] & ~kept.gprs
    states["rflags"] = old.states["rflags"] & kept.flags | states["rflags"] & ~kept.flags
    based = kept.rows("segment_base") | kept.rows("fs_base") | kept.rows("gs_base")
    for name in ("fs_base", "gs_base"):
        states[name] = np.where(based, old.states[name], states[name])
    area, before = states["xsave"], old.states["xsave"]
    put_vectors(area, vectors_of(before) & kept.vectors | vectors_of(area) & ~kept.vectors)
    if "masks" in (area.dtype.names or ()):
        area["masks"] = before["masks"] & kept.masks | area["masks"] & ~kept.masks
    rows = kept.rows("mxcsr")
    area["mxcsr"] = np.where(rows, before["mxcsr"], area["mxcsr"])
    states["pkru"] = np.where(kept.rows("opaque"), old.states["pkru"], states["pkru"])
    pointers = kept.rows("fip") | kept.rows("fdp") | kept.rows("fop")  # and what decides whether XRSTOR loads them
    rows = kept.rows("x87") | pointers
    for name in (*X87_FIELDS, *POINTERS):
        area[name][rows] = before[name][rows]
    return Trials(old.probes, old.which, states, _changed_memory(old.memory, kept, rng))


def _changed_memory(entries: NDArray[np.void], kept: Kept, rng: np.random.Generator) -> NDArray[np.void]:
    new = entries.copy()
    fresh = np.frombuffer(rng.bytes(CHUNK * len(entries)), dtype=np.uint8).reshape(-1, CHUNK)
    mask = np.zeros(fresh.shape, dtype=bool)
    whole = kept.rows("memory")
    for row, (trial, address) in enumerate(zip(entries["trial"].tolist(), entries["address"].tolist(), strict=True)):
        if whole[trial]:
            mask[row] = True
        for place, size in kept.memory.get(trial, ()):
            low, high = max(place - address, 0), min(place + size - address, CHUNK)
            if low < high:
                mask[row, low:high] = True
    new["chunk"] = np.where(mask, entries["chunk"], fresh)
    return new


def disagreements(first: Comparison, second: Comparison, without: str | None = None) -> list[Finding]:
    """Bits of a datapath that differ between two runs whose read sets are equal; the component `without` left out."""
    found: list[Finding] = []
    for i, expected in first.expected.items():
        if i not in second.expected:
            ending = second.seen.column("trapno")[i]
            found.append(Finding(i, "unread", "ending", "completed", f"trap {ending}"))
            continue
        if len(expected.environments) == 1:
            continue
        environments = expected.states
        for name in environments[0]:
            if name in FLAG_BITS or name in {"memory", without} or name in POINTERS:
                continue
            if name in FILES:
                found += _file(first, second, i, name, [register_file(w[name]) for w in environments])
            else:
                found += _word(first, second, i, name, words(environments, name))
        found += _flags(first, second, i, environments) if without != FLAGS_GROUP else []
        if "memory" in environments[0] and without != "memory":
            found += _memory(first.seen, second.seen, i, [chunks_of(w["memory"]) for w in environments])
    return found


def _word(first: Comparison, second: Comparison, i: int, name: str, values: list[int]) -> list[Finding]:
    a, b = first.seen.word(i, name), second.seen.word(i, name)
    return [Finding(i, "unread", name, f"{a:#x}", f"{b:#x}")] if (a ^ b) & unknown_bits(values) else []


def _file(first: Comparison, second: Comparison, i: int, name: str, values: list[Sequence[int]]) -> list[Finding]:
    a, b = first.seen.file(i, name), second.seen.file(i, name)
    found = []
    for n in written(values, len(a)):
        x, y = a[n], b[n]
        if x != y and (x ^ y) & unknown_bits([v[n] for v in values]):
            found.append(Finding(i, "unread", f"{name}{n}", f"{x:#x}", f"{y:#x}"))
    return found


def _flags(first: Comparison, second: Comparison, i: int, environments: list[dict[str, Value]]) -> list[Finding]:
    a, b = first.seen.column("rflags")[i], second.seen.column("rflags")[i]
    found = []
    for name in FLAGS if a != b else ():
        bit = FLAG_BITS[name]
        if name in environments[0] and (a ^ b) >> bit & 1 and unknown_bits(words(environments, name)):
            found.append(Finding(i, "unread", name, str(a >> bit & 1), str(b >> bit & 1)))
    return found


def _memory(first: Observed, second: Observed, i: int, environments: list[Bytes]) -> list[Finding]:
    if any(w.lost for w in environments):
        return []
    one, two = first.memory.get(i, {}), second.memory.get(i, {})
    for address in environments[0].chunks:
        if address not in environments[0].background:
            continue
        unknown = unknown_bits([int.from_bytes(w.chunk(address), "little") for w in environments])
        a, b = (m.get(address, environments[0].background[address]) for m in (one, two))
        wrong = (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")) & unknown
        if wrong:
            k = ((wrong & -wrong).bit_length() - 1) // 8
            return [Finding(i, "unread", "memory", f"{address + k:#x}: {a[k]:#x}", f"{b[k]:#x}")]
    return []
