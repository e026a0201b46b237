"""Forms judged by several processes, with what they learn handed back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from verify.claim.verdicts import Decision
from verify.judge.encoding import ClassOutcome, Judge
from verify.judge.form import form_result, undecided
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.forms import Cpu, form
from verify.report.judged import JudgedForm
from verify.smt.decisions import InMemory
from verify.survey.rows import INTERNAL_FAULT, form_row
from verify.workers.pool import TaskFailed, imap_unordered, nobody, pure

CHUNK = 48  # forms a task


@dataclass(frozen=True, slots=True)
class Setting:
    """What workers judge: scheme, vendors, assumptions, decisions known before."""

    scheme: Scheme
    cpus: tuple[Cpu, ...]
    assumptions: frozenset[str]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a chunk of forms gave."""

    rows: list[JudgedForm]
    decisions: list[tuple[str, Decision]]
    classes: list[tuple[str, ClassOutcome]]  # by digest


class _Recording(InMemory):
    """Decisions with a list of those that are new."""

    __slots__ = ("new",)

    def __init__(self, known: dict[str, Decision]) -> None:
        super().__init__(known)
        self.new: list[tuple[str, Decision]] = []

    def put(self, digest: str, decision: Decision) -> None:
        """Stores and records a decision."""
        super().put(digest, decision)
        self.new.append((digest, decision))


class Worker:
    """One process's judges."""

    def __init__(self, setting: Setting, known: dict[str, Decision], classes: Mapping[str, ClassOutcome]) -> None:
        self.setting = setting
        self.decisions = _Recording(known)
        self.judge = Judge(setting.scheme, setting.assumptions, self.decisions, classes)
        other = setting.scheme.unrestricted
        lenient = replace(setting.scheme, plan=other, otherwise=()) if other is not None else None
        self.unrestricted = Judge(lenient, setting.assumptions, self.decisions) if lenient is not None else None

    def shard_result(self, names: Sequence[str]) -> ShardResult:
        """The rows of forms, and the decisions and proved classes that were new."""
        found = [self._row(n) for n in names]
        new, self.decisions.new = self.decisions.new, []
        learnt = ShardResult(found, new, list(self.judge.newly_decided))
        self.judge.newly_decided.clear()
        return learnt

    def _row(self, name: str) -> JudgedForm:
        """A fault of our own makes one form Unknown and is named there; the other forms keep their verdicts."""
        try:
            return form_row(form_result(form(name), self.judge, self.setting.cpus, self.unrestricted))
        except Exception as error:
            return form_row(undecided(form(name), f"{INTERNAL_FAULT}{type(error).__name__}: {error}"))


@contextmanager
def _judging(
    setting: Setting, known: dict[str, Decision], classes: Mapping[str, ClassOutcome]
) -> Iterator[Callable[[Sequence[str]], ShardResult]]:
    """What a process judges with: its classes are what makes the next chunk fast."""
    yield Worker(setting, known, classes).shard_result


def _failed(names: Sequence[str], reason: str) -> ShardResult:
    """Rows of forms whose process gave no answer: Unknown, with the reason."""
    return ShardResult([form_row(undecided(form(n), f"{INTERNAL_FAULT}{reason}")) for n in names], [], [])


def chunks(items: Iterable[str], size: int = CHUNK) -> Iterator[tuple[str, ...]]:
    """Consecutive groups."""
    iterator = iter(items)
    while group := tuple(islice(iterator, size)):
        yield group


def _kind(name: str) -> tuple[object, ...]:
    """Forms with the same operands are alike."""
    one = form(name)
    row = one.opcode
    return row.encoding, row.op_kinds, one.addressing.value, row.op_access, row.memory_size, name


def judged_forms(
    names: Sequence[str], setting: Setting, known: dict[str, Decision], classes: Mapping[str, ClassOutcome], jobs: int,
    lost: Callable[[Sequence[str], str], None] = nobody,
) -> Generator[ShardResult, None, None]:  # fmt: skip
    """What is learnt of forms, chunk by chunk; like beside like, for what one decides serves the next.

    Where a process dies, another one judges its chunk again, and `lost` is told; a chunk that ends two of them is
    Unknown.
    """
    groups = list(chunks(sorted(names, key=_kind)))
    if jobs == 1 or len(groups) == 1:
        worker = Worker(setting, known, classes)
        yield from map(worker.shard_result, groups)
        return
    policy = replace(pure(lost), near=True)
    begin = partial(_judging, setting, known, classes)
    with closing(imap_unordered(groups, begin, jobs, policy=policy)) as answers:
        for group, answer in answers:
            yield _failed(group, answer.reason) if isinstance(answer, TaskFailed) else answer
