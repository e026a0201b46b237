"""How the Linux kernel's own x86 decoder reads bytes in 32-bit mode: fields and their offsets, or failure.

Decides nothing about what a processor makes of the bytes.  Source: arch/x86/lib/insn.c of Linux 6.18, x86_64 = 0.

* No REX and REX2: 40 to 4f and d5 are opcodes, so nothing makes operands of 8 bytes.
* c4, c5, 62 and (where its bits 5..3 are not 0) 8f begin VEX, EVEX and XOP only where the next byte has mod 3.
* 67 makes addresses of 2 bytes: other displacements, no SIB byte.  Memory offsets have the address's size.
* Opcodes that do not exist in 64-bit mode are read, no operand size is forced, no operand is rip-relative.
"""

from __future__ import annotations

from typing import Final

from verify.models.schemes.linux.attributes import (
    EVEX_ONLY,
    GROUP,
    IMMEDIATE,
    MODRM,
    OFFSET,
    SCALABLE,
    SECOND,
    VEX,
    VEX_ONLY,
    Attributes,
)
from verify.models.schemes.linux.decoder import (
    EMULATE_PREFIXES,
    SIZES,
    Features,
    KernelDecoded,
    legacy_prefixes,
    variant_of,
)

LIMIT: Final = 15  # bytes that may be read
_VEX_SIZES: Final = {0xC5: 2, 0xC4: 3, 0x8F: 3, 0x62: 4}


def decoded_in_32_bits(data: bytes, attributes: Attributes, features: Features) -> KernelDecoded | None:
    """The fields, or None where the kernel's decoder fails.  Takes more bytes than may be read."""
    skipped = 5 if data[:5] in EMULATE_PREFIXES else 0
    prefixes, last, count = legacy_prefixes(data, skipped, LIMIT)
    at = skipped + count
    if at >= LIMIT:
        return None
    head = _Head(data, attributes, skipped, prefixes, variant_of(last))
    return head.after_vex(at, features.evex_maps) if _is_vex(data, at, features.xop) else head.legacy(at)


def _is_vex(data: bytes, at: int, xop: bool) -> bool:
    if data[at] not in _VEX_SIZES or (data[at] == 0x8F and (not xop or data[at + 1] & 0x38 == 0)):
        return False
    return data[at + 1] & 0xC0 == 0xC0


class _Head:
    """The bytes up to the opcode."""

    __slots__ = ("_address", "_attributes", "_data", "_operand", "_prefixes", "_skipped", "_variant")

    def __init__(
        self, data: bytes, attributes: Attributes, skipped: int, prefixes: tuple[int, ...], variant: int
    ) -> None:
        self._data, self._attributes, self._skipped = data, attributes, skipped
        self._prefixes, self._variant = prefixes, variant
        self._operand = 2 if 0x66 in prefixes else 4
        self._address = 2 if 0x67 in prefixes else 4

    def legacy(self, at: int) -> KernelDecoded | None:
        """An instruction without VEX, EVEX and XOP."""
        data, byte, size, second = self._data, self._data[at], 1, 0
        word = self._attributes.one_byte[byte]
        if byte == 0x0F:
            second = data[at + 1]
            size = 3 if second in {0x38, 0x3A} else 2
            if at + size > LIMIT:
                return None
            table = self._attributes.escapes[0 if size == 2 else 1 if second == 0x38 else 2][self._variant]
            word = table[data[at + size - 1]]
            if word & (VEX_ONLY | EVEX_ONLY):
                return None
        return self._rest(at, (at, 0, size, byte, second), at + size, word, self._variant, self._operand)

    def after_vex(self, at: int, evex_maps: int) -> KernelDecoded | None:
        """An instruction behind VEX, EVEX or XOP, of which W does not decide the operand size."""
        data, kind = self._data, self._data[at]
        size = _VEX_SIZES[kind]
        if at + size >= LIMIT:
            return None
        maps = 31 if size == 3 else evex_maps
        number, wpp = (1, data[at + 1] & 0x7F) if size == 2 else (data[at + 1] & maps, data[at + 2])
        tables = (self._attributes.xop if kind == 0x8F else self._attributes.vex)[number]
        word = tables[wpp & 3][data[at + size]] if tables else 0
        operand = 2 if word & SCALABLE and not wpp & 0x80 and wpp & 3 == 1 else self._operand
        if (word & EVEX_ONLY and size != 4) or not (word & VEX or word >= GROUP):
            return None
        return self._rest(at, (at, size, 1, data[at + size], 0), at + size + 1, word, wpp & 3, operand)

    def _rest(
        self, start: int, opcode: tuple[int, int, int, int, int], at: int, word: int, variant: int, operand: int
    ) -> KernelDecoded | None:
        """ModRM, SIB, displacement and immediates."""
        vex_at, vex_size, opcode_size, first, second = opcode
        modrm_at, modrm = at - self._skipped, -1
        if word & MODRM:
            modrm = self._data[at]
            at = self._behind_modrm(at, modrm)
            if word >= GROUP:
                word |= self._attributes.groups[word // GROUP][variant][modrm >> 3 & 7]
                if vex_size and not word & VEX:
                    return None
        size = SIZES[word & IMMEDIATE][operand]
        end = at + size + (self._address if word & OFFSET else 0)
        length = end + 1 if word & SECOND else end
        if length > LIMIT:
            return None
        places = (start - self._skipped, 0, vex_at - self._skipped, vex_size, opcode_size, first, second)
        return KernelDecoded(length, self._prefixes, *places, modrm_at, modrm, end, size)

    def _behind_modrm(self, at: int, modrm: int) -> int:
        """The offset behind ModRM, SIB and displacement."""
        mod, rm = modrm >> 6, modrm & 7
        at += 1
        if mod == 3:
            return at
        if self._address == 2:
            return at + (1 if mod == 1 else 2 if mod == 2 or rm == 6 else 0)
        based_on_nothing = rm == 5
        if rm == 4:
            based_on_nothing = at < LIMIT and self._data[at] & 7 == 5
            at += 1
        return at + (1 if mod == 1 else 4 if mod == 2 or based_on_nothing else 0)
