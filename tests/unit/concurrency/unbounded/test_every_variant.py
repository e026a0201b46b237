"""No method proves for any number what a bounded run refutes: known-wrong variants of each protocol are tried with
all methods, which are not told what was explored."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from sampling import sampled

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Exploration, Limits, Proved, Refuted, Unknown
from verify.concurrency.unbounded import ProvedAny, counter_abstraction, houdini, prove_any, views
from verify.concurrency.unbounded.claims import NEVER, never
from verify.concurrency.unbounded.cutoffs import at_given_sizes

LIMITS = Limits()  # the work that each method has by default
JUDGED = ("always", "deadlock", "sometimes")


def picked() -> list[tuple[str, str]]:
    """Variants, until every kind of property that some variant of a protocol breaks is broken by one of them."""
    chosen = []
    for name in names():
        kinds = {variant.name: broken(name, variant.expected) for variant in protocol(name).variants}
        left = set().union(*kinds.values())
        while left:
            best = max(kinds, key=lambda variant: len(left & kinds[variant]))
            left -= kinds[best]
            chosen.append((name, best))
    return chosen


def broken(name: str, expected: tuple[tuple[str, str], ...]) -> set[str]:
    """The kinds, of those that are proved for any number, of the properties that are declared to be refuted."""
    found = {protocol(name).property_named(prop).kind for prop, verdict in expected if verdict == "refuted"}
    return found & set(JUDGED)


def wrong(name: str, variant: str) -> Protocol:
    """The variant, with the claims that no goal is ever reached."""
    tried = protocol(name).with_variant(variant)
    goals = tuple(never(prop) for prop in tried.properties if prop.kind == "sometimes")
    return replace(tried, properties=(*tried.properties, *goals), expected=())


@cache
def bounded(name: str, variant: str, threads: int) -> Exploration:
    return explore(protocol(name).with_variant(variant), threads)


def refuted(name: str, variant: str, threads: int) -> set[str]:
    """What is false with so many threads: refuted properties, and that a goal that was reached is never reached."""
    found = bounded(name, variant, threads)
    kinds = {prop.name: prop.kind for prop in protocol(name).properties}
    broken = {each for each, verdict in found.properties if isinstance(verdict, Refuted) and kinds[each] != "sometimes"}
    met = {each for each, verdict in found.properties if isinstance(verdict, Proved) and kinds[each] == "sometimes"}
    return broken | {NEVER + each for each in met}


def test_the_variants_break_deadlock_freedom_goals_and_invariants() -> None:
    tried = [protocol(name).with_variant(variant) for name, variant in picked()]
    assert set().union(*(broken(one.name, one.expected) for one in tried)) == set(JUDGED)


@pytest.mark.parametrize(("name", "variant"), sampled(picked(), 2, always=[("xol-fork", "vfork-in-slot")]))
def test_no_method_proves_what_a_bounded_run_refutes(name: str, variant: str) -> None:
    tried = wrong(name, variant)
    wanted = [prop.name for prop in tried.properties if prop.kind in ("always", "deadlock")]
    seen = views.views(tried, 1, LIMITS)
    assert not set(seen.proved) & refuted(name, variant, max(seen.least, tried.threads))
    about = at_given_sizes(tried) if name == "return-probe" else tried  # its rules sum over the frames
    found = houdini.invariant(about, LIMITS, False, wanted, small=False)
    assert found.proved
    assert not set(found.proved) & refuted(name, variant, tried.threads)


@pytest.mark.parametrize(
    ("name", "variant"),
    [pytest.param("ref-count", "no-lock", marks=pytest.mark.whole), ("xol-unmap", "area-not-sealed")],
)
def test_counters_prove_no_goal_unreachable_that_is_reached(name: str, variant: str) -> None:
    tried = wrong(name, variant)
    wanted = [prop.name for prop in tried.properties if prop.kind in ("always", "deadlock")]
    counted = counter_abstraction.counted(tried, wanted, LIMITS)
    assert counted.proved
    assert not set(counted.proved) & refuted(name, variant, max(counted.least, tried.threads))


DECLARED = [
    ("int3-patch", "no-int3"), ("jump-xol", "no-syncs"), ("optimised-nop5", "no-recheck"), ("xol-unmap", "no-restart"),
    ("optimised-nop10", "no-sync-after-tail"), ("return-probe", "instances-dropped"), ("xol-fork", "clone-in-slot"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "variant"), sampled(DECLARED, 0, always=DECLARED[:1]))
def test_what_is_declared_for_a_wrong_variant_is_found_for_any_number(name: str, variant: str) -> None:
    tried = protocol(name).with_variant(variant)
    found = prove_any(tried, limits=LIMITS)
    for prop in tried.properties:
        expected, verdict = tried.expectation(prop.name), found.verdict(prop.name)
        unproved = prop.kind == "eventually" and expected == "proved"
        assert verdict.name == expected or (unproved and isinstance(verdict, Unknown)), (prop.name, verdict)


@pytest.mark.parametrize(
    "name", sampled(["inline-step", "int3-patch", "jump-xol", "ref-count", "return-probe", "xol-step"], 2)
)
def test_a_correct_protocol_is_free_of_deadlock_for_any_number(name: str) -> None:
    verdict = prove_any(protocol(name), limits=LIMITS).verdict(DEADLOCK)
    assert isinstance(verdict, ProvedAny), verdict
