"""Liveness on orbits proves only what holds: fairness to threads that have lost their names counts for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.language.protocol import (
    Bool,
    Claim,
    Description,
    Enum,
    Protocol,
    Shared,
    Thread,
    leads_to,
    threads,
)
from verify.concurrency.liveness import components, emerson_lei, lasso, orbit_graph
from verify.concurrency.liveness.leads_to import Fairness, fairness
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import BoundHit, Limits, Unknown


def exchange() -> Protocol:
    """Two threads hand a place to and fro for ever, each of them always able to act and acting again and again; the
    one that holds the place could end it, and need not."""
    p = Description("exchange", "q", shared={"done": Bool()}, local={"pc": Enum("start", "watch", "low", "high")})

    @p.step()
    def watch(s: Shared, t: Thread) -> None:
        if t.pc == "start" and all(u.pc != "watch" for u in threads):
            t.pc = "watch"

    @p.step()
    def take_low(s: Shared, t: Thread) -> None:
        if t.pc == "start" and all(u.pc != "low" for u in threads):
            t.pc = "low"

    @p.step()
    def take_high(s: Shared, t: Thread) -> None:
        if t.pc == "start" and all(u.pc != "high" for u in threads):
            t.pc = "high"

    @p.step()
    def act(s: Shared, t: Thread) -> None:
        if t.pc in ("low", "high") and not s.done and all(u.pc != "start" for u in threads):
            s.done = t.pc == "high"
            for u in threads:
                u.pc = "low" if u.pc == "high" else "high" if u.pc == "low" else u.pc

    @p.eventually
    def ends(s: Shared, t: Thread) -> Claim:
        return leads_to(t.pc == "watch", s.done)

    @p.terminal
    def over(s: Shared) -> Claim:
        return s.done

    return p.protocol()


def test_fairness_to_exchanged_threads_does_not_prove() -> None:
    model = instantiate(exchange(), 3)
    assert lasso.judge(model, Limits())["ends"].name == "refuted"
    assert emerson_lei.judge(model, Limits())["ends"].name == "refuted"


def test_counting_fairness_to_exchanged_threads_would_prove_what_does_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def every(model: Model, named: int) -> Fairness:
        return fairness(model)

    monkeypatch.setattr(orbit_graph, "_of_named", every)
    assert lasso.judge(instantiate(exchange(), 3), Limits())["ends"].name == "proved"


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_bounded_liveness_is_settled_on_orbits(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lasso, "beginnings")  # the full graph is out of reach
    verdicts = lasso.judge(instantiate(protocol("xol-step"), threads), Limits())
    assert {verdict.name for verdict in verdicts.values()} == {"proved"}
    assert len(verdicts) == 2


def test_premise_that_is_never_met_is_vacuous() -> None:
    model = instantiate(protocol("int3-patch").with_parameters(BOUNDARY=False, QUIET=False, INT3=False), 1)
    assert lasso.judge(model, Limits())["a_trapped_thread_goes_on"].name == "vacuous"


@pytest.mark.parametrize("seed", range(20))
def test_components_agree_with_scipy(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    source, target = (random.integers(0, count, int(random.integers(0, 90))) for _ in range(2))
    edges = min(len(source), len(target))
    plain = components.strong_components(count, source[:edges], target[:edges])
    monkeypatch.setattr(components, "FEW", -1)
    other = components.strong_components(count, source[:edges], target[:edges])
    assert plain.max() < count
    assert np.array_equal(plain[:, None] == plain[None, :], other[:, None] == other[None, :])


def test_memory_bounds_the_graph_of_pending_states() -> None:
    with pytest.raises(BoundHit, match="more than 1000000 bytes"):
        lasso.judge(instantiate(protocol("xol-step"), 3), Limits(memory=1_000_000), _kept())


def _kept() -> object:
    model = instantiate(protocol("xol-step"), 3)
    from verify.concurrency.explicit import numpy_engine

    return numpy_engine.search(model, model.symmetric, keep=True).levels


def test_liveness_beyond_the_memory_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    from verify.concurrency import explorer

    def beyond(*_: object) -> None:
        raise BoundHit("more than 7 bytes of states")

    monkeypatch.setattr(explorer.lasso, "judge", beyond)
    found = explore(protocol("xol-step"), 2)
    verdict = found.verdict("registering_ends")
    assert isinstance(verdict, Unknown)
    assert "more than 7 bytes" in verdict.reason
    assert found.verdict("no_sigtrap").name == "proved"
    assert not found.decided
