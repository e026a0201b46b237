"""The rewrite rules: one row each, applied by the constructors in this order, the first that matches.

A pattern is a constructor's application as it is written in Python.  A name stands for any term, the same name for the
same term; `const(c)` is a constant of value c, `const(c, k)` one of k bits; the last operands of `extract`, `zext`,
`sext` and `load` are integers: bits high and low, result's width, bytes.  Operands of and, or, xor, mul and eq match in
either order (names alone in one: their condition must not depend on it).  In conditions and results `width` is the
result's width, `mask` is 2**width - 1, and

    differ(i, j)      constants that differ, or terms that a given fact keeps apart
    same(x, y)        the same term
    precedes(x, y)    the order of operands
    difference(x, y)  the constant x - y where one of them is a sum, else None
    signed(c, k)      a k-bit number as two's complement
    quotient(a, b, k) of two signed k-bit numbers, truncated towards zero

Every row is proved by three solvers at every width at which the survey uses it (tests/property/test_rules.py, `make
rules`); rows whose names begin with `fold` compute on numbers and are compared with the solvers on numbers.  `by` says
what applies a row that is not matched as it stands: `sums` (see `verify.terms.sums`) or `order` (operands of
commutative operations are sorted).
"""

from __future__ import annotations

from dataclasses import dataclass
from os import environ
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """pattern = result wherever the condition holds."""

    name: str
    pattern: str
    when: str  # "" where there is no condition
    result: str
    by: str = "match"


_ROWS: Final[tuple[tuple[str, ...], ...]] = (
    # bitwise
    ("and-same", "and_(x, x)", "", "x"),
    ("fold-and", "and_(const(a), const(b))", "", "const(a & b, width)"),
    ("and-zero", "and_(x, const(c))", "c == 0", "const(0, width)"),
    ("and-ones", "and_(x, const(c))", "c == mask", "x"),
    ("and-complement", "and_(x, not_(x))", "", "const(0, width)"),
    ("and-order", "and_(x, y)", "precedes(y, x)", "and_(y, x)", "order"),
    ("or-same", "or_(x, x)", "", "x"),
    ("fold-or", "or_(const(a), const(b))", "", "const(a | b, width)"),
    ("or-zero", "or_(x, const(c))", "c == 0", "x"),
    ("or-ones", "or_(x, const(c))", "c == mask", "const(mask, width)"),
    ("or-complement", "or_(x, not_(x))", "", "const(mask, width)"),
    ("or-masks", "or_(and_(x, m), and_(x, not_(m)))", "", "x"),
    ("or-constant-masks", "or_(and_(x, const(m)), and_(x, const(n)))", "m == mask ^ n", "x"),
    ("or-order", "or_(x, y)", "precedes(y, x)", "or_(y, x)", "order"),
    ("xor-same", "xor(x, x)", "", "const(0, width)"),
    ("fold-xor", "xor(const(a), const(b))", "", "const(a ^ b, width)"),
    ("xor-zero", "xor(x, const(c))", "c == 0", "x"),
    ("xor-ones", "xor(x, const(c))", "c == mask", "not_(x)"),
    ("xor-order", "xor(x, y)", "precedes(y, x)", "xor(y, x)", "order"),
    ("fold-not", "not_(const(a))", "", "const(mask ^ a, width)"),
    ("not-not", "not_(not_(x))", "", "x"),
    # shifts: a count of `width` or more gives 0, of ashr the sign everywhere
    ("shl-none", "shl(x, const(n))", "n == 0", "x"),
    ("fold-shl", "shl(const(a), const(n))", "", "const(a << min(n, width), width)"),
    ("shl-all", "shl(x, const(n))", "n >= width", "const(0, width)"),
    ("lshr-none", "lshr(x, const(n))", "n == 0", "x"),
    ("fold-lshr", "lshr(const(a), const(n))", "", "const(a >> min(n, width), width)"),
    ("lshr-all", "lshr(x, const(n))", "n >= width", "const(0, width)"),
    ("ashr-none", "ashr(x, const(n))", "n == 0", "x"),
    ("fold-ashr", "ashr(const(a), const(n))", "", "const(signed(a, width) >> min(n, width), width)"),
    # division; a divisor of 0 is left to SMT-LIB's definition
    ("fold-udiv", "udiv(const(a), const(b))", "b != 0", "const(a // b, width)"),
    ("fold-urem", "urem(const(a), const(b))", "b != 0", "const(a % b, width)"),
    ("fold-sdiv", "sdiv(const(a), const(b))", "b != 0", "const(quotient(a, b, width), width)"),
    ("fold-srem", "srem(const(a), const(b))", "b != 0", "const(a - quotient(a, b, width) * signed(b, width), width)"),
    # sums and products
    ("sum-order", "add(x, y)", "precedes(y, x)", "add(y, x)", "sums"),
    ("sum-associative", "add(add(x, y), z)", "", "add(x, add(y, z))", "sums"),
    ("sum-collect", "add(mul(const(a), x), mul(const(b), x))", "", "mul(const(a + b, width), x)", "sums"),
    ("sum-product", "mul(const(a), add(x, y))", "", "add(mul(const(a), x), mul(const(a), y))", "sums"),
    ("sum-products", "mul(const(a), mul(const(b), x))", "", "mul(const(a * b, width), x)", "sums"),
    ("sum-minus", "sub(x, y)", "", "add(x, mul(const(mask, width), y))", "sums"),
    ("sum-low", "extract(add(x, y), h, l)", "l == 0", "add(extract(x, h, 0), extract(y, h, 0))", "sums"),
    ("sum-low-product", "extract(mul(const(a), x), h, l)", "l == 0",
     "mul(const(a, h + 1), extract(x, h, 0))", "sums"),
    ("sum-choice", "add(ite(c, x, y), r)", "", "ite(c, add(x, r), add(y, r))"),
    ("mul-order", "mul(x, y)", "precedes(y, x)", "mul(y, x)", "order"),
    # slices
    ("extract-all", "extract(x, h, l)", "l == 0 and h == x.width - 1", "x"),
    ("fold-extract", "extract(const(a), h, l)", "", "const(a >> l, h - l + 1)"),
    ("extract-extract", "extract(extract(x, m, n), h, l)", "", "extract(x, h + n, l + n)"),
    ("extract-bottom", "extract(concat(x, y), h, l)", "h < y.width", "extract(y, h, l)"),
    ("extract-top", "extract(concat(x, y), h, l)", "l >= y.width", "extract(x, h - y.width, l - y.width)"),
    ("extract-both", "extract(concat(x, y), h, l)", "l < y.width and y.width <= h",
     "concat(extract(x, h - y.width, 0), extract(y, y.width - 1, l))"),
    ("extract-zext-low", "extract(zext(x, k), h, l)", "h < x.width", "extract(x, h, l)"),
    ("extract-zext-high", "extract(zext(x, k), h, l)", "l >= x.width", "const(0, h - l + 1)"),
    ("extract-zext-both", "extract(zext(x, k), h, l)", "l < x.width and x.width <= h",
     "zext(extract(x, x.width - 1, l), h - l + 1)"),
    ("extract-sext-low", "extract(sext(x, k), h, l)", "h < x.width", "extract(x, h, l)"),
    ("fold-concat", "concat(const(a, j), const(b, k))", "", "const(a << k | b, j + k)"),
    ("concat-zero", "concat(const(c, j), x)", "c == 0", "zext(x, j + x.width)"),
    ("concat-adjacent", "concat(extract(x, h, n), extract(x, m, l))", "n == m + 1", "extract(x, h, l)"),
    ("concat-adjacent-first", "concat(extract(x, h, n), concat(extract(x, m, l), y))", "n == m + 1",
     "concat(extract(x, h, l), y)"),
    ("zext-none", "zext(x, n)", "n == x.width", "x"),
    ("fold-zext", "zext(const(a), n)", "", "const(a, n)"),
    ("zext-zext", "zext(zext(x, k), n)", "", "zext(x, n)"),
    ("sext-none", "sext(x, n)", "n == x.width", "x"),
    ("fold-sext", "sext(const(a, k), n)", "", "const(signed(a, k), n)"),
    ("sext-zext", "sext(zext(x, k), n)", "k > x.width", "zext(x, n)"),
    ("sext-sext", "sext(sext(x, k), n)", "", "sext(x, n)"),
    # comparisons
    ("eq-same", "eq(x, x)", "", "TRUE"),
    ("fold-eq", "eq(const(a), const(b))", "", "bit(a == b)"),
    ("eq-difference", "eq(x, y)", "(d := difference(x, y)) is not None", "bit(d == 0)"),
    ("eq-bits", "eq(x, y)", "x.sort == 1", "not_(xor(x, y))"),
    ("eq-order", "eq(x, y)", "precedes(y, x)", "eq(y, x)", "order"),
    ("ult-same", "ult(x, x)", "", "FALSE"),
    ("ult-zero", "ult(x, const(c))", "c == 0", "FALSE"),
    ("fold-ult", "ult(const(a), const(b))", "", "bit(a < b)"),
    ("slt-same", "slt(x, x)", "", "FALSE"),
    ("fold-slt", "slt(const(a, k), const(b))", "", "bit(signed(a, k) < signed(b, k))"),
    # choices
    ("ite-true", "ite(const(c), x, y)", "c == 1", "x"),
    ("ite-false", "ite(const(c), x, y)", "c == 0", "y"),
    ("ite-same", "ite(c, x, x)", "", "x"),
    ("ite-not", "ite(not_(c), x, y)", "", "ite(c, y, x)"),
    ("ite-equal", "ite(eq(x, y), x, y)", "", "y"),
    ("ite-bit", "ite(c, const(a, k), const(b))", "k == 1 and a == 1 and b == 0", "c"),
    ("ite-not-bit", "ite(c, const(a, k), const(b))", "k == 1 and a == 0 and b == 1", "not_(c)"),
    # register files
    ("select-same", "select(store(a, i, v), i)", "", "v"),
    ("select-other", "select(store(a, i, v), j)", "differ(i, j)", "select(a, j)"),
    ("select-choice", "select(ite(c, a, b), const(j, k))", "",
     "ite(c, select(a, const(j, k)), select(b, const(j, k)))"),
    ("store-same", "store(a, i, v)", "same(select(a, i), v)", "a"),
    ("store-over", "store(store(a, i, u), i, v)", "", "store(a, i, v)"),
    ("store-order", "store(store(a, i, u), j, v)", "differ(i, j) and precedes(j, i)", "store(store(a, j, v), i, u)"),
    # memory
    ("load-written", "load(write(m, p, v), p, n)", "v.width == 8 * n", "v"),
    ("write-over", "write(write(m, p, u), p, v)", "u.width == v.width", "write(m, p, v)"),
    ("write-same", "write(m, p, load(m, p, n))", "", "m"),
)  # fmt: skip

RULES: Final = tuple(Rule(*row) for row in _ROWS)

_DECIDED: Final = frozenset({  # by constants, or by one operand that is there twice: which branch is taken shows there
    "ite-true", "ite-false", "ite-same", "select-same", "select-other", "eq-same", "ult-same", "slt-same", "and-zero",
    "and-ones", "or-zero", "or-ones", "zext-none", "sext-none", "extract-all",
})  # fmt: skip
PLAIN: Final = tuple(r for r in RULES if r.name.startswith("fold") or r.name in _DECIDED)
CHOICE: Final = "UBP_VERIFY_TERMS"  # environment variable: `plain` has this process build terms as they are written


def rules_in_force() -> tuple[Rule, ...]:
    """The rules that this process applies: all of them, or those alone that compute on constants."""
    return PLAIN if environ.get(CHOICE) == "plain" else RULES
