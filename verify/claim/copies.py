"""The copy in a slot: its bytes, and whether it is the original with another base register.

All of it runs for every encoding: bytes are taken as integers, and what a slot changes is found once a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from verify.models.schemes.plan import Plan, SlotByte, Step
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, library_reads
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Addressing, Opcode
from verify.models.x86.isa.layout import Layout

MOST_SLOTS: Final = 4096
Changes = tuple[tuple[int, SlotByte], ...]
_CHANGES: dict[int, tuple[object, Changes]] = {}  # by identity of the slot, which is kept so that it stays its own


def _changes(slot: tuple[SlotByte, ...]) -> Changes:
    """The positions that are not the original's byte whatever it is; schemes share slots."""
    found = _CHANGES.get(id(slot))
    if found is None or found[0] is not slot:
        if len(_CHANGES) >= MOST_SLOTS:
            _CHANGES.clear()
        other = tuple((i, b) for i, b in enumerate(slot) if (b.source, b.keep, b.bits) != (i, 0xFF, 0))
        found = _CHANGES[id(slot)] = (slot, other)
    return found[1]


def is_plain_copy(plan: Plan) -> bool:
    """Whether the slot is the original bytes whatever they are; true where there is no slot."""
    return not isinstance(plan, Step) or not _changes(plan.slot)


def bytes_in_slot(plan: Step, data: bytes) -> bytes:
    """The 16 bytes of the slot for these at the probe."""
    copy = bytearray(data[:16])
    for i, b in _changes(plan.slot):
        copy[i] = (data[b.source] & b.keep if b.source is not None else 0) | b.bits
    return bytes(copy)


@cache
def general_operands(opcode: Opcode, addressing: Addressing) -> tuple[int, ...]:
    """Positions of the operands that are general registers named by fields (address registers left out)."""
    found = []
    for i, kind in enumerate(opcode.op_kinds):
        in_memory = "_or_mem" in kind and addressing is not Addressing.REG
        if kind.startswith(("r8_", "r16_", "r32_", "r64_")) and not in_memory:
            found.append(i)
    return tuple(found)


Answer = Decoded | NotAnInstruction | NotModelled


def is_based(old: Decoded, plan: Plan, copy: bytes, taken_apart: Callable[[], Answer]) -> bool:
    """The copy is the original with [rip + d] made [scratch + d], and the scratch register is no operand of it.

    Bytes may differ in ModRM's mod and rm, in REX.B, and in the X and B bits of a VEX, XOP or EVEX prefix: every other
    field of the copy then equals the original's.  `taken_apart` decodes the copy.
    """
    if not (isinstance(plan, Step) and plan.scratch) or plan.scratch.displacement:
        return False
    if old.form.addressing is not Addressing.RIP or not _differs_in_base_only(old, plan, copy):
        return False
    if not (_is_plainly_based(old, copy) or _is_laid_out_based(old, taken_apart())):
        return False
    scratch = plan.scratch.register
    return all(n & 15 != scratch for n in _numbers(old)) and _base(old.layout, copy) == scratch


def _is_plainly_based(old: Decoded, copy: bytes) -> bool:
    """Whether the copy has the original's opcode and length by the library, and ModRM with a base and 4 bytes behind.

    Its layout is the original's then, but for the value of REX.
    """
    layout = old.layout
    at = layout.modrm_offset
    if at is None or copy[at] & 0xC0 != 0x80 or copy[at] & 7 == 4:
        return False
    return library_reads(copy, old.cpu) == (old.form.opcode.code, layout.length)


def _is_laid_out_based(old: Decoded, new: Answer) -> bool:
    """The same of a copy that is taken apart."""
    if not isinstance(new, Decoded) or new.form.opcode is not old.form.opcode:
        return False
    if new.form.addressing is not Addressing.MEM or new.layout.sib_offset is not None:
        return False
    return old.layout._replace(rex=0) == new.layout._replace(rex=0)


def _differs_in_base_only(old: Decoded, plan: Step, copy: bytes) -> bool:
    layout, data = old.layout, old.data
    for i, _ in _changes(plan.slot):
        if i >= layout.length:
            continue
        if i == layout.modrm_offset:
            allowed = 0xC7
        elif i == layout.rex_offset:
            allowed = 0x01
        else:
            is_payload = layout.vex_offset is not None and layout.vex != "vex2" and i == layout.vex_offset + 1
            allowed = 0x60 if is_payload else 0
        if (data[i] ^ copy[i]) & ~allowed:
            return False
    return True


def _numbers(old: Decoded) -> Iterator[int]:
    """The numbers of the general registers that operands of a rip-relative instruction name; bits above 3 may differ.

    From the bytes as integers where ModRM.reg or vvvv names them: this runs for every encoding.
    """
    opcode = old.form.opcode
    for i in general_operands(opcode, Addressing.RIP):
        kind = opcode.op_kinds[i]
        if kind.endswith("_vvvv"):
            yield _vvvv(old)
        elif kind.endswith(("_reg", "_reg_mem")):
            yield _reg(old)
        else:
            number = operand_register(opcode, i, fields(old))[1].value
            assert number is not None
            yield number


def _reg(d: Decoded) -> int:
    """ModRM.reg with its extension, 4 bits."""
    layout = d.layout
    assert layout.modrm_offset is not None
    low = d.data[layout.modrm_offset] >> 3 & 7
    if layout.vex_offset is not None:
        return low | (~d.data[layout.vex_offset + 1] >> 7 & 1) << 3
    return low | (layout.rex >> 2 & 1) << 3


def _vvvv(d: Decoded) -> int:
    """VEX.vvvv, 4 bits."""
    layout = d.layout
    assert layout.vex_offset is not None
    return ~d.data[layout.vex_offset + (1 if layout.vex == "vex2" else 2)] >> 3 & 15


def _base(layout: Layout, data: bytes) -> int:
    """The number of the base register of a ModRM operand without SIB."""
    assert layout.modrm_offset is not None
    low = data[layout.modrm_offset] & 7
    if layout.vex_offset is not None:
        extended = layout.vex != "vex2" and not data[layout.vex_offset + 1] & 0x20
    else:
        extended = layout.rex_offset is not None and data[layout.rex_offset] & 1 == 1
    return low | 8 * extended
