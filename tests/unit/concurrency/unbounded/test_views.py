"""View abstraction: proves what holds, never what an explored instance refutes."""

from __future__ import annotations

import pytest
from sampling import sampled

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Limits, Refuted
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.views import views

XOL = protocol("xol-step")
SAFETY = {"no_sigtrap", "no_missed_hit", "slot_is_owned", "no_slot_is_shared", "signal_handler_owns_no_slot"}
WRONG = {
    "no-read-lock": {"no_sigtrap"},
    "uprobe-removed-first": {"no_sigtrap", "no_missed_hit"},
    "signal-in-slot": {"signal_handler_owns_no_slot"},
    "slot-freed-early": {"slot_is_owned", "no_slot_is_shared"},
}


def everything() -> list[tuple[str, str]]:
    return [(name, variant) for name in names() for variant in ("", *(v.name for v in protocol(name).variants))]


def chosen(name: str, variant: str) -> Protocol:
    return protocol(name).with_variant(variant) if variant else protocol(name)


def test_xol_step_is_proved_with_one_thread_in_sight() -> None:
    found = views(XOL)
    assert set(found.proved) == SAFETY | {prop.name for prop in XOL.properties if prop.step}
    assert found.least == 2


def test_cyclic_views_are_as_many_as_in_the_reference_prototype() -> None:
    found = views(XOL.with_variant("cyclic"))
    assert (found.views, found.configurations) == (160, 772)


@pytest.mark.parametrize("variant", WRONG)
def test_refuted_properties_stay_open(variant: str) -> None:
    found = views(XOL.with_variant(variant))
    assert set(found.open) == WRONG[variant]


@pytest.mark.parametrize(("name", "variant"), sampled(everything(), 30))
def test_nothing_is_proved_that_the_declared_verdict_refutes(name: str, variant: str) -> None:
    tried = chosen(name, variant)
    refuted = {prop.name for prop in tried.properties if tried.expectation(prop.name) == "refuted"}
    try:
        found = views(tried)
    except NotCovered as reason:
        pytest.skip(str(reason))
    assert not refuted & set(found.proved)


@pytest.mark.parametrize("name", ["inline-step", "ref-count", "xol-unmap", "inline-step-hwbp"])
def test_views_of_two_prove_at_least_as_much_as_views_of_one(name: str) -> None:
    tried = protocol(name)
    assert set(views(tried, 1).proved) <= set(views(tried, 2).proved)


@pytest.mark.parametrize("threads", [3, pytest.param(4, marks=pytest.mark.whole)])
@pytest.mark.parametrize(
    ("variant", "dropped"),
    [("", "fixup"), ("", "restart"), ("", "deliver"), ("", "get_slot"), ("no-read-lock", "restart")],
)
def test_a_proof_survives_exploration_of_more_threads(variant: str, dropped: str, threads: int) -> None:
    """Whatever views prove of a damaged protocol, three and four threads do not refute."""
    from dataclasses import replace

    tried = chosen("xol-step", variant)
    damaged = replace(tried, steps=tuple(step for step in tried.steps if step.name != dropped), expected=())
    proved = views(damaged).proved
    explored = explore(damaged, threads)
    assert proved and explored.complete
    assert not [name for name in proved if isinstance(explored.verdict(name), Refuted)]


@pytest.mark.parametrize("limits", [Limits(work=1000), Limits(seconds=0.0), Limits(memory=1000)], ids=str)
def test_a_limit_proves_nothing(limits: Limits) -> None:
    found = views(XOL, 1, limits)
    assert found.proved == ()
    assert found.reason.startswith("more than ")


def test_the_same_work_is_done_every_time() -> None:
    """A limit of one unit less than was needed is hit, and the limit of what was needed is not."""
    tried = protocol("ref-count")
    low, needed = 0, 100_000
    while needed - low > 1:
        middle = (low + needed) // 2
        low, needed = (low, middle) if views(tried, 1, Limits(work=middle)).proved else (middle, needed)
    assert 1_000 < needed < 100_000
    assert views(tried, 1, Limits(work=needed)).proved
    assert not views(tried, 1, Limits(work=needed - 1)).proved
