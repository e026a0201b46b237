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
    # conditions that admit too much at their edge
    ("write-over:shorter-or-16", "write(write(m, p, u), p, v)",
     "u.width <= v.width or u.width == 16", "write(m, p, v)", "m=Memory p=64 u=16"),
    ("write-over:one-byte-more", "write(write(m, p, u), p, v)",
     "u.width <= v.width + 8", "write(m, p, v)", "m=Memory p=64 u=32 v=24"),
    ("load-written:one-byte-more", "load(write(m, p, v), p, n)",
     "v.width + 8 >= 8 * n",
     "v if v.width == 8 * n else extract(v, 8 * n - 1, 0) if v.width > 8 * n else zext(v, 8 * n)",
     "m=Memory p=64 v=24 n=4"),
    ("extract-sext-low:one-bit-of-sign", "extract(sext(x, k), h, l)",
     "h <= x.width", "extract(zext(x, x.width + 1), h, l)", "k=16 h=8 l=3"),
    ("extract-zext-low:one-bit-more", "extract(zext(x, k), h, l)",
     "h <= x.width", "extract(sext(x, x.width + 1), h, l)", "k=16 h=8 l=3"),
    ("extract-zext-high:last-bit-too", "extract(zext(x, k), h, l)",
     "l >= x.width - 1", "const(0, h - l + 1)", "k=16 h=12 l=7"),
    ("extract-zext-both:next-to-the-term", "extract(zext(x, k), h, l)",
     "l <= x.width and x.width <= h", "zext(extract(x, x.width - 1, min(l, x.width - 1)), h - l + 1)",
     "k=16 h=12 l=8"),
    ("extract-bottom:one-bit-more", "extract(concat(x, y), h, l)",
     "h <= y.width", "extract(zext(y, y.width + 1), h, l)", "h=8 l=3"),
    ("extract-top:one-bit-less", "extract(concat(x, y), h, l)",
     "l >= y.width - 1", "extract(concat(x, const(0, 1)), h - y.width + 1, l - y.width + 1)", "h=12 l=7"),
    ("extract-all:low-bit-dropped", "extract(x, h, l)", "l <= 1 and h - l == x.width - 2",
     "extract(x, h - l, 0)", "h=7 l=1"),
    ("concat-adjacent:one-bit-apart", "concat(extract(x, h, n), extract(x, m, l))",
     "n == m + 2", "extract(x, h - 1, l)", "h=7 n=5 m=3 l=1"),
    ("concat-adjacent:one-bit-in-both", "concat(extract(x, h, n), extract(x, m, l))",
     "n == m and h + 1 < x.width", "extract(x, h + 1, l)", "h=6 n=3 m=3 l=1"),
    ("concat-adjacent-first:one-bit-apart", "concat(extract(x, h, n), concat(extract(x, m, l), y))",
     "n == m + 2", "concat(extract(x, h - 1, l), y)", "h=7 n=5 m=3 l=1"),
    ("concat-zero:one-too", "concat(const(c, j), x)", "c == 1 and j == 1", "zext(x, j + x.width)", "c=1 j=1"),
    ("sext-zext:as-wide-too", "sext(zext(x, k), n)", "k >= x.width", "zext(x, n)", "k=8 n=16"),
    ("eq-bits:of-two-too", "eq(x, y)", "x.sort <= 2", "not_(extract(xor(x, y), 0, 0))", "x=2 y=2"),
    ("ite-bit:of-two-too", "ite(c, const(a, k), const(b))",
     "k <= 2 and a == k and b == 0", "zext(c, k)", "c=1 a=2 b=2 k=2"),
    # wrong at some widths alone
    ("or-masks:at-24-bits", "or_(and_(x, m), and_(x, not_(m)))", "", "m if width == 24 else x", "x=24 m=24"),
    ("not-not:at-9-bits", "not_(not_(x))", "", "not_(x) if width == 9 else x", "x=9"),
    ("xor-zero:at-513-bits", "xor(x, const(c))", "c == 0", "not_(x) if width == 513 else x", "x=513 c=513"),
    ("xor-zero:at-129-bits", "xor(x, const(c))", "c == 0", "not_(x) if width == 129 else x", "x=129 c=129"),
    ("sext-sext:as-zero-from-256-bits", "sext(sext(x, k), n)", "", "zext(x, n) if n >= 256 else sext(x, n)",
     "k=12 n=256"),
    ("zext-zext:as-sign-at-one-place", "zext(zext(x, k), n)",
     "", "sext(x, n) if x.width == 13 and n == 77 else zext(x, n)", "x=13 k=40 n=77"),
    ("and-ones:by-one-number", "and_(x, const(c))", "c == 0x5a5a", "x", "x=16 c=16"),
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
UNTOLD = {  # by the suite's instances (`rule_edges.SUITE`): those of `make rules` tell, or do not either
    "xor-zero:at-129-bits": "make rules", "xor-zero:at-513-bits": "neither",
    "zext-zext:as-sign-at-one-place": "neither",
    "and-ones:by-one-number": "neither",  # the proofs at listed widths do
}  # fmt: skip


def with_fault(wrong: Rule) -> tuple[Rule, ...]:
    """All rules, the wrong one in the place of its original."""
    original = wrong.name.partition(":")[0]
    assert any(r.name == original for r in RULES), wrong.name
    return tuple(wrong if r.name == original else r for r in RULES)
