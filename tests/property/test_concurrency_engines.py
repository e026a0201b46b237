"""Engines agree on random protocols: counts, depth, everything observed and every verdict, full and symmetric.

Two oracles share nothing with the engines: dags evaluated node by node, and fair components of a networkx graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from protocol_strategies import protocols

from verify.concurrency import explorer
from verify.concurrency.bdd import engine as diagrams
from verify.concurrency.explicit import c_engine, numpy_engine, python_engine
from verify.concurrency.instance.dag import Node, evaluate
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.liveness import emerson_lei, lasso, orbit_graph
from verify.concurrency.results.exploration import Limits, Search

SETTINGS = settings(
    max_examples=16,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
NEEDS_C = pytest.mark.skipif(c_engine.compiler() is None, reason="no C compiler on this machine")
SMALL = 400  # states of a protocol that is compared
COMPARED: list[bool] = []  # for each protocol that was made, whether it was small
Edge = tuple[int, tuple[str, tuple[int, ...]], int]


def summary(found: Search) -> tuple[object, ...]:
    seen = {index: item.depth for index, item in found.seen.items()}
    return found.states, found.transitions, found.depth, seen, found.deadlock and found.deadlock.depth


def edges(model: Model) -> tuple[set[int], list[Edge]]:
    """Reachable states, and transitions with the step and its threads, by evaluating dags node by node."""
    visited, pending, found = set(model.initial), list(model.initial), list[Edge]()
    while pending:
        before = pending.pop()
        cells = model.cells(before)
        for one in model.transitions:
            if evaluate(one.guard, cells):
                after = list(cells)
                for number, node in one.updates:
                    after[number] = evaluate(node, cells)
                state = model.packed(tuple(after))
                found.append((before, (one.step.name, one.threads), state))
                if state not in visited:
                    visited.add(state)
                    pending.append(state)
    return visited, found


def small(model: Model) -> bool:
    """Whether the protocol has few states, and more than one."""
    found = python_engine.search(model, False, Limits(states=SMALL))
    COMPARED.append(found.complete and found.states > 1)
    return COMPARED[-1]


def disagreements(model: Model, engines: tuple[str, ...] = ("python", "numpy", "bdd")) -> list[str]:
    """Where engines differ from each other or from the dags."""
    states, moves = edges(model)
    full = python_engine.search(model, False)
    wrong = [] if (len(states), len(moves)) == (full.states, full.transitions) else ["dags"]
    for engine in engines:
        for symmetric in (False, True):
            found = explorer.search(model, engine, symmetric, Limits())
            if engine == "bdd":
                mine = (found.states, found.transitions, set(found.seen), found.deadlock is None)
                same = mine == (full.states, full.transitions, set(full.seen), full.deadlock is None)
            else:
                same = summary(found) == summary(full)
            wrong += [] if same else [f"{engine}, symmetric {symmetric}"]
    return wrong


# --- liveness by another way ------------------------------------------------------------------------------------------
def leads_to(model: Model, name: str) -> str:
    """The verdict of a leads-to property, by fair components of the whole graph."""
    states, moves = edges(model)
    wanted = [(premise, claim) for prop, premise, claim in model.eventualities() if prop == name]
    if not any(_true(model, premise, state) for premise, _ in wanted for state in states):
        return "vacuous"
    return "refuted" if any(_stays(model, states, moves, *terms) for terms in wanted) else "proved"


def _true(model: Model, node: Node, state: int) -> bool:
    return bool(evaluate(node, model.cells(state)))


def _stays(model: Model, states: set[int], moves: list[Edge], premise: Node, claim: Node) -> bool:
    """Whether a fair run stays for ever where the premise has held and the claim has not."""
    open_ = {state for state in states if not _true(model, claim, state)}
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(open_)
    graph.add_edges_from((a, b, {"by": by}) for a, by, b in moves if a in open_ and b in open_)
    begun = {state for state in open_ if _true(model, premise, state)}
    pending = begun.union(*(nx.descendants(graph, state) for state in begun))
    kinds = {step.name: step.fair for step in model.protocol.steps}
    enabled: dict[int, set[tuple[str, tuple[int, ...]]]] = {state: set() for state in states}
    for before, by, _ in moves:
        if kinds[by[0]] is not None:
            enabled[before].add(by)
    if any(not enabled[state] for state in pending):
        return True  # nothing fair can be taken: the run may stop
    return any(True for _ in _fair(graph.subgraph(pending).copy(), enabled, kinds))


def _fair(graph: Any, enabled: dict[int, set[tuple[str, tuple[int, ...]]]], kinds: Any) -> Iterator[set[int]]:
    """Components in which a fair run can stay."""
    for members in list(nx.strongly_connected_components(graph)):
        part = graph.subgraph(members)
        if not part.number_of_edges():
            continue
        taken = {by for _, _, by in part.edges(data="by")}
        somewhere = set().union(*(enabled[state] for state in members))
        everywhere = set.intersection(*(enabled[state] for state in members))
        if any(by not in taken for by in everywhere):
            continue  # weak or strong: enabled for ever, never taken
        owed = {by for by in somewhere - taken if kinds[by[0]] == "strong"}
        if not owed:
            yield members
        else:
            yield from _fair(part.subgraph([s for s in members if not enabled[s] & owed]).copy(), enabled, kinds)


def liveness_disagreements(model: Model) -> list[str]:
    """Where components, diagrams and the whole graph judge otherwise."""
    by_components, by_diagrams = lasso.judge(model, Limits()), emerson_lei.judge(model, Limits())
    return [
        f"{name}: {verdicts}"
        for name in ("later", "on")
        if len(set(verdicts := (leads_to(model, name), by_components[name].name, by_diagrams[name].name))) > 1
    ]


# --- the tests --------------------------------------------------------------------------------------------------------
@SETTINGS
@given(protocols(), st.integers(2, 3))
def engines_agree(chosen: Protocol, threads: int) -> None:
    model = instantiate(chosen, threads)
    if small(model):
        assert disagreements(model) == []


def test_engines_agree_on_random_protocols_many_of_which_are_small_enough() -> None:
    COMPARED.clear()
    engines_agree()
    assert sum(COMPARED) * 3 > len(COMPARED) > 0


@NEEDS_C
@settings(SETTINGS, max_examples=6)
@given(protocols(), st.integers(2, 3))
def test_generated_c_agrees_on_random_protocols(chosen: Protocol, threads: int) -> None:
    model = instantiate(chosen, threads)
    if small(model):
        assert disagreements(model, ("c",)) == []


@SETTINGS
@given(protocols(), st.integers(2, 3))
def test_liveness_by_components_by_diagrams_and_on_the_whole_graph_agree(chosen: Protocol, threads: int) -> None:
    model = instantiate(chosen, threads)
    if small(model):
        assert liveness_disagreements(model) == []


@SETTINGS
@given(protocols())
def test_verdicts_do_not_depend_on_the_engine(chosen: Protocol) -> None:
    if small(instantiate(chosen, 2)):
        found = [explorer.explore(chosen, 2, engine) for engine in ("python", "numpy", "bdd")]
        assert len({tuple((name, verdict.name) for name, verdict in one.properties) for one in found}) == 1


# --- and they would notice --------------------------------------------------------------------------------------------
def is_wrong(model: Model, differs: Callable[[Model], list[str]]) -> bool:
    """Whether a small model shows a difference."""
    return small(model) and bool(differs(model))


def noticed(differs: Callable[[Model], list[str]]) -> bool:
    """Whether some random protocol shows a difference."""
    try:
        find(protocols(), lambda one: is_wrong(instantiate(one, 2), differs), settings=settings(
            SETTINGS, max_examples=60, phases=[*SETTINGS.phases][:3]))  # fmt: skip
    except NoSuchExample:
        return False
    return True


def test_nothing_is_noticed_where_nothing_is_wrong() -> None:
    with pytest.raises(NoSuchExample):
        find(protocols(), lambda one: is_wrong(instantiate(one, 2), disagreements), settings=settings(
            SETTINGS, max_examples=10))  # fmt: skip


def test_a_lost_transition_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    moves = numpy_engine.Expansion.moves
    monkeypatch.setattr(numpy_engine.Expansion, "moves", lambda self, states: list(moves(self, states))[1:])
    assert noticed(lambda model: disagreements(model, ("numpy",)))


def test_a_wrong_orbit_size_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_engine, "orbit_size", lambda _: lambda _: 2)
    assert noticed(lambda model: disagreements(model, ("python",)))


def test_a_wrong_representative_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = python_engine.canonical
    monkeypatch.setattr(python_engine, "canonical", lambda model: lambda state: right(model)(state) ^ (state & 1))
    assert noticed(lambda model: disagreements(model, ("python",)))


def test_a_group_that_is_never_exhausted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = diagrams.Reachability._groups
    monkeypatch.setattr(diagrams.Reachability, "_groups", lambda self: groups(self)[:-1])
    assert noticed(lambda model: disagreements(model, ("bdd",)))


@pytest.mark.parametrize("taken", ["as none", "as strong", "as weak"])
def test_wrong_fairness_is_noticed(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = lasso.fairness

    def wrong(model: Model) -> Any:
        found = right(model)
        if taken != "as none":
            return replace(found, strong=np.full_like(found.strong, taken == "as strong"))
        return replace(found, group=np.full_like(found.group, -1))

    monkeypatch.setattr(lasso, "fairness", wrong)
    monkeypatch.setattr(orbit_graph, "fairness", wrong)
    try:
        assert noticed(liveness_disagreements)
    except AssertionError as told:  # the run that would be printed is not fair
        assert "is not fair to" in str(told)
