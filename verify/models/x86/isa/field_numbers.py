"""The operand fields of one encoding as integers, straight from its bytes: this runs for every encoding judged.

Each equals the value of the term of that name in `fields.Fields`; a test compares them over every form.
"""

from __future__ import annotations

from typing import Final

from verify.models.x86.isa.decode import Decoded

MASK_64: Final = (1 << 64) - 1


def _payload(d: Decoded, index: int) -> int:
    """Byte `index` (1..3) of the VEX, XOP or EVEX prefix."""
    assert d.layout.vex_offset is not None
    return d.data[d.layout.vex_offset + index]


def _r(d: Decoded) -> int:
    return d.layout.rex >> 2 & 1 if d.layout.vex is None else ~_payload(d, 1) >> 7 & 1


def _x(d: Decoded) -> int:
    if d.layout.vex is None:
        return d.layout.rex >> 1 & 1
    return 0 if d.layout.vex == "vex2" else ~_payload(d, 1) >> 6 & 1


def _b(d: Decoded) -> int:
    if d.layout.vex is None:
        return d.layout.rex & 1
    return 0 if d.layout.vex == "vex2" else ~_payload(d, 1) >> 5 & 1


def _modrm(d: Decoded) -> int:
    assert d.layout.modrm_offset is not None
    return d.data[d.layout.modrm_offset]


def _sib(d: Decoded) -> int:
    assert d.layout.sib_offset is not None
    return d.data[d.layout.sib_offset]


def _upper(d: Decoded, byte: int, bit: int) -> int:
    """16 where a bit of an EVEX prefix, stored inverted, names one of the upper registers."""
    return (~_payload(d, byte) >> bit & 1) << 4 if d.layout.vex == "evex" else 0


def reg(d: Decoded) -> int:
    """ModRM.reg, extended: 4 bits, in EVEX 5."""
    return _upper(d, 1, 4) | _r(d) << 3 | _modrm(d) >> 3 & 7


def rm_reg(d: Decoded) -> int:
    """The register that ModRM.rm names: 4 bits, in EVEX 5."""
    return (_x(d) << 4 if d.layout.vex == "evex" else 0) | _b(d) << 3 | _modrm(d) & 7


def opcode_reg(d: Decoded) -> int:
    """The register in the low bits of the opcode, 4 bits."""
    last = d.layout.modrm_offset if d.form.opcode.op_code_len == 2 else d.layout.opcode_offset
    assert last is not None
    return _b(d) << 3 | d.data[last] & 7


def base(d: Decoded) -> int:
    """The number of the base register, 4 bits; only where there is one."""
    return _b(d) << 3 | (_modrm(d) if d.layout.sib_offset is None else _sib(d)) & 7


def index(d: Decoded) -> int:
    """The number of the index register: 4 bits, of a vector 5."""
    low = _x(d) << 3 | _sib(d) >> 3 & 7
    return _upper(d, 3, 3) | low if d.form.opcode.is_vsib else low


def scale(d: Decoded) -> int:
    """The scale exponent, 2 bits."""
    return _sib(d) >> 6


def vvvv(d: Decoded) -> int:
    """The register in VEX.vvvv, 5 bits."""
    return _upper(d, 3, 3) | ~_payload(d, 1 if d.layout.vex == "vex2" else 2) >> 3 & 15


def vector_length(d: Decoded) -> int:
    """EVEX.L'L or VEX.L, 2 bits."""
    if d.layout.vex == "evex":
        return _payload(d, 3) >> 5 & 3
    return _payload(d, 1 if d.layout.vex == "vex2" else 2) >> 2 & 1


def mask(d: Decoded) -> int:
    """EVEX.aaa, 3 bits."""
    return _payload(d, 3) & 7


def zeroing(d: Decoded) -> int:
    """EVEX.z, 1 bit."""
    return _payload(d, 3) >> 7


def displacement(d: Decoded) -> int:
    """The displacement as it enters the address, 64 bits; see `Fields.disp`."""
    layout = d.layout
    if layout.disp_offset is None:
        return 0
    raw = d.data[layout.disp_offset : layout.disp_offset + layout.disp_size]
    if layout.modrm_offset is None:
        return int.from_bytes(raw, "little")
    return int.from_bytes(raw, "little", signed=True) * layout.disp_scale & MASK_64


def immediates(d: Decoded) -> tuple[int, ...]:
    """The immediates in encoded order, unsigned."""
    return tuple(int.from_bytes(d.data[at : at + size], "little") for at, size in d.layout.immediates)


def has_base(d: Decoded) -> bool:
    """As `Fields.has_base`, of an operand in memory."""
    return d.layout.sib_offset is None or _modrm(d) >= 0x40 or _sib(d) & 7 != 5


def has_index(d: Decoded) -> bool:
    """As `Fields.has_index`."""
    if d.layout.sib_offset is None:
        return False
    return d.form.opcode.is_vsib or index(d) != 4
