"""Liveness for any number of threads: proved where it holds, never where exploration refutes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from sampling import sampled

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import Cell, Const, Op, PropertyTerm, negation
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Limits, Refuted
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.fair_views import FairViews, known_views, leads_to, stuck
from verify.concurrency.unbounded.views import Reached, closed

SMALL = ("inline-step", "int3-patch", "jump-xol", "ref-count", "xol-unmap", "return-probe")
SHAPES = {  # nodes and edges of the prototype that the method comes from
    "inline-step": (6, 12), "int3-patch": (36, 204), "jump-xol": (47, 420), "ref-count": (101, 515),
    "xol-unmap": (130, 757), "return-probe": (48, 430), "xol-step": (554, 4381), "inline-step-hwbp": (48, 215),
}  # fmt: skip
BROKEN = [  # fairness made weak, which the property needs strong: refuted by exploration
    ("inline-step", "take_out", "a_trapped_thread_steps"), ("int3-patch", "answer", "patching_ends"),
    ("jump-xol", "leave_copy", "removal_ends"), ("ref-count", "join", "registering_ends"),
    ("xol-unmap", "get_slot", "a_hit_ends"),
]  # fmt: skip


def live(chosen: Protocol) -> list[str]:
    return [prop.name for prop in chosen.properties if prop.kind == "eventually"]


def invariants(chosen: Protocol) -> list[str]:
    """What is proved elsewhere for any number of threads."""
    return [p.name for p in chosen.properties if p.kind == "always" and chosen.expectation(p.name) == "proved"]


@cache
def reached(name: str) -> Reached:
    return closed(protocol(name))


def judged(name: str, chosen: Protocol, known: bool = True) -> FairViews:
    single = known_views(chosen, reached(name), invariants(chosen) if known else ())
    return leads_to(chosen, reached(name).least, single, live(chosen), Budget(Limits(), 10**9))


def refair(chosen: Protocol, step: str, fair: str | None) -> Protocol:
    return replace(chosen, steps=tuple(replace(one, fair=fair) if one.name == step else one for one in chosen.steps))


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(n, marks=pytest.mark.whole) for n in names() if n not in SMALL)]
)
def test_every_liveness_property_of_a_correct_protocol_is_proved(name: str) -> None:
    found = judged(name, protocol(name))
    assert not found.open
    assert {proof.name for proof in found.proofs} == set(live(protocol(name)))


@pytest.mark.parametrize("name", sampled(sorted(SHAPES), 3))
def test_the_graph_is_as_large_as_the_prototypes(name: str) -> None:
    graph = judged(name, protocol(name), known=name == "inline-step-hwbp").graph
    assert (len(graph.nodes), len(graph.edges)) == SHAPES[name]


@pytest.mark.parametrize(("name", "step", "property_"), BROKEN)
def test_what_needs_strong_fairness_stays_open_without_it(name: str, step: str, property_: str) -> None:
    weaker = refair(protocol(name), step, "weak")
    assert property_ in judged(name, weaker).open
    assert isinstance(explore(weaker, 2).verdict(property_), Refuted)


def mutants() -> Iterator[tuple[str, str, str | None]]:
    """One step fair in another way."""
    for name in names():
        for step in protocol(name).steps:
            yield from ((name, step.name, fair) for fair in ("weak", "strong", None) if fair != step.fair)


@pytest.mark.parametrize(("name", "step", "fair"), sampled([m for m in mutants() if m[0] in SMALL], 12))
def test_nothing_is_proved_that_exploration_refutes(name: str, step: str, fair: str | None) -> None:
    chosen = refair(protocol(name), step, fair)
    proved = {proof.name for proof in judged(name, chosen).proofs}
    found = explore(chosen, 2)
    assert not [prop for prop in proved if isinstance(found.verdict(prop), Refuted)]


def test_a_prober_that_never_stops_starves_a_trapped_thread() -> None:
    """Looking up is two steps, each switched off in turn: every hit is handled only if `hit` is strongly fair."""
    cyclic = protocol("xol-step").with_variant("cyclic")
    pc = dict(cyclic.local)["pc"].type
    assert isinstance(pc, tuple)
    trapped = Op("==", (Cell("pc", pc, "t"), Const(pc.index("trap"), pc)))
    handled = PropertyTerm("every_hit_is_handled", "eventually", ("t",), trapped, negation(trapped))
    asked = replace(cyclic, properties=(*cyclic.properties, handled), expected=())
    seen = closed(asked)

    def open_(chosen: Protocol) -> tuple[str, ...]:
        return leads_to(chosen, seen.least, known_views(chosen, seen, ()), [handled.name], Budget(Limits(), 10**9)).open

    assert open_(asked) == (handled.name,)
    assert isinstance(explore(asked, 2).verdict(handled.name), Refuted)
    assert open_(refair(asked, "hit", "strong")) == ()


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(n, marks=pytest.mark.whole) for n in ("xol-step", "xol-fork"))]
)
def test_no_shared_state_of_a_correct_protocol_may_be_a_deadlock(name: str) -> None:
    chosen = protocol(name)
    assert stuck(chosen, known_views(chosen, reached(name), invariants(chosen))) == ()


@pytest.mark.parametrize(
    ("name", "variant"), [("inline-step", "waiting-instruction"), ("inline-step", "signal-in-gap")]
)
def test_a_deadlock_that_there_is_stays_open(name: str, variant: str) -> None:
    chosen = protocol(name).with_variant(variant)
    assert stuck(chosen, known_views(chosen, closed(chosen), ()))
