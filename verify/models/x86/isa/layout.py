"""Where each part of a decoded instruction lies: a byte walk of its own, steered by the opcode's shape.

The decoder library says which opcode it is and how long; this module finds the prefixes, ModRM, SIB, displacement and
immediates.  Tests compare it with the library's constant offsets.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from verify.models.x86.isa import metadata
from verify.models.x86.isa.rows import Addressing, Opcode, addressings
from verify.models.x86.mode import USER_64

LEGACY_PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_NULL_SEGMENTS: Final = b"\x26\x2e\x36\x3e"
_OPCODE_BYTES: Final = {"NORMAL": 0, "0F": 1, "0F38": 2, "0F3A": 2}  # escape bytes before the main opcode byte
_WIDE, _NARROW = (width // 8 for width in USER_64.address_widths)  # bytes, the same in every mode that is modelled
_SEGMENT_PREFIXES: Final = tuple((n, {"fs": 0x64, "gs": 0x65}[n]) for n in USER_64.linear_segments)
_REX_BYTES: Final = bytes(range(0x40, 0x50))
_VEX: Final = {0xC5: ("vex2", 2), 0xC4: ("vex3", 3), 0x8F: ("xop", 3), 0x62: ("evex", 4)}  # kind, bytes of prefix
_IMMEDIATES: Final = {
    "imm8": 1, "imm8sex16": 1, "imm8sex32": 1, "imm8sex64": 1, "imm16": 2, "imm32": 4, "imm32sex64": 4, "imm64": 8,
    "br16_1": 1, "br32_1": 1, "br64_1": 1, "br16_2": 2, "br32_4": 4, "br64_4": 4, "xbegin_2": 2, "xbegin_4": 4,
    "xmm_is4": 1, "ymm_is4": 1, "xmm_is5": 1, "ymm_is5": 1,
}  # fmt: skip


class Layout(NamedTuple):
    """Offsets in bytes from the first byte of the instruction."""

    length: int
    prefixes: bytes  # legacy prefixes in order, REX bytes left out
    rex: int  # the effective REX byte (the one directly before the opcode), or 0
    rex_offset: int | None
    ignored_rex: int  # REX bytes without effect
    vex: str | None  # "vex2", "vex3", "evex", "xop"
    vex_offset: int | None
    opcode_offset: int  # of the main opcode byte; 3DNow: of the second 0F
    modrm_offset: int | None  # also where ModRM is the second opcode byte
    sib_offset: int | None
    disp_offset: int | None
    disp_size: int  # encoded bytes: 0, 1, 4, or 8 (absolute offset)
    disp_scale: int  # EVEX disp8*N; otherwise 1
    immediates: tuple[tuple[int, int], ...]  # (offset, size) in encoded order
    suffix_offset: int | None  # 3DNow's opcode byte
    address_size: int  # bytes: 8 or 4
    operand_size_prefix: bool  # 66 is present and selects a 16-bit operand size
    segment: str | None  # "fs" or "gs"
    lock: bool
    rep: str | None  # "rep" (F3) or "repne" (F2), where it is no mandatory prefix, whether it has an effect or not
    hints: bytes  # 26, 2E, 36, 3E in order: no segment in 64-bit mode, hints before some branches


class Shape(NamedTuple):
    """What the byte walk must know of an opcode."""

    escapes: int
    modrm: bool
    modrm_kind: int  # 0: fixed addressing, 1: mod decides, 2: mod is ignored
    fixed: Addressing
    immediates: tuple[int, ...]
    moffs: bool
    suffix: bool
    scale: int  # disp8*N without broadcast
    broadcast_scale: int
    mandatory_rep: bool
    word: bool


@cache
def shape(code: int) -> Shape:
    """The shape of an opcode, from its row."""
    row = metadata.row(code)
    classes = addressings(row)
    memory = Addressing.MEM in classes
    plain, _, broadcast = row.tuple_type[1:].partition("B")
    return Shape(
        _OPCODE_BYTES.get(row.table, 0) if row.encoding in {"LEGACY", "3DNOW"} else 0,
        row.has_modrm,
        1 if memory else 2,
        Addressing.MEM if memory else classes[0],
        _immediate_sizes(row),
        "mem_offs" in row.op_kinds,
        row.encoding == "3DNOW",
        int(plain) if row.encoding == "EVEX" else 1,
        int(broadcast or plain) if row.encoding == "EVEX" else 1,
        row.mandatory_prefix in {"F2", "F3"} or row.encoding != "LEGACY",
        row.operand_size == 16 and row.encoding == "LEGACY",
    )


def _immediate_sizes(row: Opcode) -> tuple[int, ...]:
    return tuple(_IMMEDIATES[k] for k in row.op_kinds if k in _IMMEDIATES)


def walk(data: bytes, code: int) -> tuple[Layout, Addressing]:
    """The layout and addressing class of a whole instruction; the caller has decoded it as `code`.

    Raises ValueError where its length is not what the shape implies: a fault of this module or of the library.
    """
    form = shape(code)
    pos = first_opcode_byte(data)
    rex = data[pos - 1] if pos and data[pos - 1] & 0xF0 == 0x40 else 0
    prefixes = data[:pos].translate(None, _REX_BYTES)
    vex, vex_offset = None, None
    start = pos
    if form.escapes or metadata.is_legacy(code):
        pos += form.escapes
    else:
        vex, size = _VEX[data[pos]]
        vex_offset = pos
        pos += size
    opcode_offset = pos
    pos += 1
    small_address = 0x67 in prefixes
    addressing, modrm_offset, sib_offset, disp_offset, disp_size, disp_scale = form.fixed, None, None, None, 0, 1
    if form.modrm:
        modrm_offset = pos
        modrm = data[pos]
        pos += 1
        if form.modrm_kind == 1:
            if modrm >= 0xC0:
                addressing = Addressing.REG
            else:
                addressing, sib_offset, disp_size = _memory(data, pos, modrm)
                pos += sib_offset is not None
                disp_offset = pos if disp_size else None
                pos += disp_size
                if disp_size == 1 and vex == "evex":
                    disp_scale = form.broadcast_scale if data[start + 3] & 0x10 else form.scale
    elif form.moffs:
        disp_offset, disp_size = pos, _NARROW if small_address else _WIDE
        pos += disp_size
    immediates = []
    for size in form.immediates:
        immediates.append((pos, size))
        pos += size
    suffix_offset = pos if form.suffix else None
    pos += form.suffix
    if pos != len(data):
        raise ValueError(f"{data.hex()}: the parts take {pos} bytes, the instruction {len(data)}")
    fixed = (
        pos, prefixes, rex, start - 1 if rex else None, start - len(prefixes) - (rex != 0), vex, vex_offset,
        opcode_offset, modrm_offset, sib_offset, disp_offset, disp_size, disp_scale, tuple(immediates), suffix_offset,
        _NARROW if small_address else _WIDE,
    )  # fmt: skip
    return Layout(*fixed, *_prefix_fields(prefixes, form)), addressing


def _prefix_fields(prefixes: bytes, form: Shape) -> tuple[bool, str | None, bool, str | None, bytes]:
    """The last five fields of a layout."""
    if not prefixes:
        return False, None, False, None, b""
    rep = None if form.mandatory_rep else _repeat(prefixes)
    hints = bytes(p for p in prefixes if p in _NULL_SEGMENTS)
    return form.word and 0x66 in prefixes, _segment(prefixes), 0xF0 in prefixes, rep, hints


def first_opcode_byte(data: bytes) -> int:
    """The offset after all legacy prefixes and REX bytes (of the VEX, XOP, EVEX or escape byte, or the opcode)."""
    for pos, value in enumerate(data):
        if value not in LEGACY_PREFIXES and value & 0xF0 != 0x40:
            return pos
    return len(data)


def _memory(data: bytes, pos: int, modrm: int) -> tuple[Addressing, int | None, int]:
    """Addressing, offset of SIB, size of the displacement (SDM vol. 2, tables 2-2 and 2-3, section 2.2.1.6)."""
    mod, rm = modrm >> 6, modrm & 7
    if rm == 4:
        size = (4 if data[pos] & 7 == 5 else 0, 1, 4)[mod]
        return Addressing.MEM, pos, size
    if mod == 0:
        return (Addressing.RIP, None, 4) if rm == 5 else (Addressing.MEM, None, 0)
    return Addressing.MEM, None, 1 if mod == 1 else 4


def _segment(prefixes: bytes) -> str | None:
    """The last of 64 and 65; 26, 2E, 36 and 3E never cancel it."""
    last, found = -1, None
    for name, prefix in _SEGMENT_PREFIXES:
        at = prefixes.rfind(prefix)
        if at > last:
            last, found = at, name
    return found


def _repeat(prefixes: bytes) -> str | None:
    """The last of F2 and F3."""
    rep, repne = prefixes.rfind(0xF3), prefixes.rfind(0xF2)
    return None if rep == repne else ("rep" if rep > repne else "repne")
