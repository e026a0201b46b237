"""The normal form of sums: constant + sum of coefficient * term, modulo 2**width.

A term is *plain* where it is neither a constant nor a sum.  The node `sum` of width w has parameters (k, c1, ..., cn)
and arguments (t1, ..., tn) and means k + c1*t1 + ... + cn*tn modulo 2**w.  It is *normal* where n >= 1; the t are
plain, different and in the order of `precedes`; 0 < c < 2**w, 0 <= k < 2**w; and it is not 0 + 1*t1.  A constant and a
plain term are normal too.

Proof that add, sub, neg, mul by a constant and the low bits of a sum keep the value, whatever the terms they are given,
and give a normal term where those are normal.  Z/2**w is a commutative ring; the value of a term is an element of it.
1. `parts(t)` = (k, {t1: c1, ...}) has the value of t: by the meaning of the node; a term that stands twice among the
   arguments (no normal sum, but one that was read) has the sum of its coefficients, by distributivity.
2. Adding two such pairs componentwise, the second times s, gives the value x + s*y: associativity, commutativity and
   (c + s*d)*t = c*t + s*(d*t).  Multiplying a pair by a constant m gives m*x likewise.  So for `add` (s = 1), `sub`
   (s = -1), `neg` (0 - x) and `mul` where one factor is a constant.
3. `normal` reduces coefficients and constant modulo 2**w (the same elements of the ring), drops what has coefficient 0
   (0*t = 0), and orders (commutativity).  With no term left it is the constant, with 0 + 1*t it is t, else it is the
   node: normal, for the dictionary's keys are different.  That keys are plain is kept: `parts` gives arguments of
   normal sums or the plain term itself.
4. Where exactly one term is a choice with coefficient 1, rule `sum-choice` is applied: ite(c, x, y) + r is
   ite(c, x + r, y + r).  It ends: x + r and y + r have a choice fewer at this depth, and x and y are proper subterms.
5. Low bits: bits h..0 are the ring homomorphism Z/2**w -> Z/2**(h+1), so those of k + sum c*t are
   k + sum c * (bits h..0 of t) there; rules `sum-low` and `sum-low-product` are its two cases, steps 1 to 3 the rest.
6. Two sums are equal where their difference is the constant 0 and unequal where it is another constant
   (rule `eq-difference`): x = y if and only if x - y = 0 in a ring.
Two polynomials of first degree in the same plain terms have one normal term if and only if all coefficients are equal,
which are equal elements of Z/2**w; that is more than soundness asks for, and is what makes obligations identical.
`tests/property/test_sums.py` compares every step with integer arithmetic and with solvers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from verify.terms.nodes import Term, as_written, const, in_order

Parts = dict[Term, int]


class Rewriting(Protocol):
    """What sums need of the other constructors."""

    @property
    def ite(self) -> Callable[[Term, Term, Term], Term]:
        """`constructors.ite`."""

    @property
    def extract(self) -> Callable[[Term, int, int], Term]:
        """`constructors.extract`."""

    @property
    def choice(self) -> Callable[[Term, Term], Term | None]:
        """The sum of two terms by the rows for `add`, None where there is none."""
        ...


def same_width(a: Term, b: Term) -> int:
    """The width of two bit-vectors; ValueError where they have not the same."""
    if a.sort != b.sort or not isinstance(a.sort, int):
        raise ValueError(f"operands must have one width, got {a.sort} and {b.sort}")
    return a.sort


def parts(t: Term) -> tuple[int, Parts]:
    """The constant, and the coefficient of each term."""
    if t.op == "const":
        return int(t.params[0]), {}
    if t.op != "sum":
        return 0, {t: 1}
    numbers = cast("tuple[int, ...]", t.params)
    found = dict(zip(t.args, numbers[1:], strict=True))
    if len(found) < len(t.args):
        found = dict.fromkeys(t.args, 0)
        for term, c in zip(t.args, numbers[1:], strict=True):
            found[term] += c
    return numbers[0], found


def normal(constant: int, coefficients: Parts, width: int, made: Rewriting) -> Term:
    """The normal term of constant + sum of coefficient * term."""
    mask = (1 << width) - 1
    constant &= mask
    kept = {t: c & mask for t, c in coefficients.items() if c & mask}
    if not kept:
        return const(constant, width)
    if len(kept) == 1 and constant == 0:
        ((only, coefficient),) = kept.items()
        if coefficient == 1:
            return only
    choices = [t for t, c in kept.items() if c == 1 and t.op == "ite"]
    if len(choices) == 1:  # a sum with one choice is a choice of sums, so that what is common cancels
        del kept[choices[0]]
        found = made.choice(choices[0], normal(constant, kept, width, made))
        if found is not None:
            return found
        kept[choices[0]] = 1
    terms = in_order(kept)
    return as_written("sum", tuple(terms), (constant, *(kept[t] for t in terms)), width)


def combined(a: Term, b: Term, sign: int, made: Rewriting) -> Term:
    """a + sign * b."""
    width = same_width(a, b)
    constant, total = parts(a)
    other, more = parts(b)
    for t, c in more.items():
        total[t] = total.get(t, 0) + sign * c
    return normal(constant + sign * other, total, width, made)


def scaled(factor: int, t: Term, made: Rewriting) -> Term:
    """factor * t."""
    constant, total = parts(t)
    return normal(factor * constant, {u: factor * c for u, c in total.items()}, t.width, made)


def low_bits(t: Term, high: int, made: Rewriting) -> Term:
    """Bits high..0 of a sum, as the sum of its terms' bits high..0."""
    constant, coefficients = parts(t)
    total: Parts = {}
    for u, c in coefficients.items():
        k, inner = parts(made.extract(u, high, 0))
        constant += c * k
        for v, d in inner.items():
            total[v] = total.get(v, 0) + c * d
    return normal(constant, total, high + 1, made)


def difference(a: Term, b: Term, made: Rewriting) -> int | None:
    """a - b modulo 2**width where one of them is a sum and it is a constant, else None."""
    return combined(a, b, -1, made).value if a.op == "sum" or b.op == "sum" else None


def written(terms: tuple[Term, ...], signs: tuple[int, ...]) -> Term:
    """The sum of terms with these signs (1 or -1) as it is written; a constant where all terms are."""
    width = same_width(terms[0], terms[-1])
    values = [t.value for t in terms]
    if None not in values:
        return const(sum(s * cast(int, v) for s, v in zip(signs, values, strict=True)), width)
    return as_written("sum", terms, (0, *(s & (1 << width) - 1 for s in signs)), width)
