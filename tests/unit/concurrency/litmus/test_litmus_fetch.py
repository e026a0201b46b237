"""The fetch model gives each litmus test the verdict that is declared, and no axiom is idle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.concurrency.litmus.catalogue import CALL, CATALOGUE, CONSTANT, DWORD, LOW
from verify.concurrency.litmus.fetch import INT3, OTHER, Litmus, outcomes, permits, verdict

BY_NAME = {test.name: test for test in CATALOGUE}


@pytest.mark.parametrize("test", CATALOGUE, ids=lambda test: test.name)
def test_model_gives_the_declared_verdict(test: Litmus) -> None:
    assert verdict(test) == test.verdict


def test_there_are_forty_with_names_of_their_own() -> None:
    assert len(BY_NAME) == len(CATALOGUE) >= 40
    assert {test.verdict for test in CATALOGUE} == {"allowed", "forbidden"}


def test_every_test_has_its_reason_in_a_sentence() -> None:
    for test in CATALOGUE:
        assert test.reason[0].isupper() and test.reason.endswith(".") and " " in test.reason, test.name
    assert len({test.reason for test in CATALOGUE}) > 60


def test_the_writer_may_act_between_two_instructions_of_a_call() -> None:
    """Two nops of two and three bytes; the second has gone, after a sync, when the first has been executed."""
    two = BY_NAME["preempted-between-two-instructions"]
    assert outcomes(two) == {(1,), (2,), (INT3,), (OTHER,)}
    assert outcomes(replace(two, initial=bytes.fromhex("0f1f440000") + two.initial[5:])) == {(1,), (2,), (INT3,)}


def test_all_outcomes_of_a_torn_doubleword() -> None:
    found = outcomes(BY_NAME["dword-torn"])
    assert len(found) == 16
    assert {digit for (value,) in found for digit in f"{value:08x}"} == {"1", "2"}


def test_a_call_that_is_over_before_the_writer_begins() -> None:
    assert (0x11111111,) in outcomes(BY_NAME["sync-orders-stores"])


@pytest.mark.parametrize("test", [test for test in CATALOGUE if ("sync",) in test.writer], ids=lambda test: test.name)
def test_without_any_sync_the_model_permits_more(test: Litmus) -> None:
    bare = replace(test, writer=tuple(action for action in test.writer if action != ("sync",)))
    assert outcomes(test) <= outcomes(bare)
    assert outcomes(test) < outcomes(bare) or test.verdict == "allowed"


@pytest.mark.parametrize(
    "test", [test for test in CATALOGUE if ("serialise",) in test.reader], ids=lambda test: test.name
)
def test_without_serialising_the_model_permits_more(test: Litmus) -> None:
    bare = replace(test, reader=tuple(action for action in test.reader if action != ("serialise",)))
    assert outcomes(test) <= outcomes(bare)
    assert outcomes(test) < outcomes(bare) or test.verdict == "allowed"


def test_torn_call_in_the_middle_of_patching_is_other() -> None:
    assert outcomes(BY_NAME["nop5-to-jump"]) == {(1,), (2,), (INT3,)}
    assert (OTHER,) in outcomes(BY_NAME["nop5-to-jump-without-int3"])


def test_other_stands_for_any_result() -> None:
    assert permits(frozenset({(1, OTHER)}), (1, 77))
    assert not permits(frozenset({(1, OTHER)}), (0, 77))
    assert not permits(frozenset({(1, 2)}), (1, OTHER))


def test_bad_tests_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the site"):
        Litmus("x", "", CONSTANT, (("store", 5, b"ab"),), (CALL,), (1,), "allowed")
    with pytest.raises(ValueError, match="allowed or forbidden"):
        Litmus("x", "", CONSTANT, (LOW,), (CALL,), (1,), "perhaps")
    with pytest.raises(ValueError, match="a reader does not"):
        outcomes(Litmus("x", "", CONSTANT, (DWORD,), (("sync",),), (1,), "allowed"))
