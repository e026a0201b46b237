"""The fields of a class of encodings as variables, and the values that one encoding gives to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from verify import terms
from verify.models.x86.isa import field_numbers as numbers
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.fields import Fields
from verify.models.x86.isa.forms import Addressing
from verify.terms import Term, var

FREE: Final = (
    "reg", "rm_reg", "opcode_reg", "based", "base", "indexed", "index", "scale", "vvvv", "ll", "disp", "aaa", "z",
)  # fmt: skip
ADDRESS_WIDTHS: Final = {"based": 1, "base": 4, "indexed": 1, "index": 4, "scale": 2}


class FreeFields(Fields):
    """Fields whose values are variables, but for what the layout or `pinned` fixes.

    Whether an address has a base and an index are variables too, unless the index is a vector.
    """

    def __init__(self, like: Fields, data: bytes, pinned: Mapping[str, object], free_immediates: bool) -> None:
        super().__init__(like.opcode, like.addressing, data, like.layout, like.byte)
        values: dict[str, object] = {}
        if has_free_shape(like):
            values = {n: var(n, w) for n, w in ADDRESS_WIDTHS.items()} | {"has_base": True, "has_index": True}
        for n in _present(like):
            if n not in values:
                values[n] = var(n, cast(Term, getattr(like, n)).sort)
        if "disp" in values and layout_has_modrm(like):
            values["disp"] = terms.sext(var("disp", 32), 64)  # disp8*N and disp32 alike
        if free_immediates:
            values["immediates"] = tuple(var(f"imm{i}", t.sort) for i, t in enumerate(like.immediates))
        self.__dict__.update(values, **pinned)


class PinnedFields(Fields):
    """The fields of one encoding, but for those that are given."""

    def __init__(self, like: Fields, data: bytes, pinned: Mapping[str, object]) -> None:
        super().__init__(like.opcode, like.addressing, data, like.layout, like.byte)
        self.__dict__.update(pinned)


def has_free_shape(parts: Fields) -> bool:
    """Whether one class holds the operand's addresses with and without base and index."""
    return parts.addressing is Addressing.MEM and layout_has_modrm(parts) and not parts.opcode.is_vsib


def layout_has_modrm(parts: Fields) -> bool:
    """Whether the displacement belongs to a ModRM operand: it is sign-extended from 32 bits or fewer."""
    return parts.layout.modrm_offset is not None


def _present(parts: Fields) -> tuple[str, ...]:
    """The fields that the encoding has."""
    layout, free = parts.layout, has_free_shape(parts)
    modrm, evex = layout.modrm_offset is not None, layout.vex == "evex"
    present = {
        "reg": modrm, "rm_reg": modrm, "opcode_reg": modrm or parts.opcode.op_code_len == 1,
        "based": free, "base": free or parts.has_base, "indexed": free, "index": free or parts.has_index,
        "scale": free or layout.sib_offset is not None,
        "vvvv": layout.vex is not None, "ll": layout.vex is not None, "aaa": evex, "z": evex,
        "disp": layout.disp_offset is not None or parts.addressing is Addressing.MEM,
    }  # fmt: skip
    return tuple(n for n in FREE if present[n])


def values_of(d: Decoded) -> dict[str, int]:
    """What an encoding makes of the variables of its class."""
    layout, in_memory = d.layout, d.form.addressing is Addressing.MEM and d.layout.modrm_offset is not None
    values = {}
    if layout.modrm_offset is not None:
        values["reg"], values["rm_reg"] = numbers.reg(d), numbers.rm_reg(d)
    if layout.modrm_offset is not None or d.form.opcode.op_code_len == 1:
        values["opcode_reg"] = numbers.opcode_reg(d)
    if in_memory:
        values |= _address(d, numbers.has_base(d), numbers.has_index(d))
    if layout.vex is not None:
        values["vvvv"], values["ll"] = numbers.vvvv(d), numbers.vector_length(d)
    if layout.vex == "evex":
        values["aaa"], values["z"] = numbers.mask(d), numbers.zeroing(d)
    if layout.disp_offset is not None or d.form.addressing is Addressing.MEM:
        disp = numbers.displacement(d)
        values["disp"] = disp & 0xFFFFFFFF if layout.modrm_offset is not None else disp
    return values | {f"imm{i}": value for i, value in enumerate(numbers.immediates(d))}


def _address(d: Decoded, has_base: bool, has_index: bool) -> dict[str, int]:
    """Base, index and scale of an operand in memory; what is not encoded is 0 where the class has one nevertheless."""
    free, has_sib = not d.form.opcode.is_vsib, d.layout.sib_offset is not None
    values = {"based": int(has_base), "indexed": int(has_index)} if free else {}
    if free or has_base:
        values["base"] = numbers.base(d) if has_base else 0
    if free or has_index:
        values["index"] = numbers.index(d) if has_sib else 0
    if free or has_sib:
        values["scale"] = numbers.scale(d) if has_sib else 0
    return values
