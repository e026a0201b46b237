"""Running the probed instruction in the kernel: what each check covers, and what the level itself changes.

Expected: SDM vol. 3, 4.6.1 (access rights), 5.9 (privileged instructions), 6.14 (frames); vol. 2 of each instruction.
"""

from __future__ import annotations

import pytest
from sampling import sampled

from verify.judge.counterexample import Counterexample, counterexample
from verify.judge.encoding import Judge, Judgement
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text as plan_text
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.schemes.seed.kernel_exec import SCHEMES as KERNEL_EXEC
from verify.models.x86.isa.forms import Cpu

NAIVE, CHECKED, CPL2, RPL3 = (s.name for s in KERNEL_EXEC)
UPPER = 0xFFFF_8000_0000_0000


def judged(name: str, text: str, assumptions: frozenset[str] = ASSUMPTIONS) -> Judgement:
    return Judge(SCHEMES[name], assumptions).judgement(bytes.fromhex(text), Cpu.AMD)


def refuted(name: str, text: str, assumptions: frozenset[str] = ASSUMPTIONS) -> set[str]:
    found = judged(name, text, assumptions)
    assert {v.value for _, v in found.observables} <= {"proved", "refuted"}, found.reason
    return {d.observable for d in found.deviations}


def shown(name: str, text: str, assumptions: frozenset[str] = ASSUMPTIONS) -> Counterexample:
    return counterexample(judged(name, text, assumptions), assumptions)


COVERED = {
    "no access": "4889d8", "a register": "f7f1", "an operand": "8b06", "near rsp": "8b442410",
    "rip-relative": "488b0511223344", "fs": "648b06", "gs": "65480306", "32-bit address": "678b06", "a push": "50",
    "a push of memory": "ff30", "a pop to memory": "8f0424", "leave": "c9", "enter": "c8112201", "xlat": "d7",
    "bit string": "480fa306", "bts": "0fab06", "string": "a4", "repeated scan": "f2ae",
    "masked": "660ff7c1", "xsave area": "0fae20", "x87": "dd06", "x87 environment": "d930", "vector": "c5fe6f06",
    "cmpxchg16b": "480fc70e", "an absolute offset": "a01122334400000000", "ud2": "0f0b",
}  # fmt: skip


@pytest.mark.parametrize("text", sampled(list(COVERED.values()), 8, always=("8b06", "50", "0fab06")))
def test_the_exact_check_covers_every_byte(text):
    assert refuted(CHECKED, text) == set()


@pytest.mark.whole  # near the solver's bound: CAVEATS, "In the kernel"
def test_the_exact_check_covers_every_byte_of_a_repeated_string():
    assert refuted(CHECKED, "f3a4") == set()


NOT_COVERED = {
    "beyond the user half by wrapping round": "8b06", "near rsp": "8b442410", "a segment base": "648b06",
    "a push": "50", "an implicit operand": "d7", "a frame pointer": "c9", "a bit string's offset": "0fab06",
    "a string": "a4", "repetitions": "f3a4", "elements": "c4e269900430", "a masked store": "660ff7c1",
}  # fmt: skip


@pytest.mark.parametrize("text", sampled(list(NOT_COVERED.values()), 4, always=("8b06", "648b06", "d7")))
def test_what_the_naive_check_does_not_cover(text):
    assert "fault" in refuted(NAIVE, text)
    assert shown(NAIVE, text).first_difference == "fault vector: in place 0x0e, displaced 0xff"


def test_an_aligned_area_does_not_wrap_round_the_naive_check():
    """FXSAVE needs an address of a multiple of 16, so that address + 4 does not wrap round."""
    assert refuted(NAIVE, "0fae00") == set()


def test_repetitions_beyond_the_first_are_told_as_containment():
    assert "containment" in refuted(NAIVE, "f3a4") and "containment" not in refuted(NAIVE, "a4")


@pytest.mark.parametrize("name", [CPL2, RPL3])
def test_neither_cpl_2_nor_rpl_3_keeps_out_of_supervisor_pages(name):
    found = shown(name, "488b06")
    address = dict(found.initial)["rsi"]
    assert int(address, 16) >= UPPER and found.first_difference == "fault vector: in place 0x0e, displaced 0xff"
    assert int(found.slot, 16) >= UPPER


PRIVILEGED = ("f4", "fa", "fb", "ec", "0f20c0", "0f30", "0f0138", "0f01f8", "0f06")  # hlt cli sti in mov-cr wrmsr ...


@pytest.mark.parametrize("text", sampled(PRIVILEGED, 3, always=("f4",)))
def test_privileged_instructions_succeed_at_cpl_0(text):
    for name in (NAIVE, RPL3):
        assert "fault" in refuted(name, text)
    assert refuted(CPL2, text) == set()  # #GP at every level but 0
    assert judged(CHECKED, text).reason.startswith("fault: ")


@pytest.mark.parametrize("text, observable", [
    ("9c", "memory-values"), ("9d", "flags"), ("8cc8", "gprs"), ("8cd0", "gprs"), ("8ed8", "fault"),
    ("0f0100", "memory-values"), ("0f01e0", "gprs"),
])  # fmt: skip
def test_what_shows_the_level(text, observable):
    """IF, AC and IOPL of the run, the kernel's cs and ss, checks of selectors by CPL, UMIP."""
    assert observable in refuted(NAIVE, text)
    assert isinstance(SCHEMES[CHECKED].plan(bytes.fromhex(text).ljust(16, b"\x90")), Refuse)


@pytest.mark.parametrize("text", ["0f31", "0fa2"])
def test_what_control_registers_close_to_programs_is_open(text):
    assert refuted(NAIVE, text) == {"fault"} and refuted(CPL2, text) == set()


@pytest.mark.parametrize("name", [NAIVE, CHECKED, RPL3])
def test_a_frame_is_pushed_below_rsp(name):
    """At CPL 0: 40 bytes by the breakpoint behind the copy, 48 by a page fault, below rsp aligned to 16."""
    dropped = ASSUMPTIONS - {"frames-elsewhere"}
    assert refuted(name, "90", dropped) == {"memory-values"}
    assert refuted(name, "90") == set()
    assert refuted(name, "0f0b", dropped) == {"fault"}


def test_cpl_2_has_a_stack_of_the_kernel_s_for_exceptions():
    assert refuted(CPL2, "90", ASSUMPTIONS - {"frames-elsewhere"}) == set()


def test_an_address_check_knows_no_pages():
    assert refuted(CHECKED, "8b06", ASSUMPTIONS - {"user-pages"}) == {"fault"}


@pytest.mark.parametrize("name", [NAIVE, CHECKED, CPL2, RPL3])
@pytest.mark.parametrize("text", ["c3", "e811223344", "7510", "ffe0", "ff10", "cc", "cd80", "0f05", "cf", "0f01c1"])
def test_no_control_transfer_is_run(name, text):
    found = SCHEMES[name].plan(bytes.fromhex(text).ljust(16, b"\x90"))
    assert isinstance(found, Refuse) and found.reason.startswith("containment: ")


@pytest.mark.parametrize("text, why", [
    ("c4e269900430", "fault: no check of one address"), ("64f3a4", "containment: the check of a repeated"),
    ("f30faed8", ""), ("f30faee8", "shadow-stack: "), ("06", "the table has no such instruction"),
])  # fmt: skip
def test_what_the_exact_check_refuses(text, why):
    found = SCHEMES[CHECKED].plan(bytes.fromhex(text).ljust(16, b"\x90"))
    assert (found.reason.startswith(why) and why) if isinstance(found, Refuse) else not why


def test_the_plan_says_what_is_checked():
    found = SCHEMES[NAIVE].plan(bytes.fromhex("8b06").ljust(16, b"\x90"))
    assert isinstance(found, Program)
    first = plan_text(found).splitlines()[1:3]
    assert first[0] == "check (ult (offset.1.-1.-1 + 0x4) 0x7ffffffff001)"
    assert "cpl 0" in plan_text(found)
