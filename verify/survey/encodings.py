"""Many encodings classified, in order: chunks of lines judged by one process, or by several for long inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Final

from verify.claim.verdicts import Decision
from verify.judge.encoding import ClassOutcome, Judge
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.hex_text import encoding_bytes
from verify.report.records import replaced
from verify.report.surveys import ClassifiedEncoding
from verify.smt.decisions import InMemory
from verify.survey.explanation import CPUS, Brief, brief_row
from verify.survey.ledger import Ledger
from verify.survey.listing import NO_BYTES, lacks_bytes
from verify.survey.rows import INTERNAL_FAULT
from verify.survey.templates import Templates
from verify.workers.pool import TaskFailed, imap, nobody, pure

Line = tuple[int, bytes]
CHUNK = 512  # lines a task
LONGEST = 4096
REPEATS = 1 << 16  # encodings of which the row is kept

@dataclass(frozen=True, slots=True)
class KnownResults:
    """What a ledger has of a scheme: decided obligations and classes."""

    decisions: dict[str, Decision]
    classes: Mapping[str, ClassOutcome]

    def judge(self, scheme: Scheme, assumptions: frozenset[str]) -> Judge:
        """A judge that starts with it."""
        return Judge(scheme, assumptions, InMemory(dict(self.decisions)), self.classes, True)


def known_of(ledger: Ledger, assumptions: frozenset[str]) -> KnownResults:
    """What the ledger has."""
    return KnownResults(ledger.decisions, ledger.classes(assumptions).known())


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of a line; `error`: what is malformed in it."""

    row: ClassifiedEncoding
    error: str = ""


NOTHING: Final = KnownResults({}, {})
RowOf = Callable[[bytes], ClassifiedEncoding]
Lost = Callable[[Sequence[Line], str], None]


def row_of(judge: Judge, cpu: str) -> RowOf:
    """What gives an encoding's row; programs repeat their instructions, so rows are kept for a while."""
    return lru_cache(REPEATS)(partial(_row, Templates(judge, CPUS[cpu])))


@contextmanager
def _judging(
    scheme: Scheme, cpu: str, assumptions: frozenset[str], known: KnownResults
) -> Iterator[Callable[[Sequence[Line]], list[Answer]]]:
    """What a process judges chunks of lines with."""
    row = row_of(known.judge(scheme, assumptions), cpu)
    yield lambda lines: [line_row(n, line, row) for n, line in lines]


def line_row(number: int, line: bytes, row: RowOf) -> Answer:
    """What is said of one input line; a malformed line has the verdict invalid and an `error`."""
    text = line[:80].decode("ascii", "replace").strip()
    try:
        if len(line) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters: {text[:20]!r}...")
        whole = line.decode("ascii", "replace").strip()
        if lacks_bytes(whole):
            raise ValueError(NO_BYTES)
        data = encoding_bytes(whole)
    except ValueError as error:
        message = f"line {number}: {error}"
        shown = "".join(c if c.isprintable() and c != "\t" else "?" for c in text)
        return Answer(ClassifiedEncoding(bytes=shown, verdict="invalid", observables=(), reason=message), message)
    return Answer(row(data))


def _row(known: Templates, data: bytes) -> ClassifiedEncoding:
    try:
        brief = known.brief(data, lambda encoding: brief_row(encoding, known.judge, known.cpus))
    except Exception as error:
        return _unknown(f"{type(error).__name__}: {error}", data)
    return _whole(brief, len(data))


def _unknown(fault: str, data: bytes) -> ClassifiedEncoding:
    return ClassifiedEncoding(bytes=data.hex(), verdict="unknown", observables=(), reason=f"{INTERNAL_FAULT}{fault}")


def _whole(brief: Brief, given: int) -> ClassifiedEncoding:
    """Bytes behind the instruction make the line's encoding no instruction; `given`: bytes of it."""
    row, length = brief.row, brief.length
    if row.verdict != "invalid" and length and length != given:
        reason = f"the instruction ends after {length} of {given} bytes"
        return replaced(row, verdict="invalid", observables=(), reason=reason)
    return row


def classified(
    lines: Iterable[Line], scheme: Scheme, cpu: str, assumptions: frozenset[str], jobs: int | None,
    known: KnownResults = NOTHING, lost: Lost = nobody,
) -> Iterator[Answer]:  # fmt: skip
    """One answer a line, in order, while lines are still being read.

    Where a process dies, another one judges its lines again, and `lost` is told; lines that end two of them are
    unknown.
    """
    iterator = iter(lines)
    first = list(islice(iterator, CHUNK))
    second = list(islice(iterator, 1)) if len(first) == CHUNK else []
    workers = jobs or os.cpu_count() or 1
    if not second or workers == 1:
        row = row_of(known.judge(scheme, assumptions), cpu)
        yield from (line_row(n, line, row) for n, line in chain(first, second, iterator))
        return
    begin = partial(_judging, scheme, cpu, assumptions, known)
    with closing(imap(_chunks(chain(first, second, iterator)), begin, workers, pure(lost))) as answers:
        for chunk, answer in answers:
            if isinstance(answer, TaskFailed):
                failed = partial(_unknown, answer.reason)
                yield from (line_row(n, line, failed) for n, line in chunk)
            else:
                yield from answer


def _chunks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while chunk := list(islice(lines, CHUNK)):
        yield chunk
