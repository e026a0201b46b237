"""Stored proofs as a method: what their checks grant counts, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from verify.concurrency.protocols import protocol
from verify.concurrency.unbounded import ProvedAny, liveness_store, prove_any, recorded, store
from verify.concurrency.unbounded.answers import Method
from verify.concurrency.unbounded.check import Checked

PROOFS = Path(__file__).parents[4] / "proofs" / "protocols"
ONE, HWBP, XOL = protocol("inline-step"), protocol("inline-step-hwbp"), protocol("xol-step")
GRANTED = Checked(("no_missed_hit",), (), ("z3",), 1)
DENIED = Checked(("no_missed_hit",), (("z3", "some step", "sat"),), ("z3",), 1)


def methods(found: recorded.Recorded) -> dict[str, str]:
    return {name: method.name for name, method in found.methods}


def test_what_is_granted_is_the_only_proof_that_is_needed() -> None:
    found = recorded.recorded(PROOFS, ONE)
    assert found.holds
    proved = prove_any(ONE, known=found.methods)
    assert [name for name, _ in proved.notes] == ["view abstraction, k=1"]
    strong = proved.verdict("a_trapped_thread_steps")
    assert isinstance(strong, ProvedAny) and any("take_out (strong)" in rule for rule in strong.rules)
    for name, by in (("no_missed_hit", "stored invariant"), ("a_step_ends", "stored certificate")):
        verdict = proved.verdict(name)
        assert isinstance(verdict, ProvedAny) and verdict.methods[0].name == by


@pytest.mark.parametrize(("invariant", "lives"), [(GRANTED, True), (DENIED, False)])
def test_a_certificate_stands_with_the_invariant_that_it_uses(
    invariant: Checked, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "judge", lambda *_: invariant)
    monkeypatch.setattr(liveness_store, "judge", lambda *_: Checked(("a_trapped_thread_steps",), (), ("z3",), 1))
    assert json.loads(liveness_store.path_of(PROOFS, HWBP).read_text())["uses_invariant"]
    assert ("a_trapped_thread_steps" in methods(recorded.recorded(PROOFS, HWBP))) == lives


def test_a_certificate_is_for_its_sizes_an_invariant_for_every_size_from_1_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "judge", lambda *_: GRANTED)
    monkeypatch.setattr(liveness_store, "judge", lambda *_: Checked(("registering_ends",), (), ("z3",), 1))
    assert methods(recorded.recorded(PROOFS, XOL))["registering_ends"] == "stored certificate with K = 2, M = 2, R = 2"
    assert methods(recorded.recorded(PROOFS, XOL.with_parameters(K=3))) == {"no_missed_hit": "stored invariant"}
    assert methods(recorded.recorded(PROOFS, XOL.with_parameters(K=0))) == {}


def test_a_stored_proof_of_what_is_refuted_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="a stored proof proves no_missed_hit"):
        prove_any(ONE, "others-run", known=[("no_missed_hit", Method("stored invariant", True))])
