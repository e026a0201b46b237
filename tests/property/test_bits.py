"""The constructors of terms against Z3 and against integers that know nothing of them.

A `Plan` is an operation tree before any rewriting.  It is built three ways: by the constructors (rewritten), as nodes
that nothing rewrites (translated to Z3), and as Python integers with the definitions of SMT-LIB.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import pytest
import z3

from verify.models import bits
from verify.models.bits import GPRS, MEMORY, Sort, Term, const, postorder, var
from verify.models.evaluation import Memory, World, compiled, evaluate, stepwise
from verify.smt.canonical import canonical
from verify.smt.z3terms import translated

WIDTHS = (1, 4, 8, 16)
BATCHES = range(12)


class Plan(NamedTuple):
    op: str
    args: tuple[Any, ...]  # plans
    params: tuple[Any, ...]
    sort: Sort


def leaf(rng: Random, width: int) -> Plan:
    if rng.random() < 0.45:
        ones = (1 << width) - 1
        value = rng.choice((0, 1, ones, ones >> 1, 1 << (width - 1), width, rng.getrandbits(width))) & ones
        return Plan("const", (), (value,), width)
    return Plan("var", (), (f"{rng.choice('abc')}{width}",), width)


def register_file(rng: Random, depth: int) -> Plan:
    if depth <= 0 or rng.random() < 0.35:
        return Plan("var", (), (rng.choice(("g", "h")),), GPRS)
    if rng.random() < 0.25:
        parts = (tree(rng, 1, depth - 1), register_file(rng, depth - 1), register_file(rng, depth - 1))
        return Plan("ite", parts, (), GPRS)
    index, value = tree(rng, 4, rng.randrange(2)), tree(rng, 64, depth - 2)
    return Plan("store", (register_file(rng, depth - 1), index, value), (), GPRS)


def memory(rng: Random, depth: int) -> Plan:
    if depth <= 0 or rng.random() < 0.3:
        return Plan("var", (), ("m",), MEMORY)
    value = tree(rng, rng.choice((8, 16)), depth - 2)
    return Plan("write", (memory(rng, depth - 1), address(rng, depth), value), (), MEMORY)


def address(rng: Random, depth: int) -> Plan:
    """Few different addresses, so that reads meet writes."""
    constant = Plan("const", (), (rng.choice((0x1000, 0x1001, (1 << 64) - 1)),), 64)
    return rng.choice((constant, Plan("var", (), ("a64",), 64), tree(rng, 64, min(depth - 1, 1))))


BINARY = ("add", "sub", "mul", "and_", "or_", "xor", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem")


def tree(rng: Random, width: int, depth: int) -> Plan:
    """A random operation tree of a bit-vector sort."""
    if depth <= 0 or rng.random() < 0.1:
        return leaf(rng, width)
    kinds = ["binary"] * 5 + ["not_", "neg", "ite", "extract"]
    kinds += ["concat", "zext", "sext"] if width > 1 else ["eq", "eq", "ult", "slt", "eqg", "eq"]
    kinds += ["select"] * 2 if width == 64 else []
    kinds += ["load"] * 2 if width in {8, 16} else []
    return grown(rng.choice(kinds), rng, width, depth - 1)


def grown(kind: str, rng: Random, width: int, depth: int) -> Plan:
    def sub(w: int) -> Plan:
        return tree(rng, w, depth)

    if kind == "binary":
        first = sub(width)
        second = first if rng.random() < 0.1 else sub(width)
        return Plan(rng.choice(BINARY), (first, second), (), width)
    if kind in {"not_", "neg"}:
        return Plan(kind, (sub(width),), (), width)
    if kind == "ite":
        then = sub(width)
        condition = sub(1)
        otherwise = then if rng.random() < 0.1 else sub(width)
        if rng.random() < 0.3:
            condition = Plan("eq", (then, otherwise), (), 1)
        return Plan("ite", (condition, then, otherwise), (), width)
    if kind == "extract":
        wide = width + rng.choice((0, 1, 3, 8))
        low = rng.choice((0, wide - width, rng.randrange(wide - width + 1)))
        return Plan("extract", (sub(wide),), (low + width - 1, low), width)
    if kind == "concat":
        cut = rng.randrange(1, width)
        if rng.random() < 0.4:  # two neighbouring pieces of one term
            whole = sub(width + 2)
            top = Plan("extract", (whole,), (width, cut + 1), width - cut)
            return Plan("concat", (top, Plan("extract", (whole,), (cut, 1), cut)), (), width)
        return Plan("concat", (sub(width - cut), sub(cut)), (), width)
    if kind in {"zext", "sext"}:
        return Plan(kind, (sub(rng.randrange(1, width + 1)),), (), width)
    if kind in {"eq", "ult", "slt"}:
        w = rng.choice(WIDTHS)
        first = sub(w)
        if rng.random() < 0.4:  # sums that differ by a constant
            step = Plan("const", (), (rng.getrandbits(w),), w)
            return Plan(kind, (first, Plan("add", (first, step), (), w)), (), 1)
        return Plan(kind, (first, first if rng.random() < 0.1 else sub(w)), (), 1)
    if kind == "eqg":
        return Plan("eq", (register_file(rng, depth), register_file(rng, depth)), (), 1)
    if kind == "select":
        return Plan("select", (register_file(rng, depth + 1), tree(rng, 4, 1)), (), 64)
    return Plan("load", (memory(rng, depth + 1), address(rng, depth)), (width // 8,), width)


def built(plan: Plan) -> Term:
    """Through the constructors."""
    args = [built(a) for a in plan.args]
    match plan.op:
        case "const":
            return const(plan.params[0], plan.sort)
        case "var":
            return var(plan.params[0], plan.sort)
        case "extract":
            return bits.extract(args[0], *plan.params)
        case "zext" | "sext":
            return getattr(bits, plan.op)(args[0], plan.sort)
        case "load":
            return bits.load(*args, plan.params[0])
        case _:
            return getattr(bits, plan.op)(*args)


def raw(plan: Plan) -> Term:
    """As nodes that nothing folds or rewrites."""
    args = tuple(raw(a) for a in plan.args)
    match plan.op:
        case "const" | "var" | "extract" | "load":
            return bits.as_written(plan.op, args, plan.params, plan.sort)
        case "add":
            return bits.as_written("sum", args, (0, 1, 1), plan.sort)
        case "sub":
            return bits.as_written("sum", args, (0, 1, (1 << plan.sort) - 1), plan.sort)
        case "neg":
            return bits.as_written("sum", args, (0, (1 << plan.sort) - 1), plan.sort)
        case _:
            return bits.as_written(plan.op.rstrip("_"), args, (), plan.sort)


def signed(x: int, width: int) -> int:
    return x - (1 << width) if x >> (width - 1) else x


def divided(op: str, x: int, y: int, width: int) -> int:
    """SMT-LIB, FixedSizeBitVectors: bvudiv and bvurem by zero give all ones and the dividend; signed by magnitudes."""
    if op in {"udiv", "urem"}:
        return ((1 << width) - 1 if op == "udiv" else x) if y == 0 else (x // y if op == "udiv" else x % y)
    mask = (1 << width) - 1
    sx, sy = x >> (width - 1), y >> (width - 1)
    big = divided("udiv" if op == "sdiv" else "urem", -x & mask if sx else x, -y & mask if sy else y, width)
    negative = sx ^ sy if op == "sdiv" else sx
    return -big & mask if negative else big


def value(plan: Plan, env: dict[str, Any]) -> Any:
    """On integers, by definition."""
    a = [value(p, env) for p in plan.args]
    width = plan.sort if isinstance(plan.sort, int) else 0
    mask = (1 << width) - 1
    match plan.op:
        case "const":
            return plan.params[0]
        case "var":
            return env[plan.params[0]]
        case "add":
            return a[0] + a[1] & mask
        case "sub":
            return a[0] - a[1] & mask
        case "mul":
            return a[0] * a[1] & mask
        case "neg":
            return -a[0] & mask
        case "and_":
            return a[0] & a[1]
        case "or_":
            return a[0] | a[1]
        case "xor":
            return a[0] ^ a[1]
        case "not_":
            return mask - a[0]
        case "shl":
            return a[0] * 2 ** min(a[1], width) & mask
        case "lshr":
            return a[0] // 2 ** min(a[1], width)
        case "ashr":
            return signed(a[0], width) // 2 ** min(a[1], width) & mask
        case "udiv" | "urem" | "sdiv" | "srem":
            return divided(plan.op, a[0], a[1], width)
        case "extract":
            high, low = plan.params
            return a[0] // 2**low % 2 ** (high - low + 1)
        case "concat":
            return a[0] * 2 ** plan.args[1].sort + a[1]
        case "zext":
            return a[0]
        case "sext":
            return signed(a[0], plan.args[0].sort) & mask
        case "eq":
            return int(a[0] == a[1])
        case "ult":
            return int(a[0] < a[1])
        case "slt":
            w = plan.args[0].sort
            return int(signed(a[0], w) < signed(a[1], w))
        case "ite":
            return a[1] if a[0] else a[2]
        case "select":
            return a[0][a[1]]
        case "store":
            return tuple(a[2] if i == a[1] else x for i, x in enumerate(a[0]))
        case "write":
            size = plan.args[2].sort // 8
            return a[0] | {(a[1] + i) % 2**64: a[2] // 256**i % 256 for i in range(size)}
        case "load":
            return sum(a[0].get((a[1] + i) % 2**64, 0) * 256**i for i in range(plan.params[0]))
    raise AssertionError(plan.op)


def environment(rng: Random, terms: tuple[Term, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for the evaluator and for `value`: memories are dictionaries there."""
    env: dict[str, Any] = {}
    for t in postorder(terms):
        if t.op == "var" and t.sort is MEMORY:
            env[str(t.params[0])] = {a: rng.randrange(256) for a in (*range(0xFF8, 0x1010), (1 << 64) - 1, 0, 1)}
        elif t.op == "var" and t.sort is GPRS:
            env[str(t.params[0])] = tuple(rng.getrandbits(64) for _ in range(16))
        elif t.op == "var":
            full = rng.getrandbits(t.width)
            env[str(t.params[0])] = rng.choice((0, 1, full, full & 3, (1 << t.width) - 1, 1 << (t.width - 1)))
    return {n: Memory(0, v) if isinstance(v, dict) else v for n, v in env.items()}, env


def plans(seed: int, count: int) -> list[Plan]:
    rng = Random(seed)
    return [tree(rng, rng.choice((*WIDTHS, 1, 64)), rng.randrange(1, 5)) for _ in range(count)]


def uses_memory(plan: Plan) -> bool:
    return plan.op in {"load", "write"} or any(uses_memory(a) for a in plan.args)


@pytest.mark.parametrize("batch", BATCHES)
def test_rewritten_terms_have_the_value_that_the_definitions_give(batch):
    rng = Random(1000 + batch)
    for plan in plans(batch, 600):
        term, plain = built(plan), raw(plan)
        assert term.sort == plan.sort
        for _ in range(6):
            env, by_definition = environment(rng, (plain,))
            expected = value(plan, by_definition)
            assert evaluate((term, plain), env, World()) == (expected, expected), (plan, env)


@pytest.mark.parametrize("batch", BATCHES)
def test_rewritten_terms_equal_the_unrewritten_ones_for_all_values(batch):
    """Z3 finds no state in which they differ; memory is left to evaluation, it is uninterpreted for the solver."""
    decided = 0
    for plan in plans(500 + batch, 120):
        if uses_memory(plan):
            continue
        term, plain = built(plan), raw(plan)
        done: dict[Term, Any] = {}
        solver = z3.Solver()
        solver.set("rlimit", 300_000)
        solver.add(translated(term, done) != translated(plain, done))
        answer = solver.check()
        assert answer != z3.sat, (plan, solver.model())
        decided += answer == z3.unsat
    assert decided >= 45


@pytest.mark.parametrize("batch", range(4))
def test_translation_and_evaluation_agree(batch):
    """The translation of unrewritten terms, with every variable fixed, is the number that evaluation gives."""
    rng = Random(batch)
    for plan in plans(900 + batch, 40):
        if uses_memory(plan):
            continue
        plain = raw(plan)
        env, _ = environment(rng, (plain,))
        (expected,) = evaluate((plain,), env, World())
        done: dict[Term, Any] = {}
        solver = z3.Solver()
        for t in postorder((plain,)):
            if t.op == "var" and t.sort is GPRS:
                for i, x in enumerate(env[str(t.params[0])]):
                    solver.add(z3.Select(translated(t, done), z3.BitVecVal(i, 4)) == x)
            elif t.op == "var":
                solver.add(translated(t, done) == env[str(t.params[0])])
        solver.add(translated(plain, done) != expected)
        assert solver.check() == z3.unsat, (plan, env)


def test_the_sample_reaches_every_operation_and_rewrites_most_terms():
    seen: set[str] = set()
    changed = 0
    sample = [p for batch in BATCHES for p in plans(batch, 250)]
    for plan in sample:
        plain = raw(plan)
        seen |= {t.op for t in postorder((plain,))}
        changed += built(plan) is not plain
    assert seen >= {
        "const", "var", "sum", "mul", "and", "or", "xor", "not", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem",
        "extract", "concat", "zext", "sext", "eq", "ult", "slt", "ite", "select", "store", "load", "write",
    }  # fmt: skip
    assert changed > len(sample) / 4


@pytest.mark.parametrize("fault", ["add", "extract", "ite", "select", "eq"])
def test_a_seeded_fault_of_a_constructor_is_found(fault, monkeypatch):
    real = getattr(bits, fault)
    wrong = {
        "add": lambda a, b: real(real(a, b), const(1, a.width)),
        "extract": lambda a, high, low: real(a, high - low, 0),
        "ite": lambda c, t, o: real(c, o, t),
        "select": lambda array, index: real(array, bits.xor(index, const(1, 4))),
        "eq": lambda a, b: bits.TRUE,
    }[fault]
    monkeypatch.setattr(bits, fault, wrong)
    rng = Random(5)
    for plan in plans(0, 250):
        env, by_definition = environment(rng, (raw(plan),))
        if evaluate((built(plan),), env, World()) != (value(plan, by_definition),):
            return
    pytest.fail("no plan told the fault")


@pytest.mark.parametrize("batch", range(6))
def test_substitution_is_evaluation_with_the_value(batch):
    rng = Random(batch)
    for plan in plans(2000 + batch, 120):
        term = built(plan)
        env, _ = environment(rng, (raw(plan),))
        numbers = {n: v for n, v in env.items() if isinstance(v, int)}
        sorts = {str(t.params[0]): t.sort for t in postorder((term,)) if t.op == "var"}
        bindings = {var(n, s): const(numbers[n], s) for n, s in sorts.items() if n in numbers and isinstance(s, int)}
        (narrowed,) = bits.substitute((term,), bindings)
        assert evaluate((narrowed,), env, World()) == evaluate((term,), env, World()), plan


def renamed(plan: Plan, names: dict[str, str]) -> Plan:
    if plan.op == "var":
        return plan._replace(params=(names[plan.params[0]],))
    return plan._replace(args=tuple(renamed(a, names) for a in plan.args))


@pytest.mark.parametrize("batch", range(6))
def test_canonical_text_does_not_depend_on_names(batch):
    compared = 0
    for plan in plans(3000 + batch, 200):
        plain = raw(plan)
        names = sorted({str(t.params[0]) for t in postorder((plain,)) if t.op == "var"})
        other = raw(renamed(plan, {n: f"zz_{n}" for n in names}))
        first, second = canonical((plain,)), canonical((other,))
        assert (first.text, first.digest, first.sorts) == (second.text, second.digest, second.sorts)
        assert second.names == tuple(f"zz_{n}" for n in first.names)
        compared += bool(names)
    assert compared > 100


@pytest.mark.parametrize("batch", range(6))
def test_equal_canonical_texts_mean_equal_values(batch):
    """Sharing of proofs: what is evaluated under canonical names is the value under the term's own names."""
    rng = Random(batch)
    for plan in plans(4000 + batch, 120):
        term = built(plan)
        text = canonical((term,))
        env, _ = environment(rng, (raw(plan),))
        own = {f"v{i}": env[n] for i, n in enumerate(text.names)}
        expected = evaluate((term,), env, World())
        assert stepwise(text.program)(own, World()) == expected
        assert compiled(text.program)(own, World()) == expected
        assert evaluate(text.terms(), env, World()) == expected


def test_different_plans_with_one_text_are_the_same_up_to_names():
    by_text: dict[str, tuple[Term, tuple[str, ...]]] = {}
    rng = Random(11)
    shared = 0
    for plan in plans(5000, 1500):
        term = built(plan)
        text = canonical((term,))
        first = by_text.setdefault(text.text, (term, text.names))
        if first[0] is term:
            continue
        shared += 1
        env, _ = environment(rng, (raw(plan),))
        moved = {mine: env[theirs] for mine, theirs in zip(first[1], text.names, strict=True)}
        assert evaluate((first[0],), moved, World()) == evaluate((term,), env, World())
    assert shared > 20


N, M = var("n", 4), var("k", 4)
FILE, A, B = var("g", GPRS), var("a", 64), var("b", 64)


def test_registers_are_not_taken_to_differ_without_the_premise():
    assert bits.select(bits.store(FILE, N, A), M) is not bits.select(FILE, M)
    env = {"g": tuple(range(16)), "a": 99, "n": 3, "k": 3}
    assert evaluate((bits.select(bits.store(FILE, N, A), M),), env) == (99,)


def test_registers_are_taken_to_differ_under_the_premise_and_nowhere_else():
    one, other = bits.store(bits.store(FILE, N, A), M, B), bits.store(bits.store(FILE, M, B), N, A)
    read = (bits.select(bits.store(FILE, N, A), M), bits.select(bits.store(FILE, M, A), N))
    known = bits.under([(N, M)], (*read, one, other))
    assert known[:2] == (bits.select(FILE, M), bits.select(FILE, N))
    assert known[2] is known[3]
    assert one is not other
    assert bits.select(bits.store(FILE, N, A), M) is read[0]
    assert bits.under([(N, const(6, 4))], read) == read


@pytest.mark.parametrize("batch", range(4))
def test_under_the_premise_values_are_right_wherever_the_premise_holds(batch):
    rng = Random(batch)
    for _ in range(150):
        array: Plan = Plan("var", (), ("g",), GPRS)
        numbers = [Plan("var", (), ("n",), 4), Plan("var", (), ("k",), 4), Plan("const", (), (6,), 4)]
        for _ in range(rng.randrange(1, 6)):
            array = Plan("store", (array, rng.choice(numbers), Plan("var", (), (rng.choice("ab"),), 64)), (), GPRS)
        plan = Plan("select", (array, rng.choice(numbers)), (), 64)
        (term,) = bits.under([(N, M), (N, const(6, 4))], (built(plan),))
        n = rng.choice([x for x in range(16) if x != 6])
        k = rng.choice([x for x in range(16) if x != n])
        env = {"g": tuple(range(100, 116)), "a": 1, "b": 2, "n": n, "k": k}
        assert evaluate((term,), env) == (value(plan, env),)
