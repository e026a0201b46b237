"""Rewriting, rule by rule, on the smallest inputs; each expected term is what the operation means on bits."""

import pytest

from verify.models import bits
from verify.models.bits import FALSE, GPRS, MEMORY, TRUE, const, var

X, Y, M = var("x", 1), var("y", 1), var("m", 8)
A, B = var("a", 8), var("b", 8)
C = var("c", 1)
FILE, N, K, V = var("g", GPRS), var("i", 4), var("j", 4), var("v", 64)
MEM, P = var("mem", MEMORY), var("p", 64)


def test_complementary_masks_need_the_same_term_beside_each_mask():
    """x & ~x is 0, so that or with x & y is x & y; x alone is wrong for x = 1, y = 0."""
    assert bits.or_(bits.and_(X, bits.not_(X)), bits.and_(X, Y)) is bits.and_(X, Y)


def test_complementary_masks_of_a_mask_that_is_the_complement_of_the_term():
    """The nodes as they were written: (x & ~x) | (x & y)."""
    nothing = bits.as_written("and", (X, bits.not_(X)), (), 1)
    for pair in ((nothing, bits.and_(X, Y)), (bits.and_(X, Y), nothing)):
        assert bits.or_(*pair) is not X


@pytest.mark.parametrize(
    ("rewritten", "expected"),
    [
        (bits.or_(bits.and_(A, M), bits.and_(bits.not_(M), A)), A),
        (bits.or_(bits.and_(A, const(0xF0, 8)), bits.and_(A, const(0x0F, 8))), A),
        (bits.ite(bits.eq(A, B), A, B), B),
        (bits.ite(bits.eq(A, B), B, A), A),
        (bits.ite(bits.not_(C), TRUE, FALSE), bits.not_(C)),
        (bits.sext(bits.zext(A, 9), 16), bits.zext(A, 16)),
        (bits.extract(bits.sext(A, 16), 7, 0), A),
        (bits.concat(bits.extract(A, 7, 4), bits.extract(A, 3, 0)), A),
        (bits.shl(A, const(8, 8)), const(0, 8)),
        (bits.lshr(A, const(255, 8)), const(0, 8)),
        (bits.shl(var("x3", 3), const(3, 3)), const(0, 3)),
        (bits.ashr(const(0x80, 8), const(200, 8)), const(0xFF, 8)),
        (bits.sub(bits.add(A, B), A), B),
        (bits.eq(bits.add(A, const(3, 8)), A), FALSE),
        (bits.select(bits.store(FILE, N, V), N), V),
        (bits.load(bits.write(MEM, P, A), P, 1), A),
    ],
)
def test_what_is_equal_is_rewritten(rewritten, expected):
    assert rewritten is expected


@pytest.mark.parametrize(
    ("term", "wrong"),
    [
        (bits.or_(bits.and_(A, const(0xF0, 8)), bits.and_(A, const(0x0E, 8))), A),
        (bits.ite(bits.ult(A, B), A, B), B),
        (bits.ashr(A, const(8, 8)), const(0, 8)),
        (bits.concat(bits.extract(A, 7, 5), bits.extract(A, 3, 0)), bits.extract(A, 7, 0)),
        (bits.concat(bits.extract(A, 7, 4), bits.extract(B, 3, 0)), A),
        (bits.select(bits.store(FILE, N, V), K), bits.select(FILE, K)),
        (bits.load(bits.write(MEM, P, var("w", 16)), P, 1), bits.extract(var("w", 16), 7, 0)),
        (bits.write(bits.write(MEM, P, var("w", 16)), P, A), bits.write(MEM, P, A)),
        (bits.write(bits.write(MEM, P, A), bits.add(P, const(1, 64)), B), bits.write(MEM, P, A)),
    ],
)
def test_what_differs_stays(term, wrong):
    assert term is not wrong


def test_a_sum_with_a_term_twice_keeps_both():
    """The node x + x as it was read, not as constructors write it."""
    twice = bits.as_written("sum", (A, A), (0, 1, 1), 8)
    assert bits.add(twice, const(1, 8)) is bits.add(bits.mul(A, const(2, 8)), const(1, 8))
    assert bits.eq(twice, A) is not TRUE
