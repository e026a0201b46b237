"""xol-step and its variants get the verdicts that they declare, with the shortest interleavings."""

from __future__ import annotations

import pytest
from sampling import sampled

from verify.concurrency.explorer import distinct, explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.liveness import emerson_lei, lasso
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits, Refuted

XOL = protocol("xol-step")
VARIANTS = ["", *(variant.name for variant in XOL.variants)]


LIVENESS = ["cyclic", "weakly-fair-slots", "signal-in-slot", "no-read-lock"]


@pytest.mark.parametrize("engine", ["python", "numpy", "bdd"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_gets_its_expected_verdicts(variant: str, engine: str) -> None:
    chosen = XOL.with_variant(variant) if variant else XOL
    found = explore(chosen, chosen.threads, engine)
    assert found.complete
    assert {name: verdict.name for name, verdict in found.properties} == {
        prop.name: chosen.expectation(prop.name) for prop in chosen.properties
    }


# shortest lengths, measured with an independent breadth-first search of the same semantics
@pytest.mark.parametrize("engine", ["numpy", "bdd"])
@pytest.mark.parametrize(("variant", "steps"), [("no-read-lock", 9), ("uprobe-removed-first", 6)])
def test_sigtrap_is_refuted_by_the_shortest_interleaving(variant: str, steps: int, engine: str) -> None:
    verdict = explore(XOL.with_variant(variant), 2, engine).verdict("no_sigtrap")
    assert isinstance(verdict, Refuted)
    assert verdict.trace is not None
    assert len(verdict.trace.events) == steps
    assert verdict.trace.events[-1].action == "sigtrap"


def test_missing_lock_needs_a_second_round_of_registering() -> None:
    one_round = XOL.with_variant("no-read-lock").with_parameters(R=1)
    assert explore(one_round, 2).verdict("no_sigtrap").name == "proved"


@pytest.mark.parametrize(("threads", "slots", "verdict"), [(2, 2, "proved"), (3, 2, "refuted"), (3, 3, "proved")])
def test_waiting_under_weak_fairness_ends_only_with_a_slot_for_each(threads: int, slots: int, verdict: str) -> None:
    weak = XOL.with_variant("weakly-fair-slots").with_parameters(K=slots)
    assert explore(weak, threads).verdict("a_waiting_thread_gets_a_slot").name == verdict


def test_lasso_is_fair_and_starves_a_waiting_thread() -> None:
    verdict = explore(XOL.with_variant("weakly-fair-slots"), 3).verdict("a_waiting_thread_gets_a_slot")
    assert isinstance(verdict, Refuted)
    trace = verdict.trace
    assert trace is not None
    assert trace.loop is not None
    assert trace.states[-1] == trace.states[trace.loop]
    around = trace.events[trace.loop :]
    others = {event.actor for event in around if event.action == "get_slot"}
    assert len(others) == 2
    assert len({event.actor for event in trace.events if event.action == "hit"} - others) == 1


def test_distinct_counterexamples_differ_in_their_actions() -> None:
    chosen = XOL.with_variant("uprobe-removed-first")
    found = distinct(chosen, explore(chosen, 2), "no_sigtrap", 5)
    assert len(found) == 5
    assert len({tuple((event.actor, event.action) for event in trace.events) for trace in found}) == 5
    lengths = [len(trace.events) for trace in found]
    assert lengths == sorted(lengths)
    assert lengths[0] == 6


@pytest.mark.parametrize(("threads", "variant"), sampled(
    [(n, v) for n in (2, 3) for v in LIVENESS], 0, always=[(2, v) for v in LIVENESS]))  # fmt: skip
def test_components_and_diagrams_judge_liveness_alike(variant: str, threads: int) -> None:
    model = instantiate(XOL.with_variant(variant), threads)
    by_components, by_diagrams = lasso.judge(model, Limits()), emerson_lei.judge(model, Limits())
    assert {n: v.name for n, v in by_components.items()} == {n: v.name for n, v in by_diagrams.items()}
    assert len(by_components) == 2


@pytest.mark.whole
def test_six_threads_are_decided_in_the_default_run() -> None:
    found = explore(XOL, 6)
    assert found.decided
    assert (found.states, found.transitions) == (486_747_145, 2_995_559_720)


def test_liveness_of_many_threads_is_refuted_without_a_list_of_states() -> None:
    verdict = explore(XOL.with_variant("weakly-fair-slots"), 7).verdict("a_waiting_thread_gets_a_slot")
    assert verdict.name == "refuted"
