"""The design of a jump to a copy: what it keeps, what it refuses, and each fault of a slot told by its observable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.hooks.jump_xol import SCHEME
from verify.models.schemes.hooks.jumps import NEXT, Pieces, absolute, fixed
from verify.models.schemes.program import Program, Run
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.vocabulary import ORIGIN, SLOT, field
from verify.models.x86.isa.forms import Cpu
from verify.terms import add, const, sub

KEPT = (
    "90", "4889d8", "488b06", "488b0511223344", "eb10", "e911223344", "7510", "0f8411223344", "e2f0", "67e310",
    "f2e010", "e810000000", "e800000000", "c3", "c20800", "ffe0", "ff2511223344", "50", "9c", "9d", "f3a4", "0f0b",
    "cc", "8ed0", "cf", "c5fe6f0511223344", "f0eb10", "f48f00", "9b",
)  # fmt: skip
REFUSED = {
    "0f05": "next-ip", "cd80": "next-ip", "c7f800000000": "next-ip", "66e81000": "next-ip", "d9c0": "x87-pointers",
    "d80511223344": "x87-pointers", "ffd0": "fault", "ff10": "fault", "ff18": "memory-values",
}  # fmt: skip


def refuted(plan: Callable[[bytes], Plan], text: str, dropped: str = "") -> set[str]:
    judge = Judge(replace(SCHEME, plan=plan), ASSUMPTIONS - {dropped})
    found = [judge.judgement(bytes.fromhex(text), cpu) for cpu in (Cpu.INTEL, Cpu.AMD)]
    return {d.observable for j in found for d in j.deviations}


def planned(text: str) -> Plan:
    return SCHEME.plan(bytes.fromhex(text).ljust(16, b"\x90"))


def code_of(plan: Program) -> Code:
    run = plan.actions[0]
    assert isinstance(run, Run)
    return run.code


def with_pieces(plan: Program, pieces: Pieces) -> Program:
    run = plan.actions[0]
    assert isinstance(run, Run)
    return replace(plan, actions=(replace(run, code=Code(pieces, ((0, 0),), closed=True)),))


@pytest.mark.parametrize("text", KEPT)
def test_what_is_kept(text: str) -> None:
    judge = Judge(SCHEME)
    for cpu in (Cpu.INTEL, Cpu.AMD):
        found = judge.judgement(bytes.fromhex(text), cpu)
        assert found.verdict is Verdict.PROVED, found.reason


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_names_its_observable(text: str) -> None:
    plan = planned(text)
    assert isinstance(plan, Refuse) and plan.reason.startswith(f"{REFUSED[text]}: ")


def test_the_code_of_a_slot() -> None:
    """Sources: SDM vol. 2, JMP (ff /4), Jcc (7x), PUSH (ff /6), LOOP (e2)."""
    assert code_of(planned("4889d8")).text == "[0..2] ff 25 00 00 00 00 {(LENGTH + ORIGIN)}:8 alone"
    assert code_of(planned("7510")).text.startswith("74 0e ff 25 00 00 00 00 {")
    assert code_of(planned("e2f0")).text.startswith("[0..0] 02 eb 0e ff 25")
    assert code_of(planned("e810000000")).text.startswith("ff 35 0e 00 00 00 ff 25 00 00 00 00 {")
    assert "[0..2] {(ORIGIN + field.3.4 - SLOT)}:4 ff 25" in code_of(planned("488b0511223344")).text


def replaced_word(value: Callable[[Word], Word]) -> Callable[[Pieces], Pieces]:
    return lambda pieces: tuple(value(p) if isinstance(p, Word) else p for p in pieces)


def without(count: int) -> Callable[[Pieces], Pieces]:
    return lambda pieces: pieces[:-count]


def byte(at: int, bits: int) -> Callable[[Pieces], Pieces]:
    return lambda pieces: (*pieces[:at], Byte(None, bits=bits), *pieces[at + 1 :])


def before(text: str) -> Callable[[Pieces], Pieces]:
    return lambda pieces: (*fixed(text), *pieces)


FAULTS: dict[str, tuple[Callable[[Pieces], Pieces], str, str]] = {
    "no jump back": (without(7), "4889d8", "containment"),
    "the jump leads back to the probe": (replaced_word(lambda w: Word(ORIGIN, 8)), "4889d8", "next-ip"),
    "the jump leads one byte too far": (replaced_word(lambda w: Word(add(NEXT, const(1, 64)), 8)), "90", "next-ip"),
    "a branch is the slot's": (replaced_word(lambda w: Word(add(w.value, sub(SLOT, ORIGIN)), 8)), "eb10", "next-ip"),
    "the condition is not inverted": (byte(0, 0x75), "7510", "next-ip"),
    "another condition": (byte(0, 0x76), "7510", "next-ip"),
    "the condition leads to the jump": (byte(1, 0x00), "7510", "next-ip"),
    "the operand is the slot's": (replaced_word(lambda w: Word(field(3, 4), 4) if w.size == 4 else w),
                                  "488b0511223344", "gprs"),
    "the operand is moved the other way": (
        replaced_word(lambda w: Word(add(field(3, 4), sub(SLOT, ORIGIN)), 4) if w.size == 4 else w),
        "488b0511223344", "gprs"),
    "the return address is the slot's": (
        replaced_word(lambda w: Word(add(SLOT, const(14, 64)), 8) if w.value is NEXT else w), "e810000000",
        "memory-values"),
    "the return address is not pushed": (lambda pieces: pieces[6:], "e810000000", "memory-addresses"),
    "the call is a copy": (lambda pieces: (*map(Byte, range(5)), *absolute(NEXT)), "e810000000", "memory-values"),
    "a register is used": (before("31c9"), "4889d8", "gprs"),
    "the flags are lost": (before("4885db"), "4889d8", "flags"),
    "the red zone is overwritten": (before("5058"), "4889d8", "memory-addresses"),
    "the counter counts twice": (before("e200"), "e2f0", "gprs"),
    "a vector register is cleared": (before("c5f857c0"), "4889d8", "vector"),
    "the shadow stack has an entry": (before("e8000000004883c408"), "90", "memory-addresses"),
    "an instruction that faults stands in front": (before("0f0b"), "90", "fault"),
    "x87 pointers are the slot's": (lambda pieces: (*map(Byte, range(2)), *pieces[3:]), "d9c0", "x87-pointers"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_by_its_observable(name: str) -> None:
    edit, text, observable = FAULTS[name]
    real = planned(text) if text != "d9c0" else planned("4889d8")
    assert isinstance(real, Program)
    wrong = with_pieces(real, edit(code_of(real).pieces))
    if text == "d9c0":
        wrong = replace(wrong, length=2)
    assert wrong != real
    assert observable in refuted(lambda _: wrong, text)


@pytest.mark.parametrize(
    ("name", "text", "observable"),
    [("no-fault-in-slot", "488b06", "fault"), ("no-tf-in-slot", "90", "containment"),
     ("no-shadow-stack", "e810000000", "shadow-stack"), ("canonical-targets", "e8f0ffff7f", "fault")],
)  # fmt: skip
def test_what_it_rests_on(name: str, text: str, observable: str) -> None:
    assert observable in refuted(SCHEME.plan, text, name)


def test_every_assumption_of_hooks_is_told_at_the_scheme() -> None:
    names = {e.name for e in SCHEME.entries}
    assert {"no-fault-in-slot", "no-tf-in-slot", "no-transfer-inside"} <= names
