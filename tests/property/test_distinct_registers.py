"""Register numbers that a premise keeps apart: reads past writes under it, and nowhere else."""

from __future__ import annotations

from random import Random

import pytest
from term_plans import Plan, rewritten, value

from verify import terms
from verify.terms import GPRS, const, var
from verify.terms.evaluation import evaluate

N, M = var("n", 4), var("k", 4)
FILE, A, B = var("g", GPRS), var("a", 64), var("b", 64)


def test_registers_are_not_taken_to_differ_without_the_premise():
    assert terms.select(terms.store(FILE, N, A), M) is not terms.select(FILE, M)
    env = {"g": tuple(range(16)), "a": 99, "n": 3, "k": 3}
    assert evaluate((terms.select(terms.store(FILE, N, A), M),), env) == (99,)


def test_registers_are_taken_to_differ_under_the_premise_and_nowhere_else():
    one, other = terms.store(terms.store(FILE, N, A), M, B), terms.store(terms.store(FILE, M, B), N, A)
    read = (terms.select(terms.store(FILE, N, A), M), terms.select(terms.store(FILE, M, A), N))
    known = terms.under([(N, M)], (*read, one, other))
    assert known[:2] == (terms.select(FILE, M), terms.select(FILE, N))
    assert known[2] is known[3]
    assert one is not other
    assert terms.select(terms.store(FILE, N, A), M) is read[0]
    assert terms.under([(N, const(6, 4))], read) == read


@pytest.mark.parametrize("batch", range(4))
def test_under_the_premise_values_are_right_wherever_the_premise_holds(batch):
    rng = Random(batch)
    for _ in range(150):
        array: Plan = Plan("var", (), ("g",), GPRS)
        numbers = [Plan("var", (), ("n",), 4), Plan("var", (), ("k",), 4), Plan("const", (), (6,), 4)]
        for _ in range(rng.randrange(1, 6)):
            array = Plan("store", (array, rng.choice(numbers), Plan("var", (), (rng.choice("ab"),), 64)), (), GPRS)
        plan = Plan("select", (array, rng.choice(numbers)), (), 64)
        (term,) = terms.under([(N, M), (N, const(6, 4))], (rewritten(plan),))
        n = rng.choice([x for x in range(16) if x != 6])
        k = rng.choice([x for x in range(16) if x != n])
        env = {"g": tuple(range(100, 116)), "a": 1, "b": 2, "n": n, "k": k}
        assert evaluate((term,), env) == (value(plan, env),)
