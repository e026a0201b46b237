"""A plan and the program that it is translated into mean the same, goal by goal; a fault in either is found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import program_comparison
import pytest
from program_comparison import DIFFERENT, IDENTICAL, compared_goals, premises_differ, probes, total
from sampling import sampled

from verify.claim.probes import probe
from verify.models.schemes import meaning, ways
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.program import IP, SLOT, Context, Leaves, Run, Set
from verify.models.schemes.program_text import text
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.translation import program
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.models.x86.machine import OBSERVABLES
from verify.terms import FALSE, add, const

NONE, USER_HALF = frozenset[str](), frozenset({"user-half"})
LINUX, OLD, IDENTITY = "linux-uprobes-6.18", "linux-uprobes-3.15", "identity"
FORMS = {LINUX: 31, OLD: 4, IDENTITY: 19}  # of 11,294, evenly spread; all of them: make programs
# Every kind of plan but the far call (make programs): a copy, a scratch register, calls that push (66: two bytes),
# returns, popf, repeats, system calls and shadows, emulated calls, pushes, jumps, conditions, nops that become calls,
# what the kernel misreads.
KINDS = (
    "89c0", "488b0511223344", "ff1510000000", "ffd0", "66ffd0", "c3", "9d", "f3a4", "0f05", "8ed0",
    "e810000000", "50", "4157", "eb10", "7410", "7f10", "90", "0f1f440000", "c5d9e8cb", "67c5f890cb", "cd80", "cf",
    "9c", "c8100001", "c4e259e80d00000000", "ff2510000000", "0f0b",
)  # fmt: skip


def grades(
    data: str, scheme: str = LINUX, without: frozenset[str] = NONE, names: Iterable[str] = OBSERVABLES
) -> dict[str, str]:
    """How each of these observables' goals compares, by both meanings."""
    p = probe(bytes.fromhex(data), SCHEMES[scheme], Cpu.AMD)
    return {c.observable: c.grade for c in compared_goals(p, ASSUMPTIONS - without, meaning.behaviours, names)}


@pytest.mark.parametrize("scheme", FORMS)
def test_every_class_plan_of_a_sample_of_forms_means_the_same(scheme: str) -> None:
    forms = all_forms()
    counted, different = total(SCHEMES[scheme], tuple(forms[5 :: len(forms) // FORMS[scheme]]), [ASSUMPTIONS])
    assert different == []
    assert counted["premises different"] == 0
    assert counted["plans"] > 40 and counted[IDENTICAL] > 0.95 * 14 * counted["plans"]


@pytest.mark.parametrize("data", sampled(KINDS, 3, always=["66ffd0", "e810000000"]))
def test_every_kind_of_plan_means_the_same_with_and_without_the_assumptions(data: str) -> None:
    for scheme in (LINUX, OLD):
        for without in (NONE, ASSUMPTIONS):
            if type(SCHEMES[scheme].plan(bytes.fromhex(data).ljust(16, b"\x90"))).__name__ != "Refuse":
                assert DIFFERENT not in grades(data, scheme, without).values()


def without_faults(real: Any, action: Run, *rest: Any) -> Any:
    return real(replace(action, on_fault=()), *rest)


def always_first(real: Any, condition: Any, then: Any, a: Any, otherwise: Any, b: Any, setup: Any) -> Any:
    return real(const(1, 1), then, a, otherwise, b, setup)


def now_at_first(real: Any, variable: Any, m: Any, setup: Any) -> Any:
    return real(variable, replace(m, first=m.now), setup)


def without_trap_flag(real: Any, action: Run, *rest: Any) -> Any:
    return real(replace(action, context=Context(Leaves())), *rest)


def without_repeats(real: Any, *given: Any) -> Any:
    found = real(*given)
    return replace(found, repeats=FALSE) if hasattr(found, "repeats") else found


def at_the_origin(real: Any, variable: Any, m: Any, setup: Any) -> Any:
    return setup.origin if variable is SLOT else real(variable, m, setup)


# What is wrong: where, what stands there instead, and on which encoding which goals tell it (each of them must).
Wrong = Callable[..., Any]
FAULTS: dict[str, tuple[str, Wrong, str, str, frozenset[str], set[str]]] = {
    "a fault shows the slot": ("_ran", without_faults, "488b0511223344", LINUX, NONE, {"fault"}),
    "a failing store is taken for done": ("_forked", always_first, "50", LINUX, NONE, {"fault"}),
    "a failing store of a return address": ("_forked", always_first, "66ffd0", LINUX, NONE, {"hits"}),
    "registers at the hit are those of now": ("_variable", now_at_first, "488b3500000000", LINUX, NONE, {"fault"}),
    "the program's TF is lost": ("_variable", now_at_first, "89c0", LINUX, NONE, {"trap"}),
    "no trap flag for the run": ("_ran", without_trap_flag, "9c", LINUX, NONE, {"trap"}),
    "slot and origin confused": ("_variable", at_the_origin, "e800000000", OLD, NONE, {"fault"}),
    "a restart is no hit": ("end_of", lambda real, m: real(replace(m, is_back=False)), "66ffd0", LINUX, NONE, {"hits"}),
    "the next hit's fault is left out": ("_faults_again", lambda _, hit, *r: hit, "66ffd0", LINUX, NONE, {"fault"}),
    "repeats end in one step": ("end_of", without_repeats, "f3a4", LINUX, NONE, {"hits"}),
    "a late trap is contained": ("end_of", lambda real, m: replace(real(m), contained=const(1, 1)), "0f05", LINUX,
                                 NONE, {"containment"}),
    "reads before a fault are not told": ("reads_up_to_the_fault", lambda _, o: (), "488b06", LINUX, NONE, {"fault"}),
    "a store stands beside the copy's": ("stored", lambda real, log, a: real((), a), "ff1500000000", LINUX, NONE,
                                         {"memory-addresses"}),
    "no trap is sent": ("_signalled", lambda _, action, m, setup: m, "90", LINUX, NONE, {"trap"}),
    "the kernel stores anywhere": ("beyond", lambda *_: FALSE, "e810000000", LINUX, USER_HALF, {"hits"}),
    "null selectors stay": ("at_the_hit", lambda _, s, a, m: s, "8cd8", LINUX, frozenset({"null-selectors"}), {"gprs"}),
    "the first hit alone": ("behaviours", lambda real, *g: real(*g)[:1], "0f1f440000", LINUX, NONE, {"trap"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_new_meaning_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, wrong, data, scheme, without, told = FAULTS[name]
    monkeypatch.setattr(meaning, where, partial(wrong, getattr(meaning, where)))
    assert set(grades(data, scheme, without, told).values()) == {DIFFERENT}


@pytest.mark.parametrize("name", ["completed", "delivered"])
def test_ways_that_are_confused_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two ways become one: the state of the wrong one, the fault of the wrong one."""
    wrong: dict[str, tuple[str, Wrong]] = {
        "completed": ("either", lambda c, a, b: a),
        "delivered": ("_told", lambda c, a, b: a),
    }
    monkeypatch.setattr(ways, *wrong[name])
    found = {g for data in ("7410", "50") for g in grades(data).values()}
    assert DIFFERENT in found


def test_a_program_that_differs_by_one_action_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison compares what it is given: ip one byte further on."""
    p = probe(bytes.fromhex("89c0"), SCHEMES[LINUX], Cpu.AMD)

    def further(made: Any, *rest: Any) -> Any:
        return meaning.behaviours(replace(made, actions=(*made.actions, Set("ip", add(IP, const(1, 64))))), *rest)

    assert {c.observable for c in compared_goals(p, ASSUMPTIONS, further) if c.grade == DIFFERENT} == {"next-ip"}


def test_an_address_premise_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    p = probe(bytes.fromhex("eb10"), SCHEMES[LINUX], Cpu.AMD)
    assert not premises_differ(p, ASSUMPTIONS)
    monkeypatch.setattr(program_comparison, "address_premises", lambda *_: ())
    assert premises_differ(p, ASSUMPTIONS)


def test_different_plans_have_different_texts() -> None:
    forms = tuple(all_forms()[3::400])
    plans = {p.plan for name in FORMS for p in probes(SCHEMES[name], forms)}
    made = {program(plan) for plan in plans}  # type: ignore[arg-type]
    assert len({text(one) for one in made}) == len(made) > 10
