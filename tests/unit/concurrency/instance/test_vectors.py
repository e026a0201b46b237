"""Vectors of states compute what dags say, in narrow columns and in wide ones."""

from __future__ import annotations

import numpy as np
import pytest

from verify.concurrency.explicit import numpy_engine, python_engine
from verify.concurrency.instance import vectors
from verify.concurrency.instance.dag import evaluate
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.language.protocol import Array, Bool, Bounded, Claim, Description, Enum, Shared, Thread
from verify.concurrency.protocols import names, protocol

ALWAYS, NEVER = 0, 1 << 62


def numbers() -> Model:
    """Ranges below zero, beyond a byte and across the bytes of a state, sums that leave a byte, an array."""
    p = Description(
        "numbers",
        "q",
        shared={"cell": Array(3, Bounded(-2, 5)), "large": Bounded(-300, 900, initial=-290), "flag": Bool()},
        local={"pc": Enum("a", "b", "c"), "index": Bounded(0, 2), "low": Bounded(-100, 100, initial=90)},
    )

    @p.step()
    def spread(s: Shared, t: Thread) -> None:
        if t.pc == "a" and s.large < 790 and s.large + t.low > -290:
            s.large = s.large + t.low + s.cell[t.index]
            t.pc = "b"
            s.flag = s.large > 100

    @p.step()
    def store(s: Shared, t: Thread) -> None:
        if t.pc == "b":
            s.cell[t.index] = 5 if s.cell[t.index] < 0 else s.cell[t.index] - 1
            t.index = 0 if t.index == 2 else t.index + 1
            t.low = t.low - 40 if t.low > 0 else t.low
            t.pc = "a" if s.flag else "c"

    @p.step()
    def back(s: Shared, t: Thread) -> None:
        if t.pc == "c" and t.low + t.low + t.index < 130:
            t.pc = "a"

    @p.always
    def small(s: Shared, t: Thread) -> Claim:
        return s.large + s.large < 1000

    return instantiate(p.protocol(), 2)


@pytest.mark.parametrize("many", [ALWAYS, NEVER])
@pytest.mark.parametrize("name", [*names(), "numbers"])
def test_columns_give_the_counts_of_the_interpreter(name: str, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MANY", many)
    model = numbers() if name == "numbers" else instantiate(protocol(name), 2)
    plain, found = python_engine.search(model, False), numpy_engine.search(model, False)
    assert (found.states, found.transitions, found.depth) == (plain.states, plain.transitions, plain.depth)
    assert {i: seen.depth for i, seen in found.seen.items()} == {i: seen.depth for i, seen in plain.seen.items()}


@pytest.mark.parametrize("many", [ALWAYS, NEVER])
def test_columns_hold_the_values_of_circuits(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MANY", many)
    model = numbers()
    explorer = numpy_engine.Explorer.of(model, False, keep=True)
    while len(explorer.frontier) and explorer.done < 12:
        explorer.step()
    assert explorer.keep is not None
    states = np.concatenate(explorer.keep)
    values = vectors.Values(model, states)
    nodes = [node for one in model.transitions for node in (one.guard, *(update for _, update in one.updates))]
    assert len(states) > 100
    for node in nodes:
        assert values.number(node).tolist() == [evaluate(node, model.cells(int(state))) for state in states]
