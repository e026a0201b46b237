"""One obligation: a goal, and the premises under which it is claimed."""

from __future__ import annotations

from dataclasses import dataclass

from verify.terms import Term, not_


@dataclass(frozen=True, slots=True)
class Obligation:
    """One goal with its premises; refuted where all premises hold and the goal does not."""

    observable: str
    goal: Term
    premises: tuple[Term, ...]

    @property
    def is_trivial(self) -> bool:
        """Whether both sides are the same term."""
        return self.goal.value == 1

    @property
    def roots(self) -> tuple[Term, ...]:
        """What must not hold together."""
        return (not_(self.goal), *self.premises)
