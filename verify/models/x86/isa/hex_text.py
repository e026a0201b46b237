"""Encodings as people write them: hex digits, with or without spaces."""

from __future__ import annotations

from string import hexdigits
from typing import Final

LONGEST: Final = 16  # bytes: an instruction (15 at most; SDM vol. 2, 2.3.11) or what a probe copies of the code


def encoding_bytes(text: str) -> bytes:
    """The 1 to 16 bytes that the text names.  ValueError names the offending value and its position from 1."""
    compact = "".join(text.split())
    for position, letter in enumerate(text):
        if letter not in hexdigits and not letter.isspace():
            raise ValueError(f"{text[:40]!r} is not hex at position {position + 1}: {letter!r}")
    if not compact or len(compact) % 2:
        raise ValueError(f"{text[:40]!r} has {len(compact)} hex digits, expected 2 to {2 * LONGEST}, even")
    if len(compact) > 2 * LONGEST:
        raise ValueError(f"{text[:40]!r}... has {len(compact) // 2} bytes, expected at most {LONGEST}")
    return bytes.fromhex(compact)
