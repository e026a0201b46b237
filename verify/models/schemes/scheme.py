"""A scheme: an implementation under test as a record of functions; what it makes of an encoding is a plan.

A plan is computed from the bytes alone, through the eyes of the implementation that is modelled: a refusal, or a
program of the language of plans.  What the bytes mean is `verify.models.x86.isa`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from verify.models.schemes.assumptions import Entry
from verify.models.schemes.live import LiveJudge
from verify.models.schemes.program import Program
from verify.models.x86.mode import USER_64, Mode, checked


@dataclass(frozen=True, slots=True)
class Refuse:
    """The scheme declines to probe."""

    reason: str
    errno: int  # positive; 8 ENOEXEC, 524 ENOTSUPP, 22 EINVAL


Plan = Refuse | Program


def nothing_behind(instruction: bytes) -> tuple[bytes, ...]:
    """The continuations of a scheme that looks at the instruction's own bytes alone."""
    return ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """An implementation under test: a record of functions, so that the theorem never names it."""

    name: str
    summary: str
    source: str  # what was transcribed, with version
    plan: Callable[[bytes], Plan]  # takes at least 16 bytes: the instruction and what follows it
    unrestricted: Callable[[bytes], Plan] | None = None  # the plan if nothing that decodes were refused
    # What may stand behind an instruction (exactly its bytes) and give it another plan: one of each kind of plan.
    continuations: Callable[[bytes], tuple[bytes, ...]] = nothing_behind
    entries: tuple[Entry, ...] = ()  # deviations that forms share
    otherwise: tuple[tuple[str, Callable[[bytes], Plan]], ...] = ()  # the plan where an assumption is dropped
    holds: frozenset[str] = frozenset()  # assumptions that hold of every program, since the system has no such thing
    live: LiveJudge | None = None  # the running implementation that can judge it
    mode: Mode = USER_64  # of the probed code

    def __post_init__(self) -> None:
        if not checked(self.mode).is_user and "user-half" not in self.holds:
            raise ValueError(f"{self.name}: at CPL 0 `user-half` must be held, SMAP is not modelled; {self.holds}")

    def under(self, assumptions: frozenset[str]) -> Scheme:
        """The scheme as it plans under these assumptions."""
        plans = [plan for name, plan in self.otherwise if name not in assumptions]
        return replace(self, plan=plans[0], otherwise=()) if plans else self
