"""The order of operands is total and does not depend on what was made first, in this process or in another."""

import os
import subprocess
import sys
from itertools import combinations, permutations
from zlib import crc32

import pytest

from verify import terms as bits
from verify.terms import GPRS, MEMORY, const, precedes, uf, var

PERIOD = (1 << 61) - 1  # Python's hash of an integer is modulo this number
X, P = var("x", 64), var("p", 64)


def tied():
    """Pairs of different terms with one structural hash."""
    wide = (const(7, 64), const(7 + PERIOD, 64))
    opcodes = (uf("ADD.value", 64, X), uf("SUB.value", 64, X))
    names = (var("plumless", 64), var("buckeroo", 64))  # one CRC-32
    return {
        "constants": wide,
        "below": tuple(bits.lshr(c, X) for c in wide),
        "deeper": tuple(bits.xor(bits.udiv(X, c), P) for c in wide),
        "opcodes": opcodes,
        "opcodes-below": tuple(bits.select(bits.store(var("g", GPRS), var("n", 4), t), var("k", 4)) for t in opcodes),
        "names": names,
        "loads": tuple(bits.load(var("m", MEMORY), t, 8) for t in names),
    }


@pytest.mark.parametrize("kind", tied())
def test_a_tie_is_broken_by_structure(kind):
    a, b = tied()[kind]
    assert a is not b
    assert a.key == b.key
    assert precedes(a, b) is not precedes(b, a)
    for made in (bits.and_, bits.or_, bits.xor, bits.add, bits.eq, bits.mul):
        assert made(a, b) is made(b, a)


def test_names_of_one_checksum():
    assert crc32(b"plumless") == crc32(b"buckeroo")


def test_the_order_is_total():
    terms = [X, P, *(t for pair in tied().values() for t in pair), bits.add(X, P), bits.not_(X), const(0, 64)]
    for a, b in combinations(terms, 2):
        assert precedes(a, b) is not precedes(b, a)
    for a, b, c in permutations(terms[:9], 3):
        assert not (precedes(a, b) and precedes(b, c)) or precedes(a, c)
    assert not precedes(X, X)


def test_a_sum_of_tied_terms_has_one_form():
    a, b = tied()["below"]
    assert len({bits.add(bits.add(x, y), z) for x, y, z in permutations((a, b, X))}) == 1


CHILD = """
import sys
from verify import terms as bits
from verify.terms import const, uf, var
from verify.smt.canonical import canonical
x = var("x", 64)
parts = [lambda: bits.lshr(const(7, 64), x), lambda: bits.lshr(const(7 + (1 << 61) - 1, 64), x),
         lambda: uf("ADD.value", 64, x), lambda: uf("SUB.value", 64, x), lambda: var("plumless", 64),
         lambda: var("buckeroo", 64), lambda: bits.not_(x)]
if sys.argv[1] == "backwards":
    parts.reverse()
terms = [p() for p in parts]
total = var("y", 64)
for t in terms:
    total = bits.add(total, t)
pairs = [bits.eq(a, b) for a, b in zip(terms, terms[1:])]
pairs.sort(key=lambda t: min(repr(t), repr(t)))
print(canonical((bits.eq(total, x), *pairs)).text)
"""


def test_canonical_text_is_the_same_in_every_process_and_order():
    texts = {
        subprocess.run(
            [sys.executable, "-c", CHILD, order], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for order in ("forwards", "backwards")
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(texts) == 1
    assert len(texts.pop()) > 400
