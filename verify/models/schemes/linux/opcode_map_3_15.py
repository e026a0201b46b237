"""The opcode map of the Linux kernel's decoder around version 3.15, in the notation of `kernel_opcodes`.

Source: arch/x86/lib/x86-opcode-map.txt of 3.7 (public tree of the decoder's author, 8ad5323b04fd) with the MPX rows of
3.14.  Not transcribed: rows added between the two that change neither ModRM nor immediates of an opcode that a program
could be built with then.  No EVEX, no XOP, no REX2, no opmask rows, and opcodes of 32-bit mode do not stop the decoder.
"""

from __future__ import annotations

from typing import Final

from verify.models.schemes.linux.opcode_map import Rows

ONE_BYTE: Final[Rows] = (
    "00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 62 63 84-8e c4 c5 d0-d3 d8-df f6 f7 fe ff | m",
    "04 0c 14 1c 24 2c 34 3c a8 b0-b7 cd d4 d5 e4-e7 | b",
    "05 0d 15 1d 25 2d 35 3d a9 | z",
    "68 e8 e9 | zF",
    "69 81 c7 | mz",
    "6a 70-7f e0-e3 eb | bF",
    "6b 80 82 83 c0 c1 c6 | mb",
    "8f | mF",
    "9a ea | p",
    "a0-a3 | o",
    "b8-bf | i",
    "c2 | wF",
    "c8 | w2",
    "ca | w",
)

TWO_BYTE: Final[Rows] = (
    "00-03 0d 18 1f 20-23 40-4f 78 79 90-9f | m",
    "0f | mb",
    "10-12 51 58 59 5a 5c-5f | v | v | v | v",
    "13-15 17 28 29 2b 2e 2f 50 54-57 | v | v | | ",
    "16 5b | v | v | v | ",
    "1a 1b | m | m | m | m",
    "2a 2c 2d | m | m | v | v",
    "52 53 | v | | v | ",
    "60-6b 6e 74-76 d1-d5 d7-df e0-e5 e7-ef f1-fe | m | v | | ",
    "6c 6d | | v | | ",
    "6f 7e 7f | m | v | v | ",
    "70 | mb | vb | vb | vb",
    "71-73 | m",
    "77 | x",
    "7c 7d d0 | | v | | v",
    "80-8f | zF",
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
    "0c-0f 16 18-1a 2c-2f 36 45-47 58-5a 78 79 8c 8e 90-93 96-9f a6-af b6-bf | | V | | ",
    "10 14 15 80-82 | | m | | ",
    "13 | | Vb | | ",
    "17 20-25 28-2b 30-35 37-41 db-df | | v | | ",
    "f0 f1 | m | m | | m",
    "f2 | V",
    "f3 | m",
    "f5 | V | | V | V",
    "f6 | | | | V",
    "f7 | V | V | V | V",
)

THREE_BYTE_3A: Final[Rows] = (
    "00-02 04-06 18 19 1d 38 39 46 4a 4b | | Vb | | ",
    "08-0e 14-17 20-22 40-42 44 4c 60-63 df | | vb | | ",
    "0f | mb | vb | | ",
    "f0 | | | | Vb",
)

GROUPS: Final[dict[tuple[int, int], Rows]] = {
    (0, 0xF6): ("0 | b",),
    (0, 0xF7): ("0 | z",),
    (1, 0x71): ("2 4 6 | mb | vb | | ",),
    (1, 0x72): ("2 4 6 | mb | vb | | ",),
    (1, 0x73): ("2 6 | mb | vb | | ", "3 7 | | vb | | "),
    (1, 0xAE): ("2 3 | v | | m | ",),
    (2, 0xF3): ("1 2 3 | V",),
}

PLAIN_GROUPS: Final[tuple[tuple[int, str], ...]] = (
    (0, "80-83 8f c0 c1 c6 c7 d0-d3 fe ff"),
    (1, "00 01 0d 18 a6 a7 b9 ba c7"),
)
