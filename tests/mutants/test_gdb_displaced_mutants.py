"""Faults of GDB's displaced stepping, one a row: each is told by the named observable, which the scheme keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.debuggers import gdb_displaced
from verify.models.schemes.debuggers.gdb_displaced import MOVED, SCHEMES, Seen, seen_13, seen_17
from verify.models.schemes.program import Action, Actions, Program, Run, Set, Shadow, Store
from verify.models.schemes.scheme import Plan
from verify.models.schemes.seed.inline_step import OWN_TF
from verify.models.schemes.vocabulary import ORIGIN
from verify.models.x86.isa.forms import Cpu

REAL = SCHEMES[1]
ASSUMED = ASSUMPTIONS - {"no-shadow-stack"}


def seen(change: Callable[[Seen], Seen]) -> Callable[[bytes], Plan]:
    """The scheme with another view of the bytes."""

    def changed(data: bytes) -> Seen | None:
        found = seen_17(data)
        return found and change(found)

    return partial(gdb_displaced.plan, seen=changed, is_new=True)


def edited(edit: Callable[[Action], Actions], at_faults: bool = False) -> Callable[[bytes], Plan]:
    """The scheme with its actions replaced, on the way or where the step faults."""

    def made(data: bytes) -> Plan:
        real = REAL.plan(data)
        assert isinstance(real, Program)
        if not at_faults:
            return replace(real, actions=tuple(b for a in real.actions for b in edit(a)))
        steps = (replace(a, on_fault=tuple(b for f in a.on_fault for b in edit(f))) if isinstance(a, Run) else a
                 for a in real.actions)  # fmt: skip
        return replace(real, actions=tuple(steps))

    return made


def dropped(wanted: object) -> Callable[[Action], Actions]:
    return lambda a: () if a == wanted or (isinstance(wanted, type) and isinstance(a, wanted)) else (a,)


PLANS: dict[str, tuple[Callable[[bytes], Plan], str, str]] = {
    "ip stays in the pad": (edited(dropped(MOVED)), "90", "next-ip"),
    "a fault shows the pad": (edited(dropped(MOVED), True), "8b06", "fault"),
    "TF stays": (edited(dropped(OWN_TF)), "90", "trap"),
    "a fault shows TF": (edited(dropped(OWN_TF), True), "8b06", "fault"),
    "a return address stays in the pad": (edited(dropped(Store)), "ffd0", "memory-values"),
    "an entry of the shadow stack stays in the pad": (edited(dropped(Shadow)), "ffd0", "shadow-stack"),
    "the base is the origin": (
        edited(lambda a: (Set(a.target, ORIGIN),) if isinstance(a, Set) and a.target == 1 and "ORIGIN" in a.line(str)
               else (a,)), "488b0511223344", "gprs"),
    "the scratch register is lost": (
        edited(lambda a: () if isinstance(a, Set) and a.target == 1 and "old" in a.line(str) else (a,)),
        "488b0511223344", "gprs"),
    "the scratch register is lost at a fault": (partial(gdb_displaced.plan, seen=seen_17, is_new=False),
                                                "488b0511223344", "fault"),
    "VEX is read by the one-byte table": (partial(gdb_displaced.plan, seen=seen_13, is_new=True), "c5fe6f0511223344",
                                          "vector"),
    "REX is not recorded": (seen(lambda s: replace(s, rex_at=-1)), "498b0511223344", "gprs"),
    "VEX3 is not recorded": (seen(lambda s: replace(s, payload_at=-1)), "c4c1fe6f0511223344", "vector"),
}  # fmt: skip
RULES: dict[str, tuple[str, object, str, str]] = {
    "ret is none": ("RETURNS", frozenset(), "c3", "next-ip"),
    "call is none": ("CALL", -1, "e811223344", "memory-values"),
    "one byte too many": ("_length", lambda data: 8, "488b0511223344", "gprs"),
    "RBX is never taken": ("RBX", 1, "8b0d11223344", "gprs"),
    "no opcode of one byte has ModRM": ("ONE_BYTE", frozenset(), "488b0511223344", "gprs"),
}


def refuted(plan: Callable[[bytes], Plan], text: str) -> set[str]:
    found = Judge(replace(REAL, plan=plan), ASSUMED).judgement(bytes.fromhex(text), Cpu.AMD)
    assert {v.value for _, v in found.observables} <= {"proved", "refuted"}
    return {d.observable for d in found.deviations}


@pytest.mark.parametrize("name", PLANS)
def test_a_wrong_plan_is_told(name: str) -> None:
    wrong, text, observable = PLANS[name]
    assert refuted(REAL.plan, text) == set()
    assert observable in refuted(wrong, text)


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_rule_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, wrong, text, observable = RULES[name]
    assert refuted(REAL.plan, text) == set()
    monkeypatch.setattr(gdb_displaced, where, wrong)
    assert observable in refuted(REAL.plan, text)
