"""Operands of an instruction, by iced's operand kinds: reading and writing them under the architecture's rules.

Widths: general registers have the width of their kind, vector registers 128, 256 or 512, mask registers 64, memory
8 * memory_size bits (the size is the opcode's, or what the caller says).
"""

from __future__ import annotations

from typing import Final

from verify import terms
from verify.models.x86.isa.fields import is_high_byte, operand_register
from verify.models.x86.isa.forms import Addressing
from verify.models.x86.semantics.run import RAX, RCX, RDX, Run
from verify.terms import Term, const

GPR_WIDTH: Final = {"gpr8": 8, "gpr8h": 8, "gpr16": 16, "gpr32": 32, "gpr64": 64}
VECTOR_WIDTH: Final = {"xmm": 128, "ymm": 256, "zmm": 512}
FIXED_GPR: Final = {  # operand kind -> register number, width
    "al": (RAX, 8), "ax": (RAX, 16), "eax": (RAX, 32), "rax": (RAX, 64), "cl": (RCX, 8), "dx": (RDX, 16),
}  # fmt: skip
IMMEDIATE: Final = {  # operand kind -> encoded width, operand width
    "imm8": (8, 8), "imm16": (16, 16), "imm32": (32, 32), "imm64": (64, 64), "imm8sex16": (8, 16),
    "imm8sex32": (8, 32), "imm8sex64": (8, 64), "imm32sex64": (32, 64),
}  # fmt: skip


def kind(run: Run, index: int) -> str:
    """The operand kind of operand `index`, lower case, as iced names it."""
    return run.insn.opcode.op_kinds[index]


def is_memory(run: Run, index: int) -> bool:
    """Whether operand `index` is in memory in this form."""
    name = kind(run, index)
    if name.endswith(("_or_mem", "_or_mem_mpx")):
        return run.insn.addressing in {Addressing.MEM, Addressing.RIP}
    return name.startswith(("mem", "sibmem"))


def immediate_position(run: Run, index: int) -> int:
    """Which of the instruction's immediates operand `index` is."""
    kinds = run.insn.opcode.op_kinds[:index]
    return sum(k in IMMEDIATE or k.startswith(("br", "xbegin", "imm4")) for k in kinds)


def read(run: Run, index: int, size: int | None = None) -> Term:
    """The value of operand `index`; `size` in bytes overrides the memory size."""
    name = kind(run, index)
    if is_memory(run, index):
        address = moffs_address(run) if name == "mem_offs" else run.operand_address()
        return run.load(address, size or run.insn.opcode.memory_size, run.uses_stack_segment())
    if name in FIXED_GPR:
        number, width = FIXED_GPR[name]
        return run.gpr(number, width)
    if name in IMMEDIATE:
        return terms.sext(run.insn.fields.immediates[immediate_position(run, index)], IMMEDIATE[name][1])
    if name == "imm8_const_1":
        return const(1, 8)
    return read_register(run, index)


def far_pointer(run: Run) -> tuple[Term, Term]:
    """Selector (16 bits) and offset (2, 4 or 8 bytes) of a far pointer in memory: two reads, the offset first.

    The order shows at the canonical boundary (measured on Zen 4).
    """
    size, address, stack = run.insn.opcode.memory_size - 2, run.operand_address(), run.uses_stack_segment()
    offset = run.load(address, size, stack)
    return run.load(terms.add(address, const(size, 64)), 2, stack), offset


def read_register(run: Run, index: int) -> Term:
    """The value of register operand `index` (general, vector, mask)."""
    register_class, number = operand_register(run.insn.opcode, index, run.insn.fields)
    if register_class == "gpr8h":
        return terms.ite(is_high_byte(number), run.high_byte(number), run.gpr(number, 8))
    if register_class in GPR_WIDTH:
        return run.gpr(number, GPR_WIDTH[register_class])
    if register_class in VECTOR_WIDTH:
        whole = terms.select(run.get("vectors"), terms.zext(number, 5))
        return terms.extract(whole, VECTOR_WIDTH[register_class] - 1, 0)
    if register_class == "k":
        return terms.select(run.get("masks"), number)
    raise ValueError(f"operand {index} of {run.insn.opcode.name} is a {register_class} register; read it by its family")


def write(run: Run, index: int, value: Term) -> None:
    """Writes operand `index`: a general register by its width, memory by the value's width."""
    name = kind(run, index)
    if is_memory(run, index):
        address = moffs_address(run) if name == "mem_offs" else run.operand_address()
        run.store(address, value, run.uses_stack_segment())
    elif name in FIXED_GPR:
        run.set_gpr(FIXED_GPR[name][0], value)
    else:
        write_register(run, index, value)


def write_register(run: Run, index: int, value: Term) -> None:
    """Writes register operand `index`; vector registers: see `write_vector`."""
    register_class, number = operand_register(run.insn.opcode, index, run.insn.fields)
    if register_class == "gpr8h":
        before = run.get("gprs")
        run.set_gpr(number, value)
        low = run.get("gprs")
        run.set("gprs", before)
        run.set_high_byte(number, value)
        run.set("gprs", terms.ite(is_high_byte(number), run.get("gprs"), low))
    elif register_class in GPR_WIDTH:
        run.set_gpr(number, value)
    elif register_class == "k":
        run.set("masks", terms.store(run.get("masks"), number, terms.zext(value, 64)))
    else:
        write_vector(run, number, value)


def write_vector(run: Run, number: Term, value: Term) -> None:
    """Writes a vector register: VEX, EVEX and XOP clear the bits above, legacy SSE keeps them (SDM vol. 1, 14.1.3)."""
    index = terms.zext(number, 5)
    if run.insn.opcode.encoding == "LEGACY" and value.width < 512:
        old = terms.select(run.get("vectors"), index)
        value = terms.concat(terms.extract(old, 511, value.width), value)
    run.set("vectors", terms.store(run.get("vectors"), index, terms.zext(value, 512)))


def moffs_address(run: Run) -> Term:
    """The linear address of a moffs operand: the absolute offset (SDM vol. 2, MOV), cut to the address size."""
    return run.linear(run.truncated(run.insn.fields.disp), run.insn.segment)
