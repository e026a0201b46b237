"""Rows of the form table from the decoder library's metadata (iced-x86 1.21.0).

Accesses and flags are unions over the values of an instruction's fields: distinct registers, both values of a repeat
prefix, a register and a memory operand, with and without masking.  What the library does not know (RIP, x87 pointers,
MXCSR, segment bases, ...) is in `verify.models.x86.isa.corrections`.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, Final

import iced_x86

from verify.models.x86.isa.rows import VSIB_KINDS, Flags, ImplicitMemory, Opcode
from verify.models.x86.mode import USER_64

iced: Any = iced_x86  # its stubs type plain integers as enumerations

ENCODINGS: Final = ("LEGACY", "VEX", "EVEX", "XOP", "3DNOW", "MVEX")
TABLES: Final = ("NORMAL", "0F", "0F38", "0F3A", "MAP5", "MAP6", "MAP8", "MAP9", "MAP10")
MANDATORY: Final = ("NONE", "NP", "66", "F3", "F2")
FLAGS: Final = (
    (iced.RflagsBits.CF, "cf"), (iced.RflagsBits.PF, "pf"), (iced.RflagsBits.AF, "af"), (iced.RflagsBits.ZF, "zf"),
    (iced.RflagsBits.SF, "sf"), (iced.RflagsBits.IF, "if"), (iced.RflagsBits.DF, "df"), (iced.RflagsBits.OF, "of"),
    (iced.RflagsBits.AC, "ac"), (iced.RflagsBits.UIF, "uif"), (iced.RflagsBits.C0, "c0"), (iced.RflagsBits.C1, "c1"),
    (iced.RflagsBits.C2, "c2"), (iced.RflagsBits.C3, "c3"),
)  # fmt: skip
_UNREACHED: Final = frozenset({iced.Code.MONTMUL_64})  # its bytes F3 0F A6 C0 decode only with 67

# Access as (read, written): 0 never, 1 for some field values or conditionally, 2 always.
_RANKS: Final = {
    iced.OpAccess.NONE: (0, 0), iced.OpAccess.READ: (2, 0), iced.OpAccess.COND_READ: (1, 0),
    iced.OpAccess.WRITE: (0, 2), iced.OpAccess.COND_WRITE: (0, 1), iced.OpAccess.READ_WRITE: (2, 2),
    iced.OpAccess.READ_COND_WRITE: (2, 1), iced.OpAccess.NO_MEM_ACCESS: (0, 0),
}  # fmt: skip
_NAMES: Final = {
    (0, 0): "NONE", (2, 0): "READ", (1, 0): "COND_READ", (0, 2): "WRITE", (0, 1): "COND_WRITE",
    (2, 2): "READ_WRITE", (2, 1): "READ_COND_WRITE", (1, 2): "READ_WRITE", (1, 1): "READ_COND_WRITE",
}  # fmt: skip
_FACTORY: Final = iced.InstructionInfoFactory()
_OPERAND = iced.OpKind
_FIXED: Final = ("al", "cl", "ax", "dx", "eax", "rax", "es", "cs", "ss", "ds", "fs", "gs", "st0")
_MEMORY_OPERANDS: Final = {
    "seg_rsi": _OPERAND.MEMORY_SEG_RSI, "seg_rdi": _OPERAND.MEMORY_SEG_RDI, "es_rdi": _OPERAND.MEMORY_ESRDI,
}  # fmt: skip
_IMMEDIATES: Final = {
    "imm8": _OPERAND.IMMEDIATE8, "imm4_m2z": _OPERAND.IMMEDIATE8, "imm8_const_1": _OPERAND.IMMEDIATE8,
    "imm16": _OPERAND.IMMEDIATE16, "imm32": _OPERAND.IMMEDIATE32, "imm64": _OPERAND.IMMEDIATE64,
    "imm8sex16": _OPERAND.IMMEDIATE8TO16, "imm8sex32": _OPERAND.IMMEDIATE8TO32,
    "imm8sex64": _OPERAND.IMMEDIATE8TO64, "imm32sex64": _OPERAND.IMMEDIATE32TO64,
}  # fmt: skip
# Registers that stand for encoded operands; no opcode has them as implicit operands together with encoded ones.
_ENCODED: Final = {
    "r8": iced.Register.R8L, "r16": iced.Register.R8W, "r32": iced.Register.R8D, "r64": iced.Register.R8,
    "mm": iced.Register.MM2, "xmm": iced.Register.XMM16, "ymm": iced.Register.YMM16, "zmm": iced.Register.ZMM16,
    "xmmp3": iced.Register.XMM20, "zmmp3": iced.Register.ZMM20, "k": iced.Register.K2, "kp1": iced.Register.K2,
    "seg": iced.Register.FS, "cr": iced.Register.CR2, "dr": iced.Register.DR0, "tr": iced.Register.TR3,
    "bnd": iced.Register.BND0, "tmm": iced.Register.TMM1, "sti": iced.Register.ST3,
}  # fmt: skip
_REG_MEM64, _REG_MEM32 = iced.Register.R8, iced.Register.R8D  # an encoded register that is an address
_BASE, _INDEX, _VECTOR_INDEX = iced.Register.R14, iced.Register.R15, iced.Register.ZMM31

# What the library's metadata lacks.
MISSING_REGISTERS: Final = {
    "xabort": (("eax", "COND_WRITE"),),  # SDM vol. 2C, XABORT: the abort status
    "getsec": (("eax", "READ_WRITE"), ("ebx", "READ_WRITE"), ("ecx", "READ_WRITE")),  # SDM vol. 2D, chapter 7
}
MISSING_MEMORY: Final = (  # mnemonic, base, bytes, access
    ("clzero", "rax", 64, "WRITE"),  # APM vol. 3, CLZERO; the cache line around rax
    ("monitor", "rax", 1, "READ"),  # SDM vol. 2B, MONITOR: checked like a load of one byte
    ("monitorx", "rax", 1, "READ"),  # APM vol. 3, MONITORX
)


@cache
def _names(module: ModuleType) -> dict[int, str]:
    return {v: k for k, v in vars(module).items() if isinstance(v, int) and not k.startswith("_")}


def _register(number: int) -> str:
    return "" if number == iced.Register.NONE else _names(iced.Register)[number].lower()


@cache
def codes() -> tuple[int, ...]:
    """Every code of the 64-bit space, ascending: no KNC, no options of the decoder, no fwait pairs; 4,411 of them."""
    return tuple(c for c in sorted(_names(iced.Code)) if _in_space(c))


def _in_space(code: int) -> bool:
    info = iced.OpCodeInfo(code)
    mvex = iced.EncodingKind.MVEX
    return (
        info.is_instruction
        and getattr(info, f"mode{USER_64.bits}")
        and info.encoding != mvex
        and info.decoder_option == iced.DecoderOptions.NONE
        and not info.fwait
        and code not in _UNREACHED
    )


def code_of(name: str) -> int:
    """The code that has this name.  Raises ValueError where none has or it lies outside the space."""
    code = getattr(iced.Code, name, None)
    if not isinstance(code, int) or not _in_space(code):
        raise ValueError(f"no opcode is called {name!r}")
    return code


@cache
def op_kinds(code: int) -> tuple[str, ...]:
    """The operand kinds of a code, lower case."""
    kinds = _names(iced.OpCodeOperandKind)
    return tuple(kinds[k].lower() for k in iced.OpCodeInfo(code).op_kinds())


def _encoded_register(kind: str, position: int) -> int:
    prefix = kind.split("_", maxsplit=1)[0]
    return int(_ENCODED[prefix]) + position


def _set_operand(instruction: Any, position: int, kind: str, memory: bool, immediate: int) -> None:
    if kind in _FIXED:
        instruction.set_op_kind(position, _OPERAND.REGISTER)
        instruction.set_op_register(position, getattr(iced.Register, kind.upper()))
    elif kind in _MEMORY_OPERANDS:
        instruction.set_op_kind(position, _MEMORY_OPERANDS[kind])
    elif kind in _IMMEDIATES:
        second = _OPERAND.IMMEDIATE8_2ND if kind == "imm8" and _has_immediate(instruction, position) else None
        instruction.set_op_kind(position, _IMMEDIATES[kind] if second is None else second)
        if second is None:
            instruction.set_immediate_u64(position, immediate)
    elif kind.startswith(("br", "xbegin")):
        instruction.set_op_kind(position, _OPERAND.NEAR_BRANCH64)
    elif kind.startswith("mem") or kind in {"sibmem", "seg_rbx_al"} or (memory and "_or_mem" in kind):
        _set_memory(instruction, position, kind)
    else:
        instruction.set_op_kind(position, _OPERAND.REGISTER)
        instruction.set_op_register(position, _encoded_register(kind, position))


def _has_immediate(instruction: Any, before: int) -> bool:
    immediates = (_OPERAND.IMMEDIATE8, _OPERAND.IMMEDIATE16)
    return any(instruction.op_kind(i) in immediates for i in range(before))


def _set_memory(instruction: Any, position: int, kind: str) -> None:
    instruction.set_op_kind(position, _OPERAND.MEMORY)
    if kind == "seg_rbx_al":
        instruction.memory_base, instruction.memory_index = iced.Register.RBX, iced.Register.AL
        return
    if kind != "mem_offs":
        instruction.memory_base = _BASE
        instruction.memory_index = _VECTOR_INDEX if kind in VSIB_KINDS else _INDEX
    instruction.memory_displ_size = 8
    instruction.memory_displacement = 0x1000


def _instruction(code: int, memory: bool, immediate: int) -> Any:
    instruction = iced.Instruction()
    instruction.code = code
    instruction.code_size = getattr(iced.CodeSize, f"CODE{USER_64.bits}")
    for position, kind in enumerate(op_kinds(code)):
        _set_operand(instruction, position, kind, memory, immediate)
    return instruction


def _variants(info: Any) -> Iterator[Any]:
    kinds = op_kinds(info.code)
    memories = (False, True) if any("_or_mem" in k for k in kinds) else (True,)
    immediates = (1, 3) if "imm8" in kinds else (1,)
    for memory in memories:
        for immediate in immediates:
            instruction = _instruction(info.code, memory, immediate)
            if not info.require_op_mask_register:
                yield instruction
            if info.can_use_rep_prefix or info.can_use_repne_prefix:
                repeated = instruction.copy()
                repeated.has_rep_prefix = info.can_use_rep_prefix
                repeated.has_repne_prefix = not info.can_use_rep_prefix
                yield repeated
            if info.can_use_op_mask_register:
                for zeroing in (False, True) if info.can_use_zeroing_masking else (False,):
                    masked = instruction.copy()
                    masked.op_mask = iced.Register.K1
                    masked.zeroing_masking = zeroing
                    yield masked


def _joined(accesses: list[int]) -> str:
    ranks = [_RANKS[a] for a in accesses]
    read, written = ((v[0] if len(set(v)) == 1 else 1) for v in zip(*ranks, strict=True))
    name = _NAMES[read, written]
    return "NO_MEM_ACCESS" if name == "NONE" and iced.OpAccess.NO_MEM_ACCESS in accesses else name


class _Uses:
    """Accumulated uses of all variants of one code."""

    __slots__ = ("accesses", "flags", "memory", "registers", "variants")

    def __init__(self, operands: int) -> None:
        self.accesses: list[list[int]] = [[] for _ in range(operands)]
        self.registers: dict[int, list[tuple[int, int]]] = {}  # register -> (variant, access)
        self.memory: dict[tuple[int, int, int, int], list[tuple[int, int, int]]] = {}  # -> (variant, size, access)
        self.flags = [0, 0, 0, 0, 0]
        self.variants = 0

    def add(self, instruction: Any, encoded: frozenset[int]) -> None:
        info = _FACTORY.info(instruction)
        for position, accesses in enumerate(self.accesses):
            accesses.append(info.op_access(position))
        for use in info.used_registers():
            if iced.RegisterExt.full_register(use.register) not in encoded:
                self.registers.setdefault(use.register, []).append((self.variants, use.access))
        for m in info.used_memory():
            if m.base != _BASE and m.displacement != 0x1000:
                place = (m.segment, m.base, m.index, m.displacement_i64)
                size = iced.MemorySizeExt.size(m.memory_size)
                self.memory.setdefault(place, []).append((self.variants, size, m.access))
        i = instruction
        masks = (i.rflags_read, i.rflags_written, i.rflags_cleared, i.rflags_set, i.rflags_undefined)
        self.flags = [a | b for a, b in zip(self.flags, masks, strict=True)]
        self.variants += 1

    def _access(self, seen: list[tuple[int, int]]) -> str:
        by_variant: dict[int, tuple[int, int]] = dict.fromkeys(range(self.variants), (0, 0))
        for variant, access in seen:
            read, written = _RANKS[access]
            old = by_variant[variant]
            by_variant[variant] = (max(old[0], read), max(old[1], written))
        read, written = ((v[0] if len(set(v)) == 1 else 1) for v in zip(*by_variant.values(), strict=True))
        return _NAMES[read, written]

    def implicit_registers(self, mnemonic: str) -> tuple[tuple[str, str], ...]:
        found = tuple((_register(r), self._access(seen)) for r, seen in sorted(self.registers.items()))
        return MISSING_REGISTERS.get(mnemonic, ()) + found

    def implicit_memory(self, mnemonic: str) -> tuple[ImplicitMemory, ...]:
        missing = [row[1:] for row in MISSING_MEMORY if row[0] == mnemonic]
        rows = [ImplicitMemory("ds", base, "", 0, size, access) for base, size, access in missing]
        for (segment, base, index, displacement), seen in self.memory.items():
            size = max(s for _, s, _ in seen)
            access = self._access([(v, a) for v, _, a in seen])
            name = "op0" if base in {_REG_MEM64, _REG_MEM32} else _register(base)
            rows.append(ImplicitMemory(_register(segment), name, _register(index), displacement, size, access))
        return tuple(rows)


def _encoded(code: int) -> frozenset[int]:
    """Full registers that stand for encoded operands of the code's variants, K1 as mask among them."""
    full = iced.RegisterExt.full_register
    found = {_BASE, _INDEX, _VECTOR_INDEX, iced.Register.K1}
    for position, kind in enumerate(op_kinds(code)):
        if kind.split("_", maxsplit=1)[0] in _ENCODED:
            first = _encoded_register(kind, position)
            if kind.startswith(("xmmp3", "zmmp3")):  # a block of four, aligned downwards
                first = _ENCODED[kind.split("_", maxsplit=1)[0]]
                found |= {full(first + i) for i in range(-4, 8)}
            found |= {full(first), full(first + 1) if kind.startswith("kp1") else full(first)}
    return frozenset(found)


def _flag_names(mask: int) -> tuple[str, ...]:
    return tuple(name for bit, name in FLAGS if mask & bit)


@cache
def row(code: int) -> Opcode:
    """The row of a code.  Raises ValueError for a code outside the space."""
    if not _in_space(code):
        raise ValueError(f"opcode number must be one of the 64-bit space, got {code}")
    info = iced.OpCodeInfo(code)
    uses = _Uses(info.op_count)
    encoded = _encoded(code)
    sample = _instruction(code, True, 0)
    for instruction in _variants(info):
        uses.add(instruction, encoded)
    return _row(info, uses, sample)


def _row(info: Any, uses: _Uses, sample: Any) -> Opcode:
    broadcast = info.broadcast_memory_size
    mnemonic = _names(iced.Mnemonic)[info.mnemonic].lower()
    return Opcode(
        info.code, _names(iced.Code)[info.code], mnemonic,
        ENCODINGS[info.encoding], TABLES[info.table], info.op_code, info.op_code_len,
        MANDATORY[info.mandatory_prefix], info.group_index, info.rm_group_index, info.w, info.l, info.is_wig,
        info.is_lig, info.operand_size, info.address_size, op_kinds(info.code),
        tuple(_joined(a) for a in uses.accesses), iced.MemorySizeExt.size(info.memory_size),
        iced.MemorySizeExt.element_size(broadcast) if broadcast else 0, _names(iced.TupleType)[info.tuple_type],
        any(k in VSIB_KINDS for k in op_kinds(info.code)), info.can_broadcast, info.can_use_rounding_control,
        info.can_suppress_all_exceptions, info.can_use_op_mask_register, info.can_use_zeroing_masking,
        info.require_op_mask_register, info.ignores_mod_bits, info.ignores_segment, info.can_use_lock_prefix,
        info.amd_lock_reg_bit, info.default_op_size64, uses.implicit_registers(mnemonic),
        uses.implicit_memory(mnemonic), Flags(*(_flag_names(m) for m in uses.flags)),
        _names(iced.FlowControl)[sample.flow_control], sample.stack_pointer_increment, info.is_stack_instruction,
        sample.is_string_instruction, info.is_save_restore, info.must_be_cpl0, info.may_require_cpl0,
        info.is_privileged, info.is_nop, info.is_reserved_nop, info.is_non_temporal,
        info.is_serializing_intel, info.is_serializing_amd, info.intel_decoder64, info.amd_decoder64,
        tuple(_names(iced.CpuidFeature)[f] for f in sample.cpuid_features()),
    )  # fmt: skip


@cache
def is_legacy(code: int) -> bool:
    """Whether a code has neither a VEX, XOP nor EVEX prefix."""
    return iced.OpCodeInfo(code).encoding in {iced.EncodingKind.LEGACY, iced.EncodingKind.D3NOW}


copyreg.pickle(Opcode, lambda opcode: (row, (opcode.code,)))  # a row costs less to build than to send
