"""Encodings in what people have at hand: hex with `0x` or a comment, lines of `objdump -d` and of `perf annotate`.

An instruction that objdump shows over several lines is put together; headings and gaps of a listing are no encodings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

Line = tuple[int, bytes]
# An address, a colon, bytes two digits each, and behind two spaces or a tab the assembly; perf's share and line before.
_LISTED: Final = re.compile(rb"\s*(?:[\d.]*\s*:\s*\d*\s+)?[0-9a-f]+:\s+((?:[0-9a-f]{2} ?)+)(?:\s*$|(?:\t|\s+)(.*))")
_WITHOUT_BYTES: Final = re.compile(rb"\s*(?:[\d.]*\s*:\s*\d*\s+)[0-9a-f]+:\s+[a-z].*")
_HEADING: Final = re.compile(
    rb".*file format .*|Disassembly of section .*|\s*(?:[\d.]*\s*:\s*\d*\s*)?[0-9a-f]* ?<.*>:|\s*\.\.\.\s*|"
    rb"\s*Percent\s*\|.*|-+|\s*[\d.]*\s*:\s*"
)
NO_BYTES: Final = "no bytes in this line; `perf annotate --stdio --asm-raw` shows them"


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a line of a listing has: bytes, and whether they go on those of the line before."""

    data: bytes
    goes_on: bool


def encodings(lines: Iterable[Line]) -> Iterator[Line]:
    """The encodings in lines, in order, with the number of the first line of each; comments are left out."""
    pending: Line | None = None
    for number, line in lines:
        found = _listed(line)
        if found is None or not (found.goes_on and pending is not None):
            if pending is not None:
                yield pending
            pending = None
        if found is not None:
            pending = (pending[0], pending[1] + found.data) if found.goes_on and pending else (number, found.data)
        elif not _HEADING.fullmatch(line.rstrip()) and (text := line.partition(b"#")[0]).strip():
            yield number, _plain(text)
    if pending is not None:
        yield pending


def _listed(line: bytes) -> _Listed | None:
    """None where the line is none of a listing."""
    found = _LISTED.fullmatch(line.rstrip(b"\r\n"))
    return _Listed(b"".join(found[1].split()), not (found[2] or b"").strip()) if found is not None else None


def _plain(text: bytes) -> bytes:
    """Hex without the 0x before it; what has no bytes stays, to be named."""
    words = text.split()
    return b" ".join(w[2:] if w[:2].lower() == b"0x" else w for w in words) if words else text


def lacks_bytes(line: str) -> bool:
    """Whether a line is one of a listing that shows no bytes."""
    return _WITHOUT_BYTES.fullmatch(line.encode("ascii", "replace")) is not None
