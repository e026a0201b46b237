"""The table of corrections: every mnemonic in it exists, and whole families have what the manual gives them."""

from __future__ import annotations

from collections import Counter

import pytest

from verify.models.x86.isa.corrections import ROWS, corrections
from verify.models.x86.isa.forms import all_opcodes, opcode_named


def test_every_mnemonic_of_the_table_exists_and_has_one_row() -> None:
    known = {o.mnemonic for o in all_opcodes()}
    counts = Counter(m for row in ROWS for m in row.mnemonics.split())
    assert set(counts) <= known
    assert set(counts.values()) == {1}
    assert all(row.source for row in ROWS)


# Which x87 instructions leave the pointers alone: SDM vol. 1, 8.1.8, and FNSTENV after each one on Zen 4.
X87_CONTROL = {"fldcw", "fnstcw", "fnstsw", "fnclex", "fnstenv", "fldenv", "fnsave", "frstor", "fninit", "fneni",
               "fndisi", "fnsetpm", "wait"}  # fmt: skip


def test_every_x87_instruction_that_is_no_control_instruction_shows_where_it_was() -> None:
    x87 = [o for o in all_opcodes() if o.mnemonic.startswith("f") and "FPU" in "".join(o.cpuid)]
    assert len(x87) > 130
    for o in x87:
        found = corrections(o)
        assert ("rip" in found.reads) == (o.mnemonic not in X87_CONTROL), o
        if o.mnemonic not in X87_CONTROL:
            assert {"fip", "fop"} <= found.writes
            assert ("fdp" in found.writes) == ("mem" in o.op_kinds), o


def test_every_opcode_with_embedded_rounding_is_governed_by_mxcsr() -> None:
    rounding = [o for o in all_opcodes() if o.can_round or o.can_suppress_exceptions]
    assert len(rounding) > 250
    stems = {o.mnemonic for o in rounding}
    for o in all_opcodes():
        if o.mnemonic in stems or f"v{o.mnemonic}" in stems:
            assert {"mxcsr"} <= corrections(o).reads & corrections(o).writes, o


@pytest.mark.parametrize(
    "name",
    ["ADDPS_XMM_XMMM128", "ROUNDSS_XMM_XMMM32_IMM8", "HADDPD_XMM_XMMM128", "DPPS_XMM_XMMM128_IMM8",
     "CVTTPS2PI_MM_XMMM64", "VEX_VCVTPH2PS_XMM_XMMM64", "VEX_VFMADDPS_XMM_XMM_XMMM128_XMM", "XOP_VFRCZPS_XMM_XMMM128"],
)  # fmt: skip
def test_floating_point_without_an_evex_twin_is_governed_by_mxcsr(name: str) -> None:
    assert "mxcsr" in corrections(opcode_named(name)).reads


@pytest.mark.parametrize(
    "name", ["MOVAPS_XMM_XMMM128", "PADDD_XMM_XMMM128", "ANDPS_XMM_XMMM128", "D3NOW_PFADD_MM_MMM64", "ADD_RM32_R32",
             "VEX_VBROADCASTSS_XMM_M32", "SHUFPS_XMM_XMMM128_IMM8", "VEX_VPERMILPS_XMM_XMM_XMMM128", "MULX"],
)  # fmt: skip
def test_moves_and_integers_are_not_governed_by_mxcsr(name: str) -> None:
    opcode = opcode_named("VEX_MULX_R32_R32_RM32" if name == "MULX" else name)
    assert "mxcsr" not in corrections(opcode).reads | corrections(opcode).writes


@pytest.mark.parametrize(
    ("name", "reads", "writes"),
    [
        ("CALL_REL32_64", {"rip", "ssp"}, {"rip", "ssp"}),
        ("CALL_RM64", {"rip", "ssp"}, {"rip", "ssp"}),
        ("RETNQ", {"ssp"}, {"rip", "ssp"}),
        ("SYSCALL", {"rip"}, {"rip"}),
        ("FNSTENV_M28BYTE", {"fip", "fdp", "fop"}, {"x87_control"}),
        ("FXSAVE_M512BYTE", {"fip", "fdp", "fop", "mxcsr"}, set()),
        ("XSAVE_MEM", {"fip", "fdp", "fop", "mxcsr", "xcr0", "pkru"}, set()),
        ("FXRSTOR_M512BYTE", set(), {"fip", "fdp", "fop", "mxcsr"}),
        ("XGETBV", {"xcr0"}, set()),
        ("RDTSCP", {"tsc", "tsc_aux"}, set()),
        ("RDPKRU", {"pkru"}, set()),
        ("WRFSBASE_R64", set(), {"fs_base"}),
        ("SWAPGS", {"gs_base"}, {"gs_base"}),
        ("MOV_SREG_R64M16", {"gdtr"}, {"fs_base", "gs_base"}),
        ("POPQ_FS", {"gdtr"}, {"fs_base"}),
        ("RDSSPQ_R64", {"ssp"}, set()),
        ("SGDT_M1664", {"gdtr", "control_registers"}, set()),
        ("EMMS", set(), {"x87_tag"}),
        ("PADDB_MM_MMM64", {"x87_stack"}, {"x87_stack", "x87_tag", "x87_status"}),
        ("LDMXCSR_M32", set(), {"mxcsr"}),
        ("XBEGIN_REL32", {"rip"}, {"rip"}),
        ("INT3", {"rip"}, {"rip"}),
    ],
)
def test_single_entries(name: str, reads: set[str], writes: set[str]) -> None:
    found = corrections(opcode_named(name))
    assert reads <= found.reads
    assert writes <= found.writes


def test_plain_instructions_have_no_corrections() -> None:
    for name in ("ADD_RM32_R32", "LEA_R64_M", "MOV_R64_RM64", "PADDD_XMM_XMMM128", "NOPD", "PUSH_R64", "MOVSB_M8_M8"):
        found = corrections(opcode_named(name))
        assert not found.reads | found.writes
