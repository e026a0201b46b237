"""The canonical text of terms: names do not matter, and equal texts mean equal values."""

from __future__ import annotations

from random import Random

import pytest
from term_plans import Answers, Plan, environment, folded, plain, plans, rewritten, states, variable

from verify.smt.canonical import canonical
from verify.terms import Term, postorder
from verify.terms.evaluation import compiled, evaluate, stepwise


def renamed(plan: Plan) -> Plan:
    def of(p: Plan, args: list[Plan]) -> Plan:
        return variable(f"zz_{p.params[0]}", p.sort) if p.op == "var" else p._replace(args=tuple(args))

    return folded(plan, of)


@pytest.mark.parametrize("batch", range(6))
def test_canonical_text_does_not_depend_on_names(batch):
    compared = 0
    for plan in plans(3000 + batch, 200):
        terms, other = plain(plan), plain(renamed(plan))
        names = [t for t in postorder((terms,)) if t.op == "var"]
        first, second = canonical((terms,)), canonical((other,))
        assert (first.text, first.digest, first.sorts) == (second.text, second.digest, second.sorts)
        assert second.names == tuple(f"zz_{n}" for n in first.names)
        compared += bool(names)
    assert compared > 100


@pytest.mark.parametrize("batch", range(6))
def test_equal_canonical_texts_mean_equal_values(batch):
    """Sharing of proofs: what is evaluated under canonical names is the value under the term's own names."""
    rng = Random(batch)
    for plan in plans(4000 + batch, 120):
        term = rewritten(plan)
        text = canonical((term,))
        env = states(environment(rng, plan))
        own = {f"v{i}": env[n] for i, n in enumerate(text.names)}
        expected = evaluate((term,), env, Answers())
        assert stepwise(text.program)(own, Answers()) == expected
        assert compiled(text.program)(own, Answers()) == expected
        assert evaluate(text.terms(), env, Answers()) == expected


def test_different_plans_with_one_text_are_the_same_up_to_names():
    by_text: dict[str, tuple[Term, tuple[str, ...]]] = {}
    rng = Random(11)
    shared = 0
    for plan in plans(5000, 1500):
        term = rewritten(plan)
        text = canonical((term,))
        first = by_text.setdefault(text.text, (term, text.names))
        if first[0] is term:
            continue
        shared += 1
        env = states(environment(rng, plan))
        moved = {mine: env[theirs] for mine, theirs in zip(first[1], text.names, strict=True)}
        assert evaluate((first[0],), moved, Answers()) == evaluate((term,), env, Answers())
    assert shared > 20
