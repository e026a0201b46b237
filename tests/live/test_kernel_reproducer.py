"""A reproducer builds without warnings and shows with tracefs what the judge saw, and no more."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from verify.live.kernel import LAYOUT, idle_child
from verify.live.kernel_child import CODE
from verify.live.kernel_confirm import NotReproducible, Situation
from verify.live.kernel_state import State, standard_states
from verify.live.reproducer import emit, standard_situation

TRACEFS = Path("/sys/kernel/tracing/uprobe_events")
pytestmark = [pytest.mark.live, pytest.mark.needs("kernel", "tracefs", "cc")]


@pytest.fixture(name="states", scope="module")
def _states() -> dict[str, State]:
    with idle_child() as child:
        return {state.name: state for state in standard_states(child)}


def output(directory: Path, encoding: str, state: State) -> list[str]:
    emit(directory, standard_situation(bytes.fromhex(encoding), CODE + 2 * LAYOUT.stride, state), "a test")
    subprocess.run(["cc", "-Wall", "-Werror", "-O1", "-o", "/dev/null", directory / "reproducer.c"], check=True)
    shown = subprocess.run(["sh", directory / "run.sh"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert not TRACEFS.read_text()
    return shown


@pytest.mark.parametrize(("encoding", "difference"), [
    ("9c", "> memory 0x28005ff9: 03"),
    ("4990", "> r8 0x28001240"),
    ("0f05", "> r11 0x303"),
    ("0f1f440000", "> memory 0x28005fe0: 80"),
])
def test_reproducer_shows_the_deviation(
    tmp_path: Path, states: dict[str, State], encoding: str, difference: str
) -> None:
    assert difference in output(tmp_path, encoding, states["plain"])


@pytest.mark.parametrize("state", ["plain", "other", "trap", "fault"])
def test_reproducer_of_an_identical_instruction_shows_only_hits(
    tmp_path: Path, states: dict[str, State], state: str
) -> None:
    shown = output(tmp_path, "8b4610", states[state])
    assert len(shown) == 2
    assert shown[1].split()[-1] == "3"


def test_reproducer_of_a_situation_with_its_own_memory(tmp_path: Path) -> None:
    memory = {0x6000_0000_0FF8: bytes(range(16)), 0x7FFD_1234_4F00: bytes(256)}
    registers = {"rsp": 0x7FFD_1234_5000, "rax": 1, "r8": 2, "rsi": 0x6000_0000_0FFB}
    emit(tmp_path, Situation(bytes.fromhex("4990"), 0x5555_5555_4FFE, registers, memory, {}), "*/ hostile\nsummary")
    shown = subprocess.run(["sh", tmp_path / "run.sh"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert "> r8 0x2" in shown and "< r8 0x1" in shown
    assert shown[-1].split()[-1] == "3"


def test_situation_that_no_program_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReproducible, match="cannot be mapped"):
        emit(tmp_path, Situation(b"\x90", 0x5555_5555_4000, {}, {0: b"\0"}, {}), "a test")
