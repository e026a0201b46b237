"""The rows of the form table: one `Opcode` for each opcode of the space, one `Form` for each way it addresses memory.

Only records; `verify.models.x86.isa.metadata` fills them, `verify.models.x86.isa.forms` looks them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cpu(Enum):
    """The vendor whose decoder is modelled."""

    INTEL = "intel"
    AMD = "amd"

    __hash__ = object.__hash__  # by identity: members are single, and keys of every encoding have them


class Addressing(Enum):
    """Where the ModRM operand of a form lies; NONE: no operand is chosen by ModRM.rm."""

    NONE = "none"
    REG = "reg"
    MEM = "mem"
    RIP = "rip"

    __hash__ = object.__hash__  # as above


@dataclass(frozen=True, slots=True)
class ImplicitMemory:
    """A memory access that no ModRM byte names."""

    segment: str  # "es", "ds", "ss", ...; "ds" stands for the overridable default
    base: str  # register name; "op0": the register operand 0; "" where there is none
    index: str
    displacement: int  # bytes, signed
    size: int  # bytes; 0 where it depends on state (xsave area, enter's frame pointers)
    access: str


@dataclass(frozen=True, slots=True)
class Flags:
    """Status and system flags by name (cf pf af zf sf tf if df of ac uif c0..c3), unions over field values."""

    read: tuple[str, ...]
    written: tuple[str, ...]
    cleared: tuple[str, ...]
    set: tuple[str, ...]
    undefined: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Opcode:
    """What one opcode is, over all values of its fields (distinct registers, non-zero shift counts).

    Accesses: NONE, READ, COND_READ, WRITE, COND_WRITE, READ_WRITE, READ_COND_WRITE, NO_MEM_ACCESS.
    """

    code: int
    name: str
    mnemonic: str
    encoding: str  # LEGACY, VEX, EVEX, XOP, 3DNOW
    table: str  # NORMAL, 0F, 0F38, 0F3A, MAP5, MAP6, MAP8, MAP9, MAP10
    op_code: int
    op_code_len: int  # bytes of op_code; 2: the second one is the whole ModRM byte
    mandatory_prefix: str  # NONE (none is needed), NP (none is allowed), 66, F3, F2
    group_index: int  # ModRM.reg, or -1
    rm_group_index: int  # ModRM.rm, or -1
    w: int
    l: int  # noqa: E741 - the manual's name of the field
    is_wig: bool
    is_lig: bool
    operand_size: int  # 16, 32, 64, or 0 where no operand-size attribute selects the opcode
    address_size: int  # 16, 32, 64, or 0 where no address-size attribute selects the opcode
    op_kinds: tuple[str, ...]
    op_access: tuple[str, ...]
    memory_size: int  # bytes of the ModRM operand; 0 where there is none or state decides
    broadcast_size: int  # bytes of the element that {1toN} repeats, or 0
    tuple_type: str
    is_vsib: bool
    can_broadcast: bool
    can_round: bool
    can_suppress_exceptions: bool
    can_mask: bool
    can_zero: bool
    requires_mask: bool
    ignores_mod: bool
    ignores_segment: bool
    can_lock: bool
    amd_lock_register_bit: bool
    default_64: bool  # operand size is 64 without REX.W
    implicit_registers: tuple[tuple[str, str], ...]  # (name, access), fixed operands such as cl included
    implicit_memory: tuple[ImplicitMemory, ...]
    flags: Flags
    flow_control: str
    stack_pointer_increment: int  # bytes, without what an immediate or a loaded value adds
    is_stack: bool
    is_string: bool
    is_save_restore: bool
    must_be_cpl0: bool
    may_require_cpl0: bool
    is_privileged: bool
    is_nop: bool
    is_reserved_nop: bool
    is_non_temporal: bool
    is_serializing_intel: bool
    is_serializing_amd: bool
    is_intel: bool  # Intel's decoder has it
    is_amd: bool  # AMD's decoder has it
    cpuid: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Opcode({self.name})"

    def __hash__(self) -> int:
        return self.code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opcode) and self.code == other.code

    @property
    def main_byte(self) -> int:
        """The main opcode byte: the first of two where ModRM is part of the opcode."""
        return self.op_code >> 8 if self.op_code_len == 2 else self.op_code

    @property
    def has_modrm(self) -> bool:
        """Whether a ModRM byte follows (or is the second opcode byte)."""
        return self.op_code_len == 2 or self.group_index >= 0 or any(k in MODRM_KINDS for k in self.op_kinds)


MODRM_KINDS = frozenset({
    "mem", "sibmem", "mem_mib", "mem_mpx", "mem_vsib32x", "mem_vsib64x", "mem_vsib32y", "mem_vsib64y",
    "mem_vsib32z", "mem_vsib64z", "r8_or_mem", "r16_or_mem", "r32_or_mem", "r32_or_mem_mpx", "r64_or_mem",
    "r64_or_mem_mpx", "mm_or_mem", "xmm_or_mem", "ymm_or_mem", "zmm_or_mem", "bnd_or_mem_mpx", "k_or_mem",
    "r8_reg", "r16_reg", "r16_reg_mem", "r16_rm", "r32_reg", "r32_reg_mem", "r32_rm", "r64_reg", "r64_reg_mem",
    "r64_rm", "seg_reg", "k_reg", "kp1_reg", "k_rm", "mm_reg", "mm_rm", "xmm_reg", "xmm_rm", "ymm_reg",
    "ymm_rm", "zmm_reg", "zmm_rm", "cr_reg", "dr_reg", "tr_reg", "bnd_reg", "tmm_reg", "tmm_rm",
})  # fmt: skip
VSIB_KINDS = frozenset(k for k in MODRM_KINDS if k.startswith("mem_vsib"))


@dataclass(frozen=True, slots=True)
class Form:
    """An opcode with one addressing class: the unit that gets a verdict."""

    opcode: Opcode
    addressing: Addressing

    @property
    def name(self) -> str:
        """For example ADD_RM32_R32/mem."""
        return f"{self.opcode.name}/{self.addressing.value}"


def addressings(opcode: Opcode) -> tuple[Addressing, ...]:
    """The addressing classes of an opcode, from its operand kinds; no others are reachable by any bytes."""
    kinds = opcode.op_kinds
    if opcode.name.startswith("RESERVEDNOP") and opcode.op_code == 0x0D:
        return (Addressing.REG,)  # the memory forms are PREFETCH, PREFETCHW and their reserved neighbours
    if any("_or_mem" in k for k in kinds):
        return (Addressing.REG, Addressing.MEM, Addressing.RIP)
    if "mem" in kinds:
        return (Addressing.MEM, Addressing.RIP)
    if any(k in VSIB_KINDS or k in {"sibmem", "mem_mib"} for k in kinds):
        return (Addressing.MEM,)
    if any(k in MODRM_KINDS for k in kinds):
        return (Addressing.REG,)
    return (Addressing.NONE,)
