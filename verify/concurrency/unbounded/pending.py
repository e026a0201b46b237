"""What is left of a quantifier over threads or indices until the terms are known on which it is instantiated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from verify.concurrency.unbounded.solvers import Expr


@dataclass(slots=True)
class Pending:
    """`truth` is "body for all values of the quantifier", to be instantiated; `thread`: it ranges over threads."""

    truth: Expr
    thread: bool
    body: Callable[[Expr], Expr]
    done: dict[int, Expr] = field(default_factory=dict)
