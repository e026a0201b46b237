"""One encoding put together from its parts, and a plain one for every form.

`assemble` follows the parts and judges nothing: only decoding the result tells whether it is that form.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Final, NamedTuple

from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.layout import shape
from verify.models.x86.isa.rows import Addressing, Cpu, Form, Opcode

_ESCAPES: Final = {"NORMAL": b"", "0F": b"\x0f", "0F38": b"\x0f\x38", "0F3A": b"\x0f\x3a"}
_MAPS: Final = {"0F": 1, "0F38": 2, "0F3A": 3, "MAP5": 5, "MAP6": 6, "MAP8": 8, "MAP9": 9, "MAP10": 10}
_PP: Final = {"NONE": 0, "NP": 0, "66": 1, "F3": 2, "F2": 3}


class AssemblyParts(NamedTuple):
    """Everything that is encoded besides the opcode; register numbers are whole (0..15, vectors 0..31)."""

    prefixes: bytes = b""  # legacy prefixes; those that the opcode needs are among them
    rex: int | None = None  # W R X B to add to what the registers need; None: a REX byte only where one needs it
    vex3: bool = False  # the three-byte VEX prefix where two bytes would do
    w: int = 0
    ll: int = 0
    reg: int = 0
    mod: int = 3
    rm: int = 0  # register, or base of an address; 4 in `mod` 0..2 asks for a SIB byte of its own accord
    index_register: int | None = None  # of a SIB byte; None: no index
    scale: int = 0
    sib: bool = False  # a SIB byte where none is needed
    no_base: bool = False  # disp32 through SIB without a base
    disp: int = 0  # as encoded, before disp8*N; signed
    immediate: int = 0  # all immediate bytes as one little-endian number
    vvvv: int = 0
    z: int = 0
    broadcast: int = 0
    aaa: int = 0


def assemble(form: Form, parts: AssemblyParts) -> bytes:
    """The bytes of a form with these parts."""
    return pattern(form, parts)[0]


def pattern(form: Form, parts: AssemblyParts) -> tuple[bytes, int]:
    """As `assemble`, and the offset of the byte that names the opcode among those of its shape."""
    row = form.opcode
    if row.encoding in {"LEGACY", "3DNOW"}:
        head = _legacy(form, parts)
    elif row.encoding == "EVEX":
        head = _evex(form, parts)
    else:
        head = _vex(form, parts)
    size = sum(shape(row.code).immediates)
    tail = (parts.immediate % (1 << (8 * size))).to_bytes(size, "little")
    is_behind = row.encoding == "3DNOW"
    suffix = bytes((row.op_code,)) if is_behind else b""
    whole = head + _operand(form, parts) + tail + suffix
    return whole, (len(whole) if is_behind else len(head)) - 1


def naming_byte(row: Opcode) -> int:
    """The byte at that offset where no register number is in it."""
    return row.op_code if row.encoding == "3DNOW" else row.main_byte


def _register_in_opcode(row: Opcode) -> bool:
    return any(k.endswith("_opcode") for k in row.op_kinds)


def _extensions(form: Form, parts: AssemblyParts) -> tuple[int, int, int]:
    """R, X, B: what the registers need, and what `rex` adds."""
    extra = parts.rex or 0
    r, x, b = parts.reg >> 3 | extra >> 2, extra >> 1, extra
    if form.addressing is Addressing.RIP:
        pass
    elif parts.mod == 3 or form.addressing is Addressing.NONE:
        x, b = x | parts.rm >> 4, b | parts.rm >> 3
    else:
        x |= (parts.index_register or 0) >> 3
        b |= 0 if parts.no_base else parts.rm >> 3
    return r & 1, x & 1, b & 1


def _legacy(form: Form, parts: AssemblyParts) -> bytes:
    row = form.opcode
    r, x, b = _extensions(form, parts)
    bits = parts.w << 3 | (parts.rex or 0) & 8 | r << 2 | x << 1 | b
    rex = b"" if parts.rex is None and not bits else bytes((0x40 | bits,))
    main = 0x0F if row.encoding == "3DNOW" else row.main_byte
    low = parts.rm & 7 if _register_in_opcode(row) and row.op_code_len == 1 else 0
    return parts.prefixes + rex + _ESCAPES[row.table] + bytes((main + low,))


def _vex(form: Form, parts: AssemblyParts) -> bytes:
    row = form.opcode
    r, x, b = _extensions(form, parts)
    last = (~parts.vvvv & 15) << 3 | (parts.ll & 1) << 2 | _PP[row.mandatory_prefix]
    if row.encoding == "VEX" and row.table == "0F" and not (x or b or parts.w or parts.vex3):
        return parts.prefixes + bytes((0xC5, (r ^ 1) << 7 | last, row.main_byte))
    first = 0xC4 if row.encoding == "VEX" else 0x8F
    maps = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | _MAPS[row.table]
    return parts.prefixes + bytes((first, maps, parts.w << 7 | last, row.main_byte))


def _evex(form: Form, parts: AssemblyParts) -> bytes:
    row = form.opcode
    r, x, b = _extensions(form, parts)
    v = (parts.index_register or 0) >> 4 & 1 if row.is_vsib else parts.vvvv >> 4 & 1
    p0 = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | (parts.reg >> 4 & 1 ^ 1) << 4 | _MAPS[row.table]
    p1 = parts.w << 7 | (~parts.vvvv & 15) << 3 | 4 | _PP[row.mandatory_prefix]
    p2 = parts.z << 7 | parts.ll << 5 | parts.broadcast << 4 | (v ^ 1) << 3 | parts.aaa
    return parts.prefixes + bytes((0x62, p0, p1, p2, row.op_code))


def _operand(form: Form, parts: AssemblyParts) -> bytes:
    """ModRM, SIB and displacement, or an absolute offset."""
    row = form.opcode
    if row.op_code_len == 2:
        low = parts.rm & 7 if _register_in_opcode(row) or row.main_byte in {0xA6, 0xA7} else 0
        return bytes(((row.op_code & 0xFF) + low,))
    if not row.has_modrm:
        if shape(row.code).moffs:
            size = 4 if 0x67 in parts.prefixes else 8
            return (parts.disp % (1 << (8 * size))).to_bytes(size, "little")
        return b""
    reg = row.group_index if row.group_index >= 0 else parts.reg & 7
    if form.addressing is Addressing.RIP:
        return bytes((reg << 3 | 5,)) + _signed(parts.disp, 4)
    if parts.mod == 3 or row.ignores_mod:
        rm = row.rm_group_index if row.rm_group_index >= 0 else parts.rm & 7
        return bytes((parts.mod << 6 | reg << 3 | rm,))
    return _memory(reg, parts)


def _memory(reg: int, parts: AssemblyParts) -> bytes:
    if parts.no_base:
        index = 4 if parts.index_register is None else parts.index_register & 7
        return bytes((reg << 3 | 4, parts.scale << 6 | index << 3 | 5)) + _signed(parts.disp, 4)
    rm, mod = parts.rm & 7, parts.mod
    if mod == 0 and rm == 5:  # rbp and r13 have no form without a displacement
        mod = 1
    disp = _signed(parts.disp, (0, 1, 4)[mod]) if mod else b""
    if rm == 4 or parts.sib or parts.index_register is not None:
        index = 4 if parts.index_register is None else parts.index_register & 7
        return bytes((mod << 6 | reg << 3 | 4, parts.scale << 6 | index << 3 | rm)) + disp
    return bytes((mod << 6 | reg << 3 | rm,)) + disp


def _signed(value: int, size: int) -> bytes:
    return (value % (1 << (8 * size))).to_bytes(size, "little")


def decoded_as(form: Form, data: bytes, cpu: Cpu) -> Decoded | None:
    """What the whole of data decodes to where it is this form, else None."""
    found = decode(data, cpu)
    if isinstance(found, Decoded) and found.form is form and len(found.data) == len(data):
        return found
    return None


def _plain(form: Form) -> Iterator[AssemblyParts]:
    """Candidates for the simplest encoding, likeliest first."""
    row = form.opcode
    needed = {"66": b"\x66", "F3": b"\xf3", "F2": b"\xf2"}.get(row.mandatory_prefix, b"")
    vector = row.encoding not in {"LEGACY", "3DNOW"}
    sizes = (b"",) if vector else ((b"\x66", b"") if row.operand_size == 16 else (b"", b"\x66"))
    addresses = (b"\x67", b"") if row.address_size == 32 else (b"", b"\x67")
    widths = (row.w, 1 - row.w) if vector else ((1, 0) if row.operand_size == 64 and not row.default_64 else (0, 1))
    base = AssemblyParts(
        ll=row.l, mod=3 if form.addressing is Addressing.REG else 0,
        index_register=2 if row.is_vsib or "sibmem" in row.op_kinds else None,
        reg=1, rm=3,
        vvvv=4 if any("vvvv" in k for k in row.op_kinds) else 0,
        aaa=1 if row.requires_mask else 0,
    )  # fmt: skip
    for size, address, w in product(sizes, addresses, widths):
        prefixes = address + size + (b"" if vector else needed)
        for reg, ll in ((1, base.ll), (0, base.ll), (4, base.ll), (1, 0), (1, 1), (1, 2)):
            yield base._replace(prefixes=prefixes, w=w, reg=reg, ll=ll)


@cache
def plain_parts(form: Form, cpu: Cpu) -> AssemblyParts | None:
    """The parts of the simplest encoding on this vendor's processors, None where they have none."""
    return next((p for p in _plain(form) if decoded_as(form, assemble(form, p), cpu) is not None), None)
