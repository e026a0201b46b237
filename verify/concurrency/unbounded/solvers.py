"""Z3 for proofs about any number: the only module of this package that makes solvers."""

from __future__ import annotations

from typing import Any

import z3

Expr = Any
SEED = 1


class Budget(Exception):
    """The solver gave up: out of time."""


def solver(milliseconds: int = 10_000) -> z3.Solver:
    """A solver for quantifier-free conditions, bounded in time a query."""
    made = z3.SimpleSolver()
    made.set("timeout", milliseconds)
    made.set("random_seed", SEED)
    return made


def horn(milliseconds: int = 10_000) -> z3.Fixedpoint:
    """Spacer, for Horn clauses over integers."""
    made = z3.Fixedpoint()
    made.set(engine="spacer", timeout=milliseconds)
    made.set("spacer.random_seed", SEED)
    return made


def holds(milliseconds: int, text: str) -> str:
    """The answer to a problem in SMT-LIB 2: "sat", "unsat" or "unknown"."""
    made = z3.Solver()
    made.set("timeout", milliseconds)
    made.from_string(text)
    return str(made.check())
