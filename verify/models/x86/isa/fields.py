"""The operand fields of an instruction as terms over its bytes: register numbers, displacement, immediates, mask.

Where each byte lies comes from a concrete layout; the bytes themselves may be symbolic.  Bits that decide the layout
(mod, rm=4, a missing base or index) are taken from the concrete bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.layout import Layout
from verify.models.x86.isa.rows import Addressing, Opcode
from verify.terms import FALSE, Term, bit, concat, const, eq, extract, mul, not_, or_, sext, zext

# Kind -> (register class, source field).  rm: ModRM.rm, reg: ModRM.reg, opcode: low opcode bits.  SDM vol. 2, 3.1.1.1.
# Class gpr8h: the 8-bit registers without REX, where 4..7 are ah, ch, dh, bh.
_SUFFIXES: Final = (("_or_mem_mpx", "rm"), ("_or_mem", "rm"), ("_rm", "rm"), ("_reg_mem", "reg"), ("_reg", "reg"),
                    ("_vvvv", "vvvv"), ("_opcode", "opcode"), ("_is4", "is4"), ("_is5", "is4"))  # fmt: skip
_CLASSES: Final = {
    "r8": "gpr8", "r16": "gpr16", "r32": "gpr32", "r64": "gpr64", "xmm": "xmm", "ymm": "ymm", "zmm": "zmm",
    "xmmp3": "xmm", "zmmp3": "zmm", "mm": "mm", "k": "k", "kp1": "k", "sti": "st", "seg": "seg", "cr": "cr",
    "dr": "dr", "tr": "tr", "tmm": "tmm", "bnd": "bnd",
}  # fmt: skip
_FIXED: Final = {
    "al": ("gpr8", 0), "cl": ("gpr8", 1), "ax": ("gpr16", 0), "dx": ("gpr16", 2), "eax": ("gpr32", 0),
    "rax": ("gpr64", 0), "es": ("seg", 0), "cs": ("seg", 1), "ss": ("seg", 2), "ds": ("seg", 3), "fs": ("seg", 4),
    "gs": ("seg", 5), "st0": ("st", 0),
}  # fmt: skip
NUMBER_WIDTHS: Final = {
    "gpr8": 4, "gpr8h": 4, "gpr16": 4, "gpr32": 4, "gpr64": 4, "xmm": 5, "ymm": 5, "zmm": 5, "mm": 3, "k": 3,
    "st": 3, "seg": 3, "cr": 4, "dr": 4, "tr": 3, "tmm": 3, "bnd": 4,
}  # fmt: skip


class Fields:
    """Fields of one encoding; each is a term of the stated width, computed when first asked for.

    Asking for a field whose byte the layout has not (reg without ModRM, ...) raises ValueError.
    """

    def __init__(self, opcode: Opcode, addressing: Addressing, data: bytes, layout: Layout,
                 byte: Callable[[int], Term]) -> None:  # fmt: skip
        self.opcode: Final = opcode
        self.addressing: Final = addressing
        self.layout: Final = layout
        self.byte: Final = byte
        self._data: Final = data
        self._evex: Final = layout.vex == "evex"

    def _at(self, offset: int | None, what: str) -> Term:
        if offset is None:
            raise ValueError(f"{self._data.hex()} has no {what} byte")
        return self.byte(offset)

    def _prefix(self, index: int) -> Term:
        """Payload byte `index` (1..3) of the VEX, XOP or EVEX prefix."""
        if self.layout.vex_offset is None:
            raise ValueError(f"{self._data.hex()} has no VEX prefix")
        return self.byte(self.layout.vex_offset + index)

    def _extension(self, rex_bit: int, vex_bit: int) -> Term:
        """R, X or B, one bit, not inverted."""
        layout = self.layout
        if layout.vex is None:
            return FALSE if layout.rex_offset is None else _bit(self.byte(layout.rex_offset), rex_bit)
        if layout.vex == "vex2" and vex_bit != 7:
            return FALSE
        return not_(_bit(self._prefix(1), vex_bit))

    @cached_property
    def r(self) -> Term:
        """The extension bit of ModRM.reg (BV1)."""
        return self._extension(2, 7)

    @cached_property
    def x(self) -> Term:
        """The extension bit of SIB.index, in EVEX also of a vector in ModRM.rm (BV1)."""
        return self._extension(1, 6)

    @cached_property
    def b(self) -> Term:
        """The extension bit of ModRM.rm, SIB.base or the register in the opcode (BV1)."""
        return self._extension(0, 5)

    @cached_property
    def reg(self) -> Term:
        """ModRM.reg, extended: BV4; in EVEX BV5 with R' on top."""
        low = concat(self.r, extract(self._at(self.layout.modrm_offset, "ModRM"), 5, 3))
        return concat(not_(_bit(self._prefix(1), 4)), low) if self._evex else low

    @cached_property
    def rm_reg(self) -> Term:
        """The register that ModRM.rm names: BV4; in EVEX BV5 with X on top (for vectors only)."""
        low = concat(self.b, extract(self._at(self.layout.modrm_offset, "ModRM"), 2, 0))
        return concat(self.x, low) if self._evex else low

    @cached_property
    def opcode_reg(self) -> Term:
        """The register in the low bits of the opcode (BV4); of a two-byte opcode, in those of its second byte."""
        layout = self.layout
        last = layout.modrm_offset if self.opcode.op_code_len == 2 else layout.opcode_offset
        return concat(self.b, extract(self._at(last, "opcode"), 2, 0))

    @cached_property
    def is_rip_relative(self) -> bool:
        """Whether the address is relative to the next instruction."""
        return self.addressing is Addressing.RIP

    @cached_property
    def has_base(self) -> bool:
        """Whether a general register is the base of the ModRM operand's address."""
        if self.addressing is not Addressing.MEM or self.layout.modrm_offset is None:
            return False
        sib = self.layout.sib_offset
        mod = self._data[self.layout.modrm_offset] >> 6
        return sib is None or mod != 0 or self._data[sib] & 7 != 5

    @cached_property
    def has_index(self) -> bool:
        """Whether the ModRM operand's address has an index register (a vector where the opcode is VSIB)."""
        sib = self.layout.sib_offset
        if sib is None:
            return False
        if self.opcode.is_vsib:
            return True
        concrete = Fields(self.opcode, self.addressing, self._data, self.layout, lambda i: const(self._data[i], 8))
        return self._data[sib] >> 3 & 7 != 4 or concrete.x.value == 1

    @cached_property
    def based(self) -> Term:
        """`has_base` as a term (BV1)."""
        return bit(self.has_base)

    @cached_property
    def indexed(self) -> Term:
        """`has_index` as a term (BV1)."""
        return bit(self.has_index)

    @cached_property
    def base(self) -> Term:
        """The number of the base register (BV4); only where `has_base`."""
        sib = self.layout.sib_offset
        holder = self._at(self.layout.modrm_offset if sib is None else sib, "base")
        return concat(self.b, extract(holder, 2, 0))

    @cached_property
    def index(self) -> Term:
        """The number of the index register: BV4; BV5 with V' on top where it is a vector."""
        low = concat(self.x, extract(self._at(self.layout.sib_offset, "SIB"), 5, 3))
        if not self.opcode.is_vsib:
            return low
        return concat(not_(_bit(self._prefix(3), 3)), low) if self._evex else zext(low, 5)

    @cached_property
    def scale(self) -> Term:
        """The scale exponent, 0..3 (BV2): the index is shifted left by it."""
        return extract(self._at(self.layout.sib_offset, "SIB"), 7, 6)

    @cached_property
    def vvvv(self) -> Term:
        """The register in VEX.vvvv (BV5), with V' on top in EVEX."""
        low = not_(extract(self._prefix(1 if self.layout.vex == "vex2" else 2), 6, 3))
        return concat(not_(_bit(self._prefix(3), 3)), low) if self._evex else zext(low, 5)

    @cached_property
    def is4(self) -> Term:
        """The register in the high half of the last immediate byte (BV4)."""
        return extract(self.immediates[-1], 7, 4)

    def little_endian(self, offset: int, size: int) -> Term:
        """`size` bytes of the instruction as one term."""
        return concat(*(self.byte(i) for i in reversed(range(offset, offset + size))))

    @cached_property
    def disp(self) -> Term:
        """The displacement as it enters the address (BV64): sign-extended, times disp8*N; 0 where there is none.

        An absolute offset is not sign-extended; with a 4-byte address size its 4 bytes are zero-extended.
        """
        layout = self.layout
        if layout.disp_offset is None:
            return const(0, 64)
        raw = self.little_endian(layout.disp_offset, layout.disp_size)
        if layout.modrm_offset is None:
            return zext(raw, 64)
        return mul(sext(raw, 64), const(layout.disp_scale, 64))

    @cached_property
    def immediates(self) -> tuple[Term, ...]:
        """The immediates in encoded order, each of its encoded width."""
        return tuple(self.little_endian(offset, size) for offset, size in self.layout.immediates)

    @cached_property
    def aaa(self) -> Term:
        """The mask register, 0 for none (BV3); 0 outside EVEX."""
        return extract(self._prefix(3), 2, 0) if self._evex else const(0, 3)

    @cached_property
    def z(self) -> Term:
        """Zeroing instead of merging (BV1); 0 outside EVEX."""
        return _bit(self._prefix(3), 7) if self._evex else FALSE

    @cached_property
    def broadcast(self) -> Term:
        """EVEX.b: broadcast of a memory operand, rounding or exception suppression otherwise (BV1)."""
        return _bit(self._prefix(3), 4) if self._evex else FALSE

    @cached_property
    def ll(self) -> Term:
        """Vector length or rounding mode (BV2): EVEX.L'L, or VEX.L zero-extended; 0 outside both."""
        if self._evex:
            return extract(self._prefix(3), 6, 5)
        if self.layout.vex is None:
            return const(0, 2)
        return zext(_bit(self._prefix(1 if self.layout.vex == "vex2" else 2), 2), 2)

    @cached_property
    def w(self) -> Term:
        """REX.W, VEX.W or EVEX.W (BV1); 0 where there is none."""
        layout = self.layout
        if layout.vex is None:
            return FALSE if layout.rex_offset is None else _bit(self.byte(layout.rex_offset), 3)
        return FALSE if layout.vex == "vex2" else _bit(self._prefix(2), 7)


def fields(decoded: Decoded, byte: Callable[[int], Term] | None = None) -> Fields:
    """The fields of an encoding; `byte(i)` is byte i as BV8, by default the constant that was decoded."""
    data = decoded.data
    form = decoded.form
    return Fields(form.opcode, form.addressing, data, decoded.layout, byte or (lambda i: const(data[i], 8)))


def operand_register(opcode: Opcode, position: int, parts: Fields) -> tuple[str, Term]:
    """The class and number of the register that operand `position` is.

    Number widths are in `NUMBER_WIDTHS`.  A block of registers (xmmp3, zmmp3, kp1) is named by its first.
    Raises ValueError where the operand is no register: an immediate, memory, a branch target.
    """
    kind = opcode.op_kinds[position]
    if kind in _FIXED:
        name, number = _FIXED[kind]
        return name, const(number, NUMBER_WIDTHS[name])
    for suffix, source in _SUFFIXES:
        head = kind.removesuffix(suffix)
        if head != kind and head in _CLASSES:
            if "_or_mem" in kind and parts.addressing is not Addressing.REG:
                break
            return _register(head, source, parts)
    raise ValueError(f"operand {position} of {opcode.name} ({kind}) is no register in this encoding")


def _register(head: str, source: str, parts: Fields) -> tuple[str, Term]:
    name = _CLASSES[head]
    raw = {
        "rm": lambda: parts.rm_reg, "reg": lambda: parts.reg, "vvvv": lambda: parts.vvvv,
        "opcode": lambda: parts.opcode_reg, "is4": lambda: parts.is4,
    }[source]()  # fmt: skip
    width = NUMBER_WIDTHS[name]
    number = extract(raw, width - 1, 0) if raw.width > width else zext(raw, width)
    if name == "gpr8" and parts.layout.vex is None and parts.layout.rex_offset is None:
        name = "gpr8h"
    if head in {"xmmp3", "zmmp3"}:
        number = concat(extract(number, 4, 2), const(0, 2))
    if head == "kp1":
        number = concat(extract(number, 2, 1), const(0, 1))
    if name == "cr" and parts.opcode.amd_lock_register_bit and parts.layout.lock:
        number = or_(number, const(8, 4))
    return name, number


def _bit(term: Term, index: int) -> Term:
    return extract(term, index, index)


def is_high_byte(number: Term) -> Term:
    """Whether register `number` of class gpr8h is one of ah, ch, dh, bh (BV1)."""
    return eq(extract(number, 3, 2), const(1, 2))
