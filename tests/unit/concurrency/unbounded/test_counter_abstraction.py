"""Counters: prove what needs "some thread", and nothing that an explored instance refutes."""

from __future__ import annotations

import pytest

from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.counter_abstraction import counted


def invariants(name: str, variant: str = "") -> tuple[str, ...]:
    tried = protocol(name).with_variant(variant) if variant else protocol(name)
    asked = [prop.name for prop in tried.properties if prop.kind == "always" and not prop.step]
    return counted(tried, asked, Limits()).proved


def test_existence_of_a_holder_is_proved() -> None:
    """ "The object lives while some thread or the hit holds it" is beyond views of one or two threads."""
    assert set(invariants("ref-count")) == {
        "registered_is_armed", "no_use_after_free", "reference_keeps_object", "no_sigtrap", "no_object_remains",
        "no_int3_remains",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["inline-step", "xol-unmap", "int3-patch", "inline-step-hwbp"])
def test_correct_protocols_are_proved(name: str) -> None:
    tried = protocol(name)
    assert set(invariants(name)) == {p.name for p in tried.properties if p.kind == "always" and not p.step}


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("inline-step", "others-run"), ("inline-step", "two-steppers"), ("ref-count", "no-lock"),
        ("ref-count", "removes-for-all"), ("ref-count", "hit-without-reference"), ("int3-patch", "no-syncs"),
        ("xol-unmap", "unchecked-write"), ("inline-step-hwbp", "no-ipi"), ("jump-xol", "no-sync-at-install"),
    ],
)  # fmt: skip
def test_refuted_properties_are_not_proved(name: str, variant: str) -> None:
    tried = protocol(name).with_variant(variant)
    refuted = {prop.name for prop in tried.properties if tried.expectation(prop.name) == "refuted"}
    assert refuted
    assert not refuted & set(invariants(name, variant))
