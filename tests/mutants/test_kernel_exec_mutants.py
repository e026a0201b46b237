"""Faults of the designs that run an instruction in the kernel, one a row: each is told by the named observable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sampling import sampled

from verify import terms
from verify.judge.encoding import Judge
from verify.models.schemes.program import Action, Actions, Breakpoints, Check, Context, Program, Run, Set
from verify.models.schemes.scheme import Plan, Scheme
from verify.models.schemes.seed.kernel_exec import AS_USER, AT_ORIGIN, OWN, SCHEMES
from verify.models.schemes.seed.xol_step import MOVED, OWN_TF, TOLD, TRAPPED
from verify.models.schemes.vocabulary import NOW, SLOT, first, offset, register
from verify.models.x86.isa.forms import Cpu
from verify.terms import FALSE, TRUE, add, const, ult

NAIVE, CHECKED, CPL2, RPL3 = SCHEMES
Change = Callable[[Program], Program]


def without(*unwanted: Action) -> Change:
    return lambda p: replace(p, actions=tuple(a for a in p.actions if a not in unwanted))


def on_fault_without(*unwanted: Action) -> Change:
    def edited(a: Action) -> Action:
        return replace(a, on_fault=tuple(b for b in a.on_fault if b not in unwanted)) if isinstance(a, Run) else a

    return lambda p: replace(p, actions=tuple(map(edited, p.actions)))


def at(place: terms.Term) -> Change:
    def edited(a: Action) -> Action:
        ended = Context(Breakpoints((place,)), cpl=a.context.cpl) if isinstance(a, Run) else None
        return replace(a, context=ended) if isinstance(a, Run) and ended else a

    return lambda p: replace(p, actions=tuple(map(edited, p.actions)))


def checking(*conditions: terms.Term) -> Change:
    """The program with these checks in place of its own."""
    looked: Actions = tuple(Check(c, AT_ORIGIN) for c in conditions)

    def changed(p: Program) -> Program:
        own = [a for a in p.actions if isinstance(a, Check) and a.otherwise == AT_ORIGIN]
        return replace(p, actions=(*looked, *(a for a in p.actions if a not in own)))

    return changed


def with_checks(kept: Callable[[terms.Term], bool]) -> Change:
    return lambda p: replace(p, actions=tuple(
        a for a in p.actions if not (isinstance(a, Check) and a.otherwise == AT_ORIGIN and not kept(a.condition))
    ))  # fmt: skip


LIMIT = const(0x7FFF_FFFD_F000, 64)
OF_ALL: dict[str, tuple[Change, str, str]] = {
    "AC stays set": (without(OWN[2]), "4889d8", "flags"),
    "IF stays clear": (without(OWN[0]), "4889d8", "flags"),
    "IOPL stays 0": (without(OWN[1]), "4889d8", "flags"),
    "ip is not mended": (without(MOVED), "4889d8", "next-ip"),
    "TF is not given back": (without(OWN_TF), "4889d8", "trap"),
    "TF is not cleared for the run": (without(Set("tf", FALSE)), "4889d8", "containment"),
    "the trap is not sent": (without(*TRAPPED), "4889d8", "trap"),
    "a fault shows the slot": (on_fault_without(MOVED), "0f0b", "fault"),
    "a fault tells the slot's address": (on_fault_without(TOLD), "0f0b", "fault"),
    "a fault shows AC": (on_fault_without(OWN[2]), "0f0b", "fault"),
    "a fault shows IF": (on_fault_without(OWN[0]), "0f0b", "fault"),
    "a fault loses TF": (on_fault_without(OWN_TF), "0f0b", "fault"),
    "the breakpoint is in the slot's first byte": (at(SLOT), "4889d8", "containment"),
    "FIP is the slot's": (without(Set("fip", terms.var("ORIGIN", 64))), "d9c0", "x87-pointers"),
    "the scratch register is not given back":
        (without(Set(6, first(register(6)))), "8d0511223344", "gprs"),
}  # fmt: skip
OF_THE_CHECK: dict[str, tuple[Change, str, str]] = {
    "nothing is checked": (checking(), "8b06", "fault"),
    "SMAP is forgotten": (without(Set("ac", TRUE)), "8b06", "fault"),
    "U/S is forgotten": (on_fault_without(AS_USER), "8b06", "fault"),
    "the limit is the end of all addresses": (checking(ult(offset(1), const(-4096, 64))), "8b06", "fault"),
    "the size wraps round": (checking(ult(add(offset(1), const(8, 64)), LIMIT)), "8b06", "fault"),
    "the segment base is left out": (checking(ult(offset(2), LIMIT)), "648b06", "fault"),
    "the other base is added": (checking(ult(add(offset(2), NOW.gs_base), LIMIT)), "648b06", "fault"),
    "the bit's offset is left out": (checking(ult(offset(2), LIMIT)), "0fab06", "fault"),
    "the stack is left out": (checking(), "50", "fault"),
    "the table is left out": (checking(ult(register(0), LIMIT)), "d7", "fault"),
    "the frame pointer is left out": (with_checks(lambda c: register(5) not in terms.postorder((c,))), "c9", "fault"),
    "one stream is checked": (with_checks(lambda c: register(7) not in terms.postorder((c,))), "a4", "fault"),
    "one element is checked":
        (checking(terms.not_(NOW.tf), *(ult(register(n), LIMIT) for n in (6, 7))), "f3a4", "containment"),
    "TF is not looked at": (with_checks(lambda c: c is not terms.not_(NOW.tf)), "f3a4", "trap"),
}  # fmt: skip
OF_RPL_3: dict[str, tuple[Change, str, str]] = {
    "the selectors stay": (without(Set("selectors", first(NOW.selectors))), "4889d8", "segment-bases"),
    "a fault shows the selectors": (on_fault_without(Set("selectors", first(NOW.selectors))), "0f0b", "fault"),
}


def refuted(scheme: Scheme, text: str, change: Change | None = None) -> set[str]:
    def plan(data: bytes) -> Plan:
        found = scheme.plan(data)
        assert isinstance(found, Program)
        changed = found if change is None else change(found)
        assert change is None or changed != found
        return changed

    found = Judge(replace(scheme, plan=plan)).judgement(bytes.fromhex(text), Cpu.AMD)
    return {d.observable for d in found.deviations}


@pytest.mark.parametrize("scheme, name", sampled([(s, n) for s in SCHEMES for n in OF_ALL], 20))
def test_a_fault_of_each_design_is_told(scheme, name):
    change, text, observable = OF_ALL[name]
    assert observable not in refuted(scheme, text)
    assert observable in refuted(scheme, text, change)


@pytest.mark.parametrize("name", sampled(list(OF_THE_CHECK), 7))
def test_a_fault_of_the_check_is_told(name):
    change, text, observable = OF_THE_CHECK[name]
    assert refuted(CHECKED, text) == set()
    assert observable in refuted(CHECKED, text, change)


@pytest.mark.parametrize("name", OF_RPL_3)
def test_a_fault_of_reloaded_selectors_is_told(name):
    change, text, observable = OF_RPL_3[name]
    assert observable not in refuted(RPL3, text)
    assert observable in refuted(RPL3, text, change)
