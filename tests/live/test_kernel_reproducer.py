"""A reproducer builds without warnings, starts from the judge's full state, and shows what the judge saw."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from reproducers import FAILED, SECONDS, WARNINGS, answers, sample

from verify.cli import status
from verify.confirm.reproducer import IN_A_FRAME
from verify.judge.encoding import Judge
from verify.live.kernel.child import CODE
from verify.live.kernel.judge import KernelJudge, idle_child
from verify.live.kernel.one_state import NotReproducible, Situation, compared_in
from verify.live.kernel.state import KernelState, standard_states
from verify.live.reproducer import program as reproducer
from verify.live.reproducer.program import Account, emit, standard_situation
from verify.models.schemes.registry import DEFAULT, SCHEMES

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel", "cc", "xsave")]
AVX = pytest.mark.needs("avx")
SHOWN, NOT_SHOWN, NOT_HERE = 0, 1, 2
PAGE = 4096
IN_OWN_MOUNTS = ("unshare", "--mount", "sh", "-c")
TRACING = "/sys/kernel/tracing"


@pytest.fixture(name="states", scope="module")
def _states() -> dict[str, KernelState]:
    with idle_child() as child:
        return {state.name: state for state in standard_states(child)}


def built(directory: Path) -> Path:
    command = ["cc", *WARNINGS, "-o", directory / "reproducer", directory / "reproducer.c"]
    subprocess.run(command, check=True, timeout=SECONDS)
    return directory / "reproducer"


def shown(directory: Path, situation: Situation, *arguments: str) -> tuple[int, list[str]]:
    """Exit status and lines of the situation's program."""
    emit(directory, situation, Account("a test"))
    command = [built(directory), *arguments]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert sorted(p.name for p in directory.iterdir()) == ["reproducer", "reproducer.c", "run.sh"]
    return ran.returncode, ran.stdout.splitlines()


def observables(lines: list[str]) -> set[str]:
    return {line.split(" differs in ")[1].split(":")[0] for line in lines if " differs in " in line}


def in_state(encoding: str, state: KernelState) -> Situation:
    return standard_situation(bytes.fromhex(encoding), CODE, state)


@pytest.mark.parametrize(("encoding", "state", "line"), [
    ("9c", "plain", "memory-values (run 1): [0x28005ff9] (8 bits) 0x2 without, 0x3 with the probe; 1 bytes differ"),
    ("4990", "other", "gprs (run 1): r8 (64 bits) 0x11 without, 0x28001"),
    ("0f05", "plain", "fault (run 1): arrives (signal 11 code 128) without, fault (signal 11 code 128) with"),
])  # fmt: skip
def test_the_last_line_says_what_differs(
    tmp_path: Path, states: dict[str, KernelState], encoding: str, state: str, line: str
) -> None:
    if encoding == "4990":
        states = {state: states[state].with_registers(state, rax=0x11)}
    code, lines = shown(tmp_path, in_state(encoding, states[state]))
    assert code == SHOWN and lines[-1].startswith(f"deviation shown: {line}")


@pytest.mark.parametrize("state", ["other", "trap", "fault"])
def test_an_identical_instruction_is_not_shown(tmp_path: Path, states: dict[str, KernelState], state: str) -> None:
    code, lines = shown(tmp_path, in_state("8b4610", states[state]))
    assert (code, lines) == (NOT_SHOWN, ["not shown: identical in 3 runs with 3 hits"])


def test_a_refused_probe_is_not_shown(tmp_path: Path, states: dict[str, KernelState]) -> None:
    code, lines = shown(tmp_path, in_state("cc", states["plain"]))
    assert (code, lines) == (NOT_SHOWN, ["not shown: the kernel refuses the probe (errno 524)"])


def test_an_instruction_that_does_not_end_is_stopped(tmp_path: Path, states: dict[str, KernelState]) -> None:
    code, lines = shown(tmp_path, in_state("ebfe", states["plain"]))
    assert code == NOT_SHOWN and lines[-1].startswith("not shown: identical in 3 runs with ")


@AVX
def test_program_and_judge_see_the_same(tmp_path: Path, states: dict[str, KernelState]) -> None:
    """The judge's answer in each of its states, from code that the program shares nothing with."""
    data = bytes.fromhex("c5f97ecb")  # vmovd ebx, xmm1, which the kernel takes for a jump
    with KernelJudge() as kernel:
        found = next(iter(kernel.compare(iter([data]), hits=1)))
    for name, state in states.items():
        expected = {d.difference.observable for d in found.deviations if d.state == name}
        _, lines = shown(tmp_path, standard_situation(found.encoding, found.origin, state))
        assert observables(lines) == expected, name


STORE = Situation(  # vmovdqu [rbx], ymm0, as `insn c5fe7f03 --confirm` runs it
    bytes.fromhex("c5fe7f03"), 0x40_1000, {"rbx": 0x6000_0003_0804}, {0x6000_0003_0804: bytes(range(32))}, {}
)


@AVX
def test_the_program_starts_from_the_registers_of_the_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = compared_in(STORE).observables
    code, lines = shown(tmp_path, STORE)
    assert (code, observables(lines)) == (SHOWN, set(seen)) and "memory-values" in seen
    real = reproducer.state_of
    monkeypatch.setattr(reproducer, "state_of", lambda *of: real(*of).with_registers("wrong", rbx=0))
    code, lines = shown(tmp_path, STORE)
    assert observables(lines) == {"fault", "next-ip"}


@AVX
def test_pages_have_the_protections_of_the_judge(tmp_path: Path) -> None:
    """A store to a read-only page faults in place; the kernel's emulation, which stores nothing, does not."""
    page = 0x6000_0003_0000
    for protection, address in ((1, page + 0x804), (0, page + 0x804)):
        code, lines = shown(tmp_path, replace(STORE, protections={page: protection}))
        assert code == SHOWN and "run 1 differs in fault: fault (signal 11 code 2) without, arrives" in lines[0]
        assert {"fault", "next-ip"} == set(compared_in(replace(STORE, protections={page: protection})).observables)
        assert address // PAGE == page // PAGE


def test_a_hostile_summary_stays_in_its_comment(tmp_path: Path) -> None:
    memory = {0x6000_0000_0FF8: bytes(range(16)), 0x7FFD_1234_4F00: bytes(256)}
    registers = {"rsp": 0x7FFD_1234_5000, "rax": 1, "r8": 2, "rsi": 0x6000_0000_0FFB}
    situation = Situation(bytes.fromhex("4990"), 0x5555_5555_4FFE, registers, memory, {})
    emit(tmp_path, situation, Account("*/ hostile\nsummary ${x} %s \\", text="/* \"quoted\" ??/"))
    ran = subprocess.run([built(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    last = ran.stdout.splitlines()[-1]
    assert ran.returncode == SHOWN
    assert last == "deviation shown: gprs (run 1): r8 (64 bits) 0x1 without, 0x2 with the probe"


def test_a_situation_that_no_program_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReproducible, match="cannot be mapped"):
        emit(tmp_path, Situation(b"\x90", 0x5555_5555_4000, {}, {0: b"\0"}, {}), Account("a test"))
    assert not list(tmp_path.iterdir())


def in_own_mounts(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    text = f"mount -t tracefs none {TRACING} || exit 77; cd {directory}; {script}"
    ran = subprocess.run([*IN_OWN_MOUNTS, text], capture_output=True, text=True, timeout=SECONDS, check=False)
    if ran.returncode == 77:
        pytest.skip(f"tracefs cannot be mounted: {ran.stderr}")
    return ran


def test_tracefs_serves_where_it_is_mounted_and_no_probe_is_left(
    tmp_path: Path, states: dict[str, KernelState]
) -> None:
    emit(tmp_path, in_state("9c", states["plain"]), Account("a test"))
    built(tmp_path)
    ran = in_own_mounts(tmp_path, f"./reproducer tracefs; echo status $?; cat {TRACING}/uprobe_events")
    assert ran.stdout.splitlines()[-1] == "status 0" and "deviation shown: memory-values" in ran.stdout


def test_no_probe_is_left_by_a_program_that_is_ended(tmp_path: Path, states: dict[str, KernelState]) -> None:
    emit(tmp_path, in_state("ebfe", states["plain"]), Account("a test"), hits=30)
    built(tmp_path)
    script = (f"./reproducer tracefs & p=$!; until grep -q reproducer {TRACING}/uprobe_events; do sleep 0.05; done; "
              f"kill $p; wait $p; echo status $?; cat {TRACING}/uprobe_events")
    ran = in_own_mounts(tmp_path, script)
    assert ran.stdout.splitlines() == ["cannot be shown here: interrupted", f"status {NOT_HERE}"]
    assert not list(tmp_path.glob("code-*"))


def test_without_privileges_it_says_what_is_missing(tmp_path: Path, states: dict[str, KernelState]) -> None:
    emit(tmp_path, in_state("9c", states["plain"]), Account("a test"))
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to nobody
        Path(folder).chmod(0o777)
        program = shutil.copy(built(tmp_path), Path(folder, "copy"))
        ran = subprocess.run(
            [program], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, **nobody,
        )  # fmt: skip
    assert ran.returncode == NOT_HERE
    assert ran.stdout.startswith("cannot be shown here: perf_event_open of a uprobe: Permission denied")
    assert "CAP_PERFMON" in ran.stdout and "mount -t tracefs" in ran.stdout


def test_script_in_a_folder_of_others_says_so(tmp_path: Path, states: dict[str, KernelState]) -> None:
    emit(tmp_path, in_state("9c", states["plain"]), Account("a test"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        script = shutil.copy(tmp_path / "run.sh", folder)
        ran = subprocess.run(
            ["sh", script], capture_output=True, text=True, timeout=SECONDS, check=False, user=65534, group=65534,
            extra_groups=[],
        )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (NOT_HERE, f"cannot be shown here: {folder} cannot be written\n")


def insn(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = status(["insn", *arguments, "--cpu", "amd", "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@AVX
def test_the_script_shows_what_confirm_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, row = insn(capsys, "c5fe7f03", "--emit-reproducer", str(tmp_path), "--observable", "memory-values")
    assert code == 0 and "seen here in memory-values" in str(row["reproducer_state"])
    ran = subprocess.run(["sh", tmp_path / "run.sh"], capture_output=True, text=True, timeout=SECONDS, check=False)
    last = ran.stdout.splitlines()[-1]
    assert ran.returncode == SHOWN and last.startswith("deviation shown: memory-values (run 1): [0x60000003080")


@pytest.mark.parametrize(("arguments", "reason"), [
    (["e811000000", "--without-assumption", "no-shadow-stack"], "shadow-stack: no shadow stack here"),
    (["9c", "--observable", "gprs"], "gprs is not refuted for this machine's kind of processor"),
    (["8b01", "--without-assumption", "fault-frame"], f"fault: {IN_A_FRAME}"),
    (["90", "--without-assumption", "trap-siginfo"], f"trap: {IN_A_FRAME}"),
])  # fmt: skip
def test_what_cannot_be_shown_here_is_told_and_not_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], reason: str
) -> None:
    code, row = insn(capsys, *arguments, "--emit-reproducer", str(tmp_path / "new"))
    assert (code, row["reproducer"], row["reproducer_state"]) == (2, [], f"cannot be shown here: {reason}")
    assert not (tmp_path / "new").exists()


def test_one_for_another_kernel_is_written_untried(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["9c", "--scheme", "linux-uprobes-5.15", "--emit-reproducer", str(tmp_path)]
    code, row = insn(capsys, *arguments)
    said = str(row["reproducer_state"])
    assert code == 0 and "not tried here: Linux" in said and "seen here" not in said
    text = (tmp_path / "reproducer.c").read_text()
    assert "* scheme         linux-uprobes-5.15, of Linux 5.15\n" in text and "not tried here" in text
    code, row = insn(capsys, *arguments, "--confirm", "--although")
    assert "seen here in memory-values (Linux" in str(row["reproducer_state"])


def test_of_an_instruction_that_is_undefined_on_every_processor_the_state_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["0f0b", "--followed-by", "00000000", "--without-assumption", "fault-frame"]
    _, row = insn(capsys, *arguments, "--emit-reproducer", str(tmp_path))
    assert row["reproducer_state"] == "cannot be shown here: identical in the state of fault"


@pytest.mark.parametrize("number", range(4))
def test_every_refuted_observable_of_a_sample_is_shown_or_told(tmp_path: Path, number: int) -> None:
    """The whole figure: `make reproducers`."""
    data = sample(number + 1, seed=7)[number]
    for answer in answers(data, Judge(SCHEMES[DEFAULT]), tmp_path):
        assert answer.outcome != FAILED, answer


