"""The style of each access, one row a family, and that nothing which touches memory is without one."""

from __future__ import annotations

import pytest

from verify.models.x86.isa.forms import Addressing, all_forms, form
from verify.models.x86.isa.memory_style import Style, accesses, styles


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ADD_RM32_R32/mem", [(Style.MODRM, "READ_WRITE", 4)]),
        ("ADD_RM32_R32/rip", [(Style.MODRM, "READ_WRITE", 4)]),
        ("ADD_RM32_R32/reg", []),
        ("LEA_R64_M/mem", []),
        ("NOP_RM32/mem", []),
        ("BT_RM64_R64/mem", [(Style.BIT_OP, "READ", 8)]),
        ("BTS_RM16_R16/rip", [(Style.BIT_OP, "READ_WRITE", 2)]),
        ("BT_RM64_IMM8/mem", [(Style.MODRM, "READ", 8)]),  # the immediate offset stays inside the operand
        ("BT_RM64_R64/reg", []),
        ("MOV_RAX_MOFFS64/none", [(Style.MEM_ABS, "READ", 8)]),
        ("MOV_MOFFS8_AL/none", [(Style.MEM_ABS, "WRITE", 1)]),
        ("MOVSQ_M64_M64/none", [(Style.STRING, "COND_WRITE", 8), (Style.STRING, "COND_READ", 8)]),
        ("STOSD_M32_EAX/none", [(Style.STRING, "COND_WRITE", 4)]),
        ("PUSH_R64/none", [(Style.STACK, "WRITE", 8)]),
        ("PUSH_RM64/mem", [(Style.MODRM, "READ", 8), (Style.STACK, "WRITE", 8)]),
        ("CALL_RM64/rip", [(Style.MODRM, "READ", 8), (Style.STACK, "WRITE", 8)]),
        ("LEAVEQ/none", [(Style.STACK, "READ", 8)]),
        ("VEX_VPGATHERDQ_YMM_VM32X_YMM/mem", [(Style.VSIB, "COND_READ", 8)]),
        ("EVEX_VADDPS_ZMM_K1Z_ZMM_ZMMM512B32_ER/mem", [(Style.MASKED, "COND_READ", 64)]),
        ("VEX_VADDPS_YMM_YMM_YMMM256/mem", [(Style.MODRM, "READ", 32)]),
        ("VEX_VMASKMOVPS_M128_XMM_XMM/mem", [(Style.MASKED, "COND_WRITE", 16)]),
        ("XLAT_M8/none", [(Style.IMPLICIT, "READ", 1)]),
        ("MASKMOVQ_RDI_MM_MM/reg", [(Style.IMPLICIT, "COND_WRITE", 8)]),
        ("XSAVE_MEM/mem", [(Style.IMPLICIT, "READ_WRITE", 0)]),
        ("FXSAVE_M512BYTE/mem", [(Style.MODRM, "WRITE", 512)]),
        ("CLZEROQ/none", [(Style.IMPLICIT, "WRITE", 64)]),
        ("MOVDIR64B_R64_M512/mem", [(Style.MODRM, "READ", 64), (Style.IMPLICIT, "WRITE", 64)]),
    ],
)
def test_accesses(name: str, expected: list[tuple[Style, str, int]]) -> None:
    assert [(a.style, a.access, a.size) for a in accesses(form(name))] == expected


def test_every_memory_form_has_an_access_unless_it_makes_none() -> None:
    for f in all_forms():
        if f.addressing in {Addressing.MEM, Addressing.RIP} and not accesses(f):
            memory = [a for a, k in zip(f.opcode.op_access, f.opcode.op_kinds, strict=True) if "mem" in k]
            assert set(memory) <= {"NO_MEM_ACCESS", "NONE"}, f.name


def test_every_stack_and_string_instruction_has_its_style() -> None:
    for f in all_forms():
        if f.opcode.is_string:
            assert Style.STRING in styles(f), f.name
        if f.opcode.mnemonic in {"push", "pop", "call", "ret", "retf", "pushfq", "popfq", "leave", "enter", "iretq"}:
            assert Style.STACK in styles(f), f.name


def test_sizes_are_known_but_for_what_state_decides() -> None:
    for f in all_forms():
        for a in accesses(f):
            assert a.size > 0 or a.style is Style.IMPLICIT, (f.name, a)
