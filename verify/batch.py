"""Many encodings classified, in order: chunks of lines judged by one process, or by several for long inputs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

import click

from verify.cli_options import parsed_hex
from verify.explain import CPUS, encoding_row
from verify.ledger import Ledger
from verify.models.schemes.plan import Scheme
from verify.smt.decide import InMemory
from verify.smt.judge import Judge, RefutedBy
from verify.smt.verdicts import Decision, Witness

Line = tuple[int, bytes]
CHUNK = 512  # lines a task
LONGEST = 4096

@dataclass(frozen=True, slots=True)
class Known:
    """What a ledger has of a scheme: decided obligations and classes."""

    decisions: dict[str, Decision]
    classes: Mapping[str, RefutedBy]
    others: Mapping[str, Sequence[Witness]]

    def judge(self, scheme: Scheme, assumptions: frozenset[str]) -> Judge:
        """A judge that starts with it."""
        return Judge(scheme, assumptions, InMemory(dict(self.decisions)), self.classes, self.others, True)


def known_of(ledger: Ledger, assumptions: frozenset[str]) -> Known:
    """What the ledger has."""
    classes = ledger.classes(assumptions).known()
    return Known(ledger.decisions, classes, classes.others)


NOTHING: Final = Known({}, {}, {})
_JUDGE: Judge | None = None
_CPU = "any"


def _start(scheme: Scheme, cpu: str, assumptions: frozenset[str], known: Known) -> None:
    global _JUDGE, _CPU
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _JUDGE, _CPU = known.judge(scheme, assumptions), cpu


def _chunk_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    assert _JUDGE is not None
    return [line_row(n, line, _JUDGE, _CPU) for n, line in lines]


def line_row(number: int, line: bytes, judge: Judge, cpu: str) -> dict[str, Any]:
    """The result of one input line; a malformed line has the verdict invalid and an `error`."""
    text = line[:80].decode("ascii", "replace").strip()
    try:
        if len(line) > LONGEST:
            raise click.UsageError(f"line {number}: longer than {LONGEST} characters: {text[:20]!r}...")
        data = parsed_hex(line.decode("ascii", "replace").strip(), f"line {number}")
    except click.UsageError as error:
        message = error.format_message()
        shown = "".join(c if c.isprintable() and c != "\t" else "?" for c in text)
        return {"bytes": shown, "verdict": "invalid", "observables": [], "reason": message, "error": message}
    try:
        row = encoding_row(data, judge, CPUS[cpu], details=False)
    except Exception as error:
        reason = f"internal fault: {type(error).__name__}: {error}"
        return {"bytes": data.hex(), "verdict": "unknown", "observables": [], "reason": reason}
    return _whole(row, data)


def _whole(row: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Bytes behind the instruction make the line's encoding no instruction."""
    length = row.pop("length", len(data))
    if row["verdict"] != "invalid" and length and length != len(data):
        reason = f"the instruction ends after {length} of {len(data)} bytes"
        return {**row, "verdict": "invalid", "observables": [], "reason": reason}
    return row


def classified(
    lines: Iterable[Line], scheme: Scheme, cpu: str, assumptions: frozenset[str], jobs: int | None,
    known: Known = NOTHING,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """One row a line, in order, while lines are still being read."""
    iterator = iter(lines)
    first = list(islice(iterator, CHUNK))
    second = list(islice(iterator, 1)) if len(first) == CHUNK else []
    workers = jobs or os.cpu_count() or 1
    if not second or workers == 1:
        judge = known.judge(scheme, assumptions)
        yield from (line_row(n, line, judge, cpu) for n, line in chain(first, second, iterator))
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _start, (scheme, cpu, assumptions, known)) as pool:
        yield from _in_order(pool, chain(first, second, iterator), workers)


def _in_order(pool: ProcessPoolExecutor, lines: Iterator[Line], workers: int) -> Iterator[dict[str, Any]]:
    waiting: list[Future[list[dict[str, Any]]]] = []
    while chunk := list(islice(lines, CHUNK)):
        waiting.append(pool.submit(_chunk_rows, chunk))
        if len(waiting) > 2 * workers:
            yield from waiting.pop(0).result()
    for future in waiting:
        yield from future.result()
