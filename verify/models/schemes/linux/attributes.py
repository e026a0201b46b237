"""Attribute tables of a kernel decoder, resolved ahead of time from the rows of its opcode map.

Decides how a map's row, the last prefix and a /digit give one attribute word; knows no opcode itself.
Source: arch/x86/lib/inat.c and arch/x86/include/asm/inat.h of Linux 6.18 (escape, group and AVX look-ups).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Attribute word.  Bits 8..11 hold the kind of immediate, bits 16 up the number of the group.
MODRM: Final = 1
OFFSET: Final = 2  # a memory offset of address size
FORCE64: Final = 4
VEX: Final = 8
VEX_ONLY: Final = 16
EVEX_ONLY: Final = 32
SCALABLE: Final = 64
INVALID64: Final = 128
VARIANT: Final = 1 << 12
SECOND: Final = 1 << 13  # one more immediate byte
IMMEDIATE: Final = 15 << 8
BYTE, WORD, DOUBLE, FULL32, FULL, POINTER = (n << 8 for n in range(1, 7))
GROUP: Final = 1 << 16

_LETTERS: Final[Mapping[str, int]] = {
    "m": MODRM, "v": MODRM | VEX, "V": MODRM | VEX | VEX_ONLY, "E": MODRM | VEX | EVEX_ONLY,
    "S": MODRM | VEX | EVEX_ONLY | SCALABLE, "x": VEX, "o": OFFSET, "F": FORCE64, "I": INVALID64, "2": SECOND,
    "b": BYTE, "w": WORD, "d": DOUBLE, "z": FULL32, "i": FULL, "p": POINTER,
}  # fmt: skip

Table = tuple[int, ...]
Columns = tuple[Table, Table, Table, Table]  # by last prefix: none, 66, F3, F2


def opcodes(text: str) -> list[int]:
    """The numbers of a list such as "00-03 0f", both ends included."""
    ends = [part.partition("-") for part in text.split()]
    return [n for low, _, high in ends for n in range(int(low, 16), int(high or low, 16) + 1)]


def _attribute(cell: str) -> int:
    word = 0
    for letter in cell:
        word |= _LETTERS[letter]
    return word


def columns(rows: Sequence[str], size: int) -> Columns:
    """The four tables of a map or group of `size` entries; the first column carries VARIANT where others exist.

    Raises ValueError where an opcode occurs twice or a row has neither one column nor four.
    """
    tables = [[0] * size for _ in range(4)]
    seen: set[int] = set()
    for row in rows:
        head, *cells = (part.strip() for part in row.split("|"))
        if len(cells) not in {1, 4}:
            raise ValueError(f"a row has one or four columns, got {row!r}")
        for opcode in opcodes(head):
            if opcode in seen:
                raise ValueError(f"opcode {opcode:02x} has two rows, the second is {row!r}")
            seen.add(opcode)
            for table, cell in zip(tables, cells, strict=False):
                table[opcode] = _attribute(cell)
            tables[0][opcode] |= VARIANT if len(cells) == 4 else 0
    first, second, third, fourth = (tuple(t) for t in tables)
    return first, second, third, fourth


def amended(rows: Sequence[str], changes: Sequence[str]) -> tuple[str, ...]:
    """The rows of another version of a map: `changes` stand for those of their opcodes; no column: it has none.

    Raises ValueError where an opcode is changed twice.
    """
    cells = _by_opcode(rows)
    found = _by_opcode(changes)
    if sum(len(opcodes(row.partition("|")[0])) for row in changes) != len(found):
        raise ValueError("an opcode is changed twice")
    merged = {**cells, **found}
    return tuple(f"{opcode:02x} |{merged[opcode]}" for opcode in sorted(merged) if merged[opcode])


def _by_opcode(rows: Sequence[str]) -> dict[int, str]:
    parts = (row.partition("|") for row in rows)
    return {opcode: cells for head, _, cells in parts for opcode in opcodes(head)}


def by_variant(tables: Columns) -> Columns:
    """What a look-up finds for each last prefix: its own column where the entry has variants, else the first."""
    return _found(tables, lambda first: bool(first & VARIANT))


def by_pp(tables: Columns) -> Columns:
    """What a VEX look-up finds for each pp: groups in the first column, everything else in pp's own."""
    return _found(tables, lambda first: first < GROUP)


def _found(tables: Columns, has_own: Callable[[int], bool]) -> Columns:
    """The first column, and the others where the first one's entry says that they have their own."""
    none, *others = tables
    second, third, fourth = (
        tuple(own if has_own(first) else first for first, own in zip(none, other, strict=True)) for other in others
    )
    return none, second, third, fourth


@dataclass(frozen=True, slots=True)
class LookUps:
    """All look-ups of one kernel version.  `groups[0]` stands for "no group"."""

    one_byte: Table
    escapes: tuple[Columns, Columns, Columns]  # 0f, 0f38, 0f3a by last prefix
    vex: tuple[Columns | None, ...]  # by map number 0..31, then by pp
    xop: tuple[Columns | None, ...]  # by map number 0..31, whatever pp
    groups: tuple[Columns, ...]  # by group number, last prefix or pp, /digit


class Attributes:
    """The look-ups of a kernel version, made when one is asked for: a program needs those of few versions."""

    one_byte: Table
    escapes: tuple[Columns, Columns, Columns]
    vex: tuple[Columns | None, ...]
    xop: tuple[Columns | None, ...]
    groups: tuple[Columns, ...]

    def __init__(self, made: Callable[[], LookUps]) -> None:
        self._made = made

    def __getattr__(self, name: str) -> object:
        if name not in LookUps.__slots__:
            raise AttributeError(name)
        found = self._made()
        self.__dict__.update((own, getattr(found, own)) for own in LookUps.__slots__)
        return self.__dict__[name]


def look_ups(
    maps: Mapping[int, Sequence[str]],
    groups: Mapping[tuple[int, int], Sequence[str]],
    plain_groups: Sequence[tuple[int, str]],
    xop_maps: Mapping[int, Sequence[str]],
) -> LookUps:
    """The look-ups for maps 0 (one byte), 1 (0f), 2 (0f38), 3 (0f3a), the VEX or EVEX ones beyond, and XOP's."""
    numbers = {key: n for n, key in enumerate(groups, start=1)}
    plain = len(numbers) + 1
    numbers |= {(number, opcode): plain for number, text in plain_groups for opcode in opcodes(text)}
    tables = {number: _with_groups(number, columns(rows, 256), numbers) for number, rows in maps.items()}
    empty: Columns = ((0,) * 8,) * 4
    found = [empty, *(by_variant(columns(rows, 8)) for rows in groups.values()), empty]
    return LookUps(
        one_byte=tables[0][0],
        escapes=(by_variant(tables[1]), by_variant(tables[2]), by_variant(tables[3])),
        vex=tuple(by_pp(tables[n]) if n and n in tables else None for n in range(32)),
        xop=tuple((_xop_table(n, xop_maps[n], numbers),) * 4 if n in xop_maps else None for n in range(32)),
        groups=tuple(found),
    )


def _with_groups(number: int, tables: Columns, groups: Mapping[tuple[int, int], int]) -> Columns:
    none, *others = tables
    first = tuple(word | groups.get((number, opcode), 0) * GROUP for opcode, word in enumerate(none))
    return first, others[0], others[1], others[2]


def _xop_table(number: int, rows: Sequence[str], groups: Mapping[tuple[int, int], int]) -> Table:
    return _with_groups(number, columns(rows, 256), groups)[0]
