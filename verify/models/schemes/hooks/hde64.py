"""The length decoder of MinHook, the Hacker Disassembler Engine 64 of 2009, as what it answers.

It knows the one-byte map and 0F, without VEX, EVEX, XOP, 0F 38 and 0F 3A, and takes 67 for a prefix of 16-bit
addresses.
Source: TsudaKageyu/minhook@1e9ad1eb42db, src/hde/hde64.c and table64.h, as facts; compared with a build of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST: Final = 15  # bytes
PREFIXES: Final = {  # how prefixes are counted; 1: there is none
    0xF2: 0x02, 0xF3: 0x04, 0x66: 0x08, 0x67: 0x10, 0xF0: 0x20,
    **dict.fromkeys((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65), 0x40),
}  # fmt: skip
NO_PREFIX, OPERAND_SIZE, ADDRESS_SIZE, LOCK = 0x01, 0x08, 0x10, 0x20


def _set(text: str) -> frozenset[int]:
    ends = [part.partition("-") for part in text.split()]
    return frozenset(n for low, _, high in ends for n in range(int(low, 16), int(high or low, 16) + 1))


def _by_opcode(rows: dict[str, str]) -> dict[int, frozenset[int]]:
    return {opcode: _set(digits) for opcodes, digits in rows.items() for opcode in _set(opcodes)}


@dataclass(frozen=True, slots=True)
class Map:
    """An opcode map: which opcodes have what, which are an error, alone or with a digit of ModRM.reg."""

    modrm: frozenset[int]
    byte: frozenset[int]
    word: frozenset[int]
    full: frozenset[int]  # 4 bytes, 2 with 66, 8 where the opcode is a 64-bit one
    near: frozenset[int]  # a relative one of 4 bytes, 2 with 66
    short: frozenset[int]
    errors: frozenset[int]
    digits: dict[int, frozenset[int]]
    lockable: dict[int, frozenset[int]]  # digits with which LOCK may stand before an operand in memory
    registers: dict[int, tuple[int, frozenset[int]]]  # an error in a register: with which prefixes, which digits


ONE: Final = Map(
    _set("00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 69 6b 80-81 83-8f c0-c1 c6-c7 d0-d3 d8-df f6-f7 fe-ff"),
    _set("04 0c 14 1c 24 2c 34 3c 6a-6b 80 83 a8 b0-b7 c0-c1 c6 c8 cd e4-e7"), _set("c2 c8 ca"),
    _set("05 0d 15 1d 25 2d 35 3d 68-69 81 a0-a3 a9 b8-bf c7"), _set("e8-e9"), _set("70-7f e0-e3 eb"),
    _set("06-07 0f 16-17 1e-1f 27 2f 37 3f 60-62 82 9a 9e-9f c4-c5 ce d4-d6 ea"),
    _by_opcode({"8f c6-c7": "1-7", "fe": "2-7", "ff": "7"}),
    _by_opcode({"00 08 10 18 20 28 30 86": "0-7", "80 82": "0-6", "f6": "2-3", "fe": "0-1"}),
    {0x8D: (0xFF, _set("0-7")), 0xFF: (0xFF, _set("3 5"))},
)  # fmt: skip
TWO: Final = Map(
    _set("00-03 0d 0f-24 26 28-2f 40-76 7c-7f 90-9f a3-a5 ab-b7 ba-c7 d0-fe"),
    _set("0f 70-73 a4 ac ba c2 c4-c6"), frozenset(), frozenset(), _set("80-8f"), frozenset(),
    _set("04 0a-0c 24-27 36-3f 7a-7b a6-a7 b9 ff"),
    _by_opcode({"00": "6-7", "01": "5", "71-72": "0 1 3 5 7", "73": "0 1 4 5", "ba": "0-3", "c7": "0 2-5"}),
    _by_opcode({"ab b0-b1 b3 bb c0-c1": "0-7", "ba": "5-7", "c7": "1"}),
    {
        0x01: (0xFF, _set("0-3 7")), 0x12: (0x08, _set("0-7")), 0x13: (0x09, _set("0-7")), 0x16: (0x08, _set("0-7")),
        0x17: (0x09, _set("0-7")), 0x2B: (0x09, _set("0-7")), 0xAE: (0xFF, _set("0-4")), 0xB2: (0xFF, _set("0-7")),
        0xB4: (0xFF, _set("0-7")), 0xB5: (0xFF, _set("0-7")), 0xC3: (0x01, _set("0-7")), 0xC7: (0xFF, _set("1")),
        0xE7: (0x08, _set("0-7")), 0xF0: (0x02, _set("0-7")),
    },
)  # fmt: skip
_WITH: Final = {  # of 0F opcodes the prefixes that make an error of them
    0x06: "13-15 17 28-29 2b 2e-2f 50 54-57 68-6b 6e 71-76 c4-c6 d1-d5 d7 e0-e5 e7 f1-f7", 0x02: "16 5b 6f 7e-7f",
    0x0A: "52-53", 0x07: "6c-6d", 0x0E: "77 c3", 0x05: "7c-7d d0", 0x04: "ba-bf", 0x01: "d6 e6", 0x0D: "f0",
}  # fmt: skip
WITH: Final = {opcode: mask for mask, opcodes in _WITH.items() for opcode in _set(opcodes)}
X87_MEMORY: Final = {0xD9: _set("1"), 0xDB: _set("4 6"), 0xDD: _set("5")}  # digits that are an error
X87_REGISTERS: Final = {  # ModRM bytes that are
    0xD9: _set("d1-d7 e2-e3 e6-e7 ef"), 0xDA: _set("e0-e8 ea-ff"), 0xDB: _set("e5-e7 f8-ff"), 0xDD: _set("f0-ff"),
    0xDE: _set("d8 da-df"), 0xDF: _set("e1-e7 f8-ff"),
}  # fmt: skip
MEMORY: Final = {0x50: 0x09, 0xD7: 0x09, 0xF7: 0x09, 0xD6: 0x06, 0xC5: 0xFF}  # 0F: an error in memory, by prefixes
SYSTEM: Final = {  # digits of control and debug registers, and of segment registers, that are an error
    (2, 0x20): _set("1 5-7"), (2, 0x22): _set("1 5-7"), (2, 0x21): _set("4-5"), (2, 0x23): _set("4-5"),
    (1, 0x8C): _set("6-7"), (1, 0x8E): _set("1 6-7"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What the decoder answers of bytes that it takes for an instruction."""

    length: int
    opcode: int  # first byte behind the prefixes
    second: int  # behind 0F; else 0
    modrm: int  # 0 where there is none
    immediate: int  # bytes of the last immediate; 0: none
    immediates: int  # of all
    tail: int = 0  # bytes of SIB and displacement

    @property
    def digit(self) -> int:
        """ModRM.reg, three bits."""
        return self.modrm >> 3 & 7


def measured(data: bytes) -> Measured | None:
    """The instruction at the start of at least 32 bytes; None where the decoder reports an error."""
    at, mask = _prefixes(data)
    rex = data[at] & 0xF0 == 0x40
    wide = rex and data[at] & 8 != 0
    at += rex
    if rex and data[at] & 0xF0 == 0x40:
        return None
    opcode = data[at]
    is_two = opcode == 0x0F
    second = data[at + 1] if is_two else 0
    at += 2 if is_two else 1
    key = second if is_two else opcode
    found = _body(data, at, TWO if is_two else ONE, key, bool(second), mask, wide)
    if found is None or found[0] > LONGEST:
        return None
    length, modrm, sizes, tail = found
    return Measured(length, opcode, second, modrm, sizes[-1] if sizes else 0, sum(sizes), tail)


def _prefixes(data: bytes) -> tuple[int, int]:
    at, mask = 0, 0
    while at < 16 and data[at] in PREFIXES:
        mask |= PREFIXES[data[at]]
        at += 1
    return min(at, 15), mask or NO_PREFIX


def _body(
    data: bytes, at: int, table: Map, key: int, is_second: bool, mask: int, wide: bool
) -> tuple[int, int, tuple[int, ...], int] | None:
    """Length, ModRM, sizes of immediates, bytes of SIB and displacement; `is_second`: behind 0F, and not 0."""
    offsets = table is ONE and 0xA0 <= key <= 0xA3
    quad = offsets or (wide and table is ONE and 0xB8 <= key <= 0xBF)
    if offsets:  # 67 counts as 66 there, and 66 does not
        mask = mask | OPERAND_SIZE if mask & ADDRESS_SIZE else mask & ~OPERAND_SIZE
    if key in table.errors or (is_second and WITH.get(key, 0) & mask):
        return None
    modrm = tail = 0
    if key in table.modrm:
        modrm = data[at]
        if _is_wrong(table, key, is_second, modrm, mask):
            return None
        tail = _tail(key if is_second else -1, modrm, data[at + 1], mask)
        at += 1 + tail
    elif mask & LOCK:
        return None
    sizes = tuple(_immediates(table, key, modrm, mask, quad))
    return at + sum(sizes), modrm, sizes, tail


def _is_wrong(table: Map, key: int, is_second: bool, modrm: int, mask: int) -> bool:
    """Whether ModRM makes an error of it."""
    digit, in_register = modrm >> 3 & 7, modrm >= 0xC0
    if digit in table.digits.get(key, ()):
        return True
    if not is_second and key in range(0xD9, 0xE0):
        x87 = modrm in X87_REGISTERS.get(key, ()) if in_register else digit in X87_MEMORY.get(key, ())
        if x87:
            return True
    own = TWO if is_second else ONE
    if mask & LOCK and (in_register or digit not in own.lockable.get(key if is_second else key & 0xFE, ())):
        return True
    system = SYSTEM.get((2 if is_second else 1, key))
    if system is not None:
        return digit in system
    if in_register:
        prefixes, digits = own.registers.get(key, (0, frozenset[int]()))
        return bool(prefixes & mask) and digit in digits
    return is_second and bool(MEMORY.get(key, 0) & mask)


def _tail(second: int, modrm: int, sib: int, mask: int) -> int:
    """Bytes of SIB and displacement, as it takes them; control and debug registers have none."""
    mod, rm = modrm >> 6, modrm & 7
    if second in {0x20, 0x21, 0x22, 0x23}:
        mod = 3
    narrow = bool(mask & ADDRESS_SIZE)
    size = (2 * (rm == 6) if narrow else 4 * (rm == 5), 1, 2 if narrow else 4, 0)[mod]
    if mod == 3 or rm != 4:
        return size
    return 1 + (4 if sib & 7 == 5 and not mod & 1 else size)


def _immediates(table: Map, key: int, modrm: int, mask: int, quad: bool) -> list[int]:
    short = bool(mask & OPERAND_SIZE)
    tests = key in {0xF6, 0xF7} and modrm >> 3 & 7 <= 1  # of both maps: PSADBW and MASKMOVQ too
    if key in table.near:
        return [2 if short else 4]
    found = []
    if key in table.full or (tests and key == 0xF7):
        found.append(8 if quad else 2 if short else 4)
    if key in table.word:
        found.append(2)
    if key in table.byte or (tests and key == 0xF6) or key in table.short:
        found.append(1)
    return found
