"""Vector, mask and segment state through the executor, code files, and batches against single runs."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from verify.live.capabilities import ExecutorUnavailable, capabilities
from verify.live.executor import session, stub_rows
from verify.live.executor.child import KERNEL_MAPPINGS, CodeFile
from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA, PAGE, READ_ONLY, SECOND, STACK, ChildLayout, code_image
from verify.live.executor.records import LOG_DTYPE
from verify.live.executor.state import GPR_NAMES, OBSERVABLES, CpuOutcome, CpuState, Kind
from verify.live.hiding import VARIABLE
from verify.live.needs import NotHere

pytestmark = [pytest.mark.live, pytest.mark.needs("executor")]
PATIENCE = 0.5
ADD, UD2 = bytes.fromhex("4801d8"), bytes.fromhex("0f0b")
MIDDLE = STACK.address + STACK.size // 2


def gprs(**registers: int) -> tuple[int, ...]:
    return tuple(registers.get(name, MIDDLE if name == "rsp" else 0) for name in GPR_NAMES)


def random_state(executor: Executor, seed: int, **registers: int) -> CpuState:
    source, caps = random.Random(seed), executor.capabilities
    count = 32 if caps.vector_bits == 512 else 16
    vector = tuple(source.getrandbits(caps.vector_bits) for _ in range(count)) + (0,) * (32 - count)
    masks = tuple(source.getrandbits(64 if count == 32 else 0) if count == 32 else 0 for _ in range(8))
    values = {name: source.getrandbits(64) for name in GPR_NAMES} | {"rsp": MIDDLE} | registers
    return CpuState(gprs(**values), 0x202 | source.getrandbits(1), vector, masks, fs_base=None, gs_base=None)


def after(outcome: CpuOutcome) -> CpuState:
    assert outcome.state is not None, outcome
    return outcome.state


def test_nop_leaves_every_register_as_loaded(executor: Executor) -> None:
    for seed in range(5):
        start = random_state(executor, seed)
        end = after(executor.run(b"\x90", start))
        for name in ("gprs", "rflags", "vector", "masks", "mxcsr", "x87"):
            assert getattr(end, name) == getattr(start, name), name


@pytest.mark.needs("avx512f")
def test_vector_load_and_store_move_512_bits(executor: Executor) -> None:
    data = bytes(range(64))
    start = CpuState(gprs(rbx=DATA.address), memory=((DATA.address, data),))
    loaded = after(executor.run(bytes.fromhex("62e17c481013"), start))
    assert loaded.vector[18] == int.from_bytes(data, "little")  # vmovups zmm18, [rbx]
    stored = after(
        executor.run(bytes.fromhex("62e17c481113"), CpuState(gprs(rbx=SECOND.address), vector=loaded.vector))
    )
    assert executor.memory_of(stored, SECOND.address, 64) == data
    assert executor.memory_of(stored, SECOND.address + 64, 64) == executor.memory_of(start, SECOND.address + 64, 64)


@pytest.mark.needs("avx")
def test_legacy_sse_keeps_the_upper_part_and_vex_clears_it(executor: Executor) -> None:
    start = random_state(executor, 7)
    low = start.vector[1] & (1 << 128) - 1
    legacy, vex = executor.run(bytes.fromhex("0f28c1"), start), executor.run(bytes.fromhex("c5f828c1"), start)
    assert after(legacy).vector[0] == start.vector[0] >> 128 << 128 | low
    assert after(vex).vector[0] == low


@pytest.mark.needs("avx512bw")
def test_mask_registers_load_and_store(executor: Executor) -> None:
    value = 0x8123_4567_89AB_CDEF
    loaded = executor.run(bytes.fromhex("c4e1fb92d8"), CpuState(gprs(rax=value)))  # kmovq k3, rax
    assert after(loaded).masks == (0, 0, 0, value, 0, 0, 0, 0)
    back = executor.run(bytes.fromhex("c4e1fb93c3"), CpuState(gprs(), masks=after(loaded).masks))  # kmovq rax, k3
    assert after(back).gprs[0] == value


@pytest.mark.needs("avx512f")
def test_masked_out_elements_do_not_fault(executor: Executor) -> None:
    load = bytes.fromhex("62f17cc91003")  # vmovups zmm0{k1}{z}, [rbx]
    at = CpuState(gprs(rbx=DATA.end - 16), masks=(0, 0xF, 0, 0, 0, 0, 0, 0))
    assert executor.run(load, at).kind is Kind.COMPLETED
    wider = executor.run(load, CpuState(at.gprs, masks=(0, 0x1F, 0, 0, 0, 0, 0, 0)))
    assert (wider.kind, wider.cr2) == (Kind.FAULT, DATA.end)


def test_misaligned_movaps_is_general_protection(executor: Executor) -> None:
    outcome = executor.run(bytes.fromhex("0f2803"), CpuState(gprs(rbx=DATA.address + 8)))
    assert (outcome.kind, outcome.signal, outcome.trapno) == (Kind.FAULT, signal.SIGSEGV, 13)


def test_unmasked_simd_exception_faults_with_the_state_before(executor: Executor) -> None:
    start = CpuState(gprs(), mxcsr=0x1F80 & ~0x200, vector=(0x3F80_0000, *[0] * 31))  # zero-divide unmasked, 1.0
    outcome = executor.run(bytes.fromhex("f30f5ec1"), start)  # divss xmm0, xmm1
    assert (outcome.kind, outcome.signal, outcome.trapno, outcome.si_code) == (Kind.FAULT, signal.SIGFPE, 19, 3)
    assert after(outcome).vector[0] == 0x3F80_0000 and after(outcome).mxcsr & 4  # ZE is set, SDM vol. 1, 11.5.2.2


def test_reserved_mxcsr_bits_are_refused() -> None:
    with Executor() as other, pytest.raises(ValueError, match="mxcsr"):
        other.run(b"\x90", CpuState(mxcsr=1 << 31))


@pytest.mark.needs("fsgsbase")
def test_segment_bases_are_used_and_reported(executor: Executor) -> None:
    start = CpuState(
        gprs(rax=0x1234), fs_base=DATA.address, gs_base=SECOND.address, memory=((DATA.address + 8, b"\x2a"),)
    )
    read = after(executor.run(bytes.fromhex("640fb6042508000000"), start))  # movzx eax, byte fs:[8]
    assert (read.gprs[0], read.fs_base, read.gs_base) == (0x2A, DATA.address, SECOND.address)
    written = after(executor.run(bytes.fromhex("f3480faed0"), start))  # wrfsbase rax
    assert (written.fs_base, written.gs_base) == (0x1234, SECOND.address)


def test_selector_loads_are_reported_and_undone(executor: Executor) -> None:
    assert executor.run(bytes.fromhex("8ed8"), CpuState(gprs(rax=0x2B))).selectors == (0, 0x2B, 0, 0)  # mov ds, eax
    assert executor.run(b"\x90", CpuState(gprs())).selectors == (0, 0, 0, 0)


def test_memory_outside_writable_regions_is_refused(executor: Executor) -> None:
    for address in (0x1000, DATA.end - 1, READ_ONLY.address):
        with pytest.raises(ValueError, match="no memory can be set"):
            executor.run(b"\x90", CpuState(gprs(), memory=((address, b"ab"),)))


def test_code_comes_from_a_file(tmp_path: Path) -> None:
    path, layout = tmp_path / "code", ChildLayout(code_pages=2)
    path.write_bytes(bytes(PAGE) + code_image(2 * PAGE, {0x20: ADD, 0x1FE0: UD2}))
    with Executor(layout, code_file=CodeFile(str(path), PAGE)) as other:
        assert after(other.run(ADD, CpuState(gprs(rax=1, rbx=2)), layout.code_base + 0x20)).gprs[0] == 3
        assert other.run(UD2, CpuState(gprs()), layout.code_base + 0x1FE0).signal == signal.SIGILL
        states = other.blank_states(100, {"gprs"})
        states["gprs"][:, 3] = np.arange(100)
        sums = other.run_batch(ADD, states, origin=layout.code_base + 0x20, observe={"gprs"}).outcomes
        assert (sums["gprs"][:, 0] == np.arange(100)).all()
        with pytest.raises(ValueError, match="not the slot"):
            other.run(ADD, CpuState(gprs()), layout.code_base + 0x40)
        with pytest.raises(ValueError, match="none in a code file"):
            other.run_many([(ADD, CpuState(gprs()))])


def test_interrupted_call_leaves_a_usable_executor() -> None:
    with Executor(patience=60) as other:
        pid = other.pid
        previous = signal.signal(signal.SIGALRM, _interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                other.run(bytes.fromhex("0f05"), CpuState(gprs(rax=34)))  # pause(2)
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert not Path(f"/proc/{pid}").exists()
        assert after(other.run(ADD, CpuState(gprs(rax=1, rbx=1)))).gprs[0] == 2


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def test_child_has_nothing_mapped_but_the_executor(executor: Executor) -> None:
    lines = Path(f"/proc/{executor.pid}/maps").read_text().splitlines()
    names = {line.split(maxsplit=5)[5] if len(line.split()) > 5 else "" for line in lines}
    assert {name for name in names if name[:1] != "["} == {"", "/memfd:executor (deleted)"}
    assert names <= {"", "/memfd:executor (deleted)", "[vsyscall]", *KERNEL_MAPPINGS}


def test_child_that_was_killed_between_calls_is_replaced() -> None:
    with Executor() as other:
        pid = other.pid
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.001)
        assert after(other.run(ADD, CpuState(gprs(rax=1, rbx=1)))).gprs[0] == 2
        assert other.pid != pid


def test_closed_executor_says_so() -> None:
    with Executor() as other:
        pid = other.pid
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ExecutorUnavailable, match="closed"):
        other.run(ADD, CpuState(gprs()))


def test_missing_code_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Executor(code_file=CodeFile(str(tmp_path / "absent")))


FLD1 = bytes.fromhex("d9e8")
CODES = tuple(map(bytes.fromhex, ("4801d8", "480fafc3", "48f7f3", "0f0b", "488903", "9c", "f30f58c1", "d9e8", "eb10")))
CODES += tuple(map(bytes.fromhex, ("48d3e0", "58", "cc")))


@pytest.mark.parametrize("observe", [OBSERVABLES, {"gprs", "flags", "memory"}], ids=["all", "without vector"])
def test_run_many_equals_single_runs(executor: Executor, observe: set[str]) -> None:
    items = [(code, random_state(executor, seed, rbx=DATA.address + 8 * seed)) for seed, code in enumerate(CODES * 3)]
    many = executor.run_many(items, observe=observe)
    single = [executor.run(code, state, observe=observe) for code, state in items]
    for i, (code, start) in enumerate(items):
        if many[i] != single[i] and code == FLD1:  # NOTE(x87-pointers)
            single[i] = executor.run(code, start, observe=observe)
    assert many == single
    assert {outcome.kind for outcome in many} == {Kind.COMPLETED, Kind.FAULT, Kind.TRAPPED}


def test_run_many_goes_on_behind_hangs_and_crashes(executor: Executor) -> None:
    leave = (bytes.fromhex("0f05"), CpuState(gprs(rax=231, rdi=9)))
    sleep = (bytes.fromhex("0f05"), CpuState(gprs(rax=34)))
    add = (ADD, CpuState(gprs(rax=1, rbx=1)))
    store = (bytes.fromhex("8803"), CpuState(gprs(rbx=DATA.address, rax=0x77)))
    found = executor.run_many([add, leave, store, (b"\xeb\xfe", add[1]), sleep, add, leave])
    completed, crashed, hung = Kind.COMPLETED, Kind.CRASHED, Kind.HUNG
    assert [o.kind for o in found] == [completed, crashed, completed, hung, hung, completed, crashed]
    assert (found[1].exit_status, found[2].changed) == (9, ((DATA.address, b"\x77"),))
    assert (found[4].exit_status, after(found[5]).gprs[0]) == (-signal.SIGKILL, 2)


def test_batch_adds_thousands_of_states(executor: Executor) -> None:
    source = np.random.default_rng(3)
    states = executor.blank_states(10_000, {"gprs", "flags"})
    states["gprs"] = source.integers(0, 1 << 64, size=(10_000, 16), dtype=np.uint64)
    batch = executor.run_batch(ADD, states, observe={"gprs", "flags"}).outcomes
    a, b = states["gprs"][:, 0], states["gprs"][:, 3]
    assert (batch["gprs"][:, 0] == a + b).all()
    assert ((batch["rflags"] & 1).astype(bool) == (a + b < a)).all()
    assert (batch["gprs"][:, 1:] == states["gprs"][:, 1:]).all()
    assert (batch["ip"] == executor.origin + 3).all() and not batch["kind"].any()


def test_batch_loads_and_logs_memory_of_each_trial(executor: Executor) -> None:
    count = 5000
    states = executor.blank_states(count, {"gprs", "flags", "memory"})
    states["gprs"][:, 3] = DATA.address + 64
    memory = np.zeros(count, LOG_DTYPE)
    memory["trial"], memory["address"] = np.arange(count), DATA.address + 64
    memory["chunk"][:, :4] = np.arange(count, dtype="<u4").view("u1").reshape(-1, 4)
    batch = executor.run_batch(bytes.fromhex("ff03"), states, memory, observe={"gprs", "flags", "memory"})
    assert (batch.memory["trial"] == np.arange(count)).all()
    assert (batch.memory["chunk"][:, :4].copy().view("<u4")[:, 0] == np.arange(count) + 1).all()


def test_records_of_states_can_be_varied_by_column(executor: Executor) -> None:
    start = CpuState(gprs(rax=5, rbx=DATA.address), memory=((DATA.address, b"\7" + bytes(7)),))
    states, memory = executor.records([(bytes.fromhex("480103"), start)] * 50)  # add [rbx], rax
    states["gprs"][:, 0] = np.arange(50)
    found = executor.run_batch(None, states, memory)
    assert (found.memory["chunk"][:, 0] == np.arange(50) + 7).all()


def test_batch_resumes_when_the_memory_log_is_full(executor: Executor) -> None:
    count = 2000
    states = executor.blank_states(count, {"gprs", "memory"})
    states["gprs"][:, 1], states["gprs"][:, 7] = 4096, SECOND.address  # rep stosb over the whole page
    states["gprs"][:, 0] = np.arange(count) & 0xFF
    batch = executor.run_batch(bytes.fromhex("f3aa"), states, observe={"gprs", "memory"})
    trials, chunks = np.unique(batch.memory["trial"], return_counts=True)
    assert len(trials) == count and (chunks == 64).all()
    assert (batch.memory["chunk"][:, 5] == batch.memory["trial"] & np.uint64(0xFF)).all()


def test_batch_of_vector_states(executor: Executor) -> None:
    count = 1500
    states = executor.blank_states(count)
    states["xsave"]["xmm"][:, 1] = np.random.default_rng(5).integers(0, 1 << 64, (count, 2), dtype=np.uint64)
    batch = executor.run_batch(bytes.fromhex("660fefc1"), states).outcomes  # pxor xmm0, xmm1
    assert (batch["xsave"]["xmm"][:, 0] == states["xsave"]["xmm"][:, 1]).all()
    states["xsave"]["mxcsr"][7] = 1 << 20
    with pytest.raises(ValueError, match="mxcsr"):
        executor.run_batch(b"\x90", states)


def test_batch_refuses_memory_that_the_stub_could_not_store(executor: Executor) -> None:
    states, entry = executor.blank_states(1), np.zeros(1, LOG_DTYPE)
    for address in (0, DATA.address + 8, READ_ONLY.address, DATA.end):
        entry["address"] = address
        with pytest.raises(ValueError, match="aligned chunks"):
            executor.run_batch(b"\x90", states, entry)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("49 8b 5e 18 ", "49 8b 5e 10 "),  # rbx loaded from rdx's place
        ("49 0f ae a7 <out_xsave>", "90"),  # vector state not stored
        ("66 0f db d3 ", "66 0f 6f d1 "),  # the last half of a chunk not compared
        ("48 cf ", "f4 "),  # the stub faults itself
    ],
)
def test_faulty_stub_is_noticed(monkeypatch: pytest.MonkeyPatch, row: str, wrong: str) -> None:
    text = stub_rows.table(avx2=False)
    assert text.count(row) == 1
    store = CpuState(gprs(rbx=DATA.address + 63, rdx=7), vector=(1 << 77,) * 16 + (0,) * 16)
    assert _sees_the_store(store)
    monkeypatch.setattr(session, "table", lambda avx2: text.replace(row, wrong))
    assert not _sees_the_store(store)


def _sees_the_store(start: CpuState) -> bool:
    try:
        with Executor() as other:
            outcome = other.run(bytes.fromhex("f613"), start)  # not byte [rbx]
    except RuntimeError as error:
        assert "stub itself faulted" in str(error)
        return False
    seen = (after(outcome).gprs, after(outcome).vector, [address for address, _ in outcome.changed])
    return seen == (start.gprs, start.vector, [DATA.address + 63])


@pytest.mark.parametrize("avx2", [False, pytest.param(True, marks=pytest.mark.needs("avx2"))])
def test_both_ways_to_compare_memory_find_every_byte(monkeypatch: pytest.MonkeyPatch, avx2: bool) -> None:
    monkeypatch.setattr(session, "table", lambda avx2, wanted=avx2: stub_rows.table(wanted))
    with Executor() as other:
        states = other.blank_states(3 * PAGE, {"gprs", "memory"})
        states["gprs"][: 2 * PAGE, 3] = DATA.address + np.arange(2 * PAGE)
        states["gprs"][2 * PAGE :, 3] = SECOND.address + np.arange(PAGE)
        log = other.run_batch(bytes.fromhex("f613"), states, observe={"gprs", "memory"}).memory
    assert (log["trial"] == np.arange(3 * PAGE)).all()
    assert (log["address"] == states["gprs"][:, 3] // 64 * 64).all()


@pytest.mark.needs("avx")
def test_a_test_that_does_not_ask_for_what_is_hidden_fails(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vex = bytes.fromhex("c5f828c1")
    assert executor.run(vex, CpuState(gprs())).kind is Kind.COMPLETED
    monkeypatch.setenv(VARIABLE, "avx")
    assert "avx" not in capabilities().features and capabilities().vector_bits == 128
    with pytest.raises(NotHere, match="c5f828c1 needs AVX"):
        executor.run(vex, CpuState(gprs()))
    with pytest.raises(NotHere, match="c5f828c1 needs AVX"):
        executor.run_many([(ADD, CpuState(gprs())), (vex, CpuState(gprs()))])
    with pytest.raises(NotHere, match="c5f828c1 needs AVX"):
        executor.run_batch(vex, executor.blank_states(1))


def test_unknown_observable_is_refused(executor: Executor) -> None:
    with pytest.raises(ValueError, match="observables are"):
        executor.run(b"\x90", CpuState(gprs()), observe={"gpr"})
