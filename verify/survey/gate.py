"""The proof gate: recorded evidence checked, compared with the recorded survey and with what the code states now.

Nothing is believed: each statement is checked by `verify.certificates.checker`, rows of forms are derived from classes,
and forms are stated again from the code.  `checked_before` saves work alone: what the same checker has accepted of the
same statement and evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from verify.certificates.checker import BY_REWRITING, verdict
from verify.certificates.statement import Rejected
from verify.certificates.writing import digest_of
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import OBSERVABLES
from verify.report.gates import Regression
from verify.report.judged import JudgedForm
from verify.survey.certify import (
    IRREGULAR,
    PROVED,
    REFUTED,
    REGULAR,
    REWRITING,
    UNKNOWN,
    Certifier,
    Evidence,
    Outcome,
    outcome_digest,
)
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
    known: Mapping[str, str] = field(default_factory=dict)  # statement -> verdict: not to be decided again


@contextmanager
def _certifying(setting: Setting) -> Iterator[Callable[[Sequence[str]], list[Evidence]]]:
    certifier = Certifier(setting.scheme, setting.assumptions, setting.cpus, setting.known)
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
    """What is claimed of statements: a key, the evidence's name, and the claim."""
    for statement, (said, name) in sorted(recorded.claims.items()):
        if said in {PROVED, REFUTED}:
            evidence = BY_REWRITING if said == PROVED else recorded.assignments.get(name, "")
            yield statement, name, (statement, recorded.statements.get(statement, ""), said, evidence)


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
    """Lines that name what is not there or say what cannot be, and texts that no line names."""
    yield from _unpaired("class of no outcome", "outcome of no class", {x[4] for x in recorded.of("class")},
                         recorded.outcomes)  # fmt: skip
    named = {x[3] for x in recorded.of("outcome")} | {x[6] for x in recorded.of("own")}
    yield from _unpaired("statement of which nothing is said", "statement of no outcome", named, recorded.claims)
    yield from _unpaired("statement without its text", "text of no statement", recorded.claims, recorded.statements)
    refuted = {name for said, name in recorded.claims.values() if said == REFUTED}
    yield from _unpaired("assignment without its text", "text of no assignment", refuted, recorded.assignments)
    for statement, (said, name) in sorted(recorded.claims.items()):
        if said not in {PROVED, REFUTED, UNKNOWN} or (said == PROVED) != (name == REWRITING):
            yield f"statement {statement}: {said} by {name}"
    for digest, outcome in sorted(recorded.outcomes.items()):
        if outcome_digest(tuple((o, outcome[o]) for o in OBSERVABLES if o in outcome)) != digest:
            yield f"outcome {digest}: its lines are not what it is named after"
    outcomes = {line[1:4]: line[4] for line in recorded.of("class")}
    for line in sorted(recorded.of("own")):
        claimed = recorded.outcomes.get(outcomes.get(line[1:4], ""), {}).get(line[5])
        if claimed is None or recorded.verdict(claimed) == PROVED:
            yield f"own encoding of no refuted class: {' '.join(line[1:6])}"


def _unpaired(left: str, right: str, names: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    one, two = set(names), set(others)
    yield from (f"{left}: {x}" for x in sorted(one - two))
    yield from (f"{right}: {x}" for x in sorted(two - one))


def differences(recorded: Recorded, name: str, found: Evidence) -> Iterator[Regression]:
    """Where a form, stated again, is not what is recorded.

    By which state a statement is refuted is no part of that: every recorded one is evaluated.
    """
    new = _stated(lines_of(found), found.outcomes, name, lambda s: found.certified[s].verdict)
    old = _recorded(recorded, name)
    for kind, digest, encoding, observable, statement, claimed in sorted(new ^ old):
        said = f"{kind} class {digest}: {statement} is {claimed}"
        was = (kind, digest, encoding, observable, statement, claimed) in old
        yield Regression(
            form=name, observable=observable, encoding=encoding, recorded=said if was else "nothing",
            found="nothing" if was else said,
            reason="obsolete: recorded and not stated any more" if was else "stated now and not recorded",
        )  # fmt: skip


def stated_digest(recorded: Recorded, name: str) -> str:
    """The digest of all that is recorded of a form."""
    return digest_of("".join("\t".join(line) + "\n" for line in sorted(_recorded(recorded, name))))


def _recorded(recorded: Recorded, name: str) -> set[Line]:
    lines = recorded.of_form.get(name, ())
    outcomes = {x[4]: tuple(recorded.outcomes.get(x[4], {}).items()) for x in lines if x[0] == "class"}
    return _stated(lines, outcomes, name, recorded.verdict)


def _stated(
    lines: Iterable[Line], outcomes: Mapping[str, Outcome], name: str, verdict: Callable[[str], str]
) -> set[Line]:
    """What lines say of a form: kind, class, encoding ("" of the class), observable, statement, verdict."""
    found = set[Line]()
    for line in lines:
        if line[0] == "own" and line[1] == name:
            found.add((*line[2:7], verdict(line[6])))
        elif line[0] == "class" and line[1] == name:
            found |= {(line[2], line[3], "", o, s, verdict(s)) for o, s in outcomes.get(line[4], ())}
    return found


def sample(names: Iterable[str], share: int = SHARE, seed: int = SEED) -> list[str]:
    """A seeded part of the forms, one in so many."""
    found = sorted(names)
    return found if share == 1 else sorted(Random(seed).sample(found, -(-len(found) // share)))
