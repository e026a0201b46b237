"""MinHook's trampolines: the bytes that the source says, what comes of them, and its rules broken one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_line import run
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge, Judgement
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.hooks.jumps import NEXT, Pieces, fixed
from verify.models.schemes.hooks.minhook import ERROR, SCHEME
from verify.models.schemes.program import Program, Run
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.vocabulary import ORIGIN, SLOT
from verify.models.x86.isa.forms import Cpu
from verify.terms import add, const, sub

PROVED = (
    "90", "4889d8", "488b06", "eb10", "eb00", "e911223344", "7510", "7501", "0f8411223344", "c3", "c20800", "ffe0",
    "50", "9d", "f3a4", "f00fb10e",
)  # fmt: skip
REFUTED = {  # bytes, the observable that tells it, and why
    "488d0511223344": "gprs",  # the distance is cut: an operand 2 GiB away is another one
    "e810000000": "memory-values",  # the return address is the trampoline's
    "ffd0": "memory-values",
    "d9c0": "x87-pointers",
    "0ff6c1": "next-ip",  # PSADBW with reg 0 or 1 has an immediate to it: the next byte belongs to it
}
REFUSED = ("0f0b", "c5fe6f06", "62f17c482800", "0f3800c1", "e2f0", "e3f0", "4048c3", "f04889d8", "0ff006")
CODE = {
    "90": "[0..4] ff 25 00 00 00 00 {(ORIGIN + 0x5)}:8 alone alike 0=0 1=1",
    "4889d8909090": "[0..4] ff 25 00 00 00 00 {(ORIGIN + 0x5)}:8 alone alike 0=0 3=3",
    "e911223344": "ff 25 00 00 00 00 {(LENGTH + ORIGIN + field.1.4)}:8 alone",
    "e811223344": "ff 15 02 00 00 00 eb 08 {(LENGTH + ORIGIN + field.1.4)}:8 "
    "ff 25 00 00 00 00 {(LENGTH + ORIGIN)}:8 alone",
}


def judged(plan: Callable[[bytes], Plan], text: str, cpu: Cpu = Cpu.INTEL) -> Judgement:
    return Judge(replace(SCHEME, plan=plan), ASSUMPTIONS).judgement(bytes.fromhex(text), cpu)


def planned(text: str) -> Plan:
    return SCHEME.plan(bytes.fromhex(text).ljust(16, b"\x90"))


def code_of(plan: Plan) -> Code:
    assert isinstance(plan, Program)
    run = plan.actions[0]
    assert isinstance(run, Run)
    return run.code


@pytest.mark.parametrize("text", PROVED)
def test_what_is_right(text: str) -> None:
    for cpu in (Cpu.INTEL, Cpu.AMD):
        found = judged(SCHEME.plan, text, cpu)
        assert found.verdict is Verdict.PROVED, found.reason


@pytest.mark.parametrize("text", REFUTED)
def test_what_is_wrong(text: str) -> None:
    assert REFUTED[text] in {d.observable for d in judged(SCHEME.plan, text).deviations}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text: str) -> None:
    assert isinstance(planned(text), Refuse)
    assert planned("0f0b") is ERROR


@pytest.mark.parametrize("text", CODE)
def test_the_bytes_of_a_trampoline(text: str) -> None:
    """Source: src/trampoline.h (JMP_ABS, CALL_ABS, JCC_ABS) and the order of CreateTrampolineFunction."""
    assert code_of(planned(text)).text == CODE[text]


def test_an_address_size_prefix_makes_it_write_over_its_own_copy() -> None:
    assert any(isinstance(p, Word) and p.size == 1 for p in code_of(planned("67880511223344")).pieces)


@pytest.mark.parametrize("text", ["90", "488d0511223344", "e810000000", "d9c0", "0ff6c1", "0f0b", "67880511223344"])
def test_it_is_explained(text: str) -> None:
    status, said = run("insn", text, "--scheme", "minhook")
    assert status in {0, 2} and "internal fault" not in said and "minhook" in said


def test_it_is_classified(tmp_path: Path) -> None:
    file = tmp_path / "encodings"
    file.write_text("\n".join((*PROVED, *REFUTED, *REFUSED)), encoding="utf-8")
    status, said = run("classify", str(file), "--scheme", "minhook", "--ledger", str(tmp_path / "ledger"))
    verdicts = [line.split("\t")[1] for line in said.splitlines()]
    assert (status, verdicts[: len(PROVED)]) == (0, ["proved"] * len(PROVED))
    assert verdicts[len(PROVED) : -len(REFUSED)] == ["refuted"] * len(REFUTED)
    assert set(verdicts[-len(REFUSED) :]) <= {"refused", "invalid"}


def replaced_word(value: Callable[[Word], Word]) -> Callable[[Pieces], Pieces]:
    return lambda pieces: tuple(value(p) if isinstance(p, Word) else p for p in pieces)


def byte(at: int, bits: int) -> Callable[[Pieces], Pieces]:
    return lambda pieces: (*pieces[:at], Byte(None, bits=bits), *pieces[at + 1 :])


FAULTS: dict[str, tuple[Callable[[Pieces], Pieces], str, str]] = {
    "the jump back is missing": (lambda p: p[:-7], "4889d80f1f00", "containment"),
    "the jump leads back to the function": (replaced_word(lambda w: Word(ORIGIN, 8)), "48c7c001000000", "next-ip"),
    "the jump leads one byte too far": (replaced_word(lambda w: Word(add(w.value, const(1, 64)), 8)), "e911223344",
                                        "next-ip"),
    "a target is the trampoline's": (replaced_word(lambda w: Word(add(w.value, sub(SLOT, ORIGIN)), 8)), "eb10",
                                     "next-ip"),
    "a target is counted from the instruction": (replaced_word(lambda w: Word(sub(w.value, const(2, 64)), 8)), "eb10",
                                                 "next-ip"),
    "the condition is not inverted": (byte(0, 0x75), "7510", "next-ip"),
    "the inverted condition leads too far": (byte(1, 0x0F), "7510", "next-ip"),
    "another condition": (byte(0, 0x76), "7510", "next-ip"),
    "a byte of the copy is lost": (lambda p: p[1:], "4889d8909090", "gprs"),
    "a register is used": (lambda p: (*fixed("31c9"), *p), "48c7c001000000", "gprs"),
    "the flags are lost": (lambda p: (*fixed("4885db"), *p), "48c7c001000000", "flags"),
    "the stack is used": (lambda p: (*fixed("5058"), *p), "48c7c001000000", "memory-addresses"),
    "a return is a jump": (lambda p: (*fixed("ff2500000000"), Word(NEXT, 8)), "c3", "next-ip"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_by_its_observable(name: str) -> None:
    edit, text, observable = FAULTS[name]
    real = planned(text)
    assert isinstance(real, Program)
    run, code = real.actions[0], code_of(real)
    assert isinstance(run, Run)
    wrong = replace(real, actions=(replace(run, code=Code(edit(code.pieces), ((0, 0),), closed=True)),))
    found = judged(lambda _: wrong, text)
    assert observable in {d.observable for d in found.deviations}, found.reason
