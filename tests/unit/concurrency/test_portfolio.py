"""The engine "auto" on known-wrong protocols: what it tells early, and who decides the rest."""

from __future__ import annotations

import pytest

from verify.concurrency import explorer
from verify.concurrency.explicit import c_engine
from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Discovery, Refuted, Search, Trace

NEEDS_C = pytest.mark.skipif(c_engine.compiler() is None, reason="no C compiler on this machine")
STEPS = {"slot_is_owned": 6, "no_slot_is_shared": 9}  # of slot-freed-early, by breadth-first search in Python


def freed_early() -> Protocol:
    return protocol("xol-step").with_variant("slot-freed-early")


def test_a_short_counterexample_is_told_before_the_rest_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "FIRST", 20_000)
    told: list[Trace] = []
    found = explore(freed_early(), 3, early=told.append)
    assert {trace.property: len(trace.events) for trace in told} == STEPS
    assert set(told) == {trace for trace in found.traces if trace.property in STEPS}
    assert found.complete and found.decided


def test_nothing_is_told_early_where_all_is_decided_at_once() -> None:
    told: list[Trace] = []
    assert explore(protocol("xol-step").with_variant("no-read-lock"), 2, early=told.append).traces
    assert told == []


@NEEDS_C
@pytest.mark.parametrize(
    ("variant", "threads"),
    [("slot-freed-early", 3), ("signal-in-slot", 2), pytest.param("signal-in-slot", 3, marks=pytest.mark.whole)],
)
def test_c_lists_a_wrong_protocol_for_which_diagrams_are_slow(
    variant: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = protocol("xol-step").with_variant(variant)
    expected = explore(wrong, threads, "numpy")
    monkeypatch.setattr(explorer, "FIRST", 1_000)
    monkeypatch.setattr(explorer, "BROKEN_WORK", 0)
    found = explore(wrong, threads)
    assert found.engine == "c"
    assert (found.states, found.transitions, found.stored, found.depth) == (
        expected.states,
        expected.transitions,
        expected.stored,
        expected.depth,
    )
    for (name, verdict), (_, known) in zip(found.properties, expected.properties, strict=True):
        assert verdict.name == known.name, name
        if isinstance(verdict, Refuted) and isinstance(known, Refuted) and known.trace and known.trace.loop is None:
            assert verdict.trace is not None and len(verdict.trace.events) == len(known.trace.events), name


def test_diagrams_go_on_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "FIRST", 5_000)
    monkeypatch.setattr(explorer, "BROKEN_WORK", 0)
    monkeypatch.setattr(c_engine, "compiler", lambda: None)
    found = explore(freed_early(), 3)
    assert found.engine.startswith("dd") and found.complete
    assert {trace.property: len(trace.events) for trace in found.traces if trace.loop is None} == STEPS


def test_a_refutation_at_an_unknown_distance_is_not_final() -> None:
    model = instantiate(freed_early(), 3)
    assert explorer.final(model, Search("bdd", False, complete=True))
    assert not explorer.final(model, Search("bdd", False, complete=True, deadlock=Discovery(-1, 0)))
    assert not explorer.final(model, Search("bdd", False))
    assert explorer.final(model, Search("bdd", False, reason="interrupted"))
