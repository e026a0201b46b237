"""Verdicts for any number of threads: correct protocols proved, wrong variants refuted with the number of threads."""

from __future__ import annotations

from functools import cache

import pytest
from sampling import sampled

from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits, Vacuous
from verify.concurrency.unbounded import AnyNumber, ProvedAny, RefutedAny, prove_any

XOL = protocol("xol-step")
SAFETY = ("no_sigtrap", "no_missed_hit", "slot_is_owned", "no_slot_is_shared", "signal_handler_owns_no_slot")
WRONG = [
    ("no-read-lock", "no_sigtrap", 1),
    ("uprobe-removed-first", "no_sigtrap", 1),
    ("signal-in-slot", "signal_handler_owns_no_slot", 1),
    ("slot-freed-early", "slot_is_owned", 1),
    ("slot-freed-early", "no_slot_is_shared", 2),
]


@cache
def judged(variant: str | None = None, name: str = "xol-step") -> AnyNumber:
    """Of a wrong variant with little work for each method: what is refuted needs no more."""
    return prove_any(protocol(name), variant, Limits(work=300_000 if variant and name == "xol-step" else None))


def test_xol_step_is_proved_twice_for_any_number() -> None:
    found = judged()
    for name in SAFETY:
        verdict = found.verdict(name)
        assert isinstance(verdict, ProvedAny)
        assert len(verdict.methods) >= 2
        assert verdict.sizes
    assert found.verdict("signal_is_deferred").reason == "reached with 1 thread"


def test_liveness_is_proved_for_any_number_and_says_for_which_sizes_and_how() -> None:
    found = judged()
    verdict = found.verdict("a_waiting_thread_gets_a_slot")
    assert isinstance(verdict, ProvedAny)
    assert verdict.reason == "any number of threads of the given sizes: fair views with K = 2, M = 2, R = 2"
    assert {"get_slot (strong)", "owner of slot[0] [fixup; step]"} <= set(verdict.rules)
    assert found.decided


def test_freedom_from_deadlock_is_proved_for_any_number_and_any_size() -> None:
    verdict = judged().verdict("no_deadlock")
    assert isinstance(verdict, ProvedAny)
    assert verdict.sizes


def test_a_deadlock_is_refuted_with_its_trace() -> None:
    verdict = judged("signal-in-slot").verdict("no_deadlock")
    assert isinstance(verdict, RefutedAny)
    assert verdict.threads == 1
    assert verdict.trace is not None


def test_a_goal_that_no_number_reaches_is_refuted_by_proof() -> None:
    verdict = judged("one-instruction", "int3-patch").verdict("a_thread_is_preempted_inside")
    assert isinstance(verdict, RefutedAny)
    assert (verdict.threads, verdict.trace) == (None, None)
    assert len(verdict.methods) >= 2
    assert "never reached" in verdict.reason


def test_a_premise_that_no_number_meets_is_vacuous() -> None:
    found = prove_any(XOL.with_parameters(R=0))  # nothing is ever registered
    for name in ("registering_ends", "no_missed_hit"):
        verdict = found.verdict(name)
        assert isinstance(verdict, Vacuous)
        assert "never met" in verdict.reason


@pytest.mark.whole
def test_what_an_incomplete_exploration_refutes_is_refuted() -> None:
    wide = XOL.with_variant("no-read-lock").with_parameters(R=10**9, M=10**9)
    found = prove_any(wide, limits=Limits(work=1_000_000, memory=20_000_000))
    assert not all(one.complete for one in found.explored)
    assert isinstance(found.verdict("no_sigtrap"), RefutedAny)


@pytest.mark.parametrize(("variant", "name", "threads"), sampled(WRONG, 1, always=WRONG[:1]))
def test_wrong_variants_are_refuted_with_the_fewest_threads(variant: str, name: str, threads: int) -> None:
    verdict = judged(variant).verdict(name)
    assert isinstance(verdict, RefutedAny)
    assert verdict.threads == threads
    assert verdict.trace is not None


def test_starvation_is_refuted_with_one_thread_more_than_slots() -> None:
    verdict = judged("weakly-fair-slots").verdict("a_waiting_thread_gets_a_slot")
    assert isinstance(verdict, RefutedAny)
    assert verdict.threads == 3
    assert verdict.trace is not None
    assert verdict.trace.loop is not None


@pytest.mark.parametrize("name", ["inline-step", "ref-count", "xol-unmap"])
def test_every_invariant_of_a_correct_protocol_is_proved(name: str) -> None:
    found = judged(None, name)
    for prop in protocol(name).properties:
        if prop.kind == "always":
            verdict = found.verdict(prop.name)
            assert isinstance(verdict, ProvedAny), (prop.name, found.notes)


def test_what_only_counters_prove_says_so() -> None:
    verdict = judged(None, "ref-count").verdict("no_int3_remains")
    assert isinstance(verdict, ProvedAny)
    assert [method.name for method in verdict.methods] == ["counters"]
