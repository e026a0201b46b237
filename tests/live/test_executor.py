"""The executor against instructions whose outcome the manuals state."""

import signal
import struct

import pytest

from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA, PAGE, READ_ONLY, SECOND, STACK, ChildRegion
from verify.live.executor.state import GPR_NAMES, RF, TF, X87, CpuOutcome, CpuState, Kind

pytestmark = pytest.mark.live
PATIENCE = 0.5
CF, PF, AF, ZF, SF, DF, OF = 1, 4, 16, 64, 128, 1024, 2048
FLAGS = CF | PF | AF | ZF | SF | OF
MIDDLE = STACK.address + STACK.size // 2
SEGV_MAPERR, SEGV_ACCERR, SI_KERNEL = 1, 2, 128
PRESENT, WRITE, USER, FETCH = 1, 2, 4, 16  # page-fault error code, SDM vol. 3, 4.7


def state(rflags: int = 0x202, memory: tuple[tuple[int, bytes], ...] = (), **registers: int) -> CpuState:
    gprs = tuple(registers.get(name, MIDDLE if name == "rsp" else 0) for name in GPR_NAMES)
    return CpuState(gprs=gprs, rflags=rflags, memory=memory)


def reg(outcome: CpuOutcome, name: str) -> int:
    assert outcome.state is not None, outcome
    return outcome.state.gprs[GPR_NAMES.index(name)]


def flags(outcome: CpuOutcome, mask: int = FLAGS) -> int:
    assert outcome.state is not None, outcome
    return outcome.state.rflags & mask


def read(executor: Executor, outcome: CpuOutcome, address: int) -> bytes:
    """Eight bytes at `address` afterwards."""
    assert outcome.state is not None, outcome
    return executor.memory_of(outcome.state, address, 8)


def run_undisturbed(executor: Executor, code: str, start: CpuState) -> CpuState:
    """The state behind `code`, of a run whose x87 pointers no preemption cleared: NOTE(x87-pointers)."""
    for _ in range(10):
        end = executor.run(bytes.fromhex(code), start).state
        if end is not None and end.x87.fip:
            return end
    raise AssertionError("the x87 instruction pointer is 0 in ten runs")


@pytest.mark.parametrize(
    ("a", "b", "total", "expected"),
    [
        (1, 2, 3, PF),
        (0xFFFF_FFFF_FFFF_FFFF, 1, 0, CF | PF | AF | ZF),
        (0x7FFF_FFFF_FFFF_FFFF, 1, 1 << 63, PF | AF | SF | OF),
        (1 << 63, 1 << 63, 0, CF | PF | ZF | OF),
    ],
)
def test_add_gives_sum_and_six_flags(executor: Executor, a: int, b: int, total: int, expected: int) -> None:
    outcome = executor.run(bytes.fromhex("4801d8"), state(rax=a, rbx=b))
    assert (outcome.kind, outcome.ip, reg(outcome, "rax")) == (Kind.COMPLETED, executor.origin + 3, total)
    assert flags(outcome) == expected
    assert outcome.changed == ()


@pytest.mark.needs("lzcnt")
@pytest.mark.parametrize("code", ["f30fbdc3", "f3660fbdc3", "66f30fbdc3", "f2f3660fbdc3", "f3642e660fbdc3"])
def test_f3_selects_the_opcode_whatever_66_stands_beside_it(executor: Executor, code: str) -> None:
    """LZCNT, not BSR; so says iced, Capstone says BSR where 66 stands nearer (`second_opinion.KNOWN`)."""
    width = 16 if "66" in code else 32
    assert reg(executor.run(bytes.fromhex(code), state(rax=0, rbx=2)), "rax") == width - 2


@pytest.mark.needs("lzcnt")
def test_the_last_of_f2_and_f3_selects_the_opcode(executor: Executor) -> None:
    for code, expected in (("f2f30fbdc3", 30), ("f3f20fbdc3", 1)):  # LZCNT, BSR
        assert reg(executor.run(bytes.fromhex(code), state(rax=0, rbx=2)), "rax") == expected


@pytest.mark.parametrize("carry", [0, CF])
def test_adc_reads_the_carry_that_was_loaded(executor: Executor, carry: int) -> None:
    outcome = executor.run(bytes.fromhex("4811d8"), state(rflags=0x202 | carry, rax=5, rbx=7))
    assert reg(outcome, "rax") == 12 + carry


@pytest.mark.parametrize("registers", [{"rbx": 0}, {"rbx": 1, "rdx": 1}], ids=["by zero", "overflow"])
def test_divide_error_is_sigfpe_at_the_instruction(executor: Executor, registers: dict[str, int]) -> None:
    start = CpuState(tuple({"rax": 9, **registers}.get(name, 0) for name in GPR_NAMES))
    outcome = executor.run(bytes.fromhex("48f7f3"), start)
    assert (outcome.kind, outcome.signal, outcome.si_code) == (Kind.FAULT, signal.SIGFPE, 1)  # FPE_INTDIV
    assert (outcome.si_addr, outcome.ip, outcome.trapno) == (executor.origin, executor.origin, 0)
    assert outcome.state is not None and outcome.state.gprs == start.gprs
    assert flags(outcome, RF) == RF  # a fault is delivered with RF set, SDM vol. 3, 18.3.1.1


def test_ud2_is_sigill(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("0f0b"), state())
    assert (outcome.kind, outcome.signal, outcome.trapno, outcome.si_addr) == (Kind.FAULT, 4, 6, executor.origin)


@pytest.mark.parametrize(
    ("code", "address", "error", "si_code"),
    [
        ("8b03", 0x1234, USER, SEGV_MAPERR),
        ("8903", 0x1234, USER | WRITE, SEGV_MAPERR),
        ("8b03", DATA.end, USER, SEGV_ACCERR),
        ("8903", STACK.address - 4, USER | WRITE, SEGV_ACCERR),
        ("8903", READ_ONLY.address, USER | WRITE | PRESENT, SEGV_ACCERR),
        ("0103", READ_ONLY.address, USER | WRITE | PRESENT, SEGV_ACCERR),
    ],
)
def test_page_fault_reports_address_and_error(
    executor: Executor, code: str, address: int, error: int, si_code: int
) -> None:
    outcome = executor.run(bytes.fromhex(code), state(rbx=address, rax=1))
    assert (outcome.kind, outcome.signal, outcome.trapno) == (Kind.FAULT, signal.SIGSEGV, 14)
    assert (outcome.cr2, outcome.si_addr, outcome.error_code) == (address, address, error)
    assert (outcome.si_code, outcome.ip) == (si_code, executor.origin)
    assert outcome.changed == ()


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("8a03", 1),
        ("668b03", 2),
        ("8b03", 4),
        ("488b03", 8),
        ("480f4403", 8),  # cmovz reads whatever the condition
        ("0f1003", 16),
        ("f30f1003", 4),
        pytest.param("c5fc1003", 32, marks=pytest.mark.needs("avx")),
        pytest.param("62f17c481003", 64, marks=pytest.mark.needs("avx512f")),
        ("8803", 1),
        ("488903", 8),
        ("0f1103", 16),
        pytest.param("62f17c481103", 64, marks=pytest.mark.needs("avx512f")),
    ],
)
def test_page_edge_shows_the_true_access_size(executor: Executor, code: str, size: int) -> None:
    inside = executor.run(bytes.fromhex(code), state(rbx=DATA.end - size))
    beyond = executor.run(bytes.fromhex(code), state(rbx=DATA.end - size + 1))
    assert inside.kind is Kind.COMPLETED
    assert (beyond.kind, beyond.trapno, beyond.cr2, beyond.changed) == (Kind.FAULT, 14, DATA.end, ())


def test_non_canonical_address_is_general_protection(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("8b03"), state(rbx=1 << 63))
    assert (outcome.signal, outcome.si_code, outcome.trapno, outcome.error_code) == (signal.SIGSEGV, SI_KERNEL, 13, 0)


def test_non_canonical_stack_is_stack_fault(executor: Executor) -> None:
    outcome = executor.run(b"\x50", state(rsp=1 << 63))
    assert (outcome.kind, outcome.signal, outcome.trapno) == (Kind.FAULT, signal.SIGBUS, 12)


def test_trap_flag_traps_behind_one_instruction(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("48ffc0"), state(rflags=0x202 | TF))
    assert (outcome.kind, outcome.trapno, outcome.ip) == (Kind.TRAPPED, 1, executor.origin + 3)
    assert (reg(outcome, "rax"), flags(outcome, TF)) == (1, TF)


def test_trap_flag_traps_at_a_branch_target(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("eb40"), state(rflags=0x202 | TF))
    assert (outcome.kind, outcome.trapno, outcome.ip) == (Kind.TRAPPED, 1, executor.origin + 0x42)


def test_popf_that_sets_tf_completes_first(executor: Executor) -> None:
    outcome = executor.run(b"\x9d", state(memory=((MIDDLE, struct.pack("<Q", 0x202 | TF)),)))
    assert (outcome.kind, outcome.ip, flags(outcome, TF)) == (Kind.COMPLETED, executor.origin + 1, TF)


def test_popf_that_clears_tf_still_traps(executor: Executor) -> None:
    outcome = executor.run(b"\x9d", state(rflags=0x202 | TF, memory=((MIDDLE, struct.pack("<Q", 0x202)),)))
    assert (outcome.kind, outcome.ip, flags(outcome, TF)) == (Kind.TRAPPED, executor.origin + 1, 0)


@pytest.mark.parametrize("image", [0x202, 0x202 | TF, 0x202 | FLAGS | DF])
def test_pushf_stores_the_loaded_flags(executor: Executor, image: int) -> None:
    outcome = executor.run(b"\x9c", state(rflags=image))
    stored = int.from_bytes(read(executor, outcome, MIDDLE - 8), "little")
    assert (stored, reg(outcome, "rsp")) == (image, MIDDLE - 8)


def test_int3_is_a_trap_and_not_an_arrival(executor: Executor) -> None:
    for code in ("cc", "cd03"):
        outcome = executor.run(bytes.fromhex(code), state())
        assert (outcome.kind, outcome.signal, outcome.trapno) == (Kind.TRAPPED, signal.SIGTRAP, 3)
        assert outcome.ip == executor.origin + len(code) // 2


@pytest.mark.parametrize("displacement", [1, 2, 4, 5, 0x10, 0x7F, -0x40])
def test_jump_is_caught_where_it_arrives(executor: Executor, displacement: int) -> None:
    outcome = executor.run(b"\xeb" + displacement.to_bytes(1, "little", signed=True), state())
    assert (outcome.kind, outcome.ip) == (Kind.COMPLETED, executor.origin + 2 + displacement)
    assert outcome.state is not None and outcome.state.gprs == state().gprs


def test_jump_to_unmapped_memory_completes_there(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("ffe0"), state(rax=0x12_3456))
    assert (outcome.kind, outcome.ip, outcome.cr2) == (Kind.COMPLETED, 0x12_3456, 0x12_3456)
    assert outcome.error_code & FETCH


@pytest.mark.parametrize(
    ("code", "set_flags", "taken"),
    [("7410", ZF, True), ("7410", 0, False), ("7210", CF, True), ("7f10", ZF, False), ("7f10", SF | OF, True),
     ("7c10", OF, True), ("7710", CF, False), ("0f8420000000", ZF, True)],
)  # fmt: skip
def test_conditional_jump_goes_where_its_flags_say(
    executor: Executor, code: str, set_flags: int, taken: bool
) -> None:
    raw = bytes.fromhex(code)
    outcome = executor.run(raw, state(rflags=0x202 | set_flags))
    target = 0x10 if raw[0] >> 4 == 7 else 0x20
    assert outcome.ip == executor.origin + len(raw) + (target if taken else 0)


def test_call_pushes_the_return_address(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("e800010000"), state())
    assert (outcome.kind, outcome.ip, reg(outcome, "rsp")) == (Kind.COMPLETED, executor.origin + 0x105, MIDDLE - 8)
    assert read(executor, outcome, MIDDLE - 8) == struct.pack("<Q", executor.origin + 5)


def test_ret_goes_to_the_stacked_address(executor: Executor) -> None:
    target = executor.layout.code_base + 0x800
    outcome = executor.run(bytes.fromhex("c21000"), state(memory=((MIDDLE, struct.pack("<Q", target)),)))
    assert (outcome.kind, outcome.ip, reg(outcome, "rsp")) == (Kind.COMPLETED, target, MIDDLE + 8 + 16)


def test_store_into_the_red_zone_is_seen(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("4889442480"), state(rax=0x0102_0304_0506_0708))
    assert read(executor, outcome, MIDDLE - 128) == struct.pack("<Q", 0x0102_0304_0506_0708)


@pytest.mark.parametrize("region", [DATA, SECOND, STACK], ids=lambda region: region.name)
def test_one_changed_byte_anywhere_is_seen(executor: Executor, region: ChildRegion) -> None:
    first, last = region.address, region.end - 1
    for address in (first, first + PAGE - 1, last - 63, last):
        outcome = executor.run(bytes.fromhex("f613"), state(rbx=address))  # not byte [rbx]
        assert [(start, len(data)) for start, data in outcome.changed] == [(address, 1)]
        again = executor.run(b"\x90", state())
        assert again.changed == ()  # nothing leaks into the next trial


def test_rep_movsb_copies_and_counts(executor: Executor) -> None:
    start = state(rcx=5, rsi=DATA.address, rdi=SECOND.address + 3, memory=((DATA.address, b"verify"),))
    outcome = executor.run(bytes.fromhex("f3a4"), start)
    assert (reg(outcome, "rcx"), reg(outcome, "rsi"), reg(outcome, "rdi")) == (0, DATA.address + 5, SECOND.address + 8)
    assert outcome.changed == ((SECOND.address + 3, b"verif"),)


def test_rep_movsb_stopped_by_a_fault_has_its_progress(executor: Executor) -> None:
    start = state(rcx=100, rsi=DATA.address, rdi=SECOND.end - 7)
    outcome = executor.run(bytes.fromhex("f3a4"), start)
    assert (outcome.kind, outcome.cr2, outcome.error_code) == (Kind.FAULT, SECOND.end, USER | WRITE)
    assert (reg(outcome, "rcx"), reg(outcome, "rdi"), outcome.ip) == (93, SECOND.end, executor.origin)


def test_direction_flag_does_not_leak(executor: Executor) -> None:
    backwards = executor.run(b"\xa4", state(rflags=0x202 | DF, rsi=DATA.address + 9, rdi=DATA.address + 20))
    assert reg(backwards, "rsi") == DATA.address + 8
    assert reg(executor.run(b"\xa4", state(rsi=DATA.address, rdi=SECOND.address)), "rsi") == DATA.address + 1


def test_syscall_returns_and_clobbers_rcx_and_r11(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("0f05"), state(rax=39))
    assert (reg(outcome, "rax"), reg(outcome, "rcx"), outcome.ip) == (executor.pid, *[executor.origin + 2] * 2)
    assert reg(outcome, "r11") == 0x202


def test_endless_loop_is_hung_and_the_next_run_works(executor: Executor) -> None:
    pid = executor.pid
    outcome = executor.run(bytes.fromhex("ebfe"), state(rax=7))
    assert (outcome.kind, outcome.ip, reg(outcome, "rax")) == (Kind.HUNG, executor.origin, 7)
    assert (executor.run(b"\x90", state()).kind, executor.pid) == (Kind.COMPLETED, pid)


def test_instruction_that_sleeps_for_ever_is_hung(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("0f05"), state(rax=34))  # pause(2): no processor time passes
    assert (outcome.kind, outcome.state, outcome.exit_status) == (Kind.HUNG, None, -signal.SIGKILL)
    assert executor.run(b"\x90", state()).kind is Kind.COMPLETED


def test_child_that_ends_is_a_crash_and_is_replaced(executor: Executor) -> None:
    exited = executor.run(bytes.fromhex("0f05"), state(rax=231, rdi=3))
    killed = executor.run(bytes.fromhex("0f05"), state(rax=62, rdi=executor.pid, rsi=signal.SIGKILL))
    assert (exited.kind, exited.exit_status) == (Kind.CRASHED, 3)
    assert (killed.kind, killed.exit_status, killed.signal) == (Kind.CRASHED, -9, 9)
    assert executor.run(b"\x90", state()).kind is Kind.COMPLETED


def test_origin_may_be_any_byte_and_a_missing_page_faults_in_fetch(executor: Executor) -> None:
    end = executor.layout.code_end
    straddling = executor.run(bytes.fromhex("4801d8"), state(rax=1, rbx=1), origin=end - 2)
    assert (straddling.kind, straddling.ip, straddling.cr2) == (Kind.FAULT, end - 2, end)
    whole = executor.run(bytes.fromhex("4801d8"), state(rax=1, rbx=1), origin=end - 3)
    assert (whole.kind, whole.ip, reg(whole, "rax")) == (Kind.COMPLETED, end, 2)
    for offset in range(33):
        outcome = executor.run(bytes.fromhex("4801d8"), state(rax=1, rbx=1), origin=executor.origin + offset)
        assert outcome.ip == executor.origin + offset + 3


def test_x87_instruction_pointer_is_visible_to_fnstenv(executor: Executor) -> None:
    loaded = run_undisturbed(executor, "d9e8", state())
    assert loaded.x87.registers[0] == 0x3FFF_8000_0000_0000_0000  # 1.0
    assert (loaded.x87.fip, loaded.x87.tag, loaded.x87.sw >> 11 & 7) == (executor.origin, 0x80, 7)
    stored = run_undisturbed(executor, "d933", CpuState(gprs=state(rbx=DATA.address).gprs, x87=loaded.x87))
    image = executor.memory_of(stored, DATA.address, 28)
    assert int.from_bytes(image[12:16], "little") == executor.origin  # SDM vol. 1, figure 8-9


def test_x87_state_makes_a_round_trip(executor: Executor) -> None:
    x87 = X87(0x27F, 0x2900 & ~0x80, 0xE0, 0x123, 0x1234_5678, 0x9ABC_DEF0, tuple(i << 40 | 1 << 63 for i in range(8)))
    assert run_undisturbed(executor, "90", CpuState(x87=x87)).x87 == x87
