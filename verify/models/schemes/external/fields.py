"""An answer's moving fields: what of its bytes depends on origin and slot, as words c + a*origin + b*slot.

An answer is asked for at several pairs of addresses; a and b are -1, 0 or 1.  Where something depends on the addresses
in another way there is no such code, and an answer says nothing of other addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from verify.models.schemes.code import Byte, Word
from verify.models.schemes.vocabulary import ORIGIN, SLOT
from verify.terms import Term, add, const, mul

SIZES: Final = (1, 2, 4, 8)  # bytes, the smallest that fits is taken
FACTORS: Final = tuple((a, b) for a in (0, 1, -1) for b in (0, 1, -1) if (a, b) != (0, 0))
ORIGIN_AT, SLOT_AT = 0x5555_5000_1234, 0x5555_4FF0_2000
# The slot lies below, above and on both sides at another distance; every difference is odd, so that the lowest byte of
# whatever moves by one of them moves; both move far together, which a whole address shows and a distance does not.
PAIRS: Final = (
    (ORIGIN_AT, SLOT_AT), (ORIGIN_AT + 0x123457, SLOT_AT), (ORIGIN_AT, SLOT_AT + 0x2345671),
    (ORIGIN_AT + 0x3_0765_4321, SLOT_AT + 0x3_0000_1357),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moving:
    """A field: its size in bytes, and value = c + a*origin + b*slot."""

    size: int
    c: int
    a: int
    b: int

    @property
    def value(self) -> Term:
        """As an expression of plans, 64 bits."""
        found = const(self.c % (1 << 64), 64)
        for factor, base in ((self.a, ORIGIN), (self.b, SLOT)):
            if factor:
                found = add(found, mul(const(factor % (1 << 64), 64), base))
        return found


def moving(answers: Sequence[bytes]) -> tuple[Byte | Word, ...] | None:
    """The code of which these are the answers at `PAIRS`; None where there is none."""
    if len({len(answer) for answer in answers}) != 1:
        return None
    pieces: list[Byte | Word] = []
    at = 0
    while at < len(answers[0]):
        if len({answer[at] for answer in answers}) == 1:
            pieces.append(Byte(None, bits=answers[0][at]))
            at += 1
            continue
        found = _field(answers, at)
        if found is None:
            return None
        pieces.append(Word(found.value, found.size))
        at += found.size
    return tuple(pieces)


def _field(answers: Sequence[bytes], at: int) -> Moving | None:
    for size in SIZES:
        if at + size > len(answers[0]):
            continue
        values = [int.from_bytes(a[at : at + size], "little", signed=True) for a in answers]
        for a, b in FACTORS:
            rests = [v - a * o - b * s for v, (o, s) in zip(values, PAIRS, strict=True)]
            if size == SIZES[-1]:
                rests = [r % (1 << 64) for r in rests]
            if len(set(rests)) == 1:
                return Moving(size, rests[0], a, b)
    return None

