"""The constructors of terms against solvers and against integers that know nothing of them.

A plan (`term_plans`) is built by the constructors (rewritten), as nodes that nothing rewrites (asked of solvers), and
as Python integers by the definitions of SMT-LIB.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest
from smtlib_terms import bitwuzla_answer, cvc5_answer, script, z3_answer
from term_plans import Answers, Plan, environment, folded, plain, plans, rewritten, states, value, written_back
from wrong_rules import WRONG, with_fault

from verify import terms
from verify.terms import Constructors, Term, as_written, const, constructors, evaluation, postorder, sums, var
from verify.terms.constructors import SCOPE
from verify.terms.evaluation import Memory, evaluate

BATCHES = range(6)
WORK = 40_000  # of bitwuzla and Z3, in units of their own


def different(a: Term, b: Term) -> Term:
    return as_written("not", (as_written("eq", (a, b), (), 1),), (), 1)


def operations(plan: Plan) -> set[str]:
    seen: set[str] = set()
    folded(plan, lambda p, _: seen.add(p.op))
    return seen


@pytest.mark.parametrize("batch", BATCHES)
def test_rewritten_terms_have_the_value_that_the_definitions_give(batch):
    rng = Random(1000 + batch)
    for plan in plans(batch, 300):
        pair = rewritten(plan), plain(plan)
        assert pair[0].sort == plan.sort
        for _ in range(3):
            env = environment(rng, plan)
            expected = value(plan, env)
            assert evaluate(pair, states(env), Answers()) == (expected, expected), (plan, env)


@pytest.mark.parametrize(
    ("solver", "count", "widest"),
    [(z3_answer, 150, 512), (bitwuzla_answer, 150, 512), (z3_answer, 150, 65), (bitwuzla_answer, 150, 65),
     (cvc5_answer, 60, 33)],
)  # fmt: skip
def test_rewritten_terms_equal_the_unrewritten_ones_for_all_values(solver, count, widest):
    """No state in which they differ; a memory is an array of bytes, a datapath any function."""
    decided = asked = 0
    for plan in plans(("solver", solver.__name__), count, widest):
        term, nodes = rewritten(plan), plain(plan)
        if term is not nodes:
            answer = solver(script((different(term, nodes),)), WORK)
            assert answer != "sat", plan
            asked += 1
            decided += answer == "unsat"
    assert asked > count / 2
    assert decided >= 0.9 * asked


@pytest.mark.parametrize("solver", [z3_answer, cvc5_answer, bitwuzla_answer])
def test_evaluation_is_the_value_that_solvers_give(solver):
    """With every variable fixed, terms that nothing rewrote are the number that evaluation and the definitions give."""
    rng = Random(solver.__name__)
    for plan in plans(("value", solver.__name__), 60):
        if "uf" in operations(plan):
            continue
        nodes, env = plain(plan), environment(rng, plan)
        (found,) = evaluate((nodes,), states(env))
        assert found == value(plan, env)
        assert solver(script((different(nodes, const(found, nodes.width)),), env)) == "unsat", (plan, env)
        other = const(found + 1, nodes.width)
        assert solver(script((different(nodes, other),), env)) == "sat", (plan, env)


def test_the_sample_reaches_every_operation_and_rewrites_most_terms():
    seen: set[str] = set()
    changed = 0
    sample = [p for batch in BATCHES for p in plans(batch, 100)]
    for plan in sample:
        nodes = plain(plan)
        seen |= {t.op for t in postorder((nodes,))}
        changed += rewritten(plan) is not nodes
    assert seen >= {
        "const", "var", "sum", "mul", "and", "or", "xor", "not", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem",
        "extract", "concat", "zext", "sext", "eq", "ult", "slt", "ite", "select", "store", "load", "write", "uf",
    }  # fmt: skip
    assert changed > len(sample) / 2


@cache
def expected_values() -> tuple[tuple[Plan, dict[str, Any], Any], ...]:
    """Plans with a state each and the value that the definitions give."""
    rng = Random(7)
    given = ((p, environment(rng, p)) for p in (*plans("faults", 700), written_back()))
    return tuple((p, env, value(p, env)) for p, env in given)


def is_told(made: Constructors) -> bool:
    """Whether some plan has another value than the definitions give."""
    for plan, env, wanted in expected_values():
        if evaluate((rewritten(plan, made),), states(env), Answers()) != (wanted,):
            return True
    return False


# Wrong rules that seven hundred plans tell; the proofs of `test_rules.py` tell all of them.
BY_PLANS = (
    "or-masks:mask-not-complemented", "xor-same:keeps-the-term", "not-not:one-left", "fold-shl:modulo-width",
    "sum-choice:one-arm", "extract-extract:low-kept", "concat-adjacent-first:wrong-order", "sext-sext:as-zero",
    "ite-not:arms-kept", "select-same:any-number", "load-written:any-address", "load-written:high-end",
)  # fmt: skip


@pytest.mark.parametrize("name", BY_PLANS)
def test_a_wrong_rule_is_told_by_random_terms(name):
    (wrong,) = (r for r in WRONG if r.name == name)
    assert is_told(constructors(with_fault(wrong)))


def forgets_the_constant(factor: int, t: Term, made: Any) -> Term:
    return sums.normal(0, {u: factor * c for u, c in sums.parts(t)[1].items()}, t.width, made)


def forgets_coefficients(t: Term, high: int, made: Any) -> Term:
    constant, coefficients = sums.parts(t)
    return sums.normal(constant, {made.extract(u, high, 0): 1 for u in coefficients}, high + 1, made)


FAULTS = {  # of what is no row: name in the constructors' scope -> what does something else
    "combined": lambda a, b, sign, made: sums.combined(a, b, 1, made),
    "scaled": forgets_the_constant,
    "low_bits": forgets_coefficients,
    "signed": lambda n, width: n,
    "quotient": lambda x, y, width: x // y,
    "const": lambda n, width: const(n + (n >> width != 0), width),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_an_algorithm_is_told_by_random_terms(name, monkeypatch):
    monkeypatch.setitem(SCOPE, name, FAULTS[name])
    assert is_told(constructors())


def test_what_is_right_is_not_told():
    assert not is_told(constructors())


@pytest.mark.parametrize("batch", range(3))
def test_substitution_is_evaluation_with_the_value(batch):
    rng = Random(batch)
    for plan in plans(2000 + batch, 100):
        term, env = rewritten(plan), environment(rng, plan)
        variables = [t for t in postorder((term,)) if t.op == "var" and isinstance(t.sort, int)]
        bindings = {t: const(env[str(t.params[0])], t.width) for t in variables}
        (narrowed,) = terms.substitute((term,), bindings)
        assert evaluate((narrowed,), states(env), Answers()) == evaluate((term,), states(env), Answers()), plan


def test_substitution_leaves_what_holds_nothing_of_it_as_it_is():
    rng, absent = Random(5), var("absent", 8)
    for plan in plans(5, 400):
        term = rewritten(plan)
        assert terms.substitute((term,), {}) == terms.substitute((term,), {absent: const(1, 8)}) == (term,), plan
    for _ in range(400):  # sums that the constructors would write otherwise: as they are under other rules
        x, y = (var(n, 8) for n in "xy")
        raw = as_written("sum", (x, y), tuple(rng.randrange(256) for _ in range(3)), 8)
        assert terms.substitute((raw,), {absent: x}) == (raw,)


def no_wrap(self: Memory, address: int, size: int) -> int:
    return sum((self.byte(address + i) if address + i < 1 << 64 else 0) << 8 * i for i in range(size))


EVALUATION_FAULTS = {
    "shift": lambda op, value, count, width: value >> count if op != "shl" else value << count % width,
    "divide": lambda op, x, y, width: x // y if y else 0,
    "signed": lambda value, width: value,
    "replaced": lambda array, index, value: array,
    "equal": lambda a, b: int(a is b),
}


@pytest.mark.parametrize("name", [*EVALUATION_FAULTS, "load"])
def test_a_fault_of_evaluation_is_told_by_the_definitions(name, monkeypatch):
    if name == "load":
        monkeypatch.setattr(Memory, "load", no_wrap)
    else:
        monkeypatch.setitem(evaluation._NAMES, name, EVALUATION_FAULTS[name])
    evaluation.operation.cache_clear()
    try:
        told = any(evaluate((plain(p),), states(env), Answers()) != (v,) for p, env, v in expected_values())
    finally:
        evaluation.operation.cache_clear()
    assert told
