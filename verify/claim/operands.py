"""What a plan's operands are: the instruction's own fields where the scheme sees them in their place, else its bytes.

A scheme that takes other bytes for ModRM or for an extension is given what those bytes say, by the tables of the manual
(SDM vol. 2, 2.1.5 and 2.2.1) and without a scaled displacement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from verify import terms
from verify.models.schemes.vocabulary import Spot
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.machine import State
from verify.models.x86.semantics.run import Instruction, Run
from verify.terms import Term, add, const, select, shl

FIELDS: Final = {"reg": "reg", "rm": "rm_reg", "opcode": "opcode_reg"}


def is_own(d: Decoded, spot: Spot) -> bool:
    """Whether the scheme sees an operand where the instruction has it, with the extension that it has."""
    layout = d.layout
    if layout.vex is None:
        extended = spot.payload_at == -1 and spot.rex_at == (-1 if layout.rex_offset is None else layout.rex_offset)
    else:
        payload = -1 if layout.vex == "vex2" else cast(int, layout.vex_offset) + 1
        extended = spot.rex_at == -1 and spot.payload_at == payload
    at = layout.opcode_offset if spot.part == "opcode" else layout.modrm_offset
    in_two = spot.part == "opcode" and d.form.opcode.op_code_len == 2
    return extended and spot.at == (layout.modrm_offset if in_two else at)


def operand(
    read: object, data: bytes, original: Instruction, spot: Spot, state: State, origin: Term
) -> Term:
    """The operand's value in a state: an offset of 64 bits, or the number of a register, 4 bits.

    `read`: what the bytes of `data` were decoded as, to be `original`; `origin`: where it stands.
    """
    if isinstance(read, Decoded) and is_own(read, spot):
        if spot.part == "offset":
            return Run(original, replace(state, ip=origin)).operand_offset()
        if spot.part == "segment":
            return Run(original, state).uses_stack_segment()
        return terms.extract(getattr(original.fields, FIELDS[spot.part]), 3, 0)
    return _by_bytes(data, spot, state, add(origin, original.length))


def _by_bytes(data: bytes, spot: Spot, state: State, behind: Term) -> Term:
    r, x, b = _extension(data, spot)
    byte = data[spot.at]
    if spot.part in FIELDS:
        low, high = (byte >> 3 & 7, r) if spot.part == "reg" else (byte & 7, b)
        return const(high << 3 | low, 4)
    mod, rm, sib = byte >> 6, byte & 7, data[spot.at + 1]
    at, has_sib = spot.at + 1 + (rm == 4), rm == 4
    base = (sib if has_sib else byte) & 7
    bare = mod == 0 and base == 5
    if spot.part == "segment":
        return terms.bit(not bare and not b and base in {4, 5})
    size = 4 if bare or mod == 2 else mod & 1
    total = const(int.from_bytes(data[at : at + size], "little", signed=True), 64)
    if not bare:
        total = add(total, select(state.gprs, const(b << 3 | base, 4)))
    elif not has_sib:
        total = add(total, behind)
    index = x << 3 | sib >> 3 & 7
    if has_sib and index != 4:
        total = add(total, shl(select(state.gprs, const(index, 4)), const(sib >> 6, 64)))
    return total


def _extension(data: bytes, spot: Spot) -> tuple[int, int, int]:
    """R, X and B, inverted in VEX, XOP and EVEX."""
    if spot.payload_at >= 0:
        found = ~data[spot.payload_at]
        return found >> 7 & 1, found >> 6 & 1, found >> 5 & 1
    found = data[spot.rex_at] if spot.rex_at >= 0 else 0
    return found >> 2 & 1, found >> 1 & 1, found & 1
