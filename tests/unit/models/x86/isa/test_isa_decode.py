"""Prefixes as the processor treats them, lengths, faults and refusals.  Expected values: SDM vol. 2, chapter 2; APM
vol. 3, chapter 1; where a line says so, executed on Zen 4."""

from __future__ import annotations

import pytest

from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, decode, text
from verify.models.x86.isa.rows import Cpu

INTEL, AMD = Cpu.INTEL, Cpu.AMD


def decoded(data: str, cpu: Cpu = INTEL) -> Decoded:
    found = decode(bytes.fromhex(data), cpu)
    assert isinstance(found, Decoded), found
    return found


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("0f58c1", "ADDPS_XMM_XMMM128/reg"),
        ("660f58c1", "ADDPD_XMM_XMMM128/reg"),
        ("f2f30f58c1", "ADDSS_XMM_XMMM32/reg"),  # the last of F2 and F3; executed
        ("f3f20f58c1", "ADDSD_XMM_XMMM64/reg"),
        ("f3660f58c1", "ADDSS_XMM_XMMM32/reg"),  # and either beats 66; executed
        ("66f30f58c1", "ADDSS_XMM_XMMM32/reg"),
        ("4866f20f58c1", "ADDSD_XMM_XMMM64/reg"),  # REX before a legacy prefix is dropped; executed
        ("f3f20fbcc1", "BSF_R32_RM32/reg"),  # executed
        ("f2f30fbcc1", "TZCNT_R32_RM32/reg"),
        ("66f30fb8c1", "POPCNT_R16_RM16/reg"),
        ("90", "NOPD/none"),
        ("f390", "PAUSE/none"),
        ("4190", "XCHG_R32_EAX/none"),
        ("f34190", "XCHG_R32_EAX/none"),  # no PAUSE with REX.B; executed
        ("f3664990", "XCHG_R64_RAX/none"),
        ("f34890", "PAUSE/none"),
        ("484001c8", "ADD_RM32_R32/reg"),  # of two REX bytes the last counts
        ("404801c8", "ADD_RM64_R64/reg"),
        ("48c3", "RETNQ/none"),
        ("c5e858c1", "VEX_VADDPS_XMM_XMM_XMMM128/reg"),
        ("f7350000000000", None),
        ("f73500000000", "DIV_RM32/rip"),
        ("f7342500000000", "DIV_RM32/mem"),
        ("e200", "LOOP_REL8_64_RCX/none"),
        ("67e200", "LOOP_REL8_64_ECX/none"),
    ],
)
def test_which_form(data: str, name: str | None) -> None:
    found = decoded(data)
    if name is None:
        assert found.data == bytes.fromhex(data)[:6]
    else:
        assert found.form.name == name
        assert found.data == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("data", "intel", "amd"),
    [
        ("66e811223344", ("CALL_REL32_64", 6), ("CALL_REL16", 4)),  # executed: 66 E8 is two bytes shorter on AMD
        ("66e911223344", ("JMP_REL32_64", 6), ("JMP_REL16", 4)),
        ("660f8411223344", ("JE_REL32_64", 7), ("JE_REL16", 5)),
        ("667411", ("JE_REL8_64", 3), ("JE_REL8_16", 3)),
        ("66c3", ("RETNQ", 2), ("RETNW", 2)),  # executed
        ("0fffc1", ("UD0_R32_RM32", 3), ("UD0", 2)),
        ("48ff18", ("CALL_M1664", 3), ("CALL_M1632", 3)),
    ],
)  # fmt: skip
def test_where_vendors_differ(data: str, intel: tuple[str, int], amd: tuple[str, int]) -> None:
    for cpu, (name, length) in ((INTEL, intel), (AMD, amd)):
        found = decoded(data, cpu)
        assert (found.form.opcode.name, found.layout.length) == (name, length)


@pytest.mark.parametrize(
    ("data", "segment"),
    [("648b03", "fs"), ("658b03", "gs"), ("64658b03", "gs"), ("65648b03", "fs"), ("2e8b03", None), ("8b03", None),
     ("642e488b03", "fs"), ("64368b03", "fs")],
)  # fmt: skip
def test_the_last_of_fs_and_gs_wins_and_nothing_cancels_it(data: str, segment: str | None) -> None:
    assert decoded(data).layout.segment == segment


@pytest.mark.parametrize("data", ["f001c8", "f08b03", "f090", "f00fa2", "f0c5e858c1", "f0e800000000", "f00f05"])
def test_lock_where_it_is_not_allowed_is_recognised_and_faults(data: str) -> None:
    found = decoded(data)
    assert found.faults_ud == "LOCK is not allowed here"
    assert found.layout.lock
    assert found.data == bytes.fromhex(data)
    assert text(found).startswith("lock ")


@pytest.mark.parametrize("data", ["f00103", "f0480fb10b", "f0ff03", "f08703", "f0480fc70b"])
def test_lock_where_it_is_allowed(data: str) -> None:
    assert decoded(data).faults_ud is None


def test_lock_names_cr8_on_amd_only() -> None:
    assert decoded("f00f20c0", AMD).faults_ud is None
    assert decoded("f00f20c0", INTEL).faults_ud is not None


def test_what_one_vendor_leaves_undefined_faults() -> None:
    assert decoded("0f0dc1", AMD).faults_ud is not None  # executed
    assert decoded("0f0dc1", INTEL).faults_ud is None
    assert decoded("0f34", AMD).faults_ud is not None  # executed
    assert decoded("0f34", INTEL).faults_ud is None
    assert all(decoded("f30fa6c8", cpu).faults_ud for cpu in Cpu)  # VIA PadLock


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "truncated"), ("48", "truncated"), ("0f", "truncated"), ("e8000000", "truncated"), ("c5", "truncated"),
        ("06", "undefined opcode"), ("0f04", "undefined opcode"), ("480f", "truncated"), ("d6", "undefined opcode"),
        ("660f3a", "truncated"), ("6667f2f3", "truncated"), ("8b0425", "truncated"), ("0f0fc1", "truncated"),
        ("66" * 15, "longer than 15 bytes"),
        ("66" * 15 + "90", "longer than 15 bytes"), ("67" * 10 + "c70300000000", "longer than 15 bytes"),
        ("0600", "undefined opcode"), ("66c5e858c1", "undefined opcode"), ("48c5e858c1", "undefined opcode"),
        ("c5e077c1", "undefined opcode"), ("0f0400", "undefined opcode"), ("9a00000000", "undefined opcode"),
        ("8dc0", "undefined opcode"), ("f3f20fb8c1", "undefined opcode"),
    ],
)  # fmt: skip
def test_what_is_no_instruction(data: str, reason: str) -> None:
    assert decode(bytes.fromhex(data), INTEL) == NotAnInstruction(reason)


@pytest.mark.parametrize("data", ["d5080000", "62f47c0800c1", "c4e77bf8c000000000", "f20f38f8c1", "0f388b03"])
def test_what_is_defined_elsewhere_is_not_modelled(data: str) -> None:
    assert isinstance(decode(bytes.fromhex(data), INTEL), NotModelled)


def test_fifteen_bytes_are_enough_and_the_sixteenth_is_never_read() -> None:
    assert decoded("67" * 14 + "90").layout.length == 15
    assert decoded("90" + "ff" * 40).data == b"\x90"


def test_layout_of_a_legacy_instruction() -> None:
    layout = decoded("2e654866674f838488112233447f").layout
    assert (layout.prefixes, layout.rex, layout.rex_offset, layout.ignored_rex) == (b"\x2e\x65\x66\x67", 0x4F, 5, 1)
    assert (layout.opcode_offset, layout.modrm_offset, layout.sib_offset) == (6, 7, 8)
    assert (layout.disp_offset, layout.disp_size, layout.immediates) == (9, 4, ((13, 1),))
    assert (layout.address_size, layout.segment, layout.operand_size_prefix, layout.hints) == (4, "gs", False, b"\x2e")


def test_layout_of_an_evex_instruction_scales_its_displacement() -> None:
    assert decoded("62f17c48584301").layout.disp_scale == 64
    assert decoded("62f17c58584301").layout.disp_scale == 4  # broadcast of a float
    assert decoded("62f17c48588300010000").layout.disp_scale == 1


def test_layout_of_an_absolute_offset_and_of_3dnow() -> None:
    moffs = decoded("48a11122334455667788").layout
    assert (moffs.modrm_offset, moffs.disp_offset, moffs.disp_size) == (None, 2, 8)
    assert decoded("67a111223344").layout.disp_size == 4
    now = decoded("0f0f48119e").layout
    assert (now.opcode_offset, now.modrm_offset, now.disp_offset, now.suffix_offset) == (1, 2, 3, 4)


def test_repeat_prefixes_are_reported_where_they_are_not_mandatory() -> None:
    assert decoded("f3a4").layout.rep == "rep"
    assert decoded("f2f3a4").layout.rep == "rep"
    assert decoded("f3f2a4").layout.rep == "repne"
    assert decoded("f366f2a6").layout.rep == "repne"  # executed: scans on while the bytes differ
    assert decoded("f30f58c1").layout.rep is None
    assert decoded("f3c3").layout.rep == "rep"
