"""The document of `opcode-range`, from the rows that the ledger has or that were just judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from verify import __version__
from verify.judge.encoding import Judge
from verify.models.schemes.scheme import Scheme
from verify.report.judged import FormVerdict, JudgedForm
from verify.report.records import VERDICTS
from verify.report.records import Verdict as Name
from verify.report.surveys import Obligations, SharedDeviation, Survey
from verify.survey.causes import Confirmed, Explained
from verify.survey.explanation import CPUS
from verify.survey.selection import EVERYTHING, Selection


def totals(rows: Iterable[FormVerdict]) -> dict[Name, int]:
    """Forms by verdict."""
    count: dict[Name, int] = dict.fromkeys(VERDICTS, 0)
    for row in rows:
        count[row.verdict] += 1
    return count


def shared_deviations(scheme: Scheme, assumptions: Iterable[str]) -> tuple[SharedDeviation, ...]:
    """The deviations that are reported at the scheme; `left_out`: an assumption keeps it out of the forms' verdicts."""
    in_force = frozenset(assumptions) | scheme.holds
    return tuple(SharedDeviation(**asdict(e), left_out=e.name in in_force) for e in scheme.entries)


def dependents(assumptions: Iterable[str], rows: Iterable[JudgedForm]) -> dict[str, int]:
    """How many forms rest on each assumption in force."""
    count = dict.fromkeys(assumptions, 0)
    for row in rows:
        for name in row.rests_on:
            count[name] += 1
    return count


@dataclass(frozen=True, slots=True)
class Asked:
    """What a survey was asked: scheme, processor, assumptions in force."""

    scheme: Scheme
    cpu: str
    assumptions: tuple[str, ...]


def document(
    asked: Asked, rows: Sequence[JudgedForm], seconds: float, judge_made: Callable[[], Judge],
    confirmed: Confirmed = MappingProxyType({}), selection: Selection = EVERYTHING,
) -> Survey:  # fmt: skip
    """The whole result of `opcode-range`; distinct are the obligations that neither sharing nor identity settles.

    `judge_made`: decides of encodings as compilers emit them, where that is asked.
    """
    obligations = Obligations(
        total=sum(r.obligations for r in rows), distinct=len({q for r in rows for q in r.queries})
    )
    explained = Explained(asked.scheme, CPUS[asked.cpu], rows, judge_made, selection)
    forms = explained.forms
    return Survey(
        version=__version__, scheme=asked.scheme.name, cpu=asked.cpu, assumptions=asked.assumptions,
        rests_on=dependents(asked.assumptions, rows), deviations=shared_deviations(asked.scheme, asked.assumptions),
        totals=totals(forms), obligations=obligations, seconds=round(seconds, 3), causes=explained.findings(confirmed),
        left_out=explained.left_out, observables=tuple(sorted(selection.observables)), forms=forms,
    )  # fmt: skip
