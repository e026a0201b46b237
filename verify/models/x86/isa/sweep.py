"""Where instructions begin in a run of bytes, each behind the one before it: a linear sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import iced_x86

from verify.models.x86.isa.rows import Cpu
from verify.models.x86.mode import USER_64

iced: Any = iced_x86  # its stubs type plain integers as enumerations
_INVALID: Final = iced.Code.INVALID
_OPTIONS: Final = {Cpu.AMD: iced.DecoderOptions.AMD, Cpu.INTEL: iced.DecoderOptions.NONE}


def swept(code: bytes, cpu: Cpu) -> Iterator[tuple[int, int]]:
    """Offset and length in bytes of each instruction; length 0 where none begins, and the next byte is tried."""
    decoder = iced.Decoder(USER_64.bits, code, _OPTIONS[cpu])
    decode, invalid, end, at = decoder.decode, _INVALID, len(code), 0
    while at < end:
        found = decode()
        if found.code == invalid:
            yield at, 0
            at += 1
            decoder.position = at
        else:
            length = found.len
            yield at, length
            at += length
