"""Statements small enough to be read, and those that are recorded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from verify.survey.evidence import Recorded, read

EVIDENCE = Path(__file__).parents[2] / "proofs" / "evidence" / "linux-uprobes-6.18"
HEAD = "(set-logic QF_AUFBV)\n(define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))\n"
DECLARED = """\
(declare-fun v0 () (_ BitVec 64))
(declare-fun v1 () (_ BitVec 64))
(declare-fun v2 () (Array (_ BitVec 4) (_ BitVec 64)))
(declare-fun v3 () Memory)
(declare-fun v4 () (_ BitVec 1))
(declare-fun f0 ((_ BitVec 64)) (_ BitVec 8))
"""


def statement(*bodies: str, head: str = HEAD + DECLARED) -> str:
    """Definitions n0, n1... of `sort body` each; the last one, a bit, is asserted."""
    lines = [f"(define-fun n{i} () {b})" for i, b in enumerate(bodies)]
    return head + "\n".join([*lines, f"(assert (= n{len(bodies) - 1} #b1))", "(check-sat)", ""])


def differ(a: str, b: str, *before: str) -> str:
    """The statement that a and b, the names or constants of 64 bits, are equal."""
    n = len(before)
    return statement(*before, f"(_ BitVec 1) (ite (= {a} {b}) #b1 #b0)", f"(_ BitVec 1) (bvnot n{n})")


@cache
def recorded() -> Recorded:
    """The recorded evidence of 6.18."""
    return read(EVIDENCE)


def sample(number: int, seed: int, verdict: str = "proved") -> list[str]:
    """Some of the recorded statements of that verdict."""
    there = sorted(s for s, (v, _) in recorded().claims.items() if v == verdict)
    return [recorded().statements[s] for s in Random(seed).sample(there, min(number, len(there)))]
