"""What a program's own handler is given, bare and probed: the witnesses of the scheme's entries and of failing stores.

Expected values were seen on Linux 6.18.44; the model's verdicts on the same encodings are held beside them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu

pytestmark = [pytest.mark.live, pytest.mark.needs("uprobes", "perf", "cc")]
LINUX = SCHEMES["linux-uprobes-6.18"]
Frame = dict[str, int]
FAULTS = {  # encoding and state -> trapno and signal without a probe
    ("8b03", "rbx=0"): (14, 11), ("8903", "rbx=0"): (14, 11), ("0f0b",): (6, 4),
    ("d7", "rbx=8000000000000000"): (13, 11), ("ff23", "rbx=0"): (14, 11),
}  # fmt: skip
TOP = 0x20010000  # the end of the memory


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("frame")
    source = Path(__file__).with_name("frame.c")
    subprocess.run(["cc", "-O1", "-o", folder / "frame", source], check=True, timeout=60)
    yield folder / "frame"


def frame(program: Path, probed: bool, code: str, *state: str) -> Frame:
    words = [str(program), str(int(probed)), code, str(program.with_name("code")), "flags=202", "rsp=20008000", *state]
    out = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout
    return {name: int(value, 16) for name, _, value in (word.partition("=") for word in out.split())}


def both(program: Path, code: str, *state: str) -> tuple[Frame, Frame]:
    return frame(program, False, code, *state), frame(program, True, code, *state)


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case[0])
def test_a_fault_of_a_probed_instruction_is_delivered_with_a_stale_trapno_alone(program, case):
    bare, probed = both(program, *case)
    assert (bare["trapno"], bare["signal"]) == FAULTS[case]
    assert probed == bare | {"trapno": 0, "hits": 1}


def test_a_breakpoint_of_the_programs_own_is_delivered_with_a_stale_trapno(program):
    bare, probed = both(program, "90cc")
    assert (bare["trapno"], bare["signal"]) == (3, 5)
    assert probed == bare | {"trapno": 0, "hits": 1}


@pytest.mark.parametrize(("address", "left"), [
    ("0", {"trapno": 14, "err": 6}), ("8000000000000000", {"trapno": 13, "err": 0}),  # write, user: SDM vol. 3, 4.7
])  # fmt: skip
def test_a_breakpoint_of_the_programs_own_is_delivered_with_what_its_last_fault_left(program, address, left):
    bare, probed = both(program, "90cc", f"fault:{address}")
    assert (bare["trapno"], bare["err"], bare["signal"]) == (3, 0, 5)
    assert probed == bare | left | {"hits": 1}


def test_a_fault_of_a_probed_instruction_has_the_trapno_of_the_last_one_before(program):
    bare, probed = both(program, "d7", "rbx=8000000000000000", "fault:0")
    assert (bare["trapno"], probed) == (13, bare | {"trapno": 14, "hits": 1})


@pytest.mark.parametrize("code", ["4889d8", "90", "55"])
def test_a_step_of_the_programs_own_is_delivered_without_its_cause(program, code):
    bare, probed = both(program, code, "flags=302")
    assert (bare["code"], bare["trapno"], bare["address"]) == (2, 1, bare["rip"])  # TRAP_TRACE
    assert (probed["code"], probed["trapno"], probed["rip"]) == (0, 0, bare["rip"])  # SI_USER


@pytest.mark.parametrize("below", [0, 2, 4])
@pytest.mark.parametrize("code", ["66ffd3", "66ff13"])
@pytest.mark.needs("amd")  # 66 shortens a call
def test_a_short_call_at_the_end_of_a_mapping_is_restarted(program, code, below):
    bare, probed = both(program, code, "rbx=20000000", f"rsp={TOP - below:x}")
    assert (bare["rsp"], bare["hits"]) == (TOP - below - 2, 0)
    assert (probed["rsp"], probed["rip"], probed["hits"]) == (TOP - below + 6, 0x10000100, 2)
    found = Judge(LINUX).judgement(bytes.fromhex(code), Cpu.AMD)
    assert (bare["address"], probed["signal"], probed["address"]) == (0, 11, TOP - below + 4)  # target 0; second push
    assert {"fault", "next-ip", "gprs", "hits"} <= {d.observable for d in found.deviations}


@pytest.mark.needs("amd")  # the far pointer is read with 6 bytes
def test_a_far_call_to_a_32_bit_segment_gets_half_a_return_address(program):
    state = ("rbx=20000000", "at:20000000=0000001023000000", "see:20007ff0", "see:20007ff8")
    bare, probed = both(program, "48ff1b", *state)
    assert (bare["20007ff0"], bare["20007ff8"]) == (0x10000103, 0x33)
    assert (probed["20007ff0"], probed["20007ff8"]) == (0x7FFF_1000_0103, 0x33)
    found = Judge(LINUX).judgement(bytes.fromhex("48ff1b"), Cpu.AMD)
    assert [d.observable for d in found.deviations] == ["memory-values"]


@pytest.mark.parametrize(
    ("name", "code", "observable"), [("fault-frame", "8b03", "fault"), ("trap-siginfo", "90", "trap")]
)
def test_what_the_frames_show_falls_without_its_assumption(name, code, observable):
    found = Judge(LINUX, ASSUMPTIONS - {name}).judgement(bytes.fromhex(code), Cpu.AMD)
    assert found.verdict is Verdict.REFUTED
    assert [d.observable for d in found.deviations] == [observable]
