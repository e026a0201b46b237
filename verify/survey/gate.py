"""The proof gate: recorded evidence checked, compared with the recorded survey and with what the code states now.

Nothing is believed: each statement is checked by `verify.certificates.checker`, rows of forms are derived from classes,
and forms are stated again from the code.  `checked_before` saves work alone: what the same checker has accepted of the
same statement and evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from verify.certificates.checker import BY_REWRITING, verdict
from verify.certificates.statement import Rejected
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.forms import Cpu
from verify.report.gates import Regression
from verify.report.judged import JudgedForm
from verify.survey.certify import IRREGULAR, PROVED, REFUTED, REGULAR, UNKNOWN, Certifier, Evidence
from verify.survey.evidence import Line, Recorded, lines_of, worst
from verify.workers.pool import TaskFailed, imap, pure

CHUNK: Final = 24  # forms a task
PACK: Final = 200  # statements a task
SHARE: Final = 10  # one form in so many is stated again where nothing has changed
SEED: Final = 12


@dataclass(frozen=True, slots=True)
class Setting:
    """For what evidence is made."""

    scheme: Scheme
    assumptions: frozenset[str]
    cpus: tuple[Cpu, ...]


@contextmanager
def _certifying(setting: Setting) -> Iterator[Callable[[Sequence[str]], list[Evidence]]]:
    certifier = Certifier(setting.scheme, setting.assumptions, setting.cpus)
    yield lambda names: [certifier.evidence(n) for n in names]


def certified(names: Sequence[str], setting: Setting, jobs: int) -> Generator[tuple[str, Evidence | str], None, None]:
    """The evidence of each form, or why there is none; in processes."""
    groups = [tuple(names[i : i + CHUNK]) for i in range(0, len(names), CHUNK)]
    with closing(imap(groups, partial(_certifying, setting), jobs, pure())) as answers:
        for group, answer in answers:
            failed = answer.reason if isinstance(answer, TaskFailed) else ""
            yield from zip(group, [failed] * len(group) if isinstance(answer, TaskFailed) else answer, strict=True)


Claim = tuple[str, str, str, str]  # statement's digest and text, verdict, evidence's text


@contextmanager
def _checking() -> Iterator[Callable[[Sequence[Claim]], list[str]]]:
    yield lambda claims: [_objection(*claim) for claim in claims]


def _objection(digest: str, statement: str, claimed: str, evidence: str) -> str:
    """Why the checker does not say so; "" where it does."""
    try:
        found = verdict(statement, evidence)
    except Rejected as wrong:
        return f"statement {digest}: rejected: {wrong}"
    return "" if found == claimed else f"statement {digest}: evidence that it is {found}"


def objections(
    recorded: Recorded, checked_before: Mapping[str, str], jobs: int
) -> Generator[tuple[str, str, str], None, None]:
    """Every claim that was not checked before: its key, its evidence's name, and why it is rejected or ""."""
    claims = list(_claims(recorded))
    new = [(key, name, claim) for key, name, claim in claims if checked_before.get(key) != name]
    packs = [tuple(new[i : i + PACK]) for i in range(0, len(new), PACK)]
    tasks = [tuple(claim for _, _, claim in pack) for pack in packs]
    by_task = dict(zip(tasks, packs, strict=True))
    with closing(imap(tasks, _checking, jobs, pure())) as answers:
        for task, answer in answers:
            said = [answer.reason] * len(task) if isinstance(answer, TaskFailed) else answer
            for (key, name, _), reason in zip(by_task[task], said, strict=True):
                yield key, name, reason


def _claims(recorded: Recorded) -> Iterator[tuple[str, str, Claim]]:
    """What a line claims, once each: a key, the evidence's name, and the claim."""
    for statement, (found, _) in sorted(recorded.claims.items()):
        if found == PROVED:
            text = recorded.statements.get(statement, "")
            yield statement, BY_REWRITING, (statement, text, PROVED, BY_REWRITING)
    for statement, name in sorted(recorded.refutations):
        texts = recorded.statements.get(statement, ""), recorded.assignments.get(name, "")
        yield f"{statement}+{name}", name, (statement, texts[0], REFUTED, texts[1])


def faults_of_form(recorded: Recorded, rows: Mapping[str, JudgedForm]) -> Iterator[Regression]:
    """Where the survey's rows do not follow from the recorded classes."""
    derived = recorded.forms()
    for name in sorted(rows):
        row, regular = rows[name], derived.get((name, REGULAR), {})
        for observable, said in row.observables.items():
            follows = regular.get(observable, "refused" if row.verdict == "refused" else UNKNOWN)
            if said != follows:
                yield Regression(form=name, observable=observable, recorded=said, found=follows,
                                 reason="the survey's row does not follow from the evidence")  # fmt: skip
        irregular = derived.get((name, IRREGULAR), {})
        follows = worst(irregular.values()) if irregular else "nothing"
        if row.irregular in {PROVED, REFUTED, UNKNOWN} and row.irregular != follows:
            yield Regression(form=name, observable=IRREGULAR, recorded=row.irregular, found=follows,
                             reason="the survey's row does not follow from the evidence")  # fmt: skip
    for name in sorted({form for form, _ in derived} - rows.keys()):
        yield Regression(form=name, observable="", recorded="nothing", found="evidence", reason="no row of the survey")


def structure_faults(recorded: Recorded) -> Iterator[str]:
    """Lines that name what is not there, and texts that no line names."""
    outcomes = {line[1] for line in recorded.of("outcome")}
    named = {line[4] for line in recorded.of("class")}
    yield from (f"class of no outcome: {o}" for o in sorted(named - outcomes))
    yield from (f"outcome of no class: {o}" for o in sorted(outcomes - named))
    statements = recorded.claims.keys()
    yield from (f"statement without its text: {s}" for s in sorted(statements - recorded.statements.keys()))
    yield from (f"text of no statement: {s}" for s in sorted(recorded.statements.keys() - statements))
    names = {name for _, name in recorded.refutations}
    yield from (f"assignment without its text: {a}" for a in sorted(names - recorded.assignments.keys()))
    yield from (f"text of no assignment: {a}" for a in sorted(recorded.assignments.keys() - names))


def differences(recorded: Recorded, name: str, found: Evidence) -> Iterator[Regression]:
    """Where a form, stated again, is not what is recorded.

    By which state a statement is refuted is no part of that: every recorded one is evaluated.
    """
    new = _stated(lines_of(found), name)
    outcomes = {line[4] for line in recorded.of("class") if line[1] == name}
    old = _stated((x for x in recorded.lines if x[1] == name or x[1] in outcomes), name)
    for kind, digest, encoding, observable, statement, claimed in sorted(new ^ old):
        said = f"{kind} class {digest}: {statement or 'its statement'} is {claimed}"
        was = (kind, digest, encoding, observable, statement, claimed) in old
        yield Regression(
            form=name, observable=observable, encoding=encoding, recorded=said if was else "nothing",
            found="nothing" if was else said,
            reason="recorded and not stated any more" if was else "stated now and not recorded",
        )  # fmt: skip


def _stated(lines: Iterable[Line], name: str) -> set[Line]:
    """What lines say of a form: kind, class, encoding ("" of the class), observable, statement, verdict."""
    lines, outcomes, found = list(lines), dict[str, list[Line]](), set[Line]()
    for line in lines:
        if line[0] == "outcome":
            outcomes.setdefault(line[1], []).append(line)
        elif line[0] == "own" and line[1] == name:
            found.add((line[2], line[3], line[4], line[5], line[6] if line[7] == PROVED else "", line[7]))
    for line in lines:
        if line[0] == "class" and line[1] == name:
            found |= {(line[2], line[3], "", o[2], o[3], o[4]) for o in outcomes.get(line[4], [])}
    return found


def sample(names: Iterable[str], share: int = SHARE, seed: int = SEED) -> list[str]:
    """A seeded part of the forms, one in so many."""
    found = sorted(names)
    return found if share == 1 else sorted(Random(seed).sample(found, -(-len(found) // share)))
