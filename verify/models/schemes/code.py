"""What the processor runs for a plan: bytes of the original, changed ones, constants, and words that hold addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from verify.models.schemes.expression_text import expression
from verify.models.schemes.vocabulary import WHOLE, check
from verify.terms import Term


@dataclass(frozen=True, slots=True)
class Byte:
    """One byte of code: (original[source] & keep) | bits; a source of None is a constant byte, and the only one."""

    source: int | None
    keep: int = 0xFF
    bits: int = 0

    def __post_init__(self) -> None:
        known = self.keep == 0xFF if self.source is None else self.source >= 0 and 0 < self.keep <= 0xFF
        if not (known and 0 <= self.bits <= 0xFF):
            raise ValueError(f"not a byte of code: {self}")

    @property
    def text(self) -> str:
        """The byte in a line of a program."""
        return f"{self.bits:02x}" if self.source is None else f"[{self.source}]&{self.keep:02x}|{self.bits:02x}"

    def of(self, data: bytes) -> int:
        """Its value where the original begins with these bytes."""
        return (0 if self.source is None else data[self.source] & self.keep) | self.bits


@dataclass(frozen=True, slots=True)
class Word:
    """Little-endian bytes whose value depends on addresses (rel32, disp32, abs64).

    The scheme refuses the probe where the 64-bit value is not the sign extension of its lowest 8 * size bits.
    """

    value: Term  # 64
    size: int  # bytes: 1, 2, 4 or 8

    def __post_init__(self) -> None:
        check(self.value)
        if self.value.sort != 64 or self.size not in {1, 2, 4, 8}:
            raise ValueError(f"a word of code has 64 bits in 1, 2, 4 or 8 bytes, got {self.value.sort}, {self.size}")

    @property
    def text(self) -> str:
        """The word in a line of a program."""
        return f"{{{expression(self.value)}}}:{self.size}"


@dataclass(frozen=True, slots=True)
class Code:
    """What the processor runs, and the pairs (slot offset, origin offset) in bytes where both programs stand alike."""

    pieces: tuple[Byte | Word, ...]
    locations: tuple[tuple[int, int], ...] = ((0, 0),)
    closed: bool = False  # nothing of the original stands behind the pieces: any number of instructions, and words

    def __post_init__(self) -> None:
        if not self.pieces or any(a < 0 or b < 0 for a, b in self.locations):
            raise ValueError(f"code has pieces and its locations are not negative, got {self}")

    @property
    def length(self) -> int:
        """Bytes of all pieces."""
        return sum(1 if isinstance(p, Byte) else p.size for p in self.pieces)

    @property
    def text(self) -> str:
        """Copied bytes as ranges [first..last], changed and constant bytes and words one by one."""
        pairs = " ".join(f"{a}={b}" for a, b in self.locations)
        alone = " alone" if self.closed else ""
        return " ".join(_shown(list(self.pieces))) + alone + ("" if pairs == "0=0" else f" alike {pairs}")


ORIGINAL: Final = Code(tuple(map(Byte, range(WHOLE))))  # the bytes at the probe and what follows them


def _shown(pieces: list[Byte | Word]) -> Iterator[str]:
    while pieces:
        length, head = _plain(pieces), pieces[0]
        if length and isinstance(head, Byte) and head.source is not None:
            yield f"[{head.source}..{head.source + length - 1}]"
            del pieces[:length]
        else:
            yield pieces.pop(0).text


def _plain(pieces: list[Byte | Word]) -> int:
    """How many pieces from the first on are unchanged bytes in a row."""
    head = pieces[0]
    if not isinstance(head, Byte) or head.source is None:
        return 0
    n = 0
    while n < len(pieces) and pieces[n] == Byte(head.source + n):
        n += 1
    return n
