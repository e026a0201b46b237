"""Opcode ranges as people write them: `00-ff`, `0f00-0fff`, `0f38`, `vex.0f`, `evex`, `d8-df`, `all`.

Grammar: [encoding "."] [map] ["." or nothing] [byte ["-" [map] byte]], where encoding is legacy, vex, evex, xop or
3dnow, and map is 0f, 0f38, 0f3a, map5, map6, map8, map9 or map10.  Without an encoding hex means legacy opcodes, and
`0f38` and `0f3a` are the maps, not opcodes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from verify.models.x86.isa.forms import Form, Opcode

_ENCODINGS: Final = ("legacy", "vex", "evex", "xop", "3dnow")
_MAPS: Final = ("0f38", "0f3a", "0f", "map10", "map5", "map6", "map8", "map9")
_BYTES: Final = re.compile(r"([0-9a-f]{2})(?:-([0-9a-f]{2}))?")


@dataclass(frozen=True, slots=True)
class OpcodeRange:
    """A set of opcodes; None means any."""

    text: str
    encoding: str | None
    table: str | None
    first: int
    last: int

    def __contains__(self, form: object) -> bool:
        """Whether a form's main opcode byte lies in the range."""
        if not isinstance(form, Form):
            return False
        row = form.opcode
        if self.encoding is not None and row.encoding.lower() != self.encoding:
            return False
        if self.table is not None and row.table.lower() != self.table:
            return False
        return self.first <= row.main_byte <= self.last


def parsed(text: str) -> OpcodeRange:
    """The range that a text names.  Raises ValueError, naming the text and the position of what is wrong."""
    word = text.strip().lower()
    if word == "all":
        return OpcodeRange(text, None, None, 0, 255)
    encoding, rest = _taken(word, _ENCODINGS)
    if encoding == "3dnow" or (encoding and not rest):
        return _checked(OpcodeRange(text, encoding, None, 0, 255), rest)
    table, rest = _taken(rest, _MAPS)
    if table is None:
        table = "normal" if encoding in {None, "legacy"} else None
    if rest.startswith(".") and table != "normal":
        rest = rest[1:]
    if not rest and table != "normal":
        return OpcodeRange(text, encoding or "legacy", table, 0, 255)
    prefix = table if table not in {None, "normal"} else ""
    found = _BYTES.fullmatch(rest.replace(f"-{prefix}", "-") if prefix else rest)
    if found is None:
        position = len(word) - len(rest) + 1
        raise ValueError(f"malformed range {text!r} at position {position}: expected XX or XX-YY in hex")
    first, last = int(found[1], 16), int(found[2] or found[1], 16)
    if last < first:
        raise ValueError(f"malformed range {text!r}: it ends before it begins")
    return OpcodeRange(text, encoding or "legacy", table, first, last)


def _taken(word: str, choices: tuple[str, ...]) -> tuple[str | None, str]:
    """The first choice that the word begins with, and the rest behind a dot if there is one."""
    for choice in choices:
        if word.startswith(choice):
            rest = word[len(choice) :]
            if choice in _ENCODINGS and rest and not rest.startswith("."):
                continue
            return choice, rest.removeprefix(".") if choice in _ENCODINGS else rest
    return None, word


def _checked(result: OpcodeRange, rest: str) -> OpcodeRange:
    if rest:
        raise ValueError(f"malformed range {result.text!r}: nothing may follow {result.encoding}, got {rest!r}")
    return result


def opcode_text(opcode: Opcode) -> str:
    """The opcode as ranges name it: 01, 0f58, 0f38f6, vex.0f.58, evex.map5.1d, d9e8."""
    table = "" if opcode.table == "NORMAL" else opcode.table.lower()
    if opcode.encoding == "3DNOW":
        return f"0f0f.{opcode.op_code:02x}"
    digits = f"{opcode.op_code:04x}" if opcode.op_code_len == 2 else f"{opcode.op_code:02x}"
    digit = f"/{opcode.group_index}" if opcode.group_index >= 0 else ""
    if opcode.encoding == "LEGACY":
        return f"{table}{digits}{digit}"
    return f"{opcode.encoding.lower()}.{table}.{digits}{digit}"
