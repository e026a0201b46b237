"""Rewriting, rule by rule, on the smallest inputs; each expected term is what the operation means on bits."""

import pytest

from verify import terms
from verify.terms import FALSE, GPRS, MEMORY, TRUE, const, var

X, Y, M = var("x", 1), var("y", 1), var("m", 8)
A, B = var("a", 8), var("b", 8)
C = var("c", 1)
FILE, N, K, V = var("g", GPRS), var("i", 4), var("j", 4), var("v", 64)
MEM, P = var("mem", MEMORY), var("p", 64)


def test_complementary_masks_need_the_same_term_beside_each_mask():
    """x & ~x is 0, so that or with x & y is x & y; x alone is wrong for x = 1, y = 0."""
    assert terms.or_(terms.and_(X, terms.not_(X)), terms.and_(X, Y)) is terms.and_(X, Y)


def test_complementary_masks_of_a_mask_that_is_the_complement_of_the_term():
    """The nodes as they were written: (x & ~x) | (x & y)."""
    nothing = terms.as_written("and", (X, terms.not_(X)), (), 1)
    for pair in ((nothing, terms.and_(X, Y)), (terms.and_(X, Y), nothing)):
        assert terms.or_(*pair) is not X


@pytest.mark.parametrize(
    ("rewritten", "expected"),
    [
        (terms.or_(terms.and_(A, M), terms.and_(terms.not_(M), A)), A),
        (terms.or_(terms.and_(A, const(0xF0, 8)), terms.and_(A, const(0x0F, 8))), A),
        (terms.ite(terms.eq(A, B), A, B), B),
        (terms.ite(terms.eq(A, B), B, A), A),
        (terms.ite(terms.not_(C), TRUE, FALSE), terms.not_(C)),
        (terms.sext(terms.zext(A, 9), 16), terms.zext(A, 16)),
        (terms.extract(terms.sext(A, 16), 7, 0), A),
        (terms.concat(terms.extract(A, 7, 4), terms.extract(A, 3, 0)), A),
        (terms.shl(A, const(8, 8)), const(0, 8)),
        (terms.lshr(A, const(255, 8)), const(0, 8)),
        (terms.shl(var("x3", 3), const(3, 3)), const(0, 3)),
        (terms.ashr(const(0x80, 8), const(200, 8)), const(0xFF, 8)),
        (terms.sub(terms.add(A, B), A), B),
        (terms.eq(terms.add(A, const(3, 8)), A), FALSE),
        (terms.select(terms.store(FILE, N, V), N), V),
        (terms.load(terms.write(MEM, P, A), P, 1), A),
    ],
)
def test_what_is_equal_is_rewritten(rewritten, expected):
    assert rewritten is expected


@pytest.mark.parametrize(
    ("term", "wrong"),
    [
        (terms.or_(terms.and_(A, const(0xF0, 8)), terms.and_(A, const(0x0E, 8))), A),
        (terms.ite(terms.ult(A, B), A, B), B),
        (terms.ashr(A, const(8, 8)), const(0, 8)),
        (terms.concat(terms.extract(A, 7, 5), terms.extract(A, 3, 0)), terms.extract(A, 7, 0)),
        (terms.concat(terms.extract(A, 7, 4), terms.extract(B, 3, 0)), A),
        (terms.select(terms.store(FILE, N, V), K), terms.select(FILE, K)),
        (terms.load(terms.write(MEM, P, var("w", 16)), P, 1), terms.extract(var("w", 16), 7, 0)),
        (terms.write(terms.write(MEM, P, var("w", 16)), P, A), terms.write(MEM, P, A)),
        (terms.write(terms.write(MEM, P, A), terms.add(P, const(1, 64)), B), terms.write(MEM, P, A)),
    ],
)
def test_what_differs_stays(term, wrong):
    assert term is not wrong


def test_a_sum_with_a_term_twice_keeps_both():
    """The node x + x as it was read, not as constructors write it."""
    twice = terms.as_written("sum", (A, A), (0, 1, 1), 8)
    assert terms.add(twice, const(1, 8)) is terms.add(terms.mul(A, const(2, 8)), const(1, 8))
    assert terms.eq(twice, A) is not TRUE
