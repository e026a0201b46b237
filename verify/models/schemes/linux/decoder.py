"""How the Linux kernel's own x86 decoder reads bytes in 64-bit mode: fields and their offsets, or failure.

Decides nothing about what the processor makes of the bytes; where both differ is what the verifier is to find.
Source: arch/x86/lib/insn.c and arch/x86/include/asm/insn.h of Linux 6.16..6.18 (insn_decode on a copy of 16 bytes),
with the patch "XOP prefix instructions decoder support" of 2025-07-30, which a running 6.18.44 has.  That kernel agrees
on 1,505,223 encodings, and on the length of 123,542 (each padded with prefixes to 15 bytes and to 16).

* At most four distinct legacy prefixes: a fifth distinct one is the opcode.  The last prefix byte alone selects a
  variant: 66 followed by 64 selects none.
* A REX byte counts directly after the legacy prefixes; what follows it is neither a legacy prefix nor VEX, EVEX or XOP:
  it is the opcode, a second REX byte too.  D5 is REX2, with map bit 7 of its payload.
* VEX, EVEX and XOP leave one opcode byte, whatever the map.  EVEX takes the operand size from its last byte (z).
  8f is XOP where bits 5..3 of the next byte are not 0, so `8f /0` alone is pop.
* `0f 0b 78 65 6e` and `0f 0b 6b 76 6d` at the start are skipped ("emulate prefix"), and the offsets of all fields are
  then 5 too small, as the kernel computes them without it.
* Reading beyond byte 15 (MAX_INSN_SIZE) fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from verify.models.schemes.linux.attributes import (
    BYTE,
    DOUBLE,
    EVEX_ONLY,
    FORCE64,
    FULL,
    FULL32,
    GROUP,
    IMMEDIATE,
    INVALID64,
    MODRM,
    OFFSET,
    POINTER,
    SCALABLE,
    SECOND,
    VEX,
    VEX_ONLY,
    WORD,
    Attributes,
)

EMULATE_PREFIXES: Final = (bytes.fromhex("0f0b78656e"), bytes.fromhex("0f0b6b766d"))  # asm/emulate_prefix.h

LEGACY_PREFIXES: Final = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3})
_IS_LEGACY: Final = tuple(b in LEGACY_PREFIXES for b in range(256))
_LAST: Final = tuple({0x66: 1, 0xF3: 2, 0xF2: 3}.get(b, 0) for b in range(256))  # 0: selects no variant

# SIB and displacement bytes after a ModRM byte, a SIB base of 5 with mod 0 apart.
_TAIL: Final = tuple(
    0 if mod == 3 else (rm == 4) + (1 if mod == 1 else 4 if mod == 2 or rm == 5 else 0)
    for mod in range(4)
    for _ in range(8)
    for rm in range(8)
)
# Immediate bytes by kind and operand size; a far pointer with a 64-bit one fails.
_FAIL: Final = 16
SIZES: Final = {
    0: {2: 0, 4: 0, 8: 0}, BYTE: {2: 1, 4: 1, 8: 1}, WORD: {2: 2, 4: 2, 8: 2}, DOUBLE: {2: 4, 4: 4, 8: 4},
    FULL32: {2: 2, 4: 4, 8: 4}, FULL: {2: 2, 4: 4, 8: 8}, POINTER: {2: 4, 4: 6, 8: _FAIL},
}  # fmt: skip
_ONLY: Final = VEX_ONLY | EVEX_ONLY


class KernelDecoded(NamedTuple):
    """What the kernel holds after decoding; offsets are those it would patch at, so 5 short after an emulate prefix."""

    length: int
    prefixes: tuple[int, ...]  # distinct legacy prefixes
    rex_at: int
    rex_size: int  # 0, 1, or 2 for REX2
    vex_at: int
    vex_size: int  # 0, 2, 3, or 4 for EVEX
    opcode_size: int
    opcode1: int
    opcode2: int  # 0 where there is none
    modrm_at: int
    modrm: int  # -1 where the decoder sees none
    immediate_end: int  # offset in the bytes (not 5 short) behind the first immediate
    immediate_size: int  # bytes of the first immediate; 0 for offsets, none


@dataclass(frozen=True, slots=True)
class Features:
    """What a kernel version's decoder knows beyond its opcode map."""

    rex2: bool = True
    evex: bool = True
    evex_maps: int = 7  # the bits of EVEX byte 1 that are the number of its map
    xop: bool = True
    vex_after_rex: bool = False  # with the XOP patch the byte after REX is compared with the class of the REX byte
    invalid64: bool = True  # stops at opcodes that do not exist in 64-bit mode
    emulate_prefixes: bool = True
    strict: bool = True  # an instruction marked bad fails; else it only loses its attributes
    limit: int = 15  # bytes that may be read


class _Start(NamedTuple):
    """The bytes up to and including REX."""

    data: bytes
    skipped: int  # bytes of an emulate prefix
    prefixes: tuple[int, ...]
    last: int  # which variant the last legacy prefix selects
    rex_size: int
    operand: int  # bytes: 2, 4 or 8


class _Opcode(NamedTuple):
    """The bytes up to and including the opcode."""

    rex_at: int
    vex_at: int
    vex_size: int
    opcode_size: int
    opcode1: int
    opcode2: int
    variant: int  # last prefix or pp
    operand: int


def variant_of(last: int) -> int:
    """Which variant the last legacy prefix byte (0: none) selects: 0 none, 1 66, 2 F3, 3 F2."""
    return _LAST[last]


_NO_PREFIXES: Final[tuple[tuple[int, ...], int, int]] = ((), 0, 0)


SIB_WITH_DISPLACEMENT: Final = b"\x25"  # no base, disp32


def takes_a_sib_byte_from_behind(instruction: bytes) -> bool:
    """Whether the decoder takes the byte behind the instruction for its SIB byte: MOV of control and debug registers.

    The processor ignores ModRM's mod there (SDM vol. 2, MOV), the kernel's decoder does not.
    """
    if instruction[-3:-2] != b"\x0f":
        return False
    *_, at = legacy_prefixes(instruction, 0, len(instruction))
    at += instruction[at : at + 1] != b"" and instruction[at] & 0xF0 == 0x40
    opcode = instruction[at:]
    return len(opcode) == 3 and opcode[0] == 0x0F and 0x20 <= opcode[1] <= 0x23 and opcode[2] & 0xC7 == 4


def legacy_prefixes(data: bytes, at: int, limit: int) -> tuple[tuple[int, ...], int, int]:
    """The distinct legacy prefixes from offset `at`, the last prefix byte, and how many bytes they are."""
    distinct: list[int] = []
    start = at
    last = 0
    while at < limit and _IS_LEGACY[byte := data[at]]:
        if byte not in distinct:
            if len(distinct) == 4:
                break
            distinct.append(byte)
        last = byte
        at += 1
    return tuple(distinct), last, at - start


class KernelDecoder:
    """The decoder of one kernel version; `decode` is all it does."""

    __slots__ = ("_attributes", "_features", "_limit", "_maps", "_skips")

    def __init__(self, attributes: Attributes, features: Features) -> None:
        self._attributes = attributes
        self._features = features
        self._limit = features.limit
        self._maps = {3: 31, 4: features.evex_maps}
        self._skips = EMULATE_PREFIXES if features.emulate_prefixes else ()

    def decode(self, data: bytes) -> KernelDecoded | None:
        """The fields, or None where the kernel's decoder fails.

        Takes more bytes than the limit of the kernel version; what is behind the limit does not matter.
        """
        skipped = 5 if data[0] == 0x0F and data[:5] in self._skips else 0
        found = legacy_prefixes(data, skipped, self._limit) if _IS_LEGACY[data[skipped]] else _NO_PREFIXES
        prefixes, last, count = found
        at = skipped + count
        if at >= self._limit:
            return None
        byte = data[at]
        operand = 2 if 0x66 in prefixes else 4
        if byte == 0xD5 and self._features.rex2:
            return self._after_rex2(_Start(data, skipped, prefixes, _LAST[last], 2, operand), at)
        rex_size = 0
        if 0x40 <= byte <= 0x4F:
            rex_size = 1
            if byte & 8:
                operand = 8
            at += 1
            if at >= self._limit:
                return None
        start = _Start(data, skipped, prefixes, _LAST[last], rex_size, operand)
        if (rex_size == 0 or self._features.vex_after_rex) and self._is_vex(data, at):
            return self._after_vex(start, at)
        return self._legacy(start, at)

    def _is_vex(self, data: bytes, at: int) -> bool:
        byte = data[at]
        if byte == 0x8F:  # XOP is told from pop by the bits where pop has /0, not by the map number
            return self._features.xop and data[at + 1] & 0x38 != 0
        return byte in {0xC4, 0xC5} or (byte == 0x62 and self._features.evex)

    def _legacy(self, start: _Start, at: int) -> KernelDecoded | None:
        data, skipped, _, last, rex_size, operand = start
        byte = data[at]
        word = self._attributes.one_byte[byte]
        if word & INVALID64 and self._features.invalid64:
            word = INVALID64
        opcode2 = 0
        size = 1
        if byte == 0x0F:
            opcode2 = data[at + 1]
            size = 3 if opcode2 in {0x38, 0x3A} else 2
            if at + size > self._limit:
                return None
            table = self._attributes.escapes[0 if size == 2 else 1 if opcode2 == 0x38 else 2][last]
            word = table[data[at + size - 1]]
            if word & _ONLY:
                if self._features.strict:
                    return None
                word = 0
        vex_at = at - skipped
        opcode = _Opcode(vex_at - rex_size, vex_at, 0, size, byte, opcode2, last, operand)
        return self._rest(start, opcode, at + size, word)

    def _after_rex2(self, start: _Start, at: int) -> KernelDecoded | None:
        if at + 3 > self._limit:
            return None
        data, skipped, _, last, _, operand = start
        payload, byte = data[at + 1], data[at + 2]
        word = self._attributes.escapes[0][last][byte] if payload & 0x80 else self._attributes.one_byte[byte]
        rex_at = at - skipped
        opcode = _Opcode(rex_at, rex_at + 2, 0, 1, byte, 0, last, 8 if payload & 8 else operand)
        return self._rest(start, opcode, at + 3, word)

    def _after_vex(self, start: _Start, at: int) -> KernelDecoded | None:
        data, skipped, _, _, rex_size, operand = start
        kind = data[at]
        size = 2 if kind == 0xC5 else 4 if kind == 0x62 else 3
        if at + size >= self._limit:
            return None
        byte = data[at + size]
        number, wpp = (1, data[at + 1] & 0x7F) if size == 2 else (data[at + 1] & self._maps[size], data[at + 2])
        if size > 2 and data[at + size - 1] & 0x80:
            operand = 8
        tables = (self._attributes.xop if kind == 0x8F else self._attributes.vex)[number]
        word = tables[wpp & 3][byte] if tables else 0
        if word & SCALABLE and not wpp & 0x80 and wpp & 3 == 1:
            operand = 2
        if (word & EVEX_ONLY and size != 4) or not (word & VEX or word >= GROUP):
            if self._features.strict:
                return None
            word = 0
        vex_at = at - skipped
        opcode = _Opcode(vex_at - rex_size, vex_at, size, 1, byte, 0, wpp & 3, operand)
        return self._rest(start, opcode, at + size + 1, word)

    def _rest(self, start: _Start, opcode: _Opcode, at: int, word: int) -> KernelDecoded | None:
        """ModRM, SIB, displacement and immediates."""
        data, skipped, prefixes, _, rex_size, _ = start
        rex_at, vex_at, vex_size, opcode_size, opcode1, opcode2, variant, operand = opcode
        modrm_at = at - skipped
        modrm = -1
        if word & MODRM:
            modrm = data[at]
            at += 1 + _TAIL[modrm]
            if modrm < 0x40 and modrm & 7 == 4 and at <= self._limit and data[at - 1] & 7 == 5:
                at += 4
            if word >= GROUP:
                word |= self._attributes.groups[word // GROUP][variant][modrm >> 3 & 7]
                if vex_size and not word & VEX:
                    if self._features.strict:
                        return None
                    word = MODRM
        size = SIZES[word & IMMEDIATE][8 if word & FORCE64 else operand]
        end = at + size
        if word & OFFSET:
            end += 4 if 0x67 in prefixes else 8
        length = end + 1 if word & SECOND else end
        if length > self._limit:
            return None
        behind = (modrm_at, modrm, end, size)
        return KernelDecoded(
            length, prefixes, rex_at, rex_size, vex_at, vex_size, opcode_size, opcode1, opcode2, *behind
        )
