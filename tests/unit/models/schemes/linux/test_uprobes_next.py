"""Plans of the development kernel against insn_is_nop, can_optimize and the shadow-stack calls of its uprobes.c."""

from __future__ import annotations

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux import uprobes_6_18
from verify.models.schemes.linux.uprobes_next import SCHEME, plan, plan_in_32_bits
from verify.models.schemes.program import Program, Run
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.x86.isa.forms import Cpu

JUDGE = Judge(SCHEME)
WITH_SHADOW_STACKS = Judge(SCHEME, ASSUMPTIONS - {"no-shadow-stack"})
TRAMPOLINE = (
    "later hits, entered by kernel", "8 bytes at (rsp - 0x88) := (LENGTH + ORIGIN), on the stack, by the program",
    "  otherwise done", "8 bytes at (rsp - 0x90) := rcx, on the stack, by the program", "  otherwise done",
    "8 bytes at (rsp - 0x98) := r11, on the stack, by the program", "  otherwise done",
    "8 bytes at (rsp - 0xa0) := rax, on the stack, by the program", "  otherwise done", "ip := (LENGTH + ORIGIN)",
)  # facts, section 4: lea -128(%rsp); call; push rcx; push r11; push rax


def planned(text: str) -> Plan:
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def refuted(text: str, judge: Judge = JUDGE) -> str:
    found = judge.judgement(bytes.fromhex(text), Cpu.AMD)
    assert {v.value for _, v in found.observables} <= {"proved", "refuted"}
    return " ".join(d.observable for d in found.deviations)


@pytest.mark.parametrize(("text", "is_nop"), [
    ("4889c0", True), ("4d89c0", True), ("664889c0", True), ("89c0", False), ("4889c8", False), ("4989c0", False),
    ("488900", False), ("4888c0", False), ("488bc0", False),  # mov: 89, mod 3, 8 bytes, reg = rm
    ("488d4000", True), ("488d8000000000", True), ("4d8d7600", True), ("488d642400", True), ("4d8d642400", True),
    ("488d00", False), ("488d4001", False), ("8d4000", False), ("4a8d642400", False), ("488d644400", False),
    ("488d6500", False), ("64488d4000", False), ("67488d4000", False), ("488d0500000000", False),  # lea
    ("90", True), ("6690", True), ("f290", True), ("4890", True), ("6490", True), ("6790", True), ("4490", True),
    ("f390", False), ("4190", False), ("c5f890c0", False),  # b3 = 0, no rep, no VEX
    ("e900000000", True), ("eb00", True), ("66e900000000", True), ("e901000000", False), ("eb01", False),
    ("0f1f00", True), ("660f1f440000", True), ("480f1f00", True), ("0f1f08", False), ("440f1f00", False),
    ("0f1e00", False), ("0f38f000", False),
])  # fmt: skip
def test_what_is_a_nop(text: str, is_nop: bool) -> None:
    found = planned(text)
    going_on = "ip := (LENGTH + ORIGIN)\n"
    applied = isinstance(found, Program) and not any(isinstance(a, Run) for a in found.actions)
    assert (applied and going_on in canonical(found)) == is_nop
    assert isinstance(found, Program) and found.later is None


@pytest.mark.parametrize(("text", "is_optimised"), [
    ("662e0f1f840000000000", True), ("662e0f1f84e811223344", True),
    ("0f1f440000", False), ("2e0f1f840000000000", False), ("662e0f1f8000000000", False),
    ("66662e0f1f8400000000", False),
])  # fmt: skip
def test_ten_bytes_become_a_call_from_the_second_hit_on(text: str, is_optimised: bool) -> None:
    found = plan(bytes.fromhex(text).ljust(16, b"\x00"))
    assert (isinstance(found, Program) and found.later is not None) == is_optimised
    if is_optimised:
        assert tuple(canonical(found).splitlines()[-10:]) == TRAMPOLINE
        assert isinstance(found, Program) and found.length == 10


def test_other_prefixes_are_refused_before_a_nop_is_asked_for() -> None:
    for text in ("3e488d4000", "2e0f1f00", "3e90", "2e660f1f840000000000"):
        assert planned(text) == uprobes_6_18.plan(bytes.fromhex(text).ljust(16, b"\x90"))
        assert isinstance(planned(text), Refuse)


@pytest.mark.parametrize("text", [
    "e811223344", "7510", "0f8411223344", "50", "4157", "9d", "c3", "488b0511223344", "c5fe6f0511223344",
    "66e811223344", "06", "cc", "2e8b00", "0f05", "ff20", "8fe878c2c000",
])  # fmt: skip
def test_the_rest_is_planned_as_6_18_does_but_for_the_shadow_stack(text: str) -> None:
    older = uprobes_6_18.plan(bytes.fromhex(text).ljust(16, b"\x90"))
    lines = [line for line in canonical(planned(text)).splitlines() if "shadow stack" not in line]
    assert lines == canonical(older).splitlines()


def test_where_the_shadow_stack_is_written() -> None:
    pushed = "shadow stack, pushed := (LENGTH + ORIGIN)\nip := (LENGTH + ORIGIN + field.1.4)"
    assert pushed in canonical(planned("e811223344"))
    for text in ("ffd0", "ff15aabbccdd", "ff18"):
        assert canonical(planned(text)).count("shadow stack, 0 := (LENGTH + ORIGIN)") == 2


@pytest.mark.parametrize(("text", "older", "newer"), [
    ("4190", "gprs", ""), ("c5f890c0", "vector", ""),  # XCHG with r8, KMOVW: nops to 6.18
    ("440f1f4000", "", ""), ("0f1f440000", "memory-addresses memory-values fault trap", ""),
    ("662e0f1f840000000000", None, "memory-addresses memory-values fault trap"),  # which 6.18 refuses
    ("66e900000000", None, "next-ip"),  # 16 bits of ip on AMD
    ("4889c0", "", ""), ("488d4000", "", ""), ("e800000000", "", ""), ("ffd0", "", ""), ("0f1f4000", "", ""),
])  # fmt: skip
def test_deviations_that_end_and_that_come(text: str, older: str | None, newer: str) -> None:
    assert refuted(text) == newer
    before = Judge(uprobes_6_18.SCHEME).judgement(bytes.fromhex(text), Cpu.AMD)
    assert (before.verdict is not None and before.verdict.value == "refused") == (older is None)
    if older:
        assert set(older.split()) == {d.observable for d in before.deviations}


@pytest.mark.parametrize(("text", "observables"), [
    ("e811223344", ""), ("ffd0", ""), ("ff10", ""), ("c3", ""),
    ("e800000000", "shadow-stack"),  # pushes nothing there: SDM vol. 2, CALL
    ("48ff18", "memory-values shadow-stack"),  # the top entry of a far call is SSP: SDM vol. 1, 17.2.1
])  # fmt: skip
def test_with_shadow_stacks(text: str, observables: str) -> None:
    assert refuted(text, WITH_SHADOW_STACKS) == observables
    older = Judge(uprobes_6_18.SCHEME, ASSUMPTIONS - {"no-shadow-stack"})
    deviates = text not in {"c3", "e800000000"}
    assert ("shadow-stack" in refuted(text, older)) == deviates


def test_in_a_32_bit_reading_operands_have_four_bytes_and_nothing_becomes_a_call() -> None:
    def read(text: str) -> Plan:
        return plan_in_32_bits(bytes.fromhex(text).ljust(16, b"\x90"))

    for text, is_nop in (("89c0", True), ("6689c0", False), ("8d4000", True), ("4889c0", False)):
        assert ("run " not in canonical(read(text))) == is_nop, text
    assert isinstance(read("662e0f1f840000000000"), Refuse)


def test_fewer_than_16_bytes_are_an_error() -> None:
    for planned_by in (plan, plan_in_32_bits):
        with pytest.raises(ValueError, match="got 3"):
            planned_by(bytes(3))


def test_entries_name_what_the_shadow_stack_still_shows() -> None:
    entry, = (e for e in SCHEME.entries if e.name == "no-shadow-stack")
    assert "displacement 0" in entry.sees and "no machine" in entry.witness
    assert len(SCHEME.entries) == len(uprobes_6_18.SCHEME.entries)
