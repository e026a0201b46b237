"""The work and memory of one method that proves for any number."""

from __future__ import annotations

import time
from typing import Any

from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import solvers
from verify.concurrency.unbounded.encoding import UsedUp
from verify.concurrency.unbounded.solvers import Expr, SolverAnswer


class Budget:
    """What a method may use from now on, `work` units where the limits do not say.

    Memory is what Z3 takes beyond what it has. Time is bounded only where the limits say so.
    """

    def __init__(self, limits: Limits, work: int) -> None:
        self.limits, self.memory, self.spent = limits, solvers.memory(), 0
        self.work = work if limits.work is None else limits.work
        self.until = None if limits.seconds is None else time.perf_counter() + limits.seconds

    @property
    def left(self) -> int:
        """Units of work that are left; not above 0: nothing."""
        return self.work - self.spent

    @property
    def milliseconds(self) -> int | None:
        """What is left of the user's time, None where it is not bounded; not above 0: nothing."""
        return None if self.until is None else int((self.until - time.perf_counter()) * 1000)

    def spend(self, units: int) -> None:
        """Counts work. Raises UsedUp where none is left."""
        self.spent += units
        if self.left <= 0:
            raise UsedUp(f"more than {self.work} units of work")

    def look(self) -> None:
        """Raises UsedUp where work, memory or the user's time is used up."""
        self.spend(0)
        if self.milliseconds is not None and self.milliseconds <= 0:
            raise UsedUp(f"more than {self.limits.seconds} s")
        if self.limits.memory is not None and solvers.memory() - self.memory > self.limits.memory:
            raise UsedUp(f"more than {self.limits.memory} bytes of the solver")

    def asked(self, made: Any, assumed: Expr, most: int | None = None) -> SolverAnswer:
        """The answer of a solver under a sequence of assumptions, or of Spacer to a goal; the units it took are spent,
        at most `most` of them. Raises UsedUp, and KeyboardInterrupt."""
        self.look()
        units = self.left if most is None else min(most, self.left)
        found = solvers.asked(made, assumed, units, self.milliseconds)
        self.spent += found.units
        return found
