"""The list of forms: how many there are, that rows say what the manual says, and that they are built on demand."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from verify.models.x86.isa.assemble import plain_parts
from verify.models.x86.isa.forms import Addressing, Cpu, all_forms, all_opcodes, form, form_of, forms_of, opcode_named

NONE, REG, MEM, RIP = Addressing.NONE, Addressing.REG, Addressing.MEM, Addressing.RIP

# Opcodes by encoding: the figures of the decoder survey, exactly.
OPCODES = {"LEGACY": 1603, "VEX": 948, "EVEX": 1733, "XOP": 103, "3DNOW": 24}
# Base forms by encoding and addressing.  EVEX, XOP, 3DNow and the legacy column `none` are the survey's; elsewhere the
# survey classed by the bits of a byte that it took for ModRM, and counted more: NOTE(survey-counts).
FORMS = {
    ("LEGACY", NONE): 478, ("LEGACY", REG): 939, ("LEGACY", MEM): 1049, ("LEGACY", RIP): 1049,
    ("VEX", NONE): 3, ("VEX", REG): 831, ("VEX", MEM): 834, ("VEX", RIP): 815,
    ("EVEX", REG): 1625, ("EVEX", MEM): 1681, ("EVEX", RIP): 1617,
    ("XOP", REG): 103, ("XOP", MEM): 99, ("XOP", RIP): 99,
    ("3DNOW", REG): 24, ("3DNOW", MEM): 24, ("3DNOW", RIP): 24,
}  # fmt: skip
# NOTE(survey-counts): what the survey counts and no byte string reaches as a form of its own.
SURVEY = {("LEGACY", REG): 984, ("LEGACY", MEM): 1053, ("LEGACY", RIP): 1053, ("VEX", NONE): 0, ("VEX", REG): 834,
          ("VEX", MEM): 836, ("VEX", RIP): 817}  # fmt: skip
EXPLAINED = {
    ("LEGACY", REG): 45,  # memory-only opcodes (0F 38 F0 and the like) under a misplaced ModRM
    ("LEGACY", MEM): 4, ("LEGACY", RIP): 4,  # MOV CR and DR, where mod is ignored: registers all the same
    ("VEX", NONE): -3, ("VEX", REG): 3, ("VEX", MEM): 2, ("VEX", RIP): 2,  # VZEROUPPER, VZEROALL have no ModRM
}  # fmt: skip


def test_opcodes_are_as_many_as_the_survey_counted() -> None:
    assert Counter(o.encoding for o in all_opcodes()) == OPCODES
    assert len(all_opcodes()) == 4_411


def test_forms_by_encoding_and_addressing() -> None:
    found = Counter((f.opcode.encoding, f.addressing) for f in all_forms())
    assert found == FORMS
    assert len(all_forms()) == 11_294


def test_the_survey_differs_by_what_is_explained() -> None:
    assert {k: n - FORMS[k] for k, n in SURVEY.items()} == EXPLAINED
    assert len(all_forms()) + sum(EXPLAINED.values()) == 11_351


def test_every_form_has_an_encoding_on_some_processor() -> None:
    missing = {cpu: [f.name for f in all_forms() if plain_parts(f, cpu) is None] for cpu in Cpu}
    assert not set(missing[Cpu.INTEL]) & set(missing[Cpu.AMD])
    assert all(n.startswith(("UD0/", "J", "CALL", "RETN", "LOOP")) for n in missing[Cpu.INTEL])
    assert all(n.startswith(("UD0_", "CALL_M1664", "JMP_M1664", "LSS", "LFS", "LGS")) for n in missing[Cpu.AMD])


def test_names_lead_back_to_their_forms() -> None:
    assert len({f.name for f in all_forms()}) == len(all_forms())
    for f in all_forms()[::7]:
        assert form(f.name) is f
        assert form_of(f.opcode.code, f.addressing) is f


@pytest.mark.parametrize("name", ["ADD_RM32_R32", "ADD_RM32_R32/", "ADD_RM32_R32/none", "NO_SUCH/mem", "add/mem", ""])
def test_an_unknown_name_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError):
        form(name)


def test_importing_builds_no_rows() -> None:
    script = (
        "from verify.models.x86.isa import corrections, decode, encode, fields, forms, memory_style, metadata\n"
        "assert metadata.row.cache_info().currsize == 0, metadata.row.cache_info()\n"
        "forms.opcode_named('NOPD')\n"
        "assert metadata.row.cache_info().currsize == 1\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


STATUS = {"cf", "pf", "af", "zf", "sf", "of"}


def test_add_reads_and_writes_as_the_manual_says() -> None:
    add = opcode_named("ADD_RM32_R32")
    assert add.op_kinds == ("r32_or_mem", "r32_reg")
    assert add.op_access == ("READ_WRITE", "READ")
    assert (set(add.flags.written), add.memory_size, add.can_lock) == (STATUS, 4, True)


def test_a_zero_idiom_is_described_for_distinct_registers() -> None:
    xor = opcode_named("XOR_R64_RM64")
    assert xor.op_access == ("READ_WRITE", "READ")
    assert set(xor.flags.cleared) == {"cf", "of"}
    assert opcode_named("SHL_RM32_IMM8").flags.written  # not what a count of zero leaves


def test_string_instructions_are_described_for_both_values_of_the_prefix() -> None:
    movs = opcode_named("MOVSB_M8_M8")
    assert dict(movs.implicit_registers) == {r: "READ_COND_WRITE" for r in ("rcx", "rsi", "rdi")}
    assert [(m.base, m.size, m.access) for m in movs.implicit_memory] == [
        ("rdi", 1, "COND_WRITE"), ("rsi", 1, "COND_READ"),
    ]  # fmt: skip
    assert movs.flags.read == ("df",)


def test_implicit_operands() -> None:
    assert dict(opcode_named("MUL_RM64").implicit_registers) == {"rax": "READ_WRITE", "rdx": "WRITE"}
    assert dict(opcode_named("BLENDVPS_XMM_XMMM128").implicit_registers) == {"xmm0": "READ"}
    assert opcode_named("CALL_REL32_64").implicit_memory[0].displacement == -8
    assert opcode_named("CLZEROQ").implicit_memory[0].size == 64
    assert ("eax", "COND_WRITE") in opcode_named("XABORT_IMM8").implicit_registers


def test_masking_makes_the_destination_an_input() -> None:
    assert opcode_named("EVEX_VADDPS_ZMM_K1Z_ZMM_ZMMM512B32_ER").op_access[0] == "READ_COND_WRITE"
    assert opcode_named("VEX_VADDPS_YMM_YMM_YMMM256").op_access[0] == "WRITE"


def test_forms_of_an_opcode() -> None:
    assert [f.addressing for f in forms_of(opcode_named("ADD_RM32_R32"))] == [REG, MEM, RIP]
    assert [f.addressing for f in forms_of(opcode_named("LEA_R64_M"))] == [MEM, RIP]
    assert [f.addressing for f in forms_of(opcode_named("VEX_VPGATHERDD_XMM_VM32X_XMM"))] == [MEM]
    assert [f.addressing for f in forms_of(opcode_named("VEX_VZEROUPPER"))] == [NONE]
    assert [f.addressing for f in forms_of(opcode_named("MOV_CR_R64"))] == [REG]
