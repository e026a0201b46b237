"""Statically defined probes and restartable sequences, from sections made field by field."""

from __future__ import annotations

import random
import struct
from typing import Any

from verify.elf.notes import Sequence, StaticProbe, sequences, static_probes

RELATIVE, RELA = 8, "SHT_RELA"  # AMD64 supplement, 4.4.1


class Part(dict[str, Any]):
    """A section: its header's fields, its bytes, its relocations."""

    def __init__(self, content: bytes, relocations: tuple[dict[str, int], ...] = (), **fields: Any) -> None:
        super().__init__(sh_addr=0x1000, sh_type="SHT_PROGBITS", **fields)
        self.content, self.relocations = content, relocations

    def data(self) -> bytes:
        return self.content

    def iter_relocations(self) -> tuple[dict[str, int], ...]:
        return self.relocations


class File:
    """What pyelftools makes of a file, as far as the notes ask."""

    def __init__(self, **sections: Part) -> None:
        self.sections = {name.replace("__dot__", "."): part for name, part in sections.items()}

    def get_section_by_name(self, name: str) -> Part | None:
        return self.sections.get(name)

    def iter_sections(self) -> list[Part]:
        return list(self.sections.values())


def note(pc: int, base: int, text: bytes, owner: bytes = b"stapsdt\0") -> bytes:
    """SystemTap, UserSpaceProbeImplementation: pc, base, semaphore; provider, name, arguments."""
    body = struct.pack("<QQQ", pc, base, 0) + text
    head = struct.pack("<III", len(owner), len(body), 3) + owner
    return head + body + bytes(-len(body) % 4)


def test_probes_are_moved_with_the_file() -> None:
    two = note(0x1234, 0x5000, b"libc\0setjmp\x008@%rdi\0") + note(0x2000, 0x5000, b"app\0start\0\0")
    file = File(**{"__dot__note__dot__stapsdt": Part(two)})
    moved = File(**{"__dot__note__dot__stapsdt": Part(two), "__dot__stapsdt__dot__base": Part(b"\0")})
    moved.sections[".stapsdt.base"]["sh_addr"] = 0x5100  # prelinked: 0x100 further
    assert static_probes(file) == (StaticProbe("libc:setjmp", 0x1234), StaticProbe("app:start", 0x2000))
    assert [p.address for p in static_probes(moved)] == [0x1334, 0x2100]
    assert static_probes(File()) == ()


def test_notes_of_others_and_broken_ones_are_none() -> None:
    other = note(1, 0, b"a\0b\0", owner=b"GNU\0")
    cut = note(0x10, 0, b"app\0here\0\0")[:-20]
    rng = random.Random(5)
    assert static_probes(File(**{"__dot__note__dot__stapsdt": Part(other + cut)})) == ()
    for _ in range(200):
        static_probes(File(**{"__dot__note__dot__stapsdt": Part(rng.randbytes(rng.randrange(80)))}))


def test_sequences_have_their_start_from_the_loader_where_it_fills_it() -> None:
    """linux/rseq.h: version, flags, start_ip, post_commit_offset, abort_ip; padding has length 0."""
    rows = struct.pack("<IIQQQ", 0, 0, 0x401000, 0x20, 0x402000) + struct.pack("<IIQQQ", 0, 0, 0, 0x10, 0) + bytes(32)
    written = Part(b"", ({"r_info_type": RELATIVE, "r_offset": 0x1028, "r_addend": 0x3000},
                         {"r_info_type": 6, "r_offset": 0x1008, "r_addend": 0x9000}))  # fmt: skip
    written["sh_type"] = RELA
    file = File(__rseq_cs=Part(rows), relocated=written)
    assert sequences(file) == (Sequence(0x401000, 0x401020), Sequence(0x3000, 0x3010))
    assert sequences(File()) == ()
