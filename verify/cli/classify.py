"""`ubp-verify classify`: the verdicts of many encodings, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import click

from verify.cli.options import assumptions_without, judging, ledger_of, scheme_named
from verify.cli.status import OPEN, REFUTED, UNDECIDED, USAGE
from verify.report.records import encoded
from verify.report.surveys import ClassifiedEncoding

LINE_LIMIT = 4096  # characters of an input line


@click.command()
@click.argument("file", type=click.File("rb"))
@judging
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--check", is_flag=True, help="End with status 1 where an encoding is refuted.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
def classify(
    file: BinaryIO, scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str, check: bool,
    jobs: int | None, folder: str | None,
) -> int:  # fmt: skip
    """Verdicts for the encodings in FILE (- for standard input), one hex string a line, one result a line."""
    from verify.survey.encodings import classified, known_of  # noqa: PLC0415  start-up time
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    scheme, assumptions = scheme_named(scheme_name), assumptions_without(dropped)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    seen, wrong, any_line = set[str](), False, False
    for answer in classified(_lines(file), scheme, cpu, assumptions, jobs, known, _dealt_again):
        any_line = True
        if answer.error:
            wrong = True
            click.echo(f"ubp-verify: {answer.error}", err=True)
        seen.add(answer.row.verdict)
        _write_row(answer.row, style)
    sys.stdout.flush()
    if not any_line:
        raise click.UsageError(f"{file.name}: no encodings: the file is empty")
    if wrong:
        return USAGE
    if check and "refuted" in seen:
        return REFUTED
    return UNDECIDED if seen & OPEN else 0


def _dealt_again(lines: Sequence[tuple[int, bytes]], reason: str) -> None:
    click.echo(f"ubp-verify: {reason}; {len(lines)} lines from {lines[0][0]} on are judged again", err=True)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; a line over the limit is cut, so that a file without line ends does not fill the memory."""
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := file.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
                pass
        if line.strip() and not line.lstrip().startswith(b"#"):
            yield number, line


def _write_row(row: ClassifiedEncoding, style: str) -> None:
    if style == "json":
        sys.stdout.write(encoded(row) + "\n")
    else:
        reason = ": ".join(filter(None, (row.cause, row.reason)))
        sys.stdout.write(f"{row.bytes}\t{row.verdict}\t{','.join(row.observables)}\t{reason}\n")
