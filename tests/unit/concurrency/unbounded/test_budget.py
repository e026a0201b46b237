"""Work is counted alike every time: whatever was done before, in another process, and up to the last unit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import z3

from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import counter_abstraction, houdini
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.solvers import Constants, asked, horn, solver

ROOT = Path(__file__).parents[4]
NAMES = ["no_missed_hit", "no_deadlock"]
TOLD = """
from tests.unit.concurrency.unbounded.test_budget import spent
print(spent())
"""


def spent(limits: Limits = Limits()) -> list[int]:  # noqa: B008 - frozen
    """Units that the invariant and the counters of inline-step take."""
    made: list[Budget] = []

    class Recorded(Budget):
        def __init__(self, bounds: Limits, work: int) -> None:
            super().__init__(bounds, work)
            made.append(self)

    before = houdini.Budget, counter_abstraction.Budget
    houdini.Budget = counter_abstraction.Budget = Recorded  # type: ignore[misc]
    try:
        assert houdini.invariant(protocol("inline-step"), limits, False, NAMES, small=False).proved
        assert counter_abstraction.counted(protocol("inline-step"), NAMES, limits).proved
    finally:
        houdini.Budget, counter_abstraction.Budget = before  # type: ignore[misc]
    return [budget.spent for budget in made]


def test_the_same_proof_takes_the_same_units_whatever_was_done_before() -> None:
    first = spent()
    z3.Solver().check(z3.Int("opaque") > 5)
    houdini.invariant(protocol("int3-patch").with_variant("no-int3"), Limits(), False, (), small=False)
    assert spent() == first
    assert all(units > 1000 for units in first)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_another_process_takes_the_same_units(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", TOLD], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == str(spent())


def test_a_proof_ends_where_its_work_does() -> None:
    needed = max(spent())
    assert spent(Limits(work=needed))
    with pytest.raises(NotCovered, match=r"units of work|gave up"):
        spent(Limits(work=needed * 9 // 10))


def test_a_hard_question_ends_after_its_units() -> None:
    ours = Constants()
    a, b = z3.BitVecs("a b", 64, ours.context)
    made = solver(ours.context)
    made.add(a * b == 0xDEADBEEFCAFEBABD, z3.ULT(a, 1 << 33), z3.UGT(a, 1 << 20), z3.ULT(b, 1 << 33), b > 5)
    for _ in range(2):  # the units of the first are not counted again
        answer = asked(made, (), 50_000)
        assert answer.status == z3.unknown
        assert 50_000 < answer.units < 60_000


def test_spacer_ends_after_its_units() -> None:
    ours = Constants()
    engine = horn(ours.context)
    count, bad = z3.Function("count", *[ours.integers] * 3, ours.truths), z3.Function("bad", ours.truths)
    p, q, r = map(ours.integer, "pqr")
    engine.declare_var(p, q, r)
    engine.register_relation(count, bad)
    engine.rule(count(p, q, r), [p >= 0, q == 3 * p, r == 1])
    engine.rule(count(p + q, q + r * 2, r + p), [count(p, q, r)])
    engine.rule(bad(), [count(p, q, r), p * p + 17 == q * r])
    for _ in range(2):
        answer = asked(engine, bad(), 50_000)
        assert answer.status == z3.unknown
        assert 50_000 < answer.units < 60_000
