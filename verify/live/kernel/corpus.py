"""The encodings that are shown to the kernel: every opcode map, prefix class and addressing class, in a fixed order.

Decides nothing about validity: the processor and the kernel do. An encoding is complete (prefixes, opcode, ModRM, SIB,
displacement and immediate by the size columns of SDM vol. 2, appendix A); where the size is wrong the filler behind the
encoding stands in. Rip-relative displacements lead to `target`, whatever the length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

LEGACY: Final = ("", "66", "f2", "f3", "67", "64", "65", "26", "2e", "36", "3e", "f0")
REX: Final = ("", "40", "41", "44", "48", "4f")
ODD_PREFIXES: Final = (                                     # orders, repetitions and lengths that decoders disagree on
    "6666", "f2f2", "f3f3", "6767", "6465", "f2f3", "f3f2", "66f2", "66f3", "f266", "f366", "6667", "6766",
    "4848", "4866", "48f3", "48f2", "4867", "4864", "482e", "4840", "4048", "4141", "484f", "4f41", "4146",
    "66f267", "6764f3", "66676465", "66f2f36764", "66f2f3676465", "6666666666", "66676465f2f36667",
    "6648", "66f248", "f36641", "64674c", "6465f348", "48664f", "4866f3", "f048", "2e48", "2ef3", "f02e", "3e66",
)
IMM8_0F: Final = frozenset((*range(0x70, 0x74), 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6))
RELATIVE_0F: Final = frozenset(range(0x80, 0x90))
NO_MODRM_1B: Final = frozenset((
    *(16 * row + col for row in range(4) for col in (4, 5, 6, 7, 0xC, 0xD, 0xE, 0xF)),
    *range(0x40, 0x62), *range(0x64, 0x69), 0x6A, *range(0x6C, 0x80), *range(0x90, 0xC0), 0xC2, 0xC3,
    *range(0xC8, 0xD0), *range(0xD4, 0xD8), *range(0xE0, 0xF6), *range(0xF8, 0xFE),
))
NO_MODRM_0F: Final = frozenset((
    0x04, *range(0x05, 0x0D), 0x0E, 0x24, 0x26, *range(0x30, 0x38), 0x77, *range(0x80, 0x90), *range(0xA0, 0xA3),
    *range(0xA8, 0xAB), *range(0xC8, 0xD0),
))
PREFIX_BYTES: Final = bytes((*range(0x40, 0x50), *range(0x64, 0x68), 0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3))


@dataclass(frozen=True, slots=True)
class CorpusAddressing:
    """One ModRM addressing class: `mod`, `rm`, the SIB byte, the displacement (None: 4 bytes, to the target)."""

    name: str
    mod: int
    rm: int
    sib: bytes = b""
    displacement: bytes | None = b""


REGISTER: Final = tuple(CorpusAddressing(f"r{rm}", 3, rm) for rm in range(8))
RIP: Final = CorpusAddressing("rip", 0, 5, b"", None)
MEMORY: Final = (
    CorpusAddressing("[rdi]", 0, 7),
    CorpusAddressing("[rsp-8]", 1, 4, b"\x24", b"\xf8"),
    CorpusAddressing("[rbx+d32]", 2, 3, b"", b"\x40\0\0\0"),
    CorpusAddressing("[abs]", 0, 4, b"\x25", None),
    CorpusAddressing("[rsi+rcx]", 0, 4, b"\x0e"),
    CorpusAddressing("[rax]", 0, 0),
)


def immediate_size(opcode_map: int, opcode: int, reg: int, prefixes: bytes) -> int:
    """The bytes of immediate behind the operand of map 0 (one byte), 1 (0f), 2 (0f38) or 3 (0f3a). SDM vol. 2, A.3."""
    if opcode_map == 3:
        return 1
    narrow = 0x66 in prefixes and not any(0x48 <= p <= 0x4F for p in prefixes[-1:])
    word = 2 if narrow else 4
    if opcode_map == 1:
        return 4 if opcode in RELATIVE_0F else int(opcode in IMM8_0F)
    return _one_byte_immediate(opcode, reg, word, prefixes) if opcode_map == 0 else 0


def _one_byte_immediate(opcode: int, reg: int, word: int, prefixes: bytes) -> int:
    if opcode in (0xA0, 0xA1, 0xA2, 0xA3):
        return 4 if 0x67 in prefixes else 8
    if 0xB8 <= opcode <= 0xBF:
        return 8 if prefixes and 0x48 <= prefixes[-1] <= 0x4F else word
    if opcode in (0xF6, 0xF7):
        return (1 if opcode == 0xF6 else word) if reg < 2 else 0
    if opcode in (0xE8, 0xE9):
        return 4
    if opcode in (0xC2, 0xCA):
        return 2
    if opcode == 0xC8:
        return 3
    if opcode in (0x68, 0x69, 0x81, 0xC7, 0xA9) or (opcode < 0x40 and opcode & 7 == 5):
        return word
    byte_rows = (0x6A, 0x6B, 0x80, 0x83, 0xC0, 0xC1, 0xC6, 0xCD, 0xD4, 0xD5, 0xA8, 0xEB, *range(0xE0, 0xE8))
    rows = (range(0x70, 0x80), range(0xB0, 0xB8), range(4, 0x40, 8), byte_rows)
    return int(any(opcode in row for row in rows))


@dataclass(frozen=True, slots=True)
class CorpusLayout:
    """Where the encodings run and what rip-relative and absolute operands are to meet: 64-bit addresses.

    Absolute operands meet `absolute`, which lies below 2 GiB; None: the same as rip-relative ones.
    """

    origin: int
    target: int
    stride: int = 64
    absolute: int | None = None

    def displacement(self, index: int, length: int) -> bytes:
        """The 4-byte displacement of an instruction of `length` bytes in slot `index` that leads to the target."""
        return ((self.target - (self.origin + index * self.stride + length)) & 0xFFFFFFFF).to_bytes(4, "little")


#: displacement of the corpus's rip-relative operands, replaced by `place` when the slot is known
TO_TARGET: Final = b"\xaa\x55\x5a\x25"
IMMEDIATE: Final = bytes((0x11, 0, 0, 0, 0, 0, 0, 0))


def operand(addressing: CorpusAddressing, reg: int) -> bytes:
    """ModRM, SIB and displacement of an operand of the class with the given /reg (0..7)."""
    modrm = bytes((addressing.mod << 6 | reg << 3 | addressing.rm,))
    return modrm + addressing.sib + (TO_TARGET if addressing.displacement is None else addressing.displacement)


def legacy(prefixes: bytes, opcode_map: int, opcode: int, addressing: CorpusAddressing | None, reg: int = 0) -> bytes:
    """One legacy encoding: prefixes, escape bytes of the map, opcode, operand if there is one, immediate."""
    escape = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")[opcode_map]
    behind = b"" if addressing is None else operand(addressing, reg)
    if opcode_map == 1 and opcode == 0x0F:                  # 3DNow!: the opcode is the last byte
        return prefixes + escape + b"\x0f" + behind + b"\x9e"
    size = immediate_size(opcode_map, opcode, reg, prefixes)
    return prefixes + escape + bytes((opcode,)) + behind + IMMEDIATE[:size]


def has_modrm(opcode_map: int, opcode: int) -> bool:
    """Whether the legacy opcode has a ModRM byte (SDM vol. 2, A.3; unassigned opcodes as their row's neighbours)."""
    return opcode_map > 1 or opcode not in (NO_MODRM_1B, NO_MODRM_0F)[opcode_map]


def legacy_opcodes() -> Iterator[tuple[int, int]]:
    """(map, opcode) of every legacy opcode that is not a prefix or an escape."""
    for opcode_map, opcode in itertools.product(range(4), range(256)):
        escape = opcode_map == 0 and (opcode in PREFIX_BYTES or opcode == 0x0F)
        if not escape and not (opcode_map == 1 and opcode in (0x38, 0x3A)):
            yield opcode_map, opcode


def prefix_sequences() -> tuple[bytes, ...]:
    """Every legacy prefix with every REX sample, then the odd orders; the prefix bytes in memory order."""
    regular = (bytes.fromhex(a + b) for b in REX for a in LEGACY)
    return (*regular, *map(bytes.fromhex, ODD_PREFIXES))


def _operands(opcode_map: int, opcode: int, wide: bool) -> Iterator[tuple[CorpusAddressing | None, int]]:
    if not has_modrm(opcode_map, opcode):
        yield None, 0
        return
    yield from itertools.product((REGISTER[1], MEMORY[0], RIP), range(8) if wide else (0,))
    if not wide:
        yield REGISTER[0], 6
        yield RIP, 6
        yield MEMORY[1], 2
        return
    yield from itertools.product((*REGISTER, *MEMORY), (0, 2, 6, 7))


def legacy_encodings() -> Iterator[bytes]:
    """Every legacy opcode: every prefix sequence with few operands, few prefixes with every operand class."""
    few = tuple(bytes.fromhex(p) for p in ("", "66", "f3", "48", "41", "67"))
    for opcode_map, opcode in legacy_opcodes():
        for wide, prefixes in ((False, prefix_sequences()), (True, few)):
            for prefix, (addressing, reg) in itertools.product(prefixes, _operands(opcode_map, opcode, wide)):
                yield legacy(prefix, opcode_map, opcode, addressing, reg)


#: operands of the vector encodings: class, ModRM.reg, vvvv (register number)
VECTOR_OPERANDS: Final = (
    (REGISTER[2], 1, 3), (MEMORY[0], 1, 3), (RIP, 1, 3), (RIP, 6, 3), (RIP, 1, 6), (RIP, 6, 7), (RIP, 7, 14),
    (MEMORY[0], 1, 0), (RIP, 1, 0), (REGISTER[2], 1, 0), (MEMORY[4], 2, 9),
)


def vex3(opcode_map: int, fields: tuple[int, int, int, int], opcode: int, behind: bytes, rxb: int = 7) -> bytes:
    """A three-byte VEX encoding: fields are (pp, W, L, vvvv), rxb the inverted R, X, B. SDM vol. 2, 2.3.5."""
    pp, w, length, vvvv = fields
    return bytes((0xC4, rxb << 5 | opcode_map, w << 7 | (vvvv ^ 15) << 3 | length << 2 | pp, opcode)) + behind


def vex2(fields: tuple[int, int, int], opcode: int, behind: bytes, r: int = 1) -> bytes:
    """A two-byte VEX encoding: fields are (pp, L, vvvv), r the inverted R bit."""
    pp, length, vvvv = fields
    return bytes((0xC5, r << 7 | (vvvv ^ 15) << 3 | length << 2 | pp, opcode)) + behind


def xop(opcode_map: int, fields: tuple[int, int, int, int], opcode: int, behind: bytes) -> bytes:
    """An AMD XOP encoding (maps 8, 9, 10): fields as for `vex3`. AMD APM vol. 3, 1.2.7."""
    return b"\x8f" + vex3(opcode_map, fields, opcode, behind)[1:]


@dataclass(frozen=True, slots=True)
class Evex:
    """The payload fields of an EVEX encoding (SDM vol. 2, 2.7.1); rxb inverted, the others as numbers."""

    opcode_map: int
    pp: int
    w: int
    length: int
    vvvv: int = 0
    mask: int = 0
    zeroing: int = 0
    broadcast: int = 0
    rxb: int = 7

    def encoding(self, opcode: int, behind: bytes) -> bytes:
        """The four prefix bytes, the opcode and what follows."""
        p0 = self.rxb << 5 | 1 << 4 | self.opcode_map
        p1 = self.w << 7 | (self.vvvv & 15 ^ 15) << 3 | 4 | self.pp
        p2 = self.zeroing << 7 | self.length << 5 | self.broadcast << 4 | (1 - (self.vvvv >> 4)) << 3 | self.mask
        return bytes((0x62, p0, p1, p2, opcode)) + behind


def _vector_behind(addressing: CorpusAddressing, reg: int, immediate: bool) -> bytes:
    return operand(addressing, reg) + (b"\x11" if immediate else b"")


def vex_encodings() -> Iterator[bytes]:
    """Two- and three-byte VEX over maps 1..3 (and one reserved map), pp, W, L, register, memory and rip-relative."""
    for opcode, (addressing, reg, vvvv) in itertools.product(range(256), VECTOR_OPERANDS):
        for pp, length in itertools.product(range(4), range(2)):
            behind = _vector_behind(addressing, reg, opcode in IMM8_0F)
            yield vex2((pp, length, vvvv), opcode, behind)
            for opcode_map, w in itertools.product((1, 2, 3), range(2)):
                behind = _vector_behind(addressing, reg, opcode_map == 3 or (opcode_map == 1 and opcode in IMM8_0F))
                yield vex3(opcode_map, (pp, w, length, vvvv), opcode, behind)
    for opcode_map, opcode in itertools.product((0, 4, 5, 7, 31), range(0, 256, 5)):
        yield vex3(opcode_map, (1, 0, 0, 0), opcode, _vector_behind(RIP, 1, False))


def evex_encodings() -> Iterator[bytes]:
    """EVEX over maps 1, 2, 3, 5, 6 (and the reserved ones), pp, W, L'L, masks, broadcast, and the operand classes."""
    fields = itertools.product((1, 2, 3, 5, 6), range(256), range(4), range(2), range(3))
    for opcode_map, opcode, pp, w, length in fields:
        immediate = opcode_map == 3 or (opcode_map == 1 and opcode in IMM8_0F)
        for addressing, reg, vvvv in VECTOR_OPERANDS[:: 1 if length == 2 else 2]:
            yield Evex(opcode_map, pp, w, length, vvvv).encoding(opcode, _vector_behind(addressing, reg, immediate))
        for addressing in (REGISTER[2], MEMORY[0], RIP):
            behind = _vector_behind(addressing, 1, immediate)
            yield Evex(opcode_map, pp, w, length, 3, mask=2, zeroing=1).encoding(opcode, behind)
            yield Evex(opcode_map, pp, w, length, 19, broadcast=1).encoding(opcode, behind)
    for opcode_map, opcode in itertools.product((0, 4, 7), range(256)):
        yield Evex(opcode_map, 1, 0, 0).encoding(opcode, _vector_behind(RIP, 1, False))


def xop_encodings() -> Iterator[bytes]:
    """XOP maps 8, 9, 10 and `pop` (8f /0) beside them."""
    for opcode_map, opcode, w, length in itertools.product((8, 9, 10), range(256), range(2), range(2)):
        for addressing, reg, vvvv in VECTOR_OPERANDS[:5]:
            immediate = (b"\x11", b"", IMMEDIATE[:4])[opcode_map - 8]
            yield xop(opcode_map, (0, w, length, vvvv), opcode, operand(addressing, reg) + immediate)


def prefixed_vectors() -> Iterator[bytes]:
    """VEX, EVEX and XOP behind legacy and REX prefixes (most raise #UD, decoders differ)."""
    for prefix in map(bytes.fromhex, ("66", "f2", "f3", "67", "64", "65", "2e", "f0", "40", "48", "4848", "6764")):
        for opcode in range(256):
            for addressing in (REGISTER[2], MEMORY[0], RIP):
                behind = _vector_behind(addressing, 1, opcode in IMM8_0F)
                yield prefix + vex2((1, 0, 3), opcode, behind)
                yield prefix + vex3(1, (1, 0, 0, 3), opcode, behind)
                yield prefix + Evex(1, 1, 0, 2, 3).encoding(opcode, behind)
                yield prefix + xop(9, (0, 0, 0, 3), opcode, operand(addressing, 1))


def registration_corpus() -> Iterator[bytes]:
    """Every encoding of this module once, none longer than 15 bytes, in a fixed order."""
    parts = (legacy_encodings(), vex_encodings(), evex_encodings(), xop_encodings(), prefixed_vectors())
    return unique(itertools.chain.from_iterable(parts))


def unique(encodings: Iterable[bytes]) -> Iterator[bytes]:
    """The encodings of up to 15 bytes without repetitions, in their order."""
    seen: set[bytes] = set()
    for encoding in encodings:
        if len(encoding) <= 15 and encoding not in seen:
            seen.add(encoding)
            yield encoding


def place(encoding: bytes, layout: CorpusLayout, index: int) -> bytes:
    """The encoding for slot `index`: a displacement `TO_TARGET` leads to the target or, absolute, names it."""
    at = encoding.find(TO_TARGET)
    if at < 0:
        return encoding
    absolute = encoding[at - 1] == 0x25 and encoding[at - 2] & 0xC7 == 0x04
    named = layout.target if layout.absolute is None else layout.absolute
    value = named.to_bytes(4, "little") if absolute else layout.displacement(index, len(encoding))
    return encoding[:at] + value + encoding[at + 4:]
