"""The opcode map of the Linux kernel's own x86 decoder, as facts: which opcode has which attribute in 64-bit mode.

Decides nothing about what an instruction does.  An opcode may be wrong here and that is the point: the scheme sees the
bytes through this map.  Source: arch/x86/lib/x86-opcode-map.txt as of Linux 6.16..6.18 (read in public trees at
a57a0e731387 and 3e6d8d7c0d3a) with arch/x86/tools/gen-insn-attr-x86.awk; checked by the refusals of a running 6.18.

A row is `opcodes | none | 66 | F3 | F2`: the attributes where no last prefix, or that last prefix, is in force.  A row
with one column has no variants: every last prefix gives the same.  With variants, an empty column means no attribute at
all.  Letters of a cell:
  m  ModRM                    v  ModRM, VEX accepted        V  ModRM, VEX only         E  ModRM, EVEX only
  S  as E, operand size by W and pp ("scalable")            x  VEX accepted, no ModRM
  b w d z i p  immediate of 1, 2, 4, 2-or-4 (z), 2-4-8 (i) bytes, far pointer (p)    2  a further byte
  o  memory offset            F  64-bit operand size forced (the 66 prefix has no effect on z)
  I  invalid in 64-bit mode: decoding stops after the opcode
"""

from __future__ import annotations

from typing import Final

Rows = tuple[str, ...]

ONE_BYTE: Final[Rows] = (
    "00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 84-8e d0-d3 d8-df | m",
    "04 0c 14 1c 24 2c 34 3c a8 b0-b7 cd e4-e7 | b",
    "05 0d 15 1d 25 2d 35 3d 68 a9 | z",
    "06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 ce | I",
    "62 c4 c5 | m",  # the 32-bit meaning is kept beside the VEX and EVEX prefixes; seen after REX2 only
    "69 81 | mz",
    "6a 70-7f e0-e3 eb | bF",
    "6b 80 83 c0 c1 | mb",
    "82 | mbI",
    "8f | mF",
    "9a ea | pI",
    "a0-a3 | o",
    "b8-bf | i",
    "c2 | wF",
    "c6 | mb",
    "c7 | mz",
    "c8 | w2",
    "ca | w",
    "d4 | bI",
    "d5 | b",
    "e8 e9 | zF",
    "f6 f7 fe ff | m",
)

# 0f 0c, 0f 0e, 0f 19, 0f 1d, 0f 24-27, 0f 36, 0f 39, 0f 3b-3f, 0f 04, 0f 0a, 0f ff are present with no attribute.
TWO_BYTE: Final[Rows] = (
    "00-03 0d 18 1c 1e 1f 20-23 40 43 48 49 4c-4f 94-97 9a-9f | m",
    "0f | mb",
    "10 11 51 58 59 5a 5c-5f | v | v | v | v",
    "12 | v | v | v | v",
    "13-15 17 28 29 2b 2e 2f 50 54-57 | v | v | | ",
    "16 5b | v | v | v | ",
    "1a 1b | m | m | m | m",
    "2a 2c 2d | m | m | v | v",
    "41 42 44-47 4a 4b 90 91 98 99 | v | v | | ",  # the opmask instructions of the VEX space, legacy ones with them
    "52 53 | v | | v | ",
    "60-6b 6e 74-76 d1-d5 d7-df e0-e5 e7-ef f1-fe | m | v | | ",
    "6c 6d | | v | | ",
    "6f 7f | m | v | v | E",
    "70 | mb | vb | vb | vb",
    "71-73 | m",
    "77 | x",
    "78 79 | v | E | E | E",
    "7a 7b | | E | E | E",
    "7c 7d d0 | | v | | v",
    "7e | m | v | v | ",
    "80-8f | zF",
    "92 93 | v | v | | v",
    "a3 a5-a7 ab ad-af b0-b7 b9 bb be bf c0 c1 c3 c7 | m",
    "a4 ac ba | mb",
    "b8 | | | m | ",
    "bc bd | m | m | m | m",
    "c2 | vb | vb | vb | vb",
    "c4 c5 | mb | vb | | ",
    "c6 | vb | vb | | ",
    "d6 | | v | m | m",
    "e6 | | v | v | v",
    "f0 | | | | v",
)

THREE_BYTE_38: Final[Rows] = (
    "00-0b 1c-1e | m | v | | ",
    "0c-0f 16 18-1a 2c-2f 36 45-47 58-5a 78 79 8c 8e 90-93 96-99 9c-9f a6-a9 ac-af b6-bf | | V | | ",
    "10 14 15 20-25 28-2a 30-35 38-3a | | v | E | ",
    "11 12 26 27 | | E | E | ",
    "13 | | V | E | ",
    "17 2b 37 3b-3f 40 41 b4 b5 cf db e0-ef | | v | | ",
    "1b 1f 42-44 4c-4f 54 55 5b 62-66 70 71 73 75-77 7a-7f 83 88-8b 8d 8f a0-a3 c4 | | E | | ",
    "49 | v | v | | v",
    "4b | | v | V | v",
    "50 51 | V | v | V | V",
    "52 | | v | E | E",
    "53 | | v | | E",
    "5c | | | v | v",
    "5e | v | v | v | v",
    "68 | | | | E",
    "6c | v | v | | ",
    "72 | | E | v | E",
    "80-82 | | m | | ",
    "9a 9b aa ab | | V | | E",
    "b0 | V | V | V | V",
    "b1 | | V | V | ",
    "c6 c7 c9 f3 f9 | m",
    "c8 ca | m | E | | ",
    "cb-cd | m | E | | V",
    "d2 d3 | V | V | V | ",
    "d8 fa fb | | | m | ",
    "da | v | v | V | V",
    "dc-df | | v | m | ",
    "f0 f1 | m | m | | m",
    "f2 | V",
    "f5 | V | m | V | V",
    "f6 | m | m | m | V",
    "f7 | V | V | V | V",
    "f8 | | m | m | m",
    "fc | m | m | m | m",
)

THREE_BYTE_3A: Final[Rows] = (
    "00-02 04-06 18 19 1d 30-33 38 39 46 4a 4b | | Vb | | ",
    "03 1a 1b 1e 1f 23 25 3a 3b 3e 3f 43 50 51 54 55 70-73 | | Eb | | ",
    "08 0a | vb | vb | | ",
    "09 0b-0e 14-17 20-22 40-42 44 4c 60-63 ce cf de df | | vb | | ",
    "0f | mb | vb | | ",
    "26 27 56 57 66 67 | Eb | Eb | | ",
    "c2 | Eb | | Eb | ",
    "cc | mb",
    "f0 | | | mb | Vb",
)

EVEX_MAP_4: Final[Rows] = (
    "00 02 08 0a 10 12 18 1a 20 22 28 2a 30 32 38 3a 84 d0 d2 f6 f9 fe | E",
    "01 03 09 0b 11 13 19 1b 21 23 29 2b 31 33 39 3b 60 61 85 88 a5 ad af f4 f5 | S | S | | ",
    "24 2c 6b | Sb | Sb | | ",
    "40-4f | S | S | | E",
    "65 | | E | | ",
    "66 | E | E | E | ",
    "69 | Sz | Sz | | ",
    "80 c0 | Eb",
    "81 | Sz",
    "83 c1 | Sb",
    "8f | E",
    "d1 d3 f7 ff | S",
    "f0 | S | | E | ",
    "f1 | S | S | E | ",
    "f2 | | | E | ",
    "f8 | | E | E | E",
)

EVEX_MAP_5: Final[Rows] = (
    "10 11 2a 2c 2d | | | E | ",
    "1d 7c | E | E | | ",
    "2e 2f | E",
    "51 58 59 5c-5f | E | | E | ",
    "5a 7d | E | E | E | E",
    "5b 78 79 | E | E | E | ",
    "6e 7e | | E | | ",
    "7a | | E | | E",
    "7b | | E | E | ",
)

EVEX_MAP_6: Final[Rows] = (
    "13 | E | E | | ",
    "2c 2d 42 43 4c-4f 96-9f a6-af b6-bf | | E | | ",
    "56 57 d6 d7 | | | E | E",
)

VEX_MAP_7: Final[Rows] = ("f8 | | | vd | vd",)

# XOP: pp does not select a column.
XOP_MAP_8: Final[Rows] = ("85-87 8e 8f 95-97 9e 9f a2 a3 a6 b6 c0-c3 cc-cf ec-ef | vb",)
XOP_MAP_9: Final[Rows] = ("01 02 12 80-83 90-9b c1-c3 c6 c7 cb d1-d3 d6 d7 db e1-e3 | v",)
XOP_MAP_A: Final[Rows] = ("10 | vd", "12 | v")

# Groups: the opcode's own attributes hold for every /digit; a row adds to them.  A group without rows adds nothing.
# Key: (map, opcode).  In a VEX map a group is looked up without regard to pp; pp then selects the row's column.
GROUPS: Final[dict[tuple[int, int], Rows]] = {
    (0, 0xF6): ("0 1 | b",),
    (0, 0xF7): ("0 1 | z",),
    (4, 0xF6): ("0 1 | b",),
    (4, 0xF7): ("0 1 | z",),
    (1, 0x71): ("2 4 6 | mb | vb | | ",),
    (1, 0x72): ("0 1 | | Eb | | ", "2 4 6 | mb | vb | | "),
    (1, 0x73): ("2 6 | mb | vb | | ", "3 7 | | vb | | "),
    (1, 0xAE): ("2 3 | v | | m | ",),
    (2, 0xC6): ("1 2 5 6 | | E | | ",),
    (2, 0xC7): ("1 2 5 6 | | E | | ",),
    (2, 0xF3): ("1 2 3 | V",),
    (10, 0x12): ("0 1 | d",),
}

# Opcodes that are groups but whose rows carry nothing that reaches a decision: (map, opcode) ranges.
PLAIN_GROUPS: Final[tuple[tuple[int, str], ...]] = (
    (0, "80-83 8f c0 c1 c6 c7 d0-d3 fe ff"),
    (1, "00 01 0d 18 1c 1e a6 a7 b9 ba c7"),
    (4, "80 81 83 c0 c1 d0-d3 fe ff"),
)
