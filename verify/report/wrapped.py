"""Text in columns that fits a width: lists broken between their items, never within one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

NARROW: Final = 80  # columns of a pipe, and the least that a terminal is taken to have
LABEL: Final = 9  # columns of the label before a paragraph
_PAIR: Final = re.compile(r"(.*): in place (\S+), displaced (\S+)")


def plain(value: str) -> str:
    """A value without the zeros before it; a long one as its 64-bit parts where they are alike, else its last part."""
    if not value.startswith("0x"):
        return value
    parts = _parts(value)
    if len(parts) == 1:
        return f"{parts[0]:#x}"
    return f"{len(parts)} x {parts[0]:#x}" if len(set(parts)) == 1 else f"0x…{parts[0]:016x}"


def differing(name: str, one: str, other: str) -> tuple[str, str, str]:
    """Name and values; of long ones the lowest 64 bits in which they differ, named as manuals do: zmm0[127:64]."""
    if not (one.startswith("0x") and other.startswith("0x")) or len(one) != len(other) or len(one) <= 18:
        return name, plain(one), plain(other)
    a, b = _parts(one), _parts(other)
    i = next((i for i in range(len(a)) if a[i] != b[i]), 0)
    return f"{name}[{64 * i + 63}:{64 * i}]", f"{a[i]:#x}", f"{b[i]:#x}"


def _parts(value: str) -> list[int]:
    """The 64-bit parts of a value, the lowest first."""
    digits = value[2:]
    return [int(digits[max(end - 16, 0) : end], 16) for end in range(len(digits), 0, -16)]


def short(difference: str) -> str:
    """A difference with the part of long values that differs."""
    found = _PAIR.fullmatch(difference)
    if found is None:
        return difference
    name, one, other = differing(*found.groups())
    return f"{name}: in place {one}, displaced {other}"


def items(found: Iterable[str], width: int) -> list[str]:
    """Lines of at most so many columns with the items separated by commas; an item that is longer has its own."""
    lines: list[str] = []
    for item in found:
        if lines and len(lines[-1]) + 2 + len(item) < width:
            lines[-1] += f", {item}"
        else:
            if lines:
                lines[-1] += ","
            lines.append(item)
    return lines


def paragraph(label: str, words: str, width: int, indent: int = 4, size: int = LABEL) -> Iterator[str]:
    """A label of `size` columns, and the words beside it over several lines; nothing where there are no words."""
    room = max(width - indent - size, 20)
    lines = textwrap.wrap(words, room, break_long_words=False, break_on_hyphens=False)
    for i, line in enumerate(lines):
        yield f"{'':{indent}}{label if i == 0 else '':<{size}}{line}"


def hanging(words: str, width: int) -> list[str]:
    """The words over as many lines as they need, the first two columns in, the others four."""
    return textwrap.wrap(
        words, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def columns(rows: Sequence[Sequence[str]], width: int, aligned: str) -> Iterator[str]:
    """Rows in columns, `l` or `r` each, two spaces apart; the last column is a list and wraps between its items."""
    sizes = [max(len(row[i]) for row in rows) for i in range(len(aligned) - 1)]
    room = width - sum(sizes) - 2 * len(sizes)
    for row in rows:
        cells = [
            f"{cell:<{size}}" if side == "l" else f"{cell:>{size}}"
            for cell, size, side in zip(row, sizes, aligned, strict=False)
        ]
        last = items(row[-1].split(", "), room) if row[-1] else [""]
        for i, part in enumerate(last):
            head = "  ".join(cells) if i == 0 else " " * (sum(sizes) + 2 * (len(sizes) - 1))
            yield f"{head}  {part}".rstrip()
