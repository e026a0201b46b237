"""Faults seeded into protocols are told; a sample of what `make mutants` judges as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol_equivalence import equivalent
from protocol_faults import Fault, faults
from protocol_judgement import fate

from verify.concurrency.protocols import names, protocol

SAMPLED = 30  # every thirtieth fault
QUICK = [name for name in names() if name != "xol-step"]  # 93,175 states are for `make mutants`


def fault(name: str, kind: str, step: str, position: int = 0) -> Fault:
    """The named fault."""
    return next(f for f in faults(protocol(name)) if (f.kind, f.step, f.position) == (kind, step, position))


SAMPLE = [found for name in QUICK for found in faults(protocol(name))][::SAMPLED]


@pytest.mark.parametrize("found", SAMPLE, ids=lambda found: found.name)
def test_a_seeded_fault_is_told_or_is_none(found: Fault) -> None:
    judged = fate(found)
    assert judged.killed or judged.fate == "equivalent", judged.reason


def test_there_are_at_least_200_faults_of_every_kind_and_the_same_ones_each_time() -> None:
    found = [f.name for name in names() for f in faults(protocol(name))]
    assert len(found) >= 200
    assert found == [f.name for name in names() for f in faults(protocol(name))]
    kinds = [f.kind for name in names() for f in faults(protocol(name))]
    assert all(kinds.count(kind) >= 20 for kind in ("drop", "weaken", "swap", "split"))


@pytest.mark.parametrize(
    ("name", "kind", "step", "position", "violated"),
    [
        ("xol-unmap", "split", "look_up", 0, "no_sigtrap"),  # historic: lookup and re-check are one step
        ("ref-count", "split", "put_object", 1, "no_object"),  # the count is zero, the object still found
        ("inline-step", "weaken", "take_out", 1, "one_thread_steps"),
        ("ref-count", "weaken", "join", 1, "registered_is_armed"),
    ],
)
def test_the_fault_is_told_by_the_property_that_says_so(
    name: str, kind: str, step: str, position: int, violated: str
) -> None:
    judged = fate(fault(name, kind, step, position))
    assert judged.killed
    assert violated in judged.reason or judged.fate == "verdict"


def test_a_step_of_a_known_wrong_variant_is_no_fault_of_the_right_protocol() -> None:
    assert fate(fault("inline-step", "drop", "exec_in_gap")).fate == "equivalent"


def test_a_real_fault_is_never_called_equivalent() -> None:
    """What a verdict tells has another relation; a split may be told by what is seen between its halves."""
    right = protocol("ref-count")
    killed = [f for f in faults(right) if f.kind != "split" and fate(f).fate == "verdict"]
    assert len(killed) > 20
    assert not [f.name for f in killed if equivalent(f, right, right.threads)]


def test_a_split_of_what_is_atomic_for_a_reason_does_not_reduce() -> None:
    split = fault("xol-unmap", "split", "look_up")
    assert equivalent(split, protocol("xol-unmap"), 2) == ""


def test_the_identity_is_equivalent() -> None:
    right = protocol("ref-count")
    same = Fault("weaken", "none", 0, "", replace(right, variants=()))
    assert equivalent(same, right, 2) == "same relation"
