"""Control transfer: expected values were read from a Zen 4 processor under Linux 6.18, or are the SDM's."""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, STACK, executed

from verify.models.x86.isa.forms import Cpu

NON_CANONICAL = 1 << 63


@pytest.mark.parametrize(
    ("text", "given", "memory", "expected"),
    [
        ("e8 00 00 00 00", {}, {}, {"ip": ORIGIN + 5, "rsp": STACK - 8, "pushed": ORIGIN + 5}),
        ("66 e8 11 22", {}, {}, {"ip": 0x2315, "rsp": STACK - 2, "pushed": 0x104}),
        ("66 48 e8 11 22 33 44", {}, {}, {"ip": 0x5_4433_2318, "rsp": STACK - 8, "pushed": ORIGIN + 7}),
        ("66 eb 10", {}, {}, {"ip": 0x113}),
        ("66 48 eb 10", {}, {}, {"ip": ORIGIN + 0x14}),
        ("66 c3", {}, {STACK: 0x1234}, {"ip": 0x1234, "rsp": STACK + 2}),
        ("66 c2 08 00", {}, {STACK: 0x1234}, {"ip": 0x1234, "rsp": STACK + 10}),
        ("66 48 c3", {}, {STACK: 0x5_0000_1234}, {"ip": 0x5_0000_1234, "rsp": STACK + 8}),
        ("66 ff d0", {"rax": 0x5555_1234}, {}, {"ip": 0x1234, "rsp": STACK - 2, "pushed": 0x103}),
        ("66 ff e0", {"rax": 0x5555_1234}, {}, {"ip": 0x1234}),
        ("66 e2 10", {"rcx": 2}, {}, {"ip": 0x113, "rcx": 1}),
        ("66 e2 10", {"rcx": 1}, {}, {"ip": ORIGIN + 3, "rcx": 0}),  # not taken: rip whole
        ("66 67 e3 10", {"rcx": 1 << 32}, {}, {"ip": 0x114, "rcx": 1 << 32}),
        ("67 e2 10", {"rcx": 0x11223344_00000002}, {}, {"ip": ORIGIN + 0x13, "rcx": 1}),
        ("67 e0 10", {"rcx": 0x11223344_00000000}, {}, {"ip": ORIGIN + 0x13, "rcx": 0xFFFFFFFF}),
        ("67 e3 10", {"rcx": 0x11223344_00000000}, {}, {"ip": ORIGIN + 0x13, "rcx": 0x11223344_00000000}),
        ("e3 10", {"rcx": 1 << 32}, {}, {"ip": ORIGIN + 2}),
        ("e1 10", {"rcx": 2, "zf": 1}, {}, {"ip": ORIGIN + 0x12}),
        ("e1 10", {"rcx": 2, "zf": 0}, {}, {"ip": ORIGIN + 2, "rcx": 1}),
        ("e0 10", {"rcx": 2, "zf": 1}, {}, {"ip": ORIGIN + 2, "rcx": 1}),
        ("ff 14 24", {}, {STACK: 0x5_0000_1234}, {"ip": 0x5_0000_1234, "rsp": STACK - 8, "pushed": ORIGIN + 3}),
        ("ff d4", {}, {}, {"ip": STACK, "rsp": STACK - 8, "pushed": ORIGIN + 2}),
        ("c2 10 00", {}, {STACK: 0x1234}, {"ip": 0x1234, "rsp": STACK + 0x18}),
    ],
)
def test_branches_as_on_the_processor(text, given, memory, expected):
    out = executed(text, memory=memory, **given)
    assert out.fault == NO_FAULT
    for name, value in expected.items():
        if name == "pushed":
            (_, address, size, pushed), *_ = [a for a in out.accesses if a[0] == "w"]
            assert (address, pushed) == (out.rsp, value)
            assert size == STACK - out.rsp
        else:
            assert getattr(out, name) == value


@pytest.mark.parametrize(
    ("text", "sense"), [("f2 e1 10", 0), ("f3 e0 10", 1), ("f2 f3 e0 10", 1), ("f3 f2 e1 10", 0), ("f3 48 e0 10", 1)]
)
def test_a_repeat_prefix_decides_the_sense_of_loopcc_on_amd(text, sense):
    behind = ORIGIN + len(bytes.fromhex(text))
    assert executed(text, rcx=5, zf=sense).ip == behind + 0x10
    assert executed(text, rcx=5, zf=1 - sense).ip == behind
    assert executed("f2 e1 10", Cpu.INTEL, rcx=5, zf=1).ip == ORIGIN + 3 + 0x10


def test_intel_ignores_66_before_a_near_branch():
    out = executed("66 e8 11 22 33 44", Cpu.INTEL)
    assert (out.ip, out.rsp) == (ORIGIN + 6 + 0x44332211, STACK - 8)


# SDM vol. 1, table B-1: the flags (as an RFLAGS image) with which each condition holds, and one with which it fails
CONDITIONS = [
    ("70", {"of"}, {"cf"}), ("71", {"cf"}, {"of"}), ("72", {"cf"}, {"zf"}), ("73", {"zf"}, {"cf"}),
    ("74", {"zf"}, {"sf"}), ("75", {"sf"}, {"zf"}), ("76", {"zf"}, {"sf"}), ("76", {"cf"}, {"of"}),
    ("77", {"pf"}, {"cf"}), ("77", {"sf"}, {"zf"}), ("78", {"sf"}, {"of"}), ("79", {"of"}, {"sf"}),
    ("7a", {"pf"}, {"af"}), ("7b", {"af"}, {"pf"}), ("7c", {"sf"}, {"sf", "of"}), ("7c", {"of"}, set()),
    ("7d", {"sf", "of"}, {"of"}), ("7e", {"zf"}, {"sf", "of"}), ("7e", {"sf"}, set()), ("7f", {"sf", "of"}, {"zf"}),
    ("7f", set(), {"zf", "sf", "of"}),
]  # fmt: skip


@pytest.mark.parametrize(("opcode", "holds", "fails"), CONDITIONS)
def test_conditions(opcode, holds, fails):
    for text, length in ((f"{opcode} 10", 2), (f"0f {int(opcode, 16) + 16:x} 10 00 00 00", 6)):
        assert executed(text, **dict.fromkeys(holds, 1)).ip == ORIGIN + length + 0x10
        assert executed(text, **dict.fromkeys(fails, 1)).ip == ORIGIN + length


@pytest.mark.parametrize(
    ("text", "given", "memory"),
    [
        ("ff e0", {"rax": NON_CANONICAL}, {}),
        ("ff d0", {"rax": NON_CANONICAL}, {}),
        ("c3", {}, {STACK: NON_CANONICAL}),
        ("48 cb", {}, {STACK: NON_CANONICAL, STACK + 8: 0x33}),
        ("48 cf", {}, {STACK: NON_CANONICAL, STACK + 8: 0x33, STACK + 0x20: 0x2B}),
    ],
)
def test_a_non_canonical_target_is_refused_at_the_branch(text, given, memory):
    out = executed(text, memory=memory, **given)
    assert (out.fault, out.error, out.fault_ip) == (13, 0, ORIGIN)


def test_which_fault_of_a_call_comes_first():
    faults = {(STACK - 8, 8, 1): 14}
    assert executed("ff d0", rax=NON_CANONICAL, faults=faults).fault == 14
    assert executed("ff d0", Cpu.INTEL, rax=NON_CANONICAL, faults=faults).fault == 13


def test_a_short_branch_keeps_sixteen_bits_of_the_target():
    assert executed("66 eb 10", ip=0x5_0000_FFF8).ip == 0xB
    assert executed("66 e8 11 22", ip=0x5_0001_0100).ip == 0x2315


def test_an_untaken_branch_may_have_a_non_canonical_target():
    end = (1 << 47) - 2
    assert executed("74 10", ip=end, zf=0).fault == NO_FAULT
    assert executed("74 10", ip=end, zf=1).fault == 13


FAR = {DATA: 0x0033_0000_1000}


@pytest.mark.parametrize(
    ("text", "pushed"),
    [
        ("ff 1b", (("w", STACK - 4, 4, 0x33), ("w", STACK - 8, 4, 0x102))),
        ("48 ff 1b", (("w", STACK - 8, 8, 0x33), ("w", STACK - 16, 8, ORIGIN + 3))),  # AMD: m16:32, 8-byte pushes
        ("66 ff 1b", (("w", STACK - 2, 2, 0x33), ("w", STACK - 4, 2, 0x103))),
    ],
)
def test_far_calls_as_on_the_processor(text, pushed):
    memory = {DATA: 0x0033_1000} if text.startswith("66") else FAR
    out = executed(text, memory=memory, rbx=DATA)
    assert (out.ip, out.accesses[2:], out.fault) == (0x1000, pushed, NO_FAULT)
    assert out.rsp == pushed[1][1]


def test_intel_reads_ten_bytes_with_rex_w():
    out = executed("48 ff 2b", Cpu.INTEL, memory={DATA: 0x5_0000_0200, DATA + 8: 0x33}, rbx=DATA)
    assert out.ip == 0x5_0000_0200
    assert [a[:3] for a in out.accesses] == [("r", DATA, 8), ("r", DATA + 8, 2)]


def test_a_far_jump_forces_the_privilege_level_of_the_selector():
    out = executed("ff 2b", memory={DATA: 0x0030_0000_1000}, rbx=DATA)
    assert (out.ip, out.selectors >> 16 & 0xFFFF) == (0x1000, 0x33)


def test_a_bad_code_selector_faults_with_its_error_code():
    out = executed("ff 2b", memory={DATA: 0x013B_0000_1000}, rbx=DATA, answers={"code_selector.refuses": 1})
    assert (out.fault, out.error, out.fault_ip) == (13, 0x138, ORIGIN)


@pytest.mark.parametrize(
    ("text", "memory", "ip", "rsp"),
    [
        ("48 cb", {STACK: 0x5_0000_0200, STACK + 8: 0x33}, 0x5_0000_0200, STACK + 16),
        ("cb", {STACK: 0x33_0000_1000}, 0x1000, STACK + 8),
        ("66 cb", {STACK: 0x0033_1000}, 0x1000, STACK + 4),
        ("ca 10 00", {STACK: 0x33_0000_1000}, 0x1000, STACK + 0x18),
        ("48 ca 10 00", {STACK: 0x5_0000_0200, STACK + 8: 0x33}, 0x5_0000_0200, STACK + 0x20),
    ],
)
def test_far_returns_as_on_the_processor(text, memory, ip, rsp):
    out = executed(text, memory=memory)
    assert (out.ip, out.rsp, out.fault) == (ip, rsp, NO_FAULT)


def test_a_32_bit_code_segment_keeps_32_bits_of_rsp():
    out = executed("cb", memory={STACK: 0x23_0000_1000}, answers={"code_selector.is_32_bit": 1})
    assert (out.ip, out.rsp, out.fault) == (0x1000, (STACK + 8) % (1 << 32), NO_FAULT)


@pytest.mark.parametrize(("text", "read"), [("cb", STACK + 12), ("48 ca 00 08", STACK + 0x818)])
def test_amd_reads_the_outer_stack_pointer_before_it_refuses_a_far_return(text, read):
    """Seen on a Zen 4 at a page edge; ss lies above rsp and is read first."""
    size = 8 if text.startswith("48") else 4
    memory = {STACK + size: 0x30}
    assert executed(text, memory=memory, faults={(read, size, 0): 14}).fault == 14
    assert executed(text, Cpu.INTEL, memory=memory, faults={(read, size, 0): 14}).fault == 13


@pytest.mark.parametrize("selector", [0x30, 0])
def test_a_far_return_to_another_privilege_level_is_refused(selector):
    assert executed("cb", memory={STACK: selector << 32 | 0x1000}).fault == 13


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("48 cf", {0: 0x1200, 8: 0x33, 16: 0x247FD7, 24: 0x9000, 32: 0x2B}),
        ("cf", {0: 0x33_0000_1200, 8: 0x9000_0024_7FD7, 16: 0x2B}),
        ("66 cf", {0: 0x9000_7FD7_0033_1200, 8: 0x2B}),
    ],
)
def test_iret_pops_five_values_and_zero_extends_rsp(text, memory):
    out = executed(text, memory={STACK + a: v for a, v in memory.items()}, selectors=0x33 << 16)
    assert (out.ip, out.rsp, out.fault) == (0x1200, 0x9000, NO_FAULT)
    wide = not text.startswith("66")
    assert (out.cf, out.tf, out.df, out.nt, out.ac, out.id) == (1, 1, 1, 1, wide, wide)
    assert out.selectors >> 32 & 0xFFFF == 0x2B


def test_iret_with_nt_set_is_refused():
    out = executed("48 cf", memory={STACK + 8: 0x33}, nt=1)
    assert (out.fault, out.error) == (13, 0)


def test_a_relative_call_to_the_next_instruction_leaves_the_shadow_stack_alone():
    assert executed("e8 00 00 00 00", cet=1, ssp=0x7000).ssp == 0x7000
    out = executed("e8 01 00 00 00", cet=1, ssp=0x7000)
    assert (out.ssp, out.shadow) == (0x6FF8, (("push", ORIGIN + 5),))


def test_a_return_that_the_shadow_stack_contradicts_is_refused():
    out = executed("c3", memory={STACK: 0x1234}, cet=1, ssp=0x7000, answers={"shadow_entry": 0x9999})
    assert (out.fault, out.error) == (21, 1)
    out = executed("c3", memory={STACK: 0x1234}, cet=1, ssp=0x7000, answers={"shadow_entry": 0x1234})
    assert (out.fault, out.ssp) == (NO_FAULT, 0x7008)


# kernel entries


def test_syscall_leaves_the_next_ip_and_the_flags():
    out = executed("0f 05", rax=39, tf=1, answers={"syscall_result": 4711})
    assert (out.rax, out.rcx, out.r11) == (4711, ORIGIN + 2, 0x302)
    assert (out.tf_seen, out.kernel_completes, out.ip) == ((1,), True, ORIGIN + 2)


def test_only_sigreturn_goes_on_elsewhere():
    assert executed("0f 05", rax=15, answers={"sigreturn_ip": 0x4242}).ip == 0x4242


@pytest.mark.parametrize(
    ("text", "vector", "error", "ip"),
    [
        ("cc", 3, 0, ORIGIN + 1), ("cd 03", 3, 0, ORIGIN + 2), ("cd 04", 4, 0, ORIGIN + 2),
        ("cd 05", 13, 0x2A, ORIGIN), ("cd 01", 13, 0x0A, ORIGIN), ("cd 80", NO_FAULT, 0, ORIGIN),
        ("f1", 1, 0, ORIGIN + 2 - 1),
    ],
)  # fmt: skip
def test_software_interrupts_as_linux_delivers_them(text, vector, error, ip):
    out = executed(text)
    assert out.fault == vector
    if vector != NO_FAULT:
        assert (out.error, out.fault_ip, out.at_ip) == (error, ip, 0)


def test_int_80_is_a_system_call_that_the_kernel_completes():
    out = executed("cd 80", rax=20, rcx=5, answers={"int80_result": 4711})
    assert (out.rax, out.rcx, out.kernel_completes, out.ip) == (4711, 5, True, ORIGIN + 2)
    assert not executed("cd 05").kernel_completes


@pytest.mark.parametrize(
    "text", ["0f 0b", "0f ff c0", "0f b9 c0", "0f 34", "c6 f8 01", "c7 f8 00 00 00 00", "0f 01 d5"]
)
def test_undefined_on_amd_reports_the_instruction(text):
    out = executed(text)
    assert (out.fault, out.at_ip, out.fault_ip) == (6, 1, ORIGIN)


def test_xbegin_aborts_under_single_step():
    out = executed("c7 f8 10 00 00 00", Cpu.INTEL, tf=1, rax=0x1122334455667788)
    assert (out.ip, out.rax & 0x10) == (ORIGIN + 6 + 0x10, 0x10)
    assert executed("c7 f8 10 00 00 00", Cpu.INTEL, tf=0).ip == ORIGIN + 6
    assert executed("66 c7 f8 10 00", Cpu.INTEL, tf=1).ip == ORIGIN + 5 + 0x10


def test_xend_needs_and_xtest_shows_a_transaction():
    assert executed("0f 01 d5", Cpu.INTEL).fault == 13
    assert executed("0f 01 d6", Cpu.INTEL, cf=1).zf == 1
    inside = executed("0f 01 d6", Cpu.INTEL, cf=1, answers={"in_transaction": 1})
    assert (inside.zf, inside.cf) == (0, 0)
