"""Many encodings classified, in order: chunks of lines judged by one process, or by several for long inputs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import Any

import click

from verify.cli_options import parsed_hex
from verify.explain import CPUS, encoding_row
from verify.models.schemes.plan import Scheme
from verify.smt.judge import Judge

Line = tuple[int, bytes]
CHUNK = 512  # lines a task
LONGEST = 4096

_JUDGE: Judge | None = None
_CPU = "any"


def _start(scheme: Scheme, cpu: str, assumptions: frozenset[str], proved: frozenset[str]) -> None:
    global _JUDGE, _CPU
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _JUDGE, _CPU = Judge(scheme, assumptions, None, proved), cpu


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
    proved: frozenset[str] = frozenset(),
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """One row a line, in order, while lines are still being read."""
    iterator = iter(lines)
    first = list(islice(iterator, CHUNK))
    second = list(islice(iterator, 1)) if len(first) == CHUNK else []
    workers = jobs or os.cpu_count() or 1
    if not second or workers == 1:
        judge = Judge(scheme, assumptions, None, proved)
        yield from (line_row(n, line, judge, cpu) for n, line in chain(first, second, iterator))
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _start, (scheme, cpu, assumptions, proved)) as pool:
        yield from _in_order(pool, chain(first, second, iterator), workers)


def _in_order(pool: ProcessPoolExecutor, lines: Iterator[Line], workers: int) -> Iterator[dict[str, Any]]:
    waiting: list[Future[list[dict[str, Any]]]] = []
    while chunk := list(islice(lines, CHUNK)):
        waiting.append(pool.submit(_chunk_rows, chunk))
        if len(waiting) > 2 * workers:
            yield from waiting.pop(0).result()
    for future in waiting:
        yield from future.result()
