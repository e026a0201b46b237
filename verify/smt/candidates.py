"""States worth trying before a solver is asked, in the order in which they are tried.

They decide nothing: a state counts only where evaluation shows the deviation in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from random import Random
from typing import Final

from verify.claim.verdicts import SEED, Plain, Witness
from verify.models.x86.environment import DATAPATH, EVERYWHERE, NOWHERE, SOMETIMES, UNMAPPED_CODE, WIDE_STORES
from verify.models.x86.machine import GP, XM
from verify.models.x86.mode import USER_64
from verify.smt.canonical import TYPICAL, Canonical
from verify.terms import GPRS, VECTORS, Array, Opaque, Sort

ROOMY: Final = 1 << 40
MAPPED: Final = USER_64.half // 2 - 1  # addresses of the lower half of user space
NULL_CODE: Final = 3 << 16  # cs as the null selector leaves it: what zero memory has as a far pointer's selector
MEASURED: Final = {"length": TYPICAL["length"]}  # `fixed` so that a rip-relative operand is aligned
SEEDS: Final = (SEED, 1, 2)  # of what is uninterpreted: one of them selects an element, say


def candidates(text: Canonical, first: Witness, fixed: Mapping[str, int]) -> Iterator[Witness]:
    """All zero, the given one (also at typical addresses and in user space), roomy ones, random ones.

    `fixed`: the values that an encoding gives to some of the variables, by their own names.
    """
    named = tuple(zip(text.names, text.sorts, strict=True))
    sorts = {f"v{i}": s for i, s in enumerate(text.sorts)}
    typical = {f"v{i}": TYPICAL[n] for i, n in enumerate(text.names) if n in TYPICAL}
    yield Witness((), (), SEED)
    if first.values:
        placed = replace(first, values=_sorted({**dict(first.values), **typical}))
        yield from (placed, replace(placed, values=_sorted(_in_user_space(dict(placed.values))), faults=()), first)
    for bits in (0, 1):
        states = {f"v{i}": _roomy(n, s, bits, fixed) for i, (n, s) in enumerate(named) if not isinstance(s, Opaque)}
        roomy = _sorted(states)
        yield Witness(roomy, (), 0)  # memory is zero: so are the pointers in it
        stays = _sorted({**states, **{f"v{i}": NULL_CODE for i, (n, _) in enumerate(named) if n == "selectors"}})
        yield Witness(stays, (), 0)
        yield Witness(stays, ((*WIDE_STORES, 14),), 0)
        for seed in SEEDS:
            yield Witness(roomy, (), seed)
            yield Witness(roomy, ((*NOWHERE, 14),), seed)
    random = Random(SEED)
    everywhere = ((*EVERYWHERE, 14), (*DATAPATH, 19), (*UNMAPPED_CODE, 14))
    while True:
        values = {n: _random_value(random, s) for n, s in sorts.items() if not isinstance(s, Opaque)}
        near = _sorted(_in_user_space({**values, **typical}))
        yield Witness(near, (), random.getrandbits(16) | 1)
        yield Witness(near, everywhere, random.getrandbits(16) | 1)
        yield Witness(_sorted({**values, **typical}), first.faults, random.getrandbits(16) | 1)


def choosy(first: Witness) -> Iterator[Witness]:
    """A state in which datapaths and selectors are refused by their values, with other choices again and again."""
    values = dict(first.values)
    for seed in count(1):
        for vector in (XM, GP):
            yield replace(first, values=_sorted(values), faults=(*first.faults, (*SOMETIMES, vector)), seed=seed)
            yield Witness((), ((*SOMETIMES, vector),), seed)


def _roomy(name: str, sort: Sort, bits: int, fixed: Mapping[str, int]) -> Plain:
    """Addresses in the middle of user space, aligned where base and displacement allow; every mask selects all."""
    displacement = (fixed.get("disp", 0) ^ 1 << 31) - (1 << 31)
    if isinstance(sort, Array):
        cells = range(1, 1 + (1 << sort.index_bits))
        if sort is GPRS:
            base = fixed.get("base") if fixed.get("based") else None
            return tuple(ROOMY + (i << 32) - (displacement if i - 1 == base else 0) for i in cells)
        ones = (1 << sort.value_bits) - 1
        return tuple(ones // 255 * i if sort is VECTORS else ones for i in cells)
    if sort == 1:
        return bits
    origin = (ROOMY << 4) - displacement - fixed.get("length", 0)  # what is rip-relative is aligned
    return {"origin": origin, "slot": TYPICAL["slot"]}.get(name, TYPICAL.get(name, 0))


def _sorted(values: Mapping[str, Plain]) -> tuple[tuple[str, Plain], ...]:
    return tuple(sorted(values.items()))


def _in_user_space(values: Mapping[str, Plain]) -> dict[str, Plain]:
    """General registers moved into user space, so that an address made of one of them can be mapped."""
    return {
        n: tuple(x & MAPPED for x in v) if isinstance(v, tuple) and len(v) == 16 else v
        for n, v in values.items()
    }


def _random_value(random: Random, sort: Sort) -> Plain:
    if isinstance(sort, Array):
        return tuple(random.getrandbits(sort.value_bits) for _ in range(1 << sort.index_bits))
    assert isinstance(sort, int)
    return random.choice([0, 1, random.getrandbits(sort), random.getrandbits(min(sort, 5))]) & ((1 << sort) - 1)
