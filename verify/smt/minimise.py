"""Counterexamples made small, in a stated order.

First without page faults and without memory contents, then without answers of functions, then with as many
components as possible left out (zero) in the
order of their names, then with as many zero registers, then with small values: 0, 1, the low 4, 8, 16 or 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from verify.claim.verdicts import Witness

Test = Callable[[Witness], bool]


def minimised(shows: Test, witness: Witness) -> Witness:
    """A witness no larger than the given one that still shows the deviation."""
    for bare in (replace(witness, faults=(), memory=()), replace(witness, faults=()), replace(witness, memory=())):
        if bare != witness and shows(bare):
            witness = bare
            break
    for key, _ in witness.answers:
        without = replace(witness, answers=tuple(a for a in witness.answers if a[0] != key))
        witness = without if shows(without) else witness
    for name, _ in witness.values:
        without = replace(witness, values=tuple((n, v) for n, v in witness.values if n != name))
        witness = without if shows(without) else _thinned(shows, witness, name)
    return witness


def _thinned(shows: Test, witness: Witness, name: str) -> Witness:
    """One component with as many zero registers, or as few bits, as still show the deviation."""
    value = dict(witness.values)[name]
    cells: tuple[int, ...] = value if isinstance(value, tuple) else (value,)
    for i in range(len(cells)):
        for small in _smaller(cells[i]):
            trial = (*cells[:i], small, *cells[i + 1 :])
            changed = trial if isinstance(value, tuple) else small
            candidate = replace(
                witness, values=tuple((n, changed if n == name else v) for n, v in witness.values)
            )
            if shows(candidate):
                witness, cells = candidate, trial
                break
    return witness


def _smaller(value: int) -> Iterator[int]:
    candidates = (0, 1, *(value & ((1 << n) - 1) for n in (4, 8, 16, 32)))
    return (c for c in dict.fromkeys(candidates) if c < value)
