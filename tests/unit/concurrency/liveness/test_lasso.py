"""Lassos against a search of its own, state by state: fair all round, and no run that stops is shorter."""

from __future__ import annotations

from itertools import pairwise

import pytest

from verify.concurrency.explicit.python_engine import program
from verify.concurrency.explorer import explore
from verify.concurrency.instance.dag import evaluate
from verify.concurrency.instance.instance import Model, Transition, instantiate
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.liveness.fair_runs import starved
from verify.concurrency.liveness.orbit_graph import obligations
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Refuted, Trace

ROUND = [
    ("inline-step", "two-steppers", "a_step_ends", 8),
    ("int3-patch", "interrupt-lost-in-handler", "patching_ends", 8),
    ("return-probe", "alternate-stack", "trampoline_is_left", 8),
    ("xol-step", "weakly-fair-slots", "a_waiting_thread_gets_a_slot", 19),
    ("xol-unmap", "area-not-sealed", "a_hit_ends", 11),
]
STOP = [
    ("inline-step", "signal-in-gap", "a_trapped_thread_steps"),
    ("inline-step", "waiting-instruction", "a_step_ends"),
    ("xol-fork", "vfork-in-slot", "a_vfork_parent_goes_on"),
    ("xol-step", "signal-in-slot", "a_waiting_thread_gets_a_slot"),
]


def lasso(chosen: Protocol, name: str) -> Trace:
    verdict = explore(chosen).verdict(name)
    assert isinstance(verdict, Refuted) and verdict.trace is not None and verdict.trace.loop is not None
    return verdict.trace


def instance(transition: Transition) -> tuple[str, tuple[int, ...]]:
    return transition.step.name, transition.threads


def enabled(model: Model, state: int) -> list[Transition]:
    return [item for item in model.transitions if evaluate(item.guard, model.cells(state))]


@pytest.mark.parametrize(("name", "variant", "property_", "steps"), ROUND)
def test_a_round_is_pending_and_fair_and_as_short_as_is_known(
    name: str, variant: str, property_: str, steps: int
) -> None:
    chosen = protocol(name).with_variant(variant)
    model, trace = instantiate(chosen, chosen.threads), lasso(chosen, property_)
    assert trace.loop is not None and trace.states[trace.loop] == trace.states[-1]
    around = trace.states[trace.loop :]
    claim = obligations(model)[property_][0].claim
    assert not any(evaluate(claim, model.cells(state)) for state in around)
    code, taken = program(model), set()
    for before, after in pairwise(around):
        out: list[tuple[int, int]] = []
        code.steps(before, out)
        taken |= {instance(model.transitions[number]) for number, successor in out if successor == after}
    able = [{instance(item) for item in enabled(model, state)} for state in around]
    for item in model.transitions:
        one = instance(item)
        if item.step.fair == "weak":
            assert one in taken or not all(one in here for here in able), one
        if item.step.fair == "strong":
            assert one in taken or not any(one in here for here in able), one
    assert len(trace.events) == steps


def nearest_stop(model: Model, property_: str) -> int:
    """Transitions on the shortest way to a state in which the obligation is pending and no fair step is enabled."""
    (wanted, *_), code = obligations(model)[property_], program(model)

    def opened(state: int, pending: bool) -> tuple[int, bool]:
        cells = model.cells(state)
        return state, (pending or bool(evaluate(wanted.premise, cells))) and not evaluate(wanted.claim, cells)

    level = {opened(state, False) for state in model.initial}
    seen, depth = set(level), 0
    while level:
        for state, pending in level:
            if pending and all(item.step.fair is None for item in enabled(model, state)):
                return depth
        following = set()
        for state, pending in level:
            out: list[int] = []
            code.expand(state, out)
            following |= {opened(after, pending) for after in out}
        level, depth = following - seen, depth + 1
        seen |= level
    raise AssertionError("no run stops")


def test_a_run_that_starves_somebody_is_told_by_name() -> None:
    chosen = protocol("inline-step").with_variant("two-steppers")
    model, trace = instantiate(chosen, chosen.threads), lasso(chosen, "a_step_ends")
    assert trace.loop is not None
    around, code = trace.states[trace.loop :], program(model)
    numbers = []
    for before, after in pairwise(around):
        out: list[tuple[int, int]] = []
        code.steps(before, out)
        numbers.append(next(number for number, successor in out if successor == after))
    assert starved(model, around, tuple(numbers)) == ()
    assert starved(model, around[:1], ()) != ()
    left_out = {one for gone in set(numbers) for one in starved(model, around, tuple(set(numbers) - {gone}))}
    assert left_out == {"take_out (1,) ()"}  # the one that is strongly fair


@pytest.mark.parametrize(("name", "variant", "property_"), STOP)
def test_no_run_that_stops_is_shorter(name: str, variant: str, property_: str) -> None:
    chosen = protocol(name).with_variant(variant)
    trace = lasso(chosen, property_)
    assert trace.loop == len(trace.events)
    assert trace.loop == nearest_stop(instantiate(chosen, chosen.threads), property_)
