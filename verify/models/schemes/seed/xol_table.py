"""The opcode table of `xol-step`: how long an instruction is, where its parts lie, and what stepping a copy must mind.

From the opcode maps of SDM vol. 2, appendix A, and APM vol. 3, appendix A, written anew: it shares nothing with the ISA
model, with which a test compares it.  64-bit mode alone.  REX2 and EVEX map 4 (APX) are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

LONGEST: Final = 15  # bytes of an instruction: SDM vol. 2, 2.3.11
OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPNE, REP = 0x66, 0x67, 0xF0, 0xF2, 0xF3
PREFIXES: Final = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPNE, REP})


def _set(text: str) -> frozenset[int]:
    """The opcodes of a list such as "00-03 0f", both ends included."""
    ends = [part.partition("-") for part in text.split()]
    return frozenset(n for low, _, high in ends for n in range(int(low, 16), int(high or low, 16) + 1))


class Map(NamedTuple):
    """One opcode map: which opcodes have ModRM, and which immediates stand behind."""

    modrm: frozenset[int]
    byte: frozenset[int] = frozenset()  # an immediate of 1 byte
    word: frozenset[int] = frozenset()  # of 2
    full: frozenset[int] = frozenset()  # of 4, or of 2 with 66 and without REX.W
    double: frozenset[int] = frozenset()  # of 4, whatever the prefixes
    none: frozenset[int] = frozenset()  # no instruction in 64-bit mode, or a prefix of another kind


_EVERY: Final = frozenset(range(256))
ONE_BYTE: Final = Map(
    _set("00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 69 6b 80 81 83-8f c0 c1 c6 c7 d0-d3 d8-df f6 f7 fe ff"),
    byte=_set("04 0c 14 1c 24 2c 34 3c 6a 6b 70-7f 80 83 a8 b0-b7 c0 c1 c6 cd e0-e7 eb"),
    word=_set("c2 ca c8"),  # and one byte more of c8, ENTER
    full=_set("05 0d 15 1d 25 2d 35 3d 68 69 81 a9 c7"),
    double=_set("e8 e9"),
    none=_set("06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 82 9a ce d4-d6 ea"),
)
TWO_BYTE: Final = Map(
    _EVERY - _set("04-0c 0e 25 27 30-37 39 3b-3f 77 80-8f a0-a2 a8-aa c8-cf"),
    byte=_set("0f 70-73 a4 ac ba c2 c4-c6"),  # 0f: the opcode of a 3DNow instruction
    double=_set("80-8f"),
    none=_set("04 0a 0c 25 27 36 39 3b-3f"),
)
_VECTOR_1: Final = Map(_EVERY - _set("77"), byte=_set("70-73 c2 c4-c6"))
_PLAIN: Final = Map(_EVERY)
_BYTE: Final = Map(_EVERY, byte=_EVERY)
LEGACY_MAPS: Final[Mapping[str, Map]] = {"1": ONE_BYTE, "0f": TWO_BYTE, "0f38": _PLAIN, "0f3a": _BYTE}
VECTOR_MAPS: Final[Mapping[tuple[str, int], Map]] = {
    ("vex", 1): _VECTOR_1, ("vex", 2): _PLAIN, ("vex", 3): _BYTE, ("vex", 7): Map(_EVERY, double=_EVERY),
    ("evex", 1): _VECTOR_1, ("evex", 2): _PLAIN, ("evex", 3): _BYTE, ("evex", 5): _PLAIN, ("evex", 6): _PLAIN,
    ("xop", 8): _BYTE, ("xop", 9): _PLAIN, ("xop", 10): Map(_EVERY, double=_EVERY),
}  # fmt: skip
OFFSETS: Final = _set("a0-a3")  # MOV with an absolute offset of the address size
QUAD: Final = _set("b8-bf")  # MOV of an immediate of the operand size
IGNORES_MOD: Final = _set("20-23")  # 0f: MOV of control and debug registers


class Read(NamedTuple):
    """An instruction as the table reads it; offsets in bytes, -1 where there is no such part."""

    length: int
    map: str  # "1", "0f", "0f38", "0f3a", or "vex1", "evex5", "xop10" and so on
    opcode: int
    prefixes: frozenset[int]  # legacy ones
    rex_at: int  # of the REX byte that counts
    is_wide: bool  # its W is set
    payload_at: int  # of the byte of a three- or four-byte VEX, XOP or EVEX prefix that extends registers
    vvvv: int  # the low three bits of the register that it names, -1 without such a prefix
    modrm_at: int
    modrm: int
    immediate_at: int
    immediate_size: int  # of the first one; 0: none
    head_at: int  # behind the legacy and REX prefixes

    @property
    def digit(self) -> int:
        """ModRM.reg, three bits."""
        return self.modrm >> 3 & 7

    @property
    def is_relative(self) -> bool:
        """Whether the ModRM operand is relative to rip."""
        return self.modrm >= 0 and self.modrm & 0xC7 == 5 and not (self.map == "0f" and self.opcode in IGNORES_MOD)


    @property
    def is_finished_by_the_kernel(self) -> bool:
        """SLDT, STR, SGDT, SIDT and SMSW under UMIP (arch/x86/kernel/umip.c, Linux 6.18)."""
        if self.map != "0f" or self.opcode not in {0x00, 0x01}:
            return False
        in_memory = self.modrm < 0xC0
        return (self.digit in {0, 1} and (self.opcode == 0x00 or in_memory)) or (
            self.opcode == 0x01 and self.digit == 4
        )


class _Head(NamedTuple):
    """What stands before ModRM."""

    at: int  # behind the opcode
    begins: int  # behind the legacy and REX prefixes
    map: str
    table: Map
    opcode: int
    payload_at: int = -1
    vvvv: int = -1


def read(data: bytes) -> Read | None:
    """The instruction at the start of at least 16 bytes, or None where the table has none."""
    data = data[:LONGEST] + bytes(LONGEST)  # what is read behind makes it longer than it may be
    at, rex_at, prefixes = _prefixes(data)
    head = _head(data, at)
    if head is None or head.opcode in head.table.none:
        return None
    found = _measured(data, head, prefixes, rex_at)
    return found if found.length <= LONGEST else None


def _prefixes(data: bytes) -> tuple[int, int, frozenset[int]]:
    """Bytes of prefixes, where the REX byte directly before the opcode lies, and the legacy ones."""
    seen, rex_at, at = set[int](), -1, 0
    while at < LONGEST and (data[at] in PREFIXES or 0x40 <= data[at] <= 0x4F):
        if data[at] in PREFIXES:
            seen.add(data[at])
            rex_at = -1
        else:
            rex_at = at
        at += 1
    return at, rex_at, frozenset(seen)


def _head(data: bytes, at: int) -> _Head | None:
    byte = data[at]
    if byte in {0xC4, 0xC5, 0x62} or (byte == 0x8F and data[at + 1] & 0x1F >= 8):
        return _vector(data, at)
    if byte == 0xD5:
        return None
    if byte != 0x0F:
        return _Head(at + 1, at, "1", ONE_BYTE, byte)
    name = {0x38: "0f38", 0x3A: "0f3a"}.get(data[at + 1], "0f")
    size = 2 if name == "0f" else 3
    return _Head(at + size, at, name, LEGACY_MAPS[name], data[at + size - 1])


def _vector(data: bytes, at: int) -> _Head | None:
    """VEX, XOP and EVEX: vvvv is stored inverted, in the second byte of a two-byte prefix, in the third of others."""
    kind = {0xC4: "vex", 0xC5: "vex", 0x8F: "xop", 0x62: "evex"}[data[at]]
    size = {0xC5: 2, 0x62: 4}.get(data[at], 3)
    number = 1 if size == 2 else data[at + 1] & (7 if kind == "evex" else 31)
    table = VECTOR_MAPS.get((kind, number))
    if table is None:
        return None
    vvvv = ~data[at + (1 if size == 2 else 2)] >> 3 & 7
    return _Head(at + size + 1, at, f"{kind}{number}", table, data[at + size], -1 if size == 2 else at + 1, vvvv)


def _measured(data: bytes, head: _Head, prefixes: frozenset[int], rex_at: int) -> Read:
    at, modrm_at, modrm = head.at, -1, -1
    if head.opcode in head.table.modrm:
        modrm_at, modrm = at, data[at]
        ignores_mod = head.map == "0f" and head.opcode in IGNORES_MOD
        at += 1 if ignores_mod else 1 + _tail(modrm, data[at + 1])
    is_wide = rex_at >= 0 and data[rex_at] & 8 != 0
    first, more = _immediates(head, prefixes, is_wide, modrm)
    return Read(
        at + first + more, head.map, head.opcode, prefixes, rex_at, is_wide, head.payload_at, head.vvvv, modrm_at,
        modrm, at, first, head.begins,
    )  # fmt: skip


def _tail(modrm: int, sib: int) -> int:
    """Bytes of SIB and displacement: SDM vol. 2, tables 2-2 and 2-3."""
    mod, rm = modrm >> 6, modrm & 7
    if mod == 3:
        return 0
    no_base = mod == 0 and (rm == 5 or (rm == 4 and sib & 7 == 5))
    return (rm == 4) + (1 if mod == 1 else 4 if mod == 2 or no_base else 0)


def _immediates(head: _Head, prefixes: frozenset[int], wide: bool, modrm: int) -> tuple[int, int]:
    """Bytes of the first immediate and of what stands behind it."""
    opcode, table, short = head.opcode, head.table, OPERAND_SIZE in prefixes and not wide
    if head.map == "1":
        if opcode in OFFSETS:
            return (4 if ADDRESS_SIZE in prefixes else 8), 0
        if opcode in QUAD:
            return (8 if wide else 2 if short else 4), 0
        if opcode in {0xF6, 0xF7}:  # TEST alone
            return (0 if modrm & 0x30 else 1 if opcode == 0xF6 else 2 if short else 4), 0
    if head.map == "0f" and opcode == 0x78:  # EXTRQ and INSERTQ; without a prefix VMREAD
        two = REPNE in prefixes or (OPERAND_SIZE in prefixes and REP not in prefixes)
        return (1, 1) if two else (0, 0)
    if opcode in table.word:
        return 2, opcode == 0xC8
    size = 1 if opcode in table.byte else 4 if opcode in table.double else 0
    return (size or (2 if short else 4) * (opcode in table.full)), 0
