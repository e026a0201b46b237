"""What a file says of places in its code: statically defined probes and restartable sequences.

Sources: SystemTap's UserSpaceProbeImplementation (the notes `stapsdt` of type 3 in .note.stapsdt); linux/rseq.h
(struct rseq_cs, 32 bytes each in the section __rseq_cs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

STAPSDT: Final = 3  # type of the note
RELATIVE: Final = 8  # R_X86_64_RELATIVE
SEQUENCE: Final = struct.Struct("<IIQQQ")  # version, flags, start_ip, post_commit_offset, abort_ip


@dataclass(frozen=True, slots=True)
class StaticProbe:
    """A statically defined probe: provider:name, and the address of its nop."""

    name: str
    address: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A restartable sequence: the addresses from its first byte up to its end, without it."""

    start: int
    end: int


def static_probes(elf: Any) -> tuple[StaticProbe, ...]:
    """The file's probes, in its order; addresses as the file has them, moved where the section .stapsdt.base was."""
    notes = elf.get_section_by_name(".note.stapsdt")
    base = elf.get_section_by_name(".stapsdt.base")
    return tuple(_probes(notes.data(), base["sh_addr"] if base is not None else None)) if notes is not None else ()


def _probes(data: bytes, base: int | None) -> Iterator[StaticProbe]:
    for owner, kind, text in _notes(data):
        if owner == b"stapsdt" and kind == STAPSDT and len(text) > 24:
            pc, was, _ = struct.unpack_from("<QQQ", text)
            provider, name = (*text[24:].split(b"\0"), b"", b"")[:2]
            moved = (base or was) - was if was else 0
            yield StaticProbe(f"{provider.decode('utf-8', 'replace')}:{name.decode('utf-8', 'replace')}", pc + moved)


def _notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Owner, type and text of each note; what is cut off is none."""
    at = 0
    while at + 12 <= len(data):
        owner, size, kind = struct.unpack_from("<III", data, at)
        name_at = at + 12
        text_at = name_at + (owner + 3 & ~3)
        if text_at + size > len(data):
            return
        yield data[name_at : name_at + owner].rstrip(b"\0"), kind, data[text_at : text_at + size]
        at = text_at + (size + 3 & ~3)


def sequences(elf: Any) -> tuple[Sequence, ...]:
    """The file's restartable sequences; addresses that the loader fills are taken from its relocations."""
    section = elf.get_section_by_name("__rseq_cs")
    if section is None:
        return ()
    data, address, written = section.data(), section["sh_addr"], _relative(elf)
    found = []
    for at in range(0, len(data) - SEQUENCE.size + 1, SEQUENCE.size):
        _, _, start, length, _ = SEQUENCE.unpack_from(data, at)
        start = written.get(address + at + 8, start)
        if length:
            found.append(Sequence(start, start + length))
    return tuple(found)


def _relative(elf: Any) -> dict[int, int]:
    """What the loader writes, relative to the load address: address -> value."""
    tables = (s for s in elf.iter_sections() if s["sh_type"] == "SHT_RELA")
    rows = (r for t in tables for r in t.iter_relocations() if r["r_info_type"] == RELATIVE)
    return {r["r_offset"]: r["r_addend"] for r in rows}
