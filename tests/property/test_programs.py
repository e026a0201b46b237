"""A fault in the meaning of programs is found by name: some encoding's verdicts are others than they must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from verify.claim.probes import probe
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes import meaning, ways
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.program import Context, Leaves, Program, Run
from verify.models.schemes.program_text import text
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.vocabulary import ORIGIN
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.terms import FALSE, const

NONE, USER_HALF = frozenset[str](), frozenset({"user-half"})
LINUX, OLD, NEXT = "linux-uprobes-6.18", "linux-uprobes-3.15", "linux-uprobes-next"
XOL, HWBP = "xol-step", "inline-step-hwbp"
SHADOW = frozenset({"no-shadow-stack"})


def refuted(data: str, scheme: str = LINUX, without: frozenset[str] = NONE) -> set[str]:
    """The observables that are refuted of the encoding; each is decided."""
    found = Judge(SCHEMES[scheme], ASSUMPTIONS - without).judgement(bytes.fromhex(data), Cpu.AMD)
    assert {v for _, v in found.observables} <= {Verdict.PROVED, Verdict.REFUTED}
    return {name for name, verdict in found.observables if verdict is Verdict.REFUTED}


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


def at_the_slot(real: Any, variable: Any, m: Any, setup: Any) -> Any:
    return setup.slot if variable is ORIGIN else real(variable, m, setup)


# What is wrong: where, what stands there instead, on which encoding, what is refuted of it rightly, and what tells the
# fault: what is refuted then or not any more.
Wrong = Callable[..., Any]
SETS = frozenset[str]
FAULTS: dict[str, tuple[str, Wrong, str, str, SETS, set[str], set[str]]] = {
    "a fault shows the slot": ("_ran", without_faults, "488b0511223344", LINUX, NONE, set(), {"fault"}),
    "a failing store is taken for done": ("_forked", always_first, "50", LINUX, NONE, set(), {"fault"}),
    "registers at the hit are those of now": ("_variable", now_at_first, "488b3500000000", LINUX, NONE, set(),
                                              {"fault"}),
    "the program's TF is lost": ("_variable", now_at_first, "89c0", LINUX, NONE, set(), {"trap"}),
    "no trap flag for the run": ("_ran", without_trap_flag, "9c", LINUX, NONE, {"memory-values", "trap"}, {"trap"}),
    "slot and origin confused": ("_variable", at_the_slot, "e800000000", OLD, NONE, set(), {"next-ip"}),
    "repeats end in one step": ("end_of", without_repeats, "f3a4", LINUX, NONE, {"hits"}, {"hits"}),
    "a late trap is contained": ("end_of", lambda real, m: replace(real(m), contained=const(1, 1)), "0f05", LINUX,
                                 NONE, {"containment"}, {"containment"}),
    "reads before a fault are not told": ("reads_up_to_the_fault", lambda _, o: (), "488b06", LINUX, NONE, set(),
                                          {"fault"}),
    "a store stands beside the copy's": ("stored", lambda real, log, a: real((), a), "ff1500000000", LINUX, NONE,
                                         set(), {"memory-addresses"}),
    "no trap is sent": ("_signalled", lambda _, action, m, setup: m, "90", LINUX, NONE, set(), {"trap"}),
    "the kernel stores anywhere": ("beyond", lambda *_: FALSE, "e810000000", LINUX, USER_HALF, {"hits"}, {"hits"}),
    "null selectors stay": ("at_the_hit", lambda _, s, a, *m: s, "8cd8", LINUX, SETS({"null-selectors"}), {"gprs"},
                            {"gprs"}),
    "debug registers are breakpoints": ("_is_armed", lambda *_: False, "90", HWBP, NONE, set(), {"containment"}),
    "TF in a host's store is not seen": ("_shown_tf", lambda *_: (), "9c", XOL, NONE, set(), {"trap"}),
    "an entry of the shadow stack is lost": ("shadowed", lambda _, m, value, depth: m, "ffd0", NEXT, SHADOW, set(),
                                             {"shadow-stack"}),
    "a pushed entry is a written one": ("shadowed", lambda real, m, value, _: real(m, value, 0), "e811223344", NEXT,
                                        SHADOW, set(), {"shadow-stack"}),
    "the first hit alone": ("behaviours", lambda real, *g: real(*g)[:1], "0f1f440000", LINUX, NONE, {"trap"},
                            {"trap"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_meaning_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, wrong, data, scheme, without, rightly, told = FAULTS[name]
    right = refuted(data, scheme, without)
    assert rightly <= right
    module = meaning if where != "behaviours" else __import__("verify.claim.obligations", fromlist=["behaviours"])
    monkeypatch.setattr(module, where, partial(wrong, getattr(meaning, where)))
    assert told <= right ^ refuted(data, scheme, without)


@pytest.mark.parametrize(("name", "wrong", "data"), [
    ("either", lambda c, a, b: a, "7410"),  # where two ways become one: the state of the wrong one
    ("_told", lambda c, a, b: a, "50"),  # the fault of the wrong one
])  # fmt: skip
def test_ways_that_are_confused_are_found(
    name: str, wrong: Wrong, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refuted(data) == set()
    monkeypatch.setattr(ways, name, wrong)
    assert refuted(data) != set()


def test_a_restart_is_a_hit_and_its_fault_that_of_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose return address does not fit on the stack: the copy pushes two bytes, the kernel eight."""
    assert refuted("66ffd0") >= {"hits", "fault"}
    assert "canonical-targets" in ASSUMPTIONS
    seen = []
    real = meaning._faults_again
    monkeypatch.setattr(meaning, "_faults_again", lambda *g: seen.append(g) or real(*g))
    refuted("66ffd0")
    assert len(seen) == 1


def test_different_plans_have_different_texts() -> None:
    forms = tuple(all_forms()[3::400])
    made = {
        p.plan for name in (LINUX, OLD) for f in forms for d in decoded_representatives(f, Cpu.AMD)
        for p in [probe(d.data, SCHEMES[name], Cpu.AMD)] if isinstance(p.plan, Program)
    }  # fmt: skip
    assert len({text(one) for one in made}) == len(made) > 40
