"""Verdicts for any number of threads: correct protocols proved, wrong variants refuted with the number of threads."""

from __future__ import annotations

import pytest

from verify.concurrency.protocols import protocol
from verify.concurrency.unbounded import ProvedAny, RefutedAny, prove_any

XOL = protocol("xol-step")
SAFETY = ("no_sigtrap", "no_missed_hit", "slot_is_owned", "no_slot_is_shared", "signal_handler_owns_no_slot")
WRONG = [
    ("no-read-lock", "no_sigtrap", 1),
    ("uprobe-removed-first", "no_sigtrap", 1),
    ("signal-in-slot", "signal_handler_owns_no_slot", 1),
    ("slot-freed-early", "slot_is_owned", 1),
    ("slot-freed-early", "no_slot_is_shared", 2),
]


def test_xol_step_is_proved_twice_for_any_number() -> None:
    found = prove_any(XOL)
    for name in SAFETY:
        verdict = found.verdict(name)
        assert isinstance(verdict, ProvedAny)
        assert len(verdict.methods) >= 2
        assert verdict.sizes
    assert found.verdict("signal_is_deferred").reason == "reached with 1 threads"


def test_liveness_and_deadlock_are_never_claimed_for_any_number() -> None:
    found = prove_any(XOL)
    for prop in XOL.properties:
        if prop.kind in ("eventually", "deadlock"):
            assert found.verdict(prop.name).name == "unknown"
    assert not found.decided


@pytest.mark.parametrize(("variant", "name", "threads"), WRONG)
def test_wrong_variants_are_refuted_with_the_fewest_threads(variant: str, name: str, threads: int) -> None:
    verdict = prove_any(XOL, variant).verdict(name)
    assert isinstance(verdict, RefutedAny)
    assert verdict.threads == threads
    assert verdict.trace is not None


def test_starvation_is_refuted_with_one_thread_more_than_slots() -> None:
    verdict = prove_any(XOL, "weakly-fair-slots").verdict("a_waiting_thread_gets_a_slot")
    assert isinstance(verdict, RefutedAny)
    assert verdict.threads == 3
    assert verdict.trace is not None
    assert verdict.trace.loop is not None
