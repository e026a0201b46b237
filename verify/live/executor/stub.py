"""Assembles the executor's stub from a table of bytes: labels and rip-relative references, nothing more.

Decides encodings' displacements only; the instructions themselves are written out byte by byte in the tables.
Row grammar: `label:` or bytes then `; comment`.  A byte is two hexadecimal digits; `{name}` is a 32-bit displacement,
relative to the end of the row, of a label or of a symbol; `<name>` is a 32-bit little-endian constant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"\{(?P<relative>\w+)\}|<(?P<constant>\w+)>|(?P<byte>[0-9a-f]{2})$")


@dataclass(frozen=True, slots=True)
class StubRow:
    """One instruction of the stub: its tokens, its offset and its size in bytes."""

    tokens: tuple[re.Match[str], ...]
    offset: int
    size: int


def assemble(
    table: str, base: int, symbols: Mapping[str, int], constants: Mapping[str, int]
) -> tuple[bytes, dict[str, int]]:
    """Machine code for `base` and the absolute address of each label; ValueError names a bad row."""
    rows, labels = _rows(table, base)
    names = {**symbols, **labels}
    return b"".join(_bytes(row, base, names, constants) for row in rows), labels


def _rows(table: str, base: int) -> tuple[list[StubRow], dict[str, int]]:
    rows: list[StubRow] = []
    labels: dict[str, int] = {}
    offset = 0
    for line in table.splitlines():
        text = line.partition(";")[0].strip()
        if text.endswith(":"):
            labels[text[:-1]] = base + offset
        elif text:
            row = _row(text, offset)
            rows.append(row)
            offset += row.size
    return rows, labels


def _row(text: str, offset: int) -> StubRow:
    tokens = [_TOKEN.fullmatch(token) for token in text.split()]
    matches = tuple(token for token in tokens if token)
    if len(matches) != len(tokens):
        raise ValueError(f"stub row is not bytes, {{name}} or <name>: {text!r}")
    return StubRow(matches, offset, sum(1 if token["byte"] else 4 for token in matches))


def _bytes(row: StubRow, base: int, names: Mapping[str, int], constants: Mapping[str, int]) -> bytes:
    out = bytearray()
    for token in row.tokens:
        if token["byte"]:
            out.append(int(token["byte"], 16))
        elif token["relative"]:
            out += (names[token["relative"]] - base - row.offset - row.size).to_bytes(4, "little", signed=True)
        else:
            out += constants[token["constant"]].to_bytes(4, "little", signed=True)
    return bytes(out)
