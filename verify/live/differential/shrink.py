"""The smallest state that still shows a disagreement: one component after the other is made plain, or equal.

A disagreement must come again when its trial is run alone; one that does not is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.differential.comparison import Comparison, Finding
from verify.live.differential.observed import put_vectors, vectors_of
from verify.live.differential.states import Trials
from verify.live.differential.unread_state import X87_FIELDS, disagreements
from verify.live.executor.executor import Executor
from verify.live.executor.state import GPR_NAMES

RSP: Final = 4
PLAIN_FLAGS: Final = 0x202
Change = Callable[[Trials], None]


@dataclass(frozen=True, slots=True)
class Smallest:
    """A trial of its own, the second run of it where the read set is at stake, and what they show."""

    trials: Trials
    other: Trials | None
    finding: Finding


def single(trials: Trials, i: int) -> Trials:
    """Trial i alone, copied."""
    memory = trials.memory[trials.memory["trial"] == i].copy()
    memory["trial"] = 0
    probe = trials.probes[int(trials.which[i])]
    return Trials((probe,), np.zeros(1, dtype=np.int64), records_of(trials.states[i : i + 1]), memory)


def records_of(states: NDArray[np.void]) -> NDArray[np.void]:
    """A copy of input records, gaps between their fields included: XRSTOR looks at those of its header."""
    copied: NDArray[np.void] = states.view(np.uint8).copy().view(states.dtype)
    return copied


def _copied(trials: Trials) -> Trials:
    return Trials(trials.probes, trials.which, records_of(trials.states), trials.memory.copy())


def _shown(executor: Executor, first: Trials, other: Trials | None, like: Finding) -> Finding | None:
    """The disagreement of the same kind that these trials show, or None."""
    comparison = Comparison(executor, first)
    found = comparison.all().findings
    if like.check == "unread":
        if other is None:
            return None
        second = Comparison(executor, other)
        second.all()
        found = disagreements(comparison, second)
    names = [f for f in found if f.check == like.check and f.component == like.component]
    return names[0] if names else None


def shrunk(executor: Executor, first: Trials, second: Trials | None, finding: Finding, fully: bool) -> Smallest | None:
    """The smallest trial that shows the disagreement; None where it does not come again. `fully`: not only rerun."""
    one = single(first, finding.trial)
    other = single(second, finding.trial) if second is not None and finding.check == "unread" else None
    shown = _shown(executor, one, other, finding)
    if shown is None:
        return None
    if not fully:
        return Smallest(one, other, shown)
    if other is not None:
        for equal in _equalities(one):
            trial = _copied(other)
            equal(trial)
            again = _shown(executor, one, trial, finding)
            if again is not None:
                other, shown = trial, again
    for plain in _plainer(one):
        trial, partner = _copied(one), None if other is None else _copied(other)
        plain(trial)
        if partner is not None and other is not None:
            if _differs(one, other, plain):
                continue
            plain(partner)
        again = _shown(executor, trial, partner, finding)
        if again is not None:
            one, other, shown = trial, partner, again
    return Smallest(one, other, shown)


def _differs(one: Trials, other: Trials, change: Change) -> bool:
    """Whether two trials differ in what a change makes plain."""
    plain_one, plain_other = _copied(one), _copied(other)
    change(plain_one)
    change(plain_other)
    return _text(one, other) != _text(plain_one, plain_other)


def _text(one: Trials, other: Trials) -> tuple[int, int]:
    """How many bytes of state and of memory differ."""
    states = np.count_nonzero(one.states.view(np.uint8) != other.states.view(np.uint8))
    return int(states), int(np.count_nonzero(one.memory["chunk"] != other.memory["chunk"]))


def _equalities(one: Trials) -> Iterator[Change]:
    """Changes that make one component of a trial as it is in `one`."""
    for k in range(16):
        yield lambda t, k=k: t.states["gprs"].__setitem__((0, k), one.states["gprs"][0, k])  # type: ignore[misc]
    for name in ("rflags", "fs_base", "gs_base"):
        yield lambda t, name=name: t.states.__setitem__(name, one.states[name])  # type: ignore[misc]
    area = one.states["xsave"]
    for name in ("mxcsr", *X87_FIELDS, *(n for n in ("masks",) if n in (area.dtype.names or ()))):
        yield lambda t, name=name: t.states["xsave"].__setitem__(name, area[name])  # type: ignore[misc]
    for k in range(32):
        yield lambda t, k=k: _set_vector(t, k, vectors_of(area)[0, k])  # type: ignore[misc]
    for row in range(len(one.memory)):
        yield lambda t, row=row: t.memory["chunk"].__setitem__(row, one.memory["chunk"][row])  # type: ignore[misc]


def _plainer(one: Trials) -> Iterator[Change]:
    """Changes that make one component of a trial plain."""
    zero = np.zeros(64, dtype=np.uint8)
    for k in range(16):
        if k != RSP:
            yield lambda t, k=k: t.states["gprs"].__setitem__((0, k), 0)  # type: ignore[misc]
    for name, value in (("rflags", PLAIN_FLAGS), ("fs_base", 0), ("gs_base", 0)):
        yield lambda t, name=name, value=value: t.states.__setitem__(name, value)  # type: ignore[misc]
    names = one.states["xsave"].dtype.names or ()
    for name, value in (("mxcsr", 0x1F80), ("fcw", 0x37F), ("fsw", 0), ("ftw", 0), ("st", 0), ("masks", 0)):
        if name in names:
            yield lambda t, name=name, value=value: t.states["xsave"].__setitem__(name, value)  # type: ignore[misc]
    for k in range(32):
        yield lambda t, k=k: _set_vector(t, k, zero)  # type: ignore[misc]
    for row in range(len(one.memory)):
        yield lambda t, row=row: t.memory["chunk"].__setitem__(row, 0)  # type: ignore[misc]


def _set_vector(trials: Trials, number: int, value: NDArray[np.uint8]) -> None:
    vectors = vectors_of(trials.states["xsave"])
    vectors[0, number] = value
    put_vectors(trials.states["xsave"], vectors)


def described(executor: Executor, smallest: Smallest) -> str:
    """What is not plain in the state, and what the second run changes, in hex."""
    text = [f"ip={executor.origin:#x}", *_components(smallest.trials)]
    if smallest.other is not None:
        changed = [c for c in _components(smallest.other) if c not in text]
        text += ["then", *changed]
    return " ".join(text)


def _components(trials: Trials) -> list[str]:
    row = trials.states[0]
    text = [f"{n}={v:#x}" for n, v in zip(GPR_NAMES, row["gprs"].tolist(), strict=True) if v]
    text += [f"{n}={int(row[n]):#x}" for n in ("fs_base", "gs_base") if row[n]]
    if row["rflags"] != PLAIN_FLAGS:
        text.append(f"rflags={int(row['rflags']):#x}")
    area = row["xsave"]
    for n, vector in enumerate(vectors_of(trials.states["xsave"])[0]):
        if vector.any():
            text.append(f"zmm{n}={int.from_bytes(vector.tobytes(), 'little'):#x}")
    if "masks" in (area.dtype.names or ()):
        text += [f"k{n}={v:#x}" for n, v in enumerate(area["masks"].tolist()) if v]
    plain = {"mxcsr": 0x1F80, "fcw": 0x37F, "fsw": 0, "ftw": 0}
    text += [f"{n}={int(area[n]):#x}" for n, v in plain.items() if int(area[n]) != v]
    for n, (low, high) in enumerate(area["st"].tolist()):
        if low or high:
            text.append(f"st{n}={high & 0xFFFF:#x}:{low:#x}")
    for entry in trials.memory:
        if entry["chunk"].any():
            text.append(f"[{int(entry['address']):#x}]={entry['chunk'].tobytes().hex()}")
    return text
