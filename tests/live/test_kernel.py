"""The running kernel's uprobes as judge: what is refused, what a program sees, and that the judge itself can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from verify.live.hiding import VARIABLE
from verify.live.kernel import outcome as kernel_outcome
from verify.live.kernel.child import CODE, HLT, LANDING, Stop, Tracee
from verify.live.kernel.judge import KernelComparison, KernelJudge
from verify.live.kernel.one_state import Situation, compared_in
from verify.live.kernel.outcome import KernelOutcome, RunSetting, differences
from verify.live.kernel.placement import HERE
from verify.live.kernel.registration import image
from verify.live.kernel.runner import Runner
from verify.live.kernel.state import standard_states
from verify.live.needs import NotHere, absent
from verify.live.ptrace import REGISTERS
from verify.live.uprobe import Probes, UprobesUnavailable

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel")]
AVX, AVX512 = pytest.mark.needs("avx"), pytest.mark.needs("avx512f")
ENOEXEC, ENOTSUPP = 8, 524
AT = RunSetting(CODE, bytes((0x90, HLT)) * 2048)


@pytest.fixture(name="judge", scope="module")
def _judge() -> Iterator[KernelJudge]:
    with KernelJudge() as judge:
        yield judge


def compared(judge: KernelJudge, *encodings: str) -> dict[str, KernelComparison]:
    verdicts = judge.compare(map(bytes.fromhex, encodings), wanted=frozenset({"standard"}))
    return dict(zip(encodings, verdicts, strict=True))


def test_refusals_carry_the_kernels_errno(judge: KernelJudge) -> None:
    rows = {"90": 0, "50": 0, "cc": ENOTSUPP, "2e90": ENOTSUPP, "f02ec0": ENOTSUPP, "f4": ENOTSUPP, "cd80": ENOTSUPP,
            "8ed0": ENOTSUPP, "66eb11": ENOTSUPP, "06": ENOTSUPP, "6200": ENOEXEC}
    seen = judge.registration([bytes.fromhex(e) for e in rows])
    assert dict(zip(rows, seen, strict=True)) == rows


def test_instructions_that_only_move_data_are_identical(judge: KernelJudge) -> None:
    encodings = ("90", "4801d8", "488b07", "8b05aa555a25", "50", "58", "c3", "ff17", "e811000000", "7011", "0fa2")
    rows = compared(judge, *encodings)
    assert {e: v.result for e, v in rows.items()} == dict.fromkeys(rows, "identical")


@pytest.mark.parametrize(("encoding", "observable"), [
    ("9c", "memory-values"),            # pushf: the pushed image has the step's TF
    ("f3a4", "hits"),                   # rep movs: one hit an iteration
    ("4990", "gprs"),                   # xchg r8, rax is taken for a nop
    ("d9e8", "x87-pointers"),           # FIP is the slot's
    ("0f05", "containment"),            # syscall: the trap comes after the next instruction
    pytest.param("c5f970c111", "vector", marks=AVX),            # vpshufd is taken for jo
    pytest.param("c5f9e8c1", "memory-values", marks=AVX),       # vpsubsb is taken for a call
    pytest.param("62f17c48c2c111", "next-ip", marks=AVX512),    # vcmpps is taken for ret: control stays in the slot
    ("48488b35aa555a25", "gprs"),       # repeated REX: the wrong byte loses its B bit
    ("48418b35aa555a25", "next-ip"),
])
def test_known_deviations_are_seen(judge: KernelJudge, encoding: str, observable: str) -> None:
    verdict = compared(judge, encoding)[encoding]
    assert verdict.result == "deviates"
    assert observable in verdict.observables


def test_optimised_nop_shows_from_the_second_hit_on(judge: KernelJudge) -> None:
    verdict = compared(judge, "0f1f440000")["0f1f440000"]
    found = [d for d in verdict.deviations if d.kind == "standard" and d.state == "plain"]
    hits = [d.hit for d in found if d.difference.observable == "memory-values"]
    assert hits == [2, 3]


@pytest.mark.needs("rdtscp", "rdrand", "rdseed")
def test_time_and_random_numbers_are_no_deviation(judge: KernelJudge) -> None:
    rows = compared(judge, "0f31", "0f01f9", "480fc7f0", "480fc7f8")
    assert all(v.result == "identical" for v in rows.values())


def test_a_child_with_one_encoding_stays_on_one_processor() -> None:
    """RDPID, RDTSCP and LSL tell which: another one with the probe would be no deviation."""
    with Runner(HERE, [b"\x90"]) as runner:
        assert len(os.sched_getaffinity(runner.child.pid)) == 1


@pytest.mark.needs("rdpid")
def test_which_processor_runs_a_state_is_no_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    stayed, stay = [], Tracee.stay
    monkeypatch.setattr(Tracee, "stay", lambda child: stayed.append(stay(child)))
    found = compared_in(Situation(bytes.fromhex("f3410fc7fe"), LANDING + 0x0800_0000, {}, {}, {}))
    assert (found.result, len(stayed)) == ("identical", 1)


def test_invalid_encoding_is_known_as_such(judge: KernelJudge) -> None:
    assert not compared(judge, "0f0b")["0f0b"].valid
    assert list(judge.valid(iter([b"\x0f\x0b", b"\x90", b"\xff\xff"]))) == [b"\x90"]


def test_endless_loop_is_an_outcome(judge: KernelJudge) -> None:
    (verdict,) = judge.compare(iter([bytes.fromhex("ebfe")]), hits=1, wanted=frozenset({"standard"}))
    assert verdict.ends[0] == "runaway"


def test_result_does_not_depend_on_the_neighbours(judge: KernelJudge, corpus_sample: tuple[bytes, ...]) -> None:
    corpus = [e for e in corpus_sample[::95] if not absent(e)]
    kinds = frozenset({"standard", "handler"})
    together = [v.result for v in judge.compare(iter(corpus), wanted=kinds)]
    backwards = [v.result for v in judge.compare(reversed(corpus), wanted=kinds)]
    assert together == backwards[::-1]
    assert {"refused", "identical"} <= set(together)


def test_no_probe_or_child_is_left_behind_on_an_error(judge: KernelJudge, tmp_path: Path) -> None:
    target = tmp_path / "code"
    target.write_bytes(b"\x90" * 4096)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt), Probes(1) as probes, probes.attached(str(target), (0,)):
        raise KeyboardInterrupt
    assert set(os.listdir("/proc/self/fd")) == before
    with image((target.read_bytes(),)) as (_, descriptor), Tracee(descriptor, 4096) as child:
        pid = child.pid
        assert child.read_code()[0] == 0x90
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.needs("avx")
def test_a_hidden_encoding_is_not_run(judge: KernelJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "avx")
    for run in (lambda: list(judge.compare(iter([bytes.fromhex("c5f828c1")]))),
                lambda: list(judge.valid(iter([bytes.fromhex("c5f828c1")])))):
        with pytest.raises(NotHere, match="c5f828c1 needs AVX"):
            run()


def test_without_capabilities_the_judge_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.live.uprobe.effective_capabilities", lambda: 0)
    with pytest.raises(UprobesUnavailable, match=r"CAP_PERFMON.*CAP_BPF"):
        KernelJudge().__enter__()


@pytest.fixture(name="outcome", scope="module")
def _outcome() -> Iterator[KernelOutcome]:
    with image((AT.code,)) as (_, descriptor), Tracee(descriptor, 4096) as child:
        state = standard_states(child)[0]
        child.data[:] = state.data
        yield KernelOutcome(child.run(state.at(CODE), state.xstate), child.data[:], 1)


def changed(stop: Stop, register: str, bits: int) -> Stop:
    values = list(stop.registers)
    values[REGISTERS.index(register)] ^= bits
    return replace(stop, registers=tuple(values))


@pytest.mark.parametrize(("register", "bits", "observable"), [
    ("r15", 1 << 63, "gprs"), ("rsp", 8, "gprs"), ("eflags", 1, "flags"), ("eflags", 0x100, "trap"),
    ("fs_base", 1, "segment-bases"), ("ds", 0x2B, "segment-bases"), ("rip", 2, "next-ip"),
])
def test_every_seeded_register_difference_is_found(
    outcome: KernelOutcome, register: str, bits: int, observable: str
) -> None:
    seeded = replace(outcome, stop=changed(outcome.stop, register, bits))
    found = differences(outcome, seeded, AT)
    assert [d.observable for d in found] == [observable]


@pytest.mark.parametrize(
    ("at", "observable"), [(0, "x87"), (40, "x87"), (24, "vector"), (400, "vector"), (600, "vector")]
)
def test_every_seeded_xsave_difference_is_found(outcome: KernelOutcome, at: int, observable: str) -> None:
    image_bytes = bytearray(outcome.stop.xstate)
    image_bytes[at] ^= 1
    seeded = replace(outcome, stop=replace(outcome.stop, xstate=bytes(image_bytes)))
    assert [d.observable for d in differences(outcome, seeded, AT)] == [observable]


def test_seeded_memory_hit_and_fault_differences_are_found(outcome: KernelOutcome) -> None:
    red_zone = bytearray(outcome.data)
    red_zone[0x6000 - 128] ^= 1
    rows = {
        "memory-values": replace(outcome, data=bytes(red_zone)),
        "hits": replace(outcome, hits=2),
        "fault": replace(outcome, stop=replace(outcome.stop, signal=7)),
    }
    for observable, seeded in rows.items():
        assert observable in [d.observable for d in differences(outcome, seeded, AT)]
    assert not differences(outcome, outcome, AT)
    assert kernel_outcome.kind(outcome.stop, AT) == "arrived"


INTERRUPTED = """
from itertools import cycle
from verify.live.kernel.judge import KernelJudge
with KernelJudge() as judge:
    print("started", flush=True)
    for _ in judge.compare(cycle([b"\\x90", b"\\xcc", b"\\x0f\\x1f\\x44\\0\\0"])):
        pass
"""


def _in_session(session: int) -> list[int]:
    def session_of(stat: Path) -> int:                      # of what is not dead already
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            return -1 if state == "Z" else int(session)
        except (OSError, IndexError):
            return -1

    return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/stat") if session_of(p) == session]


def until(holds: Callable[[], bool]) -> None:
    """Waits for it: whether it happens is the test, when is the machine's affair."""
    while not holds():
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_judge_leaves_no_process_and_no_file(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], start_new_session=True, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: len(_in_session(process.pid)) == 2)
        process.send_signal(number)
        process.wait()
    until(lambda: not _in_session(process.pid))
    assert number == signal.SIGKILL or not list(tmp_path.iterdir())


def test_unprivileged_process_is_told_what_is_missing() -> None:
    code = (
        "import os; from verify.live.uprobe import missing\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); print('; '.join(missing()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert shown == "capability CAP_PERFMON (or CAP_SYS_ADMIN); capability CAP_BPF (or CAP_SYS_ADMIN)"
