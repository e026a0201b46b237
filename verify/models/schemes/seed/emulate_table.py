"""The table of `emulate`: rows of the legacy integer map, by map and opcode (SDM vol. 2, appendix A).

It shares nothing with the ISA model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.schemes.seed import emulate_control as c
from verify.models.schemes.seed import emulate_data as d
from verify.models.schemes.seed import emulate_operations as o
from verify.models.schemes.seed.emulate_operands import Row
from verify.models.schemes.vocabulary import FIRST
from verify.terms import FALSE, TRUE

ONE_BYTE: Final[Mapping[int, Row]] = {
    **{8 * i + j: row for i, operation in enumerate(o.ALU) for j, row in enumerate(d.alu(operation))},
    **dict.fromkeys(range(0x50, 0x58), c.push), **dict.fromkeys(range(0x58, 0x60), c.pop),
    0x63: d.extended(True, lambda e: 4 if e.size == 8 else e.size),
    **dict.fromkeys((0x68, 0x6A), c.push_immediate), **dict.fromkeys((0x69, 0x6B), d.imul),
    **dict.fromkeys(range(0x70, 0x80), c.branch), **dict.fromkeys((0x80, 0x81, 0x83), d.group_1),
    **dict.fromkeys((0x84, 0x85), d.test), **dict.fromkeys((0x86, 0x87), d.exchange),
    **dict.fromkeys(range(0x88, 0x8C), d.move), 0x8D: d.address_of,
    **dict.fromkeys(range(0x90, 0x98), d.exchange_accumulator), 0x98: d.widened, 0x99: d.sign_filled,
    0x9E: c.store_ah, 0x9F: c.load_ah, **dict.fromkeys(range(0xA0, 0xA4), d.move_absolute),
    **dict.fromkeys((0xA8, 0xA9), d.test_accumulator),
    **dict.fromkeys((*range(0xA4, 0xA8), *range(0xAA, 0xB0)), c.string),
    **dict.fromkeys(range(0xB0, 0xC0), d.move_in_opcode), **dict.fromkeys((0xC2, 0xC3), c.ret),
    **dict.fromkeys((0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3), d.shift), **dict.fromkeys((0xC6, 0xC7), d.move_immediate),
    0xC9: c.leave, 0xD7: c.table_lookup, **dict.fromkeys(range(0xE0, 0xE4), c.loop), 0xE8: c.call,
    **dict.fromkeys((0xE9, 0xEB), c.jump), **dict.fromkeys((0xF6, 0xF7), d.group_3),
    **dict.fromkeys((0xFE, 0xFF), c.stepped),
    0xF5: c.flag_set(("cf", terms.not_(FIRST.cf))), 0xF8: c.flag_set(("cf", FALSE)), 0xF9: c.flag_set(("cf", TRUE)),
    0xFC: c.flag_set(("df", FALSE)), 0xFD: c.flag_set(("df", TRUE)),
}  # fmt: skip
TWO_BYTE: Final[Mapping[int, Row]] = {
    0x1F: c.nothing, **dict.fromkeys(range(0x40, 0x50), d.conditional_move),
    **dict.fromkeys(range(0x80, 0x90), c.branch), **dict.fromkeys(range(0x90, 0xA0), d.set_by_condition),
    **dict.fromkeys((0xA3, 0xAB, 0xB3, 0xBB), d.bit_test_register), 0xAF: d.imul, 0xBA: d.bit_test_immediate,
    0xB6: d.extended(False, lambda e: 1), 0xB7: d.extended(False, lambda e: 2),
    0xBE: d.extended(True, lambda e: 1), 0xBF: d.extended(True, lambda e: 2),
    **dict.fromkeys((0xC0, 0xC1), d.exchange_add), **dict.fromkeys(range(0xC8, 0xD0), d.byte_swapped),
}  # fmt: skip
MAPS: Final[Mapping[str, Mapping[int, Row]]] = {"1": ONE_BYTE, "0f": TWO_BYTE}
