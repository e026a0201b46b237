"""Verdicts of obligations, encodings and forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

SEED: Final = 7  # of solvers, of states tried, and of what is uninterpreted in a witness


class Verdict(Enum):
    """What is known of an obligation, an encoding or a form."""

    PROVED = "proved"
    REFUTED = "refuted"
    REFUSED = "refused"
    VACUOUS = "vacuous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Witness:
    """A state that shows a deviation: values of variables, page faults (address, size, write, vector) and the seed."""

    values: tuple[tuple[str, Any], ...]  # name -> int or tuple of ints; what is absent is 0
    faults: tuple[tuple[int, int, int, int], ...] = ()
    seed: int = 0
    memory: tuple[tuple[int, int, int], ...] = ()  # address, size, value; the rest is pseudo-random by seed
    answers: tuple[tuple[str, Any], ...] = ()  # values of uninterpreted functions by `environment.answer_key`

    def row(self) -> list[Any]:
        """The witness as JSON has it."""
        return [self.values, self.faults, self.seed, self.memory, *([self.answers] if self.answers else [])]


def witness_of(row: Sequence[Any]) -> Witness:
    """The witness of a row.  Raises ValueError, TypeError or IndexError for one of another shape."""
    faults, memory = tuple(tuple(f) for f in row[1]), tuple(tuple(m) for m in row[3])
    return Witness(_named(row[0]), faults, row[2], memory, _named(row[4]) if len(row) > 4 else ())


def _named(pairs: Sequence[Sequence[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((n, tuple(v) if isinstance(v, list) else v) for n, v in pairs)


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of one obligation."""

    verdict: Verdict
    witness: Witness | None = None
    reason: str = ""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """A conjunction of verdicts: refuted before unknown before vacuous before proved; refused counts only alone.

    Vacuous where there are none: nothing was asked, so nothing holds and nothing is declined.
    """
    present = set(verdicts)
    for v in (Verdict.REFUTED, Verdict.UNKNOWN, Verdict.VACUOUS, Verdict.PROVED):
        if v in present:
            return v
    return Verdict.REFUSED if present else Verdict.VACUOUS
