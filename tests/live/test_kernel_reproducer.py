"""A reproducer builds without warnings and shows with tracefs what the judge saw, and no more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from verify.live.kernel import LAYOUT, code_text
from verify.live.kernel_child import CODE, Tracee
from verify.live.kernel_registration import image
from verify.live.kernel_state import State, standard_states
from verify.live.reproducer import emit
from verify.live.uprobe import missing

TRACEFS = Path("/sys/kernel/tracing/uprobe_events")
PRESENT = {"a C compiler": bool(shutil.which("cc")), str(TRACEFS): TRACEFS.exists()}
ABSENT = (*missing(), *(name for name, present in PRESENT.items() if not present))
pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(ABSENT), reason="missing: " + "; ".join(ABSENT))]


@pytest.fixture(name="states", scope="module")
def _states() -> dict[str, State]:
    text = code_text((b"\x90",))
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        return {state.name: state for state in standard_states(child)}


def output(directory: Path, encoding: str, state: State) -> list[str]:
    emit(directory, bytes.fromhex(encoding), state, "a test", origin=CODE + 2 * LAYOUT.stride)
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


def test_origin_outside_the_code_region_is_refused(tmp_path: Path, states: dict[str, State]) -> None:
    with pytest.raises(ValueError, match="origin must be in 0x20000000"):
        emit(tmp_path, b"\x90", states["plain"], "a test", origin=0x1000)
