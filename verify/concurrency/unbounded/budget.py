"""The time and memory of one method that proves for any number."""

from __future__ import annotations

import time

from verify.concurrency.explored import Limits
from verify.concurrency.unbounded import solvers
from verify.concurrency.unbounded.tracked import UsedUp

SECONDS = 60.0  # where nothing is said


class Budget:
    """What a method may use from now on; memory is what Z3 takes beyond what it has."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.memory = limits, solvers.memory()
        self.until = time.perf_counter() + (SECONDS if limits.seconds is None else limits.seconds)

    @property
    def milliseconds(self) -> int:
        """What is left of the time; not above 0: nothing."""
        return int((self.until - time.perf_counter()) * 1000)

    def look(self) -> None:
        """Raises UsedUp where time or memory is used up."""
        if self.milliseconds <= 0:
            raise UsedUp("not done within the time allowed")
        if self.limits.memory is not None and solvers.memory() - self.memory > self.limits.memory:
            raise UsedUp(f"more than {self.limits.memory} bytes of the solver")
