"""Inline up to a hardware breakpoint: which instructions do not reach it, and how many registers a form needs.

Expected: SDM vol. 3, 6.8.3 (what MOV SS holds back), 18.2 (debug registers), vol. 2 of each instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.program import Breakpoints, Context, Program, Run, Set
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.seed.inline_step_hwbp import NEXT, SCHEME, plan
from verify.models.schemes.vocabulary import ORIGIN, SLOT
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import NO_FAULT
from verify.terms import add, const, sub

REACH = (
    "90", "488b0511223344", "f3a4", "f2ae", "9c", "9d", "e811223344", "e800000000", "7510", "0f8411223344", "e210",
    "eb10", "e911223344", "cc", "0f0b", "c5fe7f03", "d9c0", "c4e259900c13", "cd80", "8b06", "50", "c8112201", "f4",
)  # fmt: skip
LEAVE = ("8ed0", "0f05", "c3", "cb", "cf", "ffe0", "ffd0", "ff10", "ff2511223344", "ff18", "0f01d7")


def planned(text: str) -> Plan:
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def refuted(text: str, made: Callable[[bytes], Plan] = plan) -> set[str]:
    found = Judge(replace(SCHEME, plan=made)).judgement(bytes.fromhex(text), Cpu.AMD)
    assert {v.value for _, v in found.observables} <= {"proved", "refuted"}
    return {d.observable for d in found.deviations}


@pytest.mark.parametrize("text", REACH)
def test_what_reaches_the_breakpoint_is_proved(text: str) -> None:
    assert refuted(text) == set()


@pytest.mark.parametrize("text", LEAVE)
def test_what_leaves_without_reaching_it(text: str) -> None:
    assert refuted(text) == {"containment"}


@pytest.mark.parametrize(("text", "registers"), [
    ("90", 1), ("c3", 1), ("7510", 2), ("0f8411223344", 2), ("e210", 2), ("eb10", 2), ("e811223344", 2), ("ff20", 1),
])  # fmt: skip
def test_how_many_registers_a_form_needs(text: str, registers: int) -> None:
    found = planned(text)
    assert isinstance(found, Program)
    run, = found.actions
    assert isinstance(run, Run) and isinstance(run.context.end, Breakpoints) and run.context.end.armed
    assert len(run.context.end.at) == registers and run.at is ORIGIN


def test_what_is_refused() -> None:
    for text in ("0f0100", "0f00c8", "0f01e0"):
        found = planned(text)
        assert isinstance(found, Refuse) and found.reason.startswith("containment: ")
    assert isinstance(planned("06"), Refuse)
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))


def edited(change: Callable[[Run], Run]) -> Callable[[bytes], Plan]:
    def made(data: bytes) -> Plan:
        found = plan(data)
        assert isinstance(found, Program) and isinstance(found.actions[0], Run)
        return replace(found, actions=(change(found.actions[0]), *found.actions[1:]))

    return made


def at(*places: object, armed: bool = True) -> Callable[[bytes], Plan]:
    return edited(lambda run: replace(run, context=Context(Breakpoints(places, armed))))  # type: ignore[arg-type]


def of_length(change: int) -> Callable[[bytes], Plan]:
    return lambda data: replace(plan(data), length=plan(data).length + change)  # type: ignore[type-var, union-attr]


FORGOTTEN = (Set("vector", const(NO_FAULT, 8)),)
FAULTS: dict[str, tuple[Callable[[bytes], Plan], str, str]] = {
    "the branch's target is not armed": (at(NEXT), "7510", "containment"),
    "the call's target is not armed": (at(NEXT), "e811223344", "containment"),
    "the jump's target is not armed": (at(NEXT), "eb10", "containment"),
    "the next instruction is not armed": (at(ORIGIN), "90", "containment"),
    "the next instruction of a branch is not armed": (at(ORIGIN), "7510", "containment"),
    "the slot is armed": (at(SLOT), "90", "containment"),
    "one byte behind is armed": (at(add(NEXT, const(1, 64))), "488b0511223344", "containment"),
    "one byte before is armed": (at(sub(NEXT, const(1, 64))), "8b06", "containment"),
    "the instruction is taken for longer": (of_length(1), "89c8", "containment"),
    "the instruction is taken for shorter": (of_length(-1), "0f8411223344", "containment"),
    "breakpoints instead of registers": (at(NEXT, armed=False), "90", "containment"),  # under the program's own TF
    "it runs in the slot": (edited(lambda run: replace(run, at=SLOT)), "90", "next-ip"),
    "a fault is forgotten": (edited(lambda run: replace(run, on_fault=FORGOTTEN)), "8b06", "fault"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told(name: str) -> None:
    wrong, text, observable = FAULTS[name]
    assert refuted(text) == set()
    assert observable in refuted(text, wrong)
