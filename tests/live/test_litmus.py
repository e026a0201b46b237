"""The processors of this machine show no outcome that the fetch model forbids; and the check would notice one."""

from __future__ import annotations

import pytest

from verify.concurrency.litmus.catalogue import CATALOGUE, CONSTANT, DWORD
from verify.concurrency.litmus.fetch import Litmus, outcomes, permits
from verify.live.litmus.litmus import INT3, OTHER, LitmusRun, Observed, observe

pytestmark = [
    pytest.mark.live,
    pytest.mark.needs("litmus"),
]
FEW = 8192
UNBOUNDED = 3600.0  # seconds: runs are counted, and no test fails by the clock
NAMES = (
    "dword-torn-over-lines",
    "new-serialise-old",
    "flag-serialise-code-over-pages",
    "sync-then-flag",
    "code-new-data-old",
    "short-jump-goes-nowhere-else",
    "breakpoint-removed-sync-flag",
    "nop5-to-jump-with-last-sync",
    "nop10-to-call-over-lines",
    "call-to-nop10-keeps-the-call",
    "preempted-at-one-instruction",
    "preempted-behind-the-lea",
)


def forbidden(test: Litmus, seen: Observed) -> list[tuple[int, ...]]:
    allowed = outcomes(test)
    return [results for results, _ in seen.counts if not permits(allowed, results)]


@pytest.mark.parametrize("test", [test for test in CATALOGUE if test.name in NAMES], ids=lambda test: test.name)
def test_nothing_forbidden_is_seen(test: Litmus) -> None:
    seen = observe(LitmusRun(test.initial, test.writer, test.reader, test.at), FEW, seconds=UNBOUNDED)
    assert seen.reason == "" and seen.runs >= FEW
    assert forbidden(test, seen) == []


def test_an_outcome_outside_the_model_is_noticed() -> None:
    test = Litmus("x", "other code than what is run", CONSTANT, (), (("call",),), (0,), "forbidden")
    seen = observe(LitmusRun(bytes.fromhex("b822222222c3"), (), (("call",),)), 1, seconds=UNBOUNDED)
    assert forbidden(test, seen) == [(0x22222222,)]


def test_traps_and_faults_are_results() -> None:
    for code, result in (("cc", INT3), ("f4", OTHER), ("0f0b", OTHER), ("b807000000c3", 7)):
        seen = observe(LitmusRun(bytes.fromhex(code), (), (("call",), ("serialise",), ("call",))), 1, seconds=UNBOUNDED)
        assert [results for results, _ in seen.counts] == [(result, result)]


def test_a_fault_below_a_lowered_stack_pointer_is_a_result() -> None:
    lowered = bytes.fromhex("488d642480f4")  # lea -0x80(%rsp),%rsp; hlt
    seen = observe(LitmusRun(lowered, (), (("call",), ("call",))), 1, seconds=UNBOUNDED)
    assert [results for results, _ in seen.counts] == [(OTHER, OTHER)]


def test_weak_outcomes_are_seen_at_all() -> None:
    """A judge that never shows more than old and new could not contradict the model: a reader is held in between."""
    test = next(test for test in CATALOGUE if test.name == "preempted-in-a-callee-that-returns-inside")
    found = 0
    for seed in range(4):
        seen = observe(LitmusRun(test.initial, test.writer, test.reader, test.at), 250_000, UNBOUNDED, seed)
        found += dict(seen.counts).get(test.outcome, 0)
        if found:
            break
    assert found > 0


def test_a_model_without_preemption_is_contradicted() -> None:
    """The seeded fault: as if a call were one step, so that nothing happens in its middle."""
    test = next(test for test in CATALOGUE if test.name == "preempted-in-a-callee-that-returns-inside")
    blind = frozenset({(INT3,), (1,)})
    assert blind < outcomes(test)
    wrong = 0
    for seed in range(4):
        seen = observe(LitmusRun(test.initial, test.writer, test.reader, test.at), 250_000, UNBOUNDED, seed)
        wrong += sum(not permits(blind, results) for results, _ in seen.counts)
        if wrong:
            break
    assert wrong > 0


def test_flag_and_load_give_what_was_stored() -> None:
    seen = observe(LitmusRun(CONSTANT, (), (("flag",), ("load",))), 1, seconds=UNBOUNDED)
    assert [results for results, _ in seen.counts] == [(0, 0x111111B8)]


def test_a_run_without_time_says_so() -> None:
    seen = observe(LitmusRun(CONSTANT, (DWORD,), (("call",),)), 10**9, seconds=0.2)
    assert "were over" in seen.reason and seen.seconds < 10


def test_a_child_that_dies_gives_no_result() -> None:
    # rsp := 0: no signal frame
    seen = observe(LitmusRun(bytes.fromhex("4831e4ff30"), (), (("call",),)), 1, seconds=2.0)
    assert seen.counts == () and "no result" in seen.reason
