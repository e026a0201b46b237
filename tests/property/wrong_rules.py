"""Rewrite rules with a fault each, over all families: what their proofs, or random terms, must tell.

A row replaces the rule of the same name before the colon.  The first is the fault that was there once.
"""

from __future__ import annotations

from collections.abc import Iterator

from rule_proofs import Widths

from verify.terms import GPRS, MEMORY, RULES, Rule, Sort
from verify.terms.matching import shape

_ROWS = (
    # fault, pattern, condition, result, widths other than 8
    ("or-masks:mask-of-another", "or_(and_(x, not_(x)), and_(x, y))", "", "x", ""),
    ("or-masks:mask-not-complemented", "or_(and_(x, m), and_(y, not_(m)))", "", "x", ""),
    ("or-constant-masks:overlapping", "or_(and_(x, const(m)), and_(x, const(n)))", "m != n", "x", ""),
    ("and-zero:keeps-the-term", "and_(x, const(c))", "c == 0", "x", ""),
    ("and-ones:by-one", "and_(x, const(c))", "c == 1", "x", ""),
    ("or-ones:keeps-the-term", "or_(x, const(c))", "c == mask", "x", ""),
    ("xor-same:keeps-the-term", "xor(x, x)", "", "x", ""),
    ("xor-ones:no-complement", "xor(x, const(c))", "c == mask", "x", ""),
    ("not-not:one-left", "not_(not_(x))", "", "not_(x)", ""),
    ("shl-all:one-too-early", "shl(x, const(n))", "n >= width - 1", "const(0, width)", ""),
    ("lshr-all:one-too-early", "lshr(x, const(n))", "n >= width - 1", "const(0, width)", ""),
    ("ashr-none:all-gone", "ashr(x, const(n))", "n >= width", "const(0, width)", ""),
    ("fold-shl:modulo-width", "shl(const(a), const(n))", "", "const(a << n % width, width)", "a=5 n=5"),
    ("fold-ashr:logical", "ashr(const(a), const(n))", "", "const(a >> min(n, width), width)", ""),
    ("fold-sdiv:floor", "sdiv(const(a), const(b))",
     "b != 0", "const(signed(a, width) // signed(b, width), width)", ""),
    ("fold-srem:of-divisor", "srem(const(a), const(b))",
     "b != 0", "const(signed(a, width) % signed(b, width), width)", ""),
    ("fold-urem:the-quotient", "urem(const(a), const(b))", "b != 0", "const(a // b, width)", ""),
    ("fold-udiv:by-zero", "udiv(const(a), const(b))", "", "const(a // (b or 1), width)", ""),
    ("sum-choice:one-arm", "add(ite(c, x, y), r)", "", "ite(c, add(x, r), y)", "c=1"),
    ("extract-extract:low-kept", "extract(extract(x, m, n), h, l)", "", "extract(x, h, l)", "m=6 n=2 h=3 l=1"),
    ("extract-top:one-off", "extract(concat(x, y), h, l)",
     "l > y.width", "extract(x, h - y.width - 1, l - y.width - 1)", "h=14 l=10"),
    ("extract-zext-high:sees-the-term", "extract(zext(x, k), h, l)",
     "h >= x.width and h - l < x.width", "extract(x, h - l, 0)", "k=16 h=12 l=9"),
    ("extract-sext-low:high-too", "extract(sext(x, k), h, l)",
     "h - l < x.width", "extract(x, h - l, 0)", "k=16 h=12 l=9"),
    ("concat-zero:at-the-bottom", "concat(x, const(c, j))", "c == 0", "zext(x, j + x.width)", "j=8"),
    ("concat-adjacent:with-a-gap", "concat(extract(x, h, n), extract(x, m, l))",
     "h - n + m - l < x.width - l - 1", "extract(x, h - n + m + 1, l)", "h=7 n=5 m=3 l=1"),
    ("concat-adjacent-first:wrong-order", "concat(extract(x, h, n), concat(extract(x, m, l), y))",
     "n == m + 1", "concat(y, extract(x, h, l))", "h=7 n=5 m=4 l=1"),
    ("zext-zext:as-sign", "zext(zext(x, k), n)", "", "sext(x, n)", "k=12 n=16"),
    ("sext-zext:as-sign", "sext(zext(x, k), n)", "", "sext(x, n)", "k=12 n=16"),
    ("sext-zext:not-wider", "sext(zext(x, k), n)", "", "zext(x, n)", "k=8 n=16"),
    ("sext-sext:as-zero", "sext(sext(x, k), n)", "", "zext(x, n)", "k=12 n=16"),
    ("eq-same:false", "eq(x, x)", "", "FALSE", ""),
    ("eq-difference:any-constant", "eq(x, y)", "(d := difference(x, y)) is not None", "bit(d != 1)", ""),
    ("eq-bits:no-complement", "eq(x, y)", "x.sort == 1", "xor(x, y)", "x=1 y=1"),
    ("ult-zero:true", "ult(const(c), x)", "c == 0", "TRUE", ""),
    ("fold-slt:unsigned", "slt(const(a, k), const(b))", "", "bit(a < b)", "k=8"),
    ("ite-not:arms-kept", "ite(not_(c), x, y)", "", "ite(c, x, y)", "c=1"),
    ("ite-equal:first-arm", "ite(eq(x, y), x, z)", "", "z", ""),
    ("ite-bit:any-width", "ite(c, const(a, k), const(b))", "k == 1 and b == 0", "c", "c=1 a=1 b=1 k=1"),
    ("select-same:any-number", "select(store(a, i, v), j)", "", "v", "a=Gprs i=4 j=4 v=64"),
    ("select-other:without-facts", "select(store(a, i, v), j)", "", "select(a, j)", "a=Gprs i=4 j=4 v=64"),
    ("select-choice:one-arm", "select(ite(c, a, b), const(j, k))",
     "", "select(a, const(j, k))", "a=Gprs b=Gprs c=1 j=4 k=4"),
    ("store-over:older-stays", "store(store(a, i, u), i, v)", "", "store(a, i, u)", "a=Gprs i=4 u=64 v=64"),
    ("store-order:any-numbers", "store(store(a, i, u), j, v)",
     "precedes(j, i)", "store(store(a, j, v), i, u)", "a=Gprs i=4 j=4 u=64 v=64"),
    ("load-written:any-address", "load(write(m, p, v), q, n)", "v.width == 8 * n", "v", "m=Memory p=64 q=64 n=1"),
    ("load-written:past-a-write", "load(write(m, p, v), q, n)",
     "differ(p, q)", "load(m, q, n)", "m=Memory p=64 q=64 n=2"),
    ("load-written:high-end", "load(write(m, p, v), p, n)",
     "v.width > 8 * n", "extract(v, v.width - 1, v.width - 8 * n)", "m=Memory p=64 v=16 n=1"),
    ("write-over:any-size", "write(write(m, p, u), p, v)", "", "write(m, p, v)", "m=Memory p=64 u=16"),
    ("write-over:any-address", "write(write(m, p, u), q, v)",
     "u.width == v.width", "write(m, q, v)", "m=Memory p=64 q=64"),
    ("write-same:any-address", "write(m, p, load(m, q, n))", "", "m", "m=Memory p=64 q=64 n=2"),
    ("write-same:any-memory", "write(m, p, load(k, p, n))", "", "m", "m=Memory k=Memory p=64 n=1"),
)  # fmt: skip

SORTS: dict[str, Sort] = {s.name: s for s in (GPRS, MEMORY)}


def _widths(rule: Rule, text: str) -> Widths:
    given = dict(part.split("=") for part in text.split())
    found = {n: given.get(n, "8") for part in shape(rule) for n in part}
    return {n: SORTS[w] if w in SORTS else int(w) for n, w in found.items()}


def _rules() -> Iterator[tuple[Rule, Widths]]:
    for *row, widths in _ROWS:
        rule = Rule(*row)
        yield rule, _widths(rule, widths)


WRONG = dict(_rules())


def with_fault(wrong: Rule) -> tuple[Rule, ...]:
    """All rules, the wrong one in the place of its original."""
    original = wrong.name.partition(":")[0]
    assert any(r.name == original for r in RULES), wrong.name
    return tuple(wrong if r.name == original else r for r in RULES)
