"""Which counterexample of an encoding is shown: the one with the least state, and which of its values are stand-ins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from verify.judge.counterexample import counterexample
from verify.judge.encoding import Deviation, Judgement
from verify.report.judged import CounterexampleRow
from verify.report.records import replaced
from verify.survey.rows import counterexample_row

UNSEEN: Final = frozenset({"trap", "hits", "containment", "fault"})  # observables that are no values
OTHER_SEED: Final = 1 << 20  # added to a witness's: other values for all that nothing computes


def natural(judgement: Judgement, assumptions: frozenset[str]) -> tuple[CounterexampleRow, ...]:
    """A counterexample of each refuted observable; first the one that asks for the least and shows no stand-in."""
    found = [_row(judgement, d, assumptions) for d in judgement.deviations]
    return tuple(sorted(found, key=_oddness))


def _row(judgement: Judgement, deviation: Deviation, assumptions: frozenset[str]) -> CounterexampleRow:
    row = _of(judgement, deviation, assumptions)
    seed = deviation.witness.seed + OTHER_SEED
    other = _of(judgement, replace(deviation, witness=replace(deviation.witness, seed=seed)), assumptions)
    memory = {_place(at, size): f"0x{value:0{2 * size}x}" for at, size, value in deviation.witness.memory}
    return replaced(row, initial={**row.initial, **memory}, stand_ins=tuple(_changed(row, other)))


def _place(at: int, size: int) -> str:
    return f"memory at {at:#x}, {size} bytes"


def _of(judgement: Judgement, deviation: Deviation, assumptions: frozenset[str]) -> CounterexampleRow:
    others = tuple(d for d in judgement.deviations if d.observable != deviation.observable)
    return counterexample_row(counterexample(replace(judgement, deviations=(deviation, *others)), assumptions))


def _changed(row: CounterexampleRow, other: CounterexampleRow) -> Iterable[str]:
    """Names of what has another value with another seed."""
    for name, value in row.in_place.items():
        if other.in_place.get(name, value) != value or other.displaced.get(name) != row.displaced[name]:
            yield name


def _oddness(row: CounterexampleRow) -> tuple[bool, bool, bool, int]:
    """Whether no difference is shown, or of a stand-in first, or of no value that a program reads; how much state is
    not 0.
    """
    first = row.first_difference.partition(":")[0] if row.stand_ins else ""
    stands_in = any(name in row.stand_ins for name in (first, *list(row.in_place)[:1]))
    return row.in_place == row.displaced, stands_in, row.observable in UNSEEN, len(row.initial)
