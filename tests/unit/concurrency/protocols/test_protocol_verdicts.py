"""Every protocol and known-wrong variant gives the verdicts that it declares, and what its manifest records.

`ubp-verify interleavings --variant all --record` writes the manifests anew; read the difference before it is kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from sampling import sampled

from verify.concurrency.explicit.python_engine import search
from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results import manifest
from verify.concurrency.results.exploration import Exploration, Refuted, Vacuous

MANIFESTS = Path(__file__).resolve().parents[4] / "proofs" / "protocols"
PLAIN = 3  # threads up to which the plain interpreter is asked


def cases() -> list[Protocol]:
    """Every protocol and variant of this directory, except the one that has tests of its own."""
    found = [protocol(name) for name in names() if name != "xol-step"]
    return [case for item in found for case in (item, *(item.with_variant(variant.name) for variant in item.variants))]


def label(case: Protocol) -> str:
    """`protocol` or `protocol/variant`."""
    return f"{case.name}/{case.variant}" if case.variant else case.name


@cache
def explored(case: Protocol, threads: int) -> Exploration:
    """The case at that number of threads, by the plain interpreter where that is quick."""
    return explore(case, threads, engine="python" if threads <= PLAIN else "auto")


CASES = pytest.mark.parametrize("case", cases(), ids=label)
CORRECT = pytest.mark.parametrize("name", [name for name in names() if name != "xol-step"])
# About the model of fetches, which every variant keeps; and what only seeded faults break (tests/mutants).
KEPT = {
    "memory_may_be_fetched", "parent_is_probed", "optimised_site_has_its_call", "optimised_site_has_its_lea",
    "nobody_waits_in_vain", "whoever_is_first_is_safe", "one_on_the_processor",
}  # fmt: skip


@CASES
def test_verdicts_are_as_declared(case: Protocol) -> None:
    found = explored(case, case.threads)
    assert found.complete
    verdicts = {name: verdict.name for name, verdict in found.properties}
    assert verdicts == {name: case.expectation(name) for name in verdicts}


@CASES
def test_counts_are_as_recorded(case: Protocol) -> None:
    found = explored(case, case.threads)
    before = manifest.recorded(MANIFESTS, found)
    assert before is not None, "not recorded"
    assert manifest.differences(before, manifest.run_of(found)) == []


@pytest.mark.parametrize("name", names())
def test_nothing_recorded_has_lost_its_variant(name: str) -> None:
    runs = manifest.read(MANIFESTS, name).values()
    assert runs
    assert manifest.stale(runs, protocol(name)) == []


@pytest.mark.parametrize(
    "case", [protocol("xol-step"), *(protocol("xol-step").with_variant(v.name) for v in protocol("xol-step").variants)],
    ids=label,
)  # fmt: skip
def test_xol_step_is_as_recorded(case: Protocol) -> None:
    found = explore(case)
    before = manifest.recorded(MANIFESTS, found)
    assert before is not None, "not recorded"
    assert manifest.differences(before, manifest.run_of(found)) == []


@CASES
def test_refuted_invariants_show_an_interleaving(case: Protocol) -> None:
    for name, verdict in explored(case, case.threads).properties:
        kind = case.property_named(name).kind
        if isinstance(verdict, Refuted) and kind != "sometimes":
            assert verdict.trace is not None and verdict.trace.events, name


@CORRECT
def test_correct_version_is_proved_or_says_why_not(name: str) -> None:
    case = protocol(name)
    assert not case.expected
    assert all(verdict.name == "proved" for _, verdict in explored(case, case.threads).properties)


@CORRECT
def test_nothing_is_vacuous_in_the_correct_version(name: str) -> None:
    case = protocol(name)
    assert not any(isinstance(verdict, Vacuous) for _, verdict in explored(case, case.threads).properties)


@pytest.mark.parametrize("name", names())
def test_what_a_variant_does_not_ask_cannot_happen_in_it(name: str) -> None:
    base = protocol(name)
    for variant in base.variants:
        case = base.with_variant(variant.name)
        assert not set(variant.skipped) & {prop.name for prop in case.properties}
        asked = tuple(prop for prop in base.properties if prop.name in variant.skipped)
        if asked:
            found = explored(replace(case, properties=(*case.properties, *asked)), case.threads)
            assert {prop for prop, verdict in found.properties if isinstance(verdict, Vacuous)} == set(variant.skipped)


@CORRECT
def test_every_invariant_is_broken_by_a_variant(name: str) -> None:
    case = protocol(name)
    broken = {prop for variant in case.variants for prop, verdict in variant.expected if verdict == "refuted"}
    assert {prop.name for prop in case.properties if prop.kind == "always" and not prop.step} - KEPT <= broken


@pytest.mark.parametrize("name", sampled([name for name in names() if name != "xol-step"], 4))
def test_every_step_is_needed_for_the_counts(name: str) -> None:
    """A step that is never taken anywhere would be dead text: without it some case has fewer transitions."""
    for step in protocol(name).steps:
        assert any(_taken(case, step.name) for case in cases() if case.name == name), step.name


def _taken(case: Protocol, name: str) -> bool:
    """Whether the transition count of a case falls, or a state is lost, without the step."""
    if case.threads > 3 or name not in {step.name for step in case.steps}:
        return False
    found, less = explored(case, case.threads), search(instantiate(_without(case, name), case.threads), symmetric=True)
    return (found.states, found.transitions) != (less.states, less.transitions)


def _without(case: Protocol, name: str) -> Protocol:
    return replace(case, steps=tuple(step for step in case.steps if step.name != name))


@CORRECT
def test_assumptions_have_names_and_texts(name: str) -> None:
    case = protocol(name)
    assert case.assumptions and case.source
    assert len({assumption.name for assumption in case.assumptions}) == len(case.assumptions)
    assert all(assumption.text for assumption in case.assumptions)
