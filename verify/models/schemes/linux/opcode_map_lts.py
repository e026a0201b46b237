"""The opcode maps of the long-term kernels 5.15, 6.1, 6.6 and 6.12: their rows that differ from 6.18's.

Source: arch/x86/lib/x86-opcode-map.txt of Linux 5.15.167, 6.1.192, 6.6.63 and 6.12.117; those of 6.1.192 and 6.6.63 are
the same.  Notation of `opcode_map`; a row without a column: the version has none for these opcodes.  Not transcribed:
that opcodes of 32-bit mode have no mark, since the decoders of these versions know none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify.models.schemes.linux import opcode_map
from verify.models.schemes.linux.attributes import Attributes, LookUps, amended, look_ups
from verify.models.schemes.linux.opcode_map import Rows

Changes = Mapping[int, Rows]  # by number of the map

_38_UNTIL_6_6: Final[Rows] = (
    "72 | | E | E | E",
    "b4 b5 | | E | | ",
    "cb-cd | m | E | | ",
    "dc-df | | v | | ",
    "6c b0 b1 d2 d3 d8 da e0-ef fa fb fc",
)

_6_6: Final[Changes] = {
    2: (*_38_UNTIL_6_6, "50 51 | | v | | ", "5c | | | v | "),
    3: ("de",),
}

_5_15: Final[Changes] = {
    **_6_6,
    2: (*_38_UNTIL_6_6, "50 51 | | E | | ", "52 | | E | E | E", "53 | | E | | E", "49 4b 5c 5e"),
    3: ("de c2", "08 0a | | vb | | ", "26 27 56 57 66 67 | | Eb | | ", "f0 | | | | Vb"),
}


def _table(changes: Changes, beyond: Mapping[int, Rows]) -> Attributes:
    """The attributes of the maps 0 to 3 with their changes, and of the maps beyond."""
    return Attributes(lambda: _look_ups(changes, beyond))


def _look_ups(changes: Changes, beyond: Mapping[int, Rows]) -> LookUps:
    rows = (opcode_map.ONE_BYTE, opcode_map.TWO_BYTE, opcode_map.THREE_BYTE_38, opcode_map.THREE_BYTE_3A)
    maps = {number: amended(own, changes.get(number, ())) for number, own in enumerate(rows)}
    return look_ups({**maps, **beyond}, opcode_map.GROUPS, opcode_map.PLAIN_GROUPS, {})


_FP16: Final = {5: opcode_map.EVEX_MAP_5, 6: opcode_map.EVEX_MAP_6}
_APX: Final = {4: opcode_map.EVEX_MAP_4, **_FP16, 7: opcode_map.VEX_MAP_7}

ATTRIBUTES_5_15: Final = _table(_5_15, {})
ATTRIBUTES_6_6: Final = _table(_6_6, _FP16)
ATTRIBUTES_6_12: Final = _table({}, _APX)
