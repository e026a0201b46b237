"""System instructions: expected values were read from a Zen 4 processor and Linux 6.18."""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, executed

from verify.models.x86.isa.forms import Cpu

PATTERN = 0x1122334455667788


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0f 01 03", bytes.fromhex("0000 0000feffffffffff")),
        ("0f 01 0b", bytes.fromhex("0000 0000ffffffffffff")),
        ("0f 01 23", bytes.fromhex("3300")),
        ("0f 00 03", bytes.fromhex("0000")),
        ("0f 00 0b", bytes.fromhex("4000")),
    ],
)
def test_linux_answers_descriptor_tables_with_dummies(text, stored):
    out = executed(text, rbx=DATA)
    assert out.accesses == (("w", DATA, len(stored), int.from_bytes(stored, "little")),)
    assert (out.kernel_completes, out.ip, out.fault) == (True, ORIGIN + 3, NO_FAULT)


@pytest.mark.parametrize(
    ("text", "rax"),
    [
        ("0f 01 e0", 0x1122334480050033),  # the kernel copies 4 bytes and leaves the upper half
        ("66 0f 01 e0", 0x1122334455660033),
        ("48 0f 01 e0", 0x80050033),
        ("0f 00 c0", 0x1122334400000000),
        ("66 0f 00 c8", 0x1122334455660040),
        ("48 0f 00 c0", 0),
    ],
)
def test_linux_answers_in_registers_by_operand_size(text, rax):
    out = executed(text, rax=PATTERN)
    assert (out.rax, out.kernel_completes) == (rax, True)


@pytest.mark.parametrize(
    "text",
    ["f4", "fa", "fb", "e4 00", "ec", "0f 32", "0f 30", "0f 06", "0f 08", "0f 09", "0f 20 c0", "0f 21 c0", "0f 00 d0",
     "0f 01 f0", "0f 01 13", "0f 01 3b", "0f 01 f8", "0f 01 d1", "0f 35", "0f 07"],
)  # fmt: skip
def test_privileged_instructions_are_refused(text):
    out = executed(text)
    assert (out.fault, out.error, out.fault_ip, out.at_ip) == (13, 0, ORIGIN, 0)


@pytest.mark.parametrize("text", ["0f 01 ca", "0f 01 cb"])
def test_clac_and_stac_are_undefined_for_a_program(text):
    """SDM vol. 2, CLAC: #UD if the CPL > 0; a Zen 3 with SMAP says so too."""
    out = executed(text)
    assert (out.fault, out.fault_ip, out.at_ip) == (6, ORIGIN, 1)


@pytest.mark.parametrize(
    ("text", "rcx", "fault"),
    [("0f 01 fb", 3, NO_FAULT), ("0f 01 fb", 4, 13), ("0f 01 fb", 1 << 32, 13), ("0f 01 fb", 1 << 63, 13),
     ("0f 01 fa", 1, 13), ("0f 01 fa", 1 << 32, NO_FAULT)],
)  # fmt: skip
def test_reserved_bits_of_a_wait_are_those_of_rcx_and_of_a_monitor_those_of_ecx(text, rcx, fault):
    assert executed(text, rcx=rcx, rax=DATA).fault == fault


@pytest.mark.parametrize(
    "text", ["0f 01 c8", "0f 01 c9", "0f 37", "0f aa", "8f e9 78 12 c0", "8f ea 78 12 c0 00 00 00 00"]
)
def test_undefined_for_programs(text):
    out = executed(text)
    assert (out.fault, out.at_ip) == (6, 1)


@pytest.mark.parametrize("text", ["0f 18 03", "0f 1f 03", "0f 1a c0", "0f 1c 03", "0f 0d 03", "f3 90", "f3 0f 1e fa",
                                  "0f ae e8", "0f ae f0", "0f ae f8"])  # fmt: skip
def test_hints_and_fences_do_nothing(text):
    out = executed(text, rbx=1 << 63, rax=5)
    assert (out.fault, out.accesses, out.rax) == (NO_FAULT, (), 5)


@pytest.mark.parametrize(
    ("text", "rax", "r8"),
    [("f3 49 90", 2, 1 << 63 | 1), ("f3 41 90", 2, 1), ("66 f3 41 90", 2, 1), ("f3 90", 1 << 63 | 1, 2),
     ("f3 48 90", 1 << 63 | 1, 2)],
)  # fmt: skip
def test_pause_with_rex_b_exchanges(text, rax, r8):
    out = executed(text, rax=1 << 63 | 1, r8=2)
    assert (out.rax & 0xFFFFFFFF, out.r8) == (rax & 0xFFFFFFFF, r8)


def test_amd_refuses_the_register_form_of_prefetchw():
    assert executed("0f 0d c0").fault == 6
    assert executed("0f 0d c0", Cpu.INTEL).fault == NO_FAULT


def test_a_flush_faults_like_a_read_and_accesses_nothing():
    faults = {(DATA, 1, 0): 14}
    for text in ("0f ae 3b", "66 0f ae 3b", "66 0f ae 33"):
        assert executed(text, rbx=DATA, faults=faults).fault == 14
        assert executed(text, rbx=DATA).accesses == ()


def test_segment_bases_are_read_and_written():
    assert executed("f3 48 0f ae c0", fs_base=PATTERN).rax == PATTERN
    assert executed("f3 0f ae c8", gs_base=PATTERN, rax=PATTERN).rax == 0x55667788
    assert executed("f3 0f ae d0", rax=PATTERN).fs_base == 0x55667788
    assert executed("f3 48 0f ae d8", rax=0x7000_0000_0000).gs_base == 0x7000_0000_0000


def test_a_non_canonical_segment_base_is_refused():
    assert executed("f3 48 0f ae d0", rax=PATTERN).fault == 13
    assert executed("f3 48 0f ae d0", rax=1 << 63).fault == 13


@pytest.mark.parametrize(
    ("text", "rax"), [("0f 02 c3", 0xAFFB00), ("48 0f 02 c3", 0xAFFB00), ("66 0f 02 c3", 0x112233445566FB00)]
)
def test_lar_of_a_good_selector(text, rax):
    out = executed(text, rax=PATTERN, rbx=0x33, answers={"lar_zf": 1, "lar_answer": 0xAFFB00})
    assert (out.rax, out.zf) == (rax, 1)


def test_lar_of_a_bad_selector_leaves_the_destination_whole():
    out = executed("0f 02 c3", rax=PATTERN, rbx=0x7FFC, zf=1, answers={"lar_zf": 0})
    assert (out.rax, out.zf) == (PATTERN, 0)


def test_a_selector_in_memory_has_two_bytes():
    assert executed("48 0f 02 03", rbx=DATA).accesses == (("r", DATA, 2, 0),)


@pytest.mark.parametrize(("value", "fault"), [(0x2FFFF, NO_FAULT), (0x3FFFF, 13), (0x1FFFF, 13)])
def test_reserved_bits_of_mxcsr(value, fault):
    out = executed("0f ae 13", rbx=DATA, memory={DATA: value})
    assert out.fault == fault
    assert fault or out.mxcsr == value


def test_intel_has_no_misaligned_mode():
    assert executed("0f ae 13", Cpu.INTEL, rbx=DATA, memory={DATA: 0x2FFFF}).fault == 13
    assert executed("0f ae 13", Cpu.INTEL, rbx=DATA, memory={DATA: 0xFFFF}).mxcsr == 0xFFFF


def test_clzero_clears_the_line():
    out = executed("0f 01 fc", rax=DATA + 0x30)
    assert out.accesses == (("w", DATA, 64, 0),)
    assert executed("67 0f 01 fc", rax=DATA + 0x10).accesses[0][1] == 0x2000


def test_cpuid_and_rdtsc_zero_extend():
    out = executed("0f a2", rax=PATTERN, rbx=PATTERN, rcx=PATTERN, rdx=PATTERN)
    assert all(r >> 32 == 0 for r in (out.rax, out.rbx, out.rcx, out.rdx))
    out = executed("0f 31", rax=PATTERN, rdx=PATTERN, rcx=PATTERN)
    assert (out.rax >> 32, out.rdx >> 32, out.rcx) == (0, 0, PATTERN)


def test_shadow_stack_pointer_reads_are_no_operation_where_it_is_off():
    assert executed("f3 48 0f 1e c8", rax=PATTERN, ssp=7, cet=0).rax == PATTERN
    assert executed("f3 48 0f 1e c8", rax=PATTERN, ssp=7, cet=1).rax == 7
    assert executed("f3 0f 1e c8", rax=PATTERN, cet=0).rax == PATTERN


def test_incssp_needs_shadow_stacks():
    assert executed("f3 48 0f ae e8", rax=2).fault == 6
    assert executed("f3 48 0f ae e8", rax=0x102, cet=1, ssp=0x7000).ssp == 0x7010
