"""`ubp-verify scan`: which instructions of a file may be probed."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from verify.cli.options import (
    assumptions_without,
    judging,
    ledger_of,
    scheme_named,
    selecting,
    selection_of,
    text_width,
)
from verify.cli.progress import counting
from verify.cli.status import REFUTED, UNDECIDED, WRONG_PLACE, worse
from verify.report.records import encoded, indented
from verify.report.surveys import ExplainedEncoding, ExplainedPlace, Scan, ScannedPlace

if TYPE_CHECKING:
    from verify.elf import Image
    from verify.models.schemes.scheme import Scheme
    from verify.survey.scan import Setting, Span

SHOWN: Final = 3  # places of a finding
EVERY: Final = 1 << 62
COLUMNS: Final = ("place", "address", "offset", "bytes", "text", "verdict", "observables", "reason", "cause")
EXAMPLES: Final = """\b
Examples:
  ubp-verify scan /bin/bash
  ubp-verify scan libc.so.6 --function-entries --check
  ubp-verify scan ./server --explain main+0x10
  ubp-verify scan ./server --usdt --format sarif > probes.sarif
  ubp-verify scan ./server --format json > before.json
  ubp-verify scan ./server --baseline before.json --check
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[ELF]", required=False)
@judging
@selecting
@click.option("--pid", type=click.IntRange(1), help="The files that this process has mapped as code, in place of ELF.")
@click.option("--symbol", "symbols", multiple=True, metavar="NAME", help="This function alone (again for others).")
@click.option("--offset", "offsets", multiple=True, metavar="PLACE",
              help="The instruction at a file offset or SYMBOL+OFFSET alone (again for others).")  # fmt: skip
@click.option("--range", "ranges", multiple=True, metavar="LOW-HIGH", help="These file offsets alone, without HIGH.")
@click.option("--function-entries", is_flag=True, help="The first instruction of each function alone.")
@click.option("--usdt", is_flag=True, help="The places of statically defined probes (stapsdt notes) alone.")
@click.option(
    "--explain", metavar="PLACE", help="One place (file offset, SYMBOL or SYMBOL+OFFSET): what a probe meets."
)
@click.option("--all", "everywhere", is_flag=True, help=f"Every place of a finding, not the first {SHOWN} of it.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv", "sarif", "junit"]),
    default="text",
    show_default=True,
    help="All but text have every place.",
)
@click.option("--check", is_flag=True, help="End with status 1 where an instruction is refuted that counts.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress; of text the first lines alone.")
def scan(
    file: str | None, scheme_name: str | None, cpu: str, dropped: tuple[str, ...], observables: str | None,
    ignored: tuple[str, ...], only_emitted: bool, baseline: str | None, pid: int | None, symbols: tuple[str, ...],
    offsets: tuple[str, ...], ranges: tuple[str, ...], function_entries: bool, usdt: bool, explain: str | None,
    everywhere: bool, style: str, check: bool, jobs: int | None, folder: str | None, quiet: bool,
) -> int:  # fmt: skip
    """Verdict of every instruction of an ELF file, where it stands."""
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time
    from verify.survey.encodings import known_of  # noqa: PLC0415
    from verify.survey.selection import known_places  # noqa: PLC0415
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    scheme, assumptions = scheme_named(scheme_name), assumptions_without(dropped)
    files = _files(file, pid, scheme)
    selection = selection_of(observables, ignored, only_emitted, baseline, known_places)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    setting = survey.Setting(scheme, cpu, assumptions, jobs, known, selection)
    if explain is not None:
        return _explained(_image(files[0]), explain, setting, style, check)
    asked = _Asked(symbols, offsets, ranges, function_entries, usdt)
    shown, status = EVERY if everywhere or style != "text" else SHOWN, 0
    for each in files:
        image = _image(each)
        spans = _spans(image, asked)
        with counting(f"instructions of {image.path}", None, quiet) as told:
            found = survey.scan(image, spans, setting, shown, _judged_again, told)
        _print(found, style, len(files) > 1, quiet)
        status = worse(status, _status(found, check))
    return status


def _status(found: Scan, check: bool) -> int:
    if check and any(f.verdict == "refuted" for f in found.findings):
        return REFUTED
    return UNDECIDED if found.totals.get("unknown") else 0


def _files(file: str | None, pid: int | None, scheme: Scheme) -> list[str]:
    """The file, or those of a process.  A usage error where neither or both are given, or the process has none."""
    from verify.elf.processes import code_mappings  # noqa: PLC0415  start-up time

    if (file is None) == (pid is None):
        raise click.UsageError("say which ELF file, or --pid with a process")
    if file is not None:
        return [file]
    assert pid is not None
    try:
        found = code_mappings(pid)
    except (*WRONG_PLACE, ProcessLookupError) as error:
        raise click.UsageError(f"there is no process {pid}") from error
    if not found:
        raise click.UsageError(f"process {pid} has no file mapped as code")
    if any(e.name == "breakpoint-in-place" for e in scheme.entries):
        for each in (m for m in found if m.is_shared_or_writable):
            click.echo(
                f"ubp-verify: {each.file} at {each.start:#x} is mapped {each.permissions}: no breakpoint is set in a "
                "shared or writable mapping, a probe is not hit there (breakpoint-in-place)", err=True,
            )  # fmt: skip
    return list(dict.fromkeys(m.file for m in found))


def _judged_again(lines: Sequence[tuple[int, bytes]], reason: str) -> None:
    click.echo(f"ubp-verify: {reason}; {len(lines)} encodings are judged again", err=True)


def _image(file: str) -> Image:
    from verify.elf import NotAnImage, read  # noqa: PLC0415  start-up time

    try:
        return read(file)
    except NotAnImage as error:
        raise click.UsageError(str(error)) from error
    except WRONG_PLACE as error:
        raise click.UsageError(f"{error.strerror}: {file!r}") from error


class _Asked(NamedTuple):
    """Which part of a file; the whole where nothing is named."""

    symbols: tuple[str, ...]
    offsets: tuple[str, ...]
    ranges: tuple[str, ...]
    entries: bool
    usdt: bool


def _spans(image: Image, asked: _Asked) -> list[Span]:
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time

    named = bool(asked.symbols or asked.offsets or asked.ranges)
    if asked.entries + asked.usdt + named > 1:
        raise click.UsageError("--function-entries and --usdt are of the whole file: give one of them alone")
    if asked.entries:
        found, lacking = survey.entries(image), "no function symbols"
    elif asked.usdt:
        found, lacking = survey.static_probes(image), "no statically defined probes"
    elif named:
        found, lacking = _named(image, asked), "no code there"
    else:
        return survey.everything(image)
    if not found:
        raise click.UsageError(f"{image.path}: {lacking}")
    return found


def _named(image: Image, asked: _Asked) -> list[Span]:
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time

    found = []
    try:
        for name in asked.symbols:
            found += survey.of_function(image, name)
        found += [survey.at_place(image.place(text)) for text in asked.offsets]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for text in asked.ranges:
        found += survey.in_range(image, *_limits(text))
    return found


def _limits(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    try:
        found = int(low, 0), int(high, 0)
    except ValueError:
        dash = ""
    if not dash or found[0] >= found[1]:
        raise click.UsageError(f"--range is LOW-HIGH, two file offsets such as 0x1000-0x2000, got {text!r}")
    return found


def _explained(image: Image, place: str, setting: Setting, style: str, check: bool) -> int:
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time

    try:
        row = survey.explained(image, image.place(place), setting)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if style == "json":
        click.echo(indented(row))
    else:
        _print_place(row)
    verdict = row.encoding.verdict
    return REFUTED if check and verdict == "refuted" else UNDECIDED if verdict in {"unknown", "vacuous"} else 0


def _print_place(row: ExplainedPlace) -> None:
    from verify.report.explained import lines, place_lines  # noqa: PLC0415  start-up time

    width = text_width()
    for line in place_lines(row, width):
        click.echo(line)
    if isinstance(row.encoding, ExplainedEncoding):
        for line in lines(row.encoding, width, False):
            click.echo(line)


def _print(found: Scan, style: str, many: bool, quiet: bool) -> None:
    if style == "json":
        click.echo(encoded(found) if many else indented(found))
    elif style == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_cells(p) for f in found.findings for p in f.places)
    elif style == "sarif":
        from verify.report.sarif import sarif  # noqa: PLC0415  this format alone needs it

        click.echo(sarif(found))
    elif style == "junit":
        from verify.report.junit import junit  # noqa: PLC0415  this format alone needs it

        click.echo(junit(found))
    else:
        _print_text(found, quiet)


def _print_text(found: Scan, quiet: bool) -> None:
    from verify.elf.demangled import demangled, replaced_in  # noqa: PLC0415  start-up time
    from verify.report.scanned import lines  # noqa: PLC0415

    known = demangled(p.place for f in found.findings for p in f.places)
    for line in lines(found, text_width(), not quiet):
        click.echo(replaced_in(line, known))


def _cells(p: ScannedPlace) -> tuple[str, ...]:
    observables = " ".join(p.observables)
    return p.place, f"{p.address:#x}", f"{p.offset:#x}", p.bytes, p.text, p.verdict, observables, p.reason, p.cause
