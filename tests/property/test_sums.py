"""The normal form of sums against integer arithmetic and solvers, step by step as its proof has them."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest
from smtlib_terms import SOLVERS, script

from verify import terms as bits
from verify.terms import Term, as_written, const, sums, var
from verify.terms.evaluation import evaluate

WIDTHS = (1, 2, 3, 8, 13, 16, 32, 63, 64, 65, 128, 512)


def polynomial(rng: Random, width: int, names: str = "abcd") -> tuple[int, dict[str, int]]:
    """A constant and coefficients, the corners often."""
    def some() -> int:
        return rng.choice((0, 1, -1, 1 << (width - 1), rng.getrandbits(width)))

    return some(), {n: some() for n in names if rng.random() < 0.7}


def written(p: tuple[int, dict[str, int]], width: int) -> Term:
    """The node, its terms in the order of the names: not normal."""
    constant, parts = p
    mask = (1 << width) - 1
    args = tuple(var(n, width) for n in parts)
    return as_written("sum", args, (constant & mask, *(c & mask for c in parts.values())), width)


def made(p: tuple[int, dict[str, int]], width: int, rng: Random) -> Term:
    """By constructors, its terms in any order, each perhaps in two parts."""
    constant, parts = p
    pieces = [const(constant, width)]
    for n, c in parts.items():
        cut = rng.choice((0, rng.getrandbits(width)))
        pieces += [bits.mul(const(k, width), var(n, width)) for k in (cut, c - cut)]
    rng.shuffle(pieces)
    total = const(0, width)
    for piece in pieces:
        total = bits.add(total, piece) if rng.random() < 0.7 else bits.sub(total, bits.neg(piece))
    return total


def is_normal(t: Term) -> bool:
    if t.op != "sum":
        return True
    constant, *coefficients = t.params
    top = 1 << t.width
    plain = all(a.op not in {"const", "sum"} for a in t.args) and len(set(t.args)) == len(t.args)
    ordered = all(bits.precedes(a, b) for a, b in zip(t.args, t.args[1:], strict=False))
    ranges = 0 <= constant < top and all(0 < c < top for c in coefficients)
    return plain and ordered and ranges and bool(t.args) and (constant, coefficients) != (0, [1])


def number(p: tuple[int, dict[str, int]], env: dict[str, int], width: int) -> int:
    return (p[0] + sum(c * env[n] for n, c in p[1].items())) % (1 << width)


def values(rng: Random, width: int) -> dict[str, int]:
    return {n: rng.choice((0, 1, (1 << width) - 1, rng.getrandbits(width))) for n in "abcd"}


@pytest.mark.parametrize("width", WIDTHS)
def test_sums_are_normal_and_have_their_value(width):
    rng = Random(width)
    for _ in range(60):
        p, q, k = polynomial(rng, width), polynomial(rng, width), rng.getrandbits(width)
        x, y, env = made(p, width, rng), made(q, width, rng), values(rng, width)
        a, b = number(p, env, width), number(q, env, width)
        high = rng.randrange(width)
        found = (bits.add(x, y), bits.sub(x, y), bits.neg(x), bits.mul(const(k, width), x), bits.extract(x, high, 0))
        whole = 1 << width
        expected = ((a + b) % whole, (a - b) % whole, -a % whole, k * a % whole, a % (2 << high))
        assert evaluate(found, env) == expected
        assert all(is_normal(t) for t in (x, y, *found))


@pytest.mark.parametrize("width", WIDTHS)
def test_equal_polynomials_are_one_term_and_others_are_not(width):
    """Two of first degree are equal functions if and only if their coefficients are."""
    rng = Random(100 + width)
    for _ in range(60):
        p = polynomial(rng, width)
        assert made(p, width, rng) is made(p, width, rng)
        other = polynomial(rng, width)
        same = all(
            (p[1].get(n, 0) - other[1].get(n, 0)) % (1 << width) == 0 for n in "abcd"
        ) and (p[0] - other[0]) % (1 << width) == 0
        assert (made(p, width, rng) is made(other, width, rng)) == same


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_agree_with_the_normal_form(solver):
    """The node as it is written equals what constructors make; a coefficient more or less does not."""
    rng = Random(solver)
    for width in (1, 3, 8, 16, 33, 64):
        for _ in range(3):
            p = polynomial(rng, width, "abc")
            for wrong in (0, 1):
                claimed = bits.add(made(p, width, rng), const(wrong, width))
                different = as_written("not", (as_written("eq", (written(p, width), claimed), (), 1),), (), 1)
                assert SOLVERS[solver](script((different,))) == ("sat" if wrong else "unsat"), (p, width)


def test_the_difference_decides_equality():
    a, b = var("a", 8), var("b", 8)
    assert bits.eq(bits.add(a, b), bits.add(b, a)) is bits.TRUE
    assert bits.eq(bits.add(a, const(3, 8)), a) is bits.FALSE
    assert bits.eq(bits.add(a, const(256, 8)), a) is bits.TRUE
    assert bits.eq(bits.add(a, b), a).op == "eq"


def test_the_order_in_which_terms_are_added_does_not_matter():
    terms = [var("a", 16), bits.ite(var("c", 1), var("a", 16), var("b", 16)), const(5, 16), bits.not_(var("a", 16))]
    found = set()
    for order in permutations(terms):
        total = const(0, 16)
        for t in order:
            total = bits.add(total, t)
        found.add(total)
    assert len(found) == 1


def test_terms_that_stand_twice_are_collected():
    a = var("a", 8)
    twice: Any = as_written("sum", (a, a), (1, 2, 3), 8)
    assert sums.parts(twice) == (1, {a: 5})
    assert bits.add(twice, const(0, 8)) is bits.add(bits.mul(const(5, 8), a), const(1, 8))
