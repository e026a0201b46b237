"""`ubp-verify classify`: the verdicts of many encodings, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from verify.cli.options import assumptions_without, judging, ledger_of, scheme_named, selecting, selection_of
from verify.cli.progress import counting, shows_lines_itself
from verify.cli.status import OPEN, REFUTED, UNDECIDED, USAGE
from verify.report.records import encoded
from verify.report.surveys import ClassifiedEncoding

if TYPE_CHECKING:
    from verify.models.x86.isa.forms import Cpu
    from verify.survey.selection import Selection

LINE_LIMIT = 4096  # characters of an input line


EXAMPLES: Final = """\b
Examples:
  objdump -d ./server | ubp-verify classify -
  ubp-verify classify encodings.txt --check --only-compilers
  ubp-verify classify encodings.txt --format json > before.json
  ubp-verify classify encodings.txt --baseline before.json --check
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.File("rb"))
@judging
@selecting
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--check", is_flag=True, help="End with status 1 where an encoding is refuted that counts.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def classify(
    file: BinaryIO, scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str, check: bool,
    jobs: int | None, folder: str | None, observables: str | None, ignored: tuple[str, ...], only_emitted: bool,
    baseline: str | None, quiet: bool,
) -> int:  # fmt: skip
    """Verdicts for the encodings in FILE (- for standard input), one a line, one result a line.

    A line is hex (9c, 48 89 d8, 0x9c), with or without a # comment, or a line of `objdump -d` or of `perf annotate
    --asm-raw`.  Verdicts are kept in the ledger, or where HOME cannot be written not at all.
    """
    from verify.survey.encodings import classified, known_of  # noqa: PLC0415  start-up time
    from verify.survey.explanation import CPUS  # noqa: PLC0415
    from verify.survey.listing import encodings  # noqa: PLC0415
    from verify.survey.selection import known_encodings  # noqa: PLC0415
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    scheme, assumptions = scheme_named(scheme_name), assumptions_without(dropped)
    selection = selection_of(observables, ignored, only_emitted, baseline, known_encodings)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    seen, wrong, any_line = set[str](), False, False
    answers = classified(encodings(_lines(file)), scheme, cpu, assumptions, jobs, known, _dealt_again)
    with counting("lines", None, quiet or shows_lines_itself()) as told:
        for answer in answers:
            any_line = True
            told(1)
            if answer.error:
                wrong = True
                click.echo(f"ubp-verify: {answer.error}", err=True)
            row = selection.encoding(answer.row)
            if row.verdict != "refuted" or _counts(row, selection, CPUS[cpu]):
                seen.add(row.verdict)
            _write_row(row, style)
    sys.stdout.flush()
    if not any_line:
        raise click.UsageError(f"{file.name}: no encodings: the file is empty")
    if wrong:
        return USAGE
    if check and "refuted" in seen:
        return REFUTED
    return UNDECIDED if seen & OPEN else 0


def _counts(row: ClassifiedEncoding, selection: Selection, cpus: tuple[Cpu, ...]) -> bool:
    """Whether a refutation counts."""
    from verify.causes.ordinary import is_emitted  # noqa: PLC0415  start-up time

    emitted = not selection.only_emitted or is_emitted(bytes.fromhex(row.bytes), cpus)
    return selection.counts(row.bytes, row.cause, emitted, row.observables)


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
