"""Faults of the emulator, one a row: each is told by the named observable, which the scheme itself keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.program import Action, Check, Load, Program, Set, Store
from verify.models.schemes.scheme import Plan
from verify.models.schemes.seed.emulate import SCHEME, plan
from verify.models.schemes.seed.inline_step import TRAPPED
from verify.models.schemes.seed.xol_step import NEXT
from verify.models.schemes.vocabulary import NOW, ORIGIN, SLOT, register
from verify.models.x86.isa.forms import Cpu
from verify.terms import FALSE, TRUE, Term, add, const, not_, store, sub

Edit = Callable[[Action], tuple[Action, ...]]


def setting(target: str, value: Callable[[Term], Term]) -> Edit:
    return lambda a: (replace(a, value=value(a.value)),) if isinstance(a, Set) and a.target == target else (a,)


def without(*unwanted: Action | str) -> Edit:
    return lambda a: () if a in unwanted or (isinstance(a, Set) and a.target in unwanted) else (a,)


def of(kind: type, **changes: object) -> Edit:
    return lambda a: (replace(a, **changes),) if isinstance(a, kind) else (a,)  # type: ignore[type-var]


def moved(kind: type, distance: int) -> Edit:
    def edit(a: Action) -> tuple[Action, ...]:
        is_it = isinstance(a, Load | Store) and isinstance(a, kind)
        return (replace(a, address=add(a.address, const(distance, 64))),) if is_it else (a,)  # type: ignore[union-attr]

    return edit


def written(number: int, value: Term) -> Edit:
    return setting("gprs", lambda v: store(v, const(number, 4), value))


def dropped(kind: type) -> Edit:
    return lambda a: () if isinstance(a, kind) else (a,)


FAULTS: dict[str, tuple[Edit, str, str]] = {
    "the carry is inverted": (setting("cf", not_), "4801d8", "flags"),
    "the carry of an increment is set": (lambda a: (a, Set("cf", FALSE)), "ffc0", "flags"),
    "the overflow is the carry": (setting("of", lambda v: FALSE), "29d8", "flags"),
    "parity is odd": (setting("pf", not_), "31d8", "flags"),
    "the auxiliary carry is cleared by AND": (setting("af", lambda v: FALSE), "21d8", "flags"),
    "a count of 0 clears the carry": (setting("cf", lambda v: FALSE), "d3e0", "flags"),
    "rcx goes down by 2": (written(1, sub(register(1), const(2, 64))), "e210", "gprs"),
    "the register stays": (written(0, register(0)), "b801000000", "gprs"),
    "rsp stays": (without("gprs"), "50", "gprs"),
    "nothing is stored": (dropped(Store), "8903", "memory-addresses"),
    "another value is stored": (lambda a: (replace(a, value=const(0, 32)),) if isinstance(a, Store) else (a,), "8903",
                                "memory-values"),
    "one byte further is read": (moved(Load, 1), "8b03", "memory-addresses"),
    "one byte further is written": (moved(Store, 1), "8903", "memory-addresses"),
    "a push through ds": (of(Store, stack=FALSE), "50", "fault"),
    "an operand through ss": (of(Load, stack=TRUE), "8b03", "fault"),
    "a fault goes on": (of(Load, otherwise=(Set("ip", NEXT),)), "8b03", "fault"),
    "a division by 0 is no fault": (dropped(Check), "f7f1", "fault"),
    "a bad target is taken": (dropped(Check), "c3", "fault"),
    "the jump is taken always": (dropped(Check), "7510", "next-ip"),
    "ip stays": (without("ip"), "4801d8", "next-ip"),
    "ip leads to the slot": (setting("ip", lambda v: SLOT), "4801d8", "next-ip"),
    "the trap is not sent": (without(*TRAPPED), "4801d8", "trap"),
    "the instruction begins again": (setting("ip", lambda v: ORIGIN), "4801d8", "hits"),
    "DF is the other way": (setting("df", not_), "fd", "flags"),
    "AC is set": (lambda a: (a, Set("ac", not_(NOW.ac))) if a == Set("ip", NEXT) else (a,), "4801d8", "flags"),
}  # fmt: skip


def refuted(text: str, edit: Edit | None = None) -> set[str]:
    def changed(data: bytes) -> Plan:
        found = plan(data)
        assert isinstance(found, Program)
        if edit is None:
            return found
        made = replace(found, actions=tuple(b for a in found.actions for b in edit(a)))
        assert made != found
        return made

    found = Judge(replace(SCHEME, plan=changed)).judgement(bytes.fromhex(text), Cpu.AMD)
    return {d.observable for d in found.deviations}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told(name):
    edit, text, observable = FAULTS[name]
    assert refuted(text) == set()
    assert observable in refuted(text, edit)
