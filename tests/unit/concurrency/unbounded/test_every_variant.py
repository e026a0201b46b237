"""No method proves for any number what a bounded run refutes: each property that some known-wrong variant breaks, in
each protocol, is tried with all methods. They are not told what was explored."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from verify.concurrency.explored import Explored, Limits, Proved, Refuted, Unknown
from verify.concurrency.explorer import explore
from verify.concurrency.language import DEADLOCK, Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.unbounded import ProvedAny, counters, houdini, prove_any, views
from verify.concurrency.unbounded.claims import NEVER, never
from verify.concurrency.unbounded.tracked import NotCovered

LIMITS = Limits(seconds=8)
JUDGED = ("always", "deadlock", "sometimes")


def picked() -> list[tuple[str, str]]:
    """Variants until every refuted property of a kind that is proved for any number is among them."""
    chosen = []
    for name in names():
        left = {(p, v) for variant in protocol(name).variants for p, v in variant.expected if asked(name, p)}
        while left:
            best = max(protocol(name).variants, key=lambda variant: len(left & set(variant.expected)))
            left -= set(best.expected)
            chosen.append((name, best.name))
    return chosen


def asked(name: str, prop: str) -> bool:
    return protocol(name).property_named(prop).kind in JUDGED


def wrong(name: str, variant: str) -> Protocol:
    """The variant, with the claims that no goal is ever reached."""
    tried = protocol(name).with_variant(variant)
    goals = tuple(never(prop) for prop in tried.properties if prop.kind == "sometimes")
    return replace(tried, properties=(*tried.properties, *goals), expected=())


@cache
def bounded(name: str, variant: str, threads: int) -> Explored:
    return explore(protocol(name).with_variant(variant), threads)


def refuted(name: str, variant: str, threads: int) -> set[str]:
    """What is false with so many threads: refuted properties, and that a goal that was reached is never reached."""
    found = bounded(name, variant, threads)
    kinds = {prop.name: prop.kind for prop in protocol(name).properties}
    broken = {each for each, verdict in found.properties if isinstance(verdict, Refuted) and kinds[each] != "sometimes"}
    met = {each for each, verdict in found.properties if isinstance(verdict, Proved) and kinds[each] == "sometimes"}
    return broken | {NEVER + each for each in met}


def test_the_variants_break_deadlock_freedom_goals_and_invariants() -> None:
    kinds = {protocol(name).property_named(prop).kind for name, variant in picked()
             for prop, verdict in dict(wrong_of(name, variant)).items() if verdict == "refuted" and asked(name, prop)}  # fmt: skip
    assert kinds == set(JUDGED)


def wrong_of(name: str, variant: str) -> tuple[tuple[str, str], ...]:
    return next(item.expected for item in protocol(name).variants if item.name == variant)


@pytest.mark.parametrize(("name", "variant"), picked())
def test_no_method_proves_what_a_bounded_run_refutes(name: str, variant: str) -> None:
    tried = wrong(name, variant)
    wanted = [prop.name for prop in tried.properties if prop.kind in ("always", "deadlock")]
    for size in (1, 2):
        seen = views.views(tried, size, LIMITS)
        assert not set(seen.proved) & refuted(name, variant, max(seen.least, tried.threads))
    for triples in (False, True):
        try:
            proved = houdini.invariant(tried, LIMITS, triples, wanted, small=False).proved
        except NotCovered:
            continue
        assert not set(proved) & refuted(name, variant, tried.threads)
    try:
        counted = counters.counted(tried, wanted, LIMITS)
    except NotCovered:
        return
    assert not set(counted.proved) & refuted(name, variant, max(counted.least, tried.threads))


@pytest.mark.parametrize(
    ("name", "variant"),
    [("int3-patch", "no-int3"), ("jump-xol", "no-syncs"), ("optimised-nop5", "no-recheck"), ("xol-unmap", "no-restart"),
     ("optimised-nop10", "no-sync-after-tail"), ("return-probe", "instances-dropped"), ("xol-fork", "clone-in-slot")],
)  # fmt: skip
def test_what_is_declared_for_a_wrong_variant_is_found_for_any_number(name: str, variant: str) -> None:
    tried = protocol(name).with_variant(variant)
    found = prove_any(tried, limits=LIMITS)
    for prop in tried.properties:
        expected, verdict = tried.expectation(prop.name), found.verdict(prop.name)
        unproved = prop.kind == "eventually" and expected == "proved"
        assert verdict.name == expected or (unproved and isinstance(verdict, Unknown)), (prop.name, verdict)


@pytest.mark.parametrize("name", sorted(set(names()) - {"xol-fork"}))
def test_every_correct_protocol_is_free_of_deadlock_for_any_number(name: str) -> None:
    verdict = prove_any(protocol(name), limits=LIMITS).verdict(DEADLOCK)
    assert isinstance(verdict, ProvedAny), verdict
