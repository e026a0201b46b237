"""Faults of the reference relocator, one a row: each is told by the named observable, which the scheme itself keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import Byte, Code
from verify.models.schemes.program import Action, Actions, Check, Program, Run, Set, Shadow, Signal, Store
from verify.models.schemes.scheme import Plan
from verify.models.schemes.seed.xol_step import MOVED, NEXT, OWN_TF, SCHEME, TOLD, TRAPPED
from verify.models.schemes.vocabulary import ORIGIN, SLOT, first, register
from verify.models.x86.isa.forms import Cpu
from verify.terms import add, const, extract, not_, sub

Edit = Callable[[Action], Actions]


def each(edit: Edit) -> Callable[[Program], Program]:
    """The program with every action replaced, those of failures and faults too."""

    def edited(actions: Actions) -> Iterator[Action]:
        for a in actions:
            for b in edit(a):
                if isinstance(b, Check | Store) and b.otherwise:
                    yield replace(b, otherwise=tuple(edited(b.otherwise)))
                else:
                    yield replace(b, on_fault=tuple(edited(b.on_fault))) if isinstance(b, Run) else b

    return lambda program: replace(program, actions=tuple(edited(program.actions)))


def top(edit: Edit) -> Callable[[Program], Program]:
    """The program with the actions on its way replaced; what follows a fault or a failure is as it was."""
    return lambda program: replace(program, actions=tuple(b for a in program.actions for b in edit(a)))


def on_fault(edit: Edit) -> Callable[[Program], Program]:
    """The program with what it does at a fault half-way replaced."""
    return top(lambda a: (replace(a, on_fault=tuple(b for f in a.on_fault for b in edit(f))),) if isinstance(a, Run)
               else (a,))  # fmt: skip


def without(wanted: object) -> Edit:
    return lambda a: () if a == wanted or (isinstance(a, Set) and a.target == wanted) else (a,)


def dropped(kind: type) -> Edit:
    return lambda a: () if isinstance(a, kind) else (a,)


def returning_to_the_call(a: Action) -> Actions:
    return (replace(a, value=extract(ORIGIN, 8 * a.size - 1, 0)),) if isinstance(a, Store) else (a,)


def of_four_bytes(a: Action) -> Actions:
    return (replace(a, value=extract(NEXT, 31, 0), size=4),) if isinstance(a, Store) else (a,)


def without_tf(a: Action) -> Actions:
    return (replace(a, value=const(0x202, 64)),) if isinstance(a, Store) else (a,)


def jumping_from_the_slot(a: Action) -> Actions:
    return (Set("ip", add(SLOT, sub(a.value, ORIGIN))),) if isinstance(a, Set) and a.target == "ip" else (a,)


def coded(change: Callable[[Byte], Byte]) -> Callable[[Program], Program]:
    """Other bytes in the slot."""

    def edit(a: Action) -> Actions:
        if not isinstance(a, Run):
            return (a,)
        return (replace(a, code=Code(tuple(change(p) for p in a.code.pieces if isinstance(p, Byte)))),)

    return top(edit)


def scratch(number: int) -> Callable[[Program], Program]:
    """Another scratch register."""

    def edit(a: Action) -> Actions:
        if isinstance(a, Set) and isinstance(a.target, int):
            return (Set(number, NEXT if a.value is NEXT else first(register(number))),)
        return (a,)

    rewritten = coded(lambda b: replace(b, bits=0x80 | number) if b.keep == 0x38 else b)
    return lambda program: rewritten(on_fault(edit)(top(edit)(program)))


def inverted(a: Action) -> Actions:
    return (replace(a, condition=not_(a.condition)),) if isinstance(a, Check) and a != TRAPPED[0] else (a,)


def whatever_the_displacement(a: Action) -> Actions:
    return () if isinstance(a, Check) and a != TRAPPED[0] else (a,)


FAULTS: dict[str, tuple[Callable[[Program], Program], str, str]] = {
    "ip stays in the slot": (top(without(MOVED)), "90", "next-ip"),
    "a fault shows the slot": (on_fault(without(MOVED)), "488b06", "fault"),
    "a fault tells the slot's address": (on_fault(without(TOLD)), "0f0b", "fault"),
    "a fault shows another TF": (on_fault(without(OWN_TF)), "488b06", "fault"),
    "the scratch register is lost": (top(without(6)), "488b0511223344", "gprs"),
    "the scratch register is lost at a fault": (on_fault(without(6)), "488b0511223344", "fault"),
    "the scratch register is the destination": (scratch(6), "488b3511223344", "gprs"),
    "the scratch register is rax": (scratch(0), "f72511223344", "gprs"),
    "the base is the origin": (top(lambda a: (Set(6, ORIGIN),) if a == Set(6, NEXT) else (a,)), "488b0511223344",
                               "gprs"),
    "REX.B stays": (coded(lambda b: Byte(b.source) if b.keep == 0xFE else b), "498b0511223344", "gprs"),
    "VEX.B stays": (coded(lambda b: Byte(b.source) if b.bits == 0x60 else b), "c4c2f0f20511223344", "gprs"),
    "a call keeps the slot's address": (each(dropped(Store)), "ffd0", "memory-values"),
    "a call returns to the call": (each(returning_to_the_call), "ffd0", "memory-values"),
    "a 16-bit call has eight bytes": (each(lambda a: () if isinstance(a, Check) else (a,)), "66ffd0", "memory-values"),
    "a far call has four bytes": (each(of_four_bytes), "48ff18", "memory-values"),
    "a call's entry is the slot's": (each(dropped(Shadow)), "ffd0", "shadow-stack"),
    "a far call's entry is the wrong one": (
        each(lambda a: (Shadow(a.value, 0),) if isinstance(a, Shadow) else (a,)), "ff18", "shadow-stack"),
    "a call without displacement has an entry": (
        top(whatever_the_displacement), "e800000000", "shadow-stack"),
    "fip is the slot's": (top(without("fip")), "d9c0", "x87-pointers"),
    "fop is the copy's": (top(without("fop")), "d80511223344", "x87-pointers"),
    "TF is lost": (top(without(OWN_TF)), "90", "trap"),
    "TF that popf loads is lost": (lambda p: replace(p, actions=(*p.actions[:-2], OWN_TF, *TRAPPED)), "9d", "trap"),
    "no trap is sent": (top(dropped(Signal)), "90", "trap"),
    "a trap is sent that waits": (lambda p: replace(p, actions=(*p.actions, *TRAPPED)), "8ed0", "trap"),
    "the image has no TF": (top(without_tf), "9c", "memory-values"),
    "conditions are swapped": (top(inverted), "7510", "next-ip"),
    "a jump is the slot's": (top(jumping_from_the_slot), "eb10", "next-ip"),
    "rsp is not moved": (top(without(4)), "9c", "gprs"),
    "the copy runs under TF": (lambda p: replace(p, actions=p.actions[1:]), "90", "containment"),
}  # fmt: skip
ASSUMED = ASSUMPTIONS - {"no-shadow-stack"}


def refuted(plan: Callable[[bytes], Plan], text: str) -> set[str]:
    judge = Judge(replace(SCHEME, plan=plan), ASSUMED)
    found = [judge.judgement(bytes.fromhex(text), cpu) for cpu in (Cpu.INTEL, Cpu.AMD)]
    assert {v.value for j in found for _, v in j.observables} <= {"proved", "refuted"}
    return {d.observable for j in found for d in j.deviations}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_by_its_observable(name: str) -> None:
    edit, text, observable = FAULTS[name]
    real = SCHEME.plan(bytes.fromhex(text).ljust(16, b"\x90"))
    assert isinstance(real, Program) and edit(real) != real
    assert refuted(SCHEME.plan, text) == set()
    assert observable in refuted(lambda _: edit(real), text)


def test_there_are_ten() -> None:
    assert len(FAULTS) >= 10
