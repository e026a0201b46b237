"""What a plan is for an instruction without its bytes: fields and operands by what they are to the instruction."""

from __future__ import annotations

from functools import cache

from verify.claim.operands import is_own
from verify.models.schemes.program_text import shape
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Opcode


def plan_key(plan: Plan, d: Decoded) -> tuple[object, ...] | None:
    """The plan for an instruction without its bytes; None where a field of it is none of the instruction's own."""
    if isinstance(plan, Refuse):
        return ("refuse", plan.reason)
    found = shape(plan)
    places = tuple(place(d, *spot) for spot in found.fields)
    if None in places:
        return None
    own = fields(d).opcode_reg.value if found.names_registers and names_by_opcode(d.form.opcode) else None
    more = plan.length - d.layout.length if found.uses_length else 0
    if not found.operands:
        return found.text, places, more, own
    if not all(is_own(d, spot) for spot in found.operands):
        return None
    return found.text, places, more, own, d.layout.address_size, d.layout.segment


@cache
def names_by_opcode(opcode: Opcode) -> bool:
    """Whether the opcode's lowest bits name a register."""
    return any(k.endswith("_opcode") for k in opcode.op_kinds)


def place(d: Decoded, offset: int, size: int) -> str | None:
    """Which field of the instruction is what the scheme sees there, in bytes: disp, imm0, imm1, or none."""
    spot = (offset, size)
    if spot in d.layout.immediates:
        return f"imm{d.layout.immediates.index(spot)}"
    plain = spot == (d.layout.disp_offset, d.layout.disp_size) and d.layout.disp_scale == 1
    return "disp" if plain and d.layout.modrm_offset is not None else None
