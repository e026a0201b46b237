"""Verdicts of obligations, encodings and forms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

Plain = int | tuple[int, ...]  # a number, or one an entry
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

    values: tuple[tuple[str, Plain], ...]  # what is absent is 0
    faults: tuple[tuple[int, int, int, int], ...] = ()
    seed: int = 0
    memory: tuple[tuple[int, int, int], ...] = ()  # address, size, value; the rest is pseudo-random by seed
    answers: tuple[tuple[str, Plain], ...] = ()  # values of uninterpreted functions by `environment.answer_key`


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
