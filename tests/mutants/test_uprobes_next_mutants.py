"""Faults of linux-uprobes-next, one a row: each is told by the named observable, which the scheme itself keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux import uprobes_next
from verify.models.schemes.linux.actions import NEXT
from verify.models.schemes.linux.uprobes_next import SCHEME
from verify.models.schemes.program import Action, Actions, Check, Program, Run, Shadow
from verify.models.schemes.scheme import Plan
from verify.models.schemes.vocabulary import ORIGIN
from verify.models.x86.isa.forms import Cpu

DECODED = uprobes_next.KernelDecoded
NONE = uprobes_next._Extension()


def anything(*_: Any) -> bool:
    return True


def shadow(edit: Callable[[Shadow], tuple[Action, ...]]) -> Callable[[Plan], Plan]:
    """The plan with each write to the shadow stack replaced."""

    def edited(actions: Actions) -> Iterator[Action]:
        for a in actions:
            if isinstance(a, Shadow):
                yield from edit(a)
            else:
                yield replace(a, otherwise=tuple(edited(a.otherwise))) if isinstance(a, Check) else a

    return lambda plan: replace(plan, actions=tuple(edited(plan.actions))) if isinstance(plan, Program) else plan


def run_of(plan: Plan) -> Run | None:
    return next((a for a in plan.actions if isinstance(a, Run)), None) if isinstance(plan, Program) else None


# A function of the scheme with what stands there instead; witness; observable.
RULES: dict[str, tuple[str, Callable[..., Any], str, str]] = {
    "xchg with r8 is a nop": ("_Extension", lambda: None, "4190", "gprs"),
    "vex is no matter": ("is_nop", lambda real, data, d, is_64: real(data, d._replace(vex_size=0), is_64), "c5f890c0",
                         "vector"),
    "lea of any displacement": ("_loads_its_own_address", lambda real, data, d, e, is_64: real(bytes(16), d, e, is_64),
                                "488d4001", "gprs"),
    "lea of any registers": ("_loads_its_own_address", anything, "488d5000", "gprs"),
    "mov of 4 bytes": ("_is_native", anything, "89c0", "gprs"),
    "mov between any registers": ("_moves_to_itself", anything, "4889c8", "gprs"),
    "a jump of any displacement": ("_immediate", lambda *_: b"", "e911223344", "next-ip"),
    "0f 1f is not looked at": ("is_nop", lambda real, data, d, is_64: d.opcode1 == 0x0F, "0fafc1", "gprs"),
}
PLANS: dict[str, tuple[Callable[[Plan], Plan], str, str]] = {
    "the nop has 9 bytes": (lambda p: replace(p, length=9, later=None) if isinstance(p, Program) else p,
                            "662e0f1f840000000000", "next-ip"),
    "an emulated call leaves no entry": (shadow(lambda _: ()), "e811223344", "shadow-stack"),
    "a stepped call keeps the slot": (shadow(lambda _: ()), "ffd0", "shadow-stack"),
    "the origin is pushed": (shadow(lambda _: (Shadow(ORIGIN),)), "e811223344", "shadow-stack"),
    "a stepped call pushes one more": (shadow(lambda _: (Shadow(NEXT),)), "ffd0", "shadow-stack"),
    "the entry below is written": (shadow(lambda _: (Shadow(NEXT, 1),)), "ff10", "shadow-stack"),
}  # fmt: skip
ASSUMED = ASSUMPTIONS - {"no-shadow-stack"}


def refuted(plan: Callable[[bytes], Plan], text: str) -> set[str]:
    found = Judge(replace(SCHEME, plan=plan), ASSUMED).judgement(bytes.fromhex(text), Cpu.AMD)
    assert {v.value for _, v in found.observables} <= {"proved", "refuted"}
    return {d.observable for d in found.deviations}


def test_there_are_ten() -> None:
    assert len(RULES) + len(PLANS) >= 10


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_rule_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, wrong, text, observable = RULES[name]
    assert observable not in refuted(uprobes_next.plan, text)
    real = getattr(uprobes_next, where)
    if where == "_Extension":
        monkeypatch.setattr(real, "of", lambda *_: NONE)
    else:
        takes_real = wrong.__code__.co_varnames[:1] == ("real",)
        monkeypatch.setattr(uprobes_next, where, (lambda *g: wrong(real, *g)) if takes_real else wrong)
    assert observable in refuted(uprobes_next.plan, text)


@pytest.mark.parametrize("name", PLANS)
def test_a_wrong_plan_is_told(name: str) -> None:
    edit, text, observable = PLANS[name]
    assert observable not in refuted(uprobes_next.plan, text)
    assert observable in refuted(lambda data: edit(uprobes_next.plan(data)), text)
