"""`ubp-verify scan`: which instructions of a file may be probed."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from verify.cli.options import assumptions_without, judging, ledger_of, scheme_named, text_width
from verify.cli.status import REFUTED, UNDECIDED, WRONG_PLACE
from verify.report.records import indented
from verify.report.surveys import ExplainedEncoding, ExplainedPlace, Scan, ScanFinding, ScannedPlace

if TYPE_CHECKING:
    from verify.elf import Image
    from verify.survey.scan import Setting, Span

SHOWN: Final = 3  # places of a finding
EVERY: Final = 1 << 62
WORDS: Final = {
    "refuted": "refuted", "unknown": "unknown", "refused": "refused", "vacuous": "vacuous",
    "invalid": "no instruction",
}  # fmt: skip
COLUMNS: Final = ("place", "address", "offset", "bytes", "text", "verdict", "observables", "reason", "cause")


@click.command()
@click.argument("file", metavar="ELF")
@judging
@click.option("--symbol", "symbols", multiple=True, metavar="NAME", help="This function alone (again for others).")
@click.option("--range", "ranges", multiple=True, metavar="LOW-HIGH", help="These file offsets alone, without HIGH.")
@click.option("--function-entries", is_flag=True, help="The first instruction of each function alone.")
@click.option(
    "--explain", metavar="PLACE", help="One place (file offset, SYMBOL or SYMBOL+OFFSET): what a probe meets."
)
@click.option("--all", "everywhere", is_flag=True, help=f"Every place of a finding, not the first {SHOWN} of it.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="json and csv have every place.",
)
@click.option("--check", is_flag=True, help="End with status 1 where an instruction is refuted.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
def scan(
    file: str, scheme_name: str | None, cpu: str, dropped: tuple[str, ...], symbols: tuple[str, ...],
    ranges: tuple[str, ...], function_entries: bool, explain: str | None, everywhere: bool, style: str, check: bool,
    jobs: int | None, folder: str | None,
) -> int:  # fmt: skip
    """Verdict of every instruction of an ELF file, where it stands."""
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time
    from verify.survey.encodings import known_of  # noqa: PLC0415
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    image, scheme, assumptions = _image(file), scheme_named(scheme_name), assumptions_without(dropped)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    setting = survey.Setting(scheme, cpu, assumptions, jobs, known)
    if explain is not None:
        return _explained(image, explain, setting, style, check)
    spans = _spans(image, symbols, ranges, function_entries)
    shown = EVERY if everywhere or style != "text" else SHOWN
    found = survey.scan(image, spans, setting, shown, _judged_again)
    _print(found, style)
    if check and found.totals.get("refuted"):
        return REFUTED
    return UNDECIDED if found.totals.get("unknown") else 0


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


def _spans(image: Image, symbols: tuple[str, ...], ranges: tuple[str, ...], entries: bool) -> list[Span]:
    from verify.survey import scan as survey  # noqa: PLC0415  start-up time

    if entries and (symbols or ranges):
        raise click.UsageError("--function-entries is of the whole file: give it alone")
    if entries:
        found = survey.entries(image)
    elif symbols or ranges:
        found = []
        try:
            for name in symbols:
                found += survey.of_function(image, name)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        for text in ranges:
            found += survey.in_range(image, *_limits(text))
    else:
        return survey.everything(image)
    if not found:
        raise click.UsageError(f"{image.path}: no code there" if not entries else f"{image.path}: no function symbols")
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


def _print(found: Scan, style: str) -> None:
    if style == "json":
        click.echo(indented(found))
    elif style == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_cells(p) for f in found.findings for p in f.places)
    else:
        _print_text(found)


def _cells(p: ScannedPlace) -> tuple[str, ...]:
    observables = " ".join(p.observables)
    return p.place, f"{p.address:#x}", f"{p.offset:#x}", p.bytes, p.text, p.verdict, observables, p.reason, p.cause


def _print_text(found: Scan) -> None:
    click.echo(f"{found.file}: {found.kind}, {found.instructions:,} instructions of {found.distinct:,} encodings; "
               f"scheme {found.scheme}, cpu {found.cpu}")  # fmt: skip
    if found.relocatable:
        click.echo("Fields that the linker fills are judged as they stand.")
    whole = max(sum(found.totals.values()), 1)
    for verdict in ("proved", *WORDS):
        if count := found.totals.get(verdict, 0):  # type: ignore[call-overload]
            click.echo(f"  {WORDS.get(verdict, verdict):<16} {count:>11,}  {100 * count / whole:6.2f} %")
    for finding in found.findings:
        _print_finding(finding, text_width())


def _print_finding(finding: ScanFinding, width: int) -> None:
    from verify.report.wrapped import paragraph  # noqa: PLC0415  start-up time

    cause = finding.cause
    name = f"{cause.name} ({cause.harm})" if cause is not None else finding.reason
    title = WORDS[finding.verdict] if cause is None or cause.harm != finding.verdict else ""
    click.echo()
    for line in paragraph("", ": ".join(filter(None, (title, name.replace(" (refused)", "")))), width, 0, 0):
        click.echo(line)
    if cause is not None:
        for label, words in (("what", cause.happens), ("loses", cause.loses), ("instead", cause.instead)):
            for line in paragraph(label, words, width, 2):
                click.echo(line)
    click.echo(f"  {finding.instructions:,} of {finding.distinct:,} encodings")
    for p in finding.places:
        click.echo(f"    {p.offset:#8x}  {p.place}  {p.text}  ({p.bytes})")
    if (rest := finding.instructions - len(finding.places)) > 0:
        click.echo(f"    and {rest:,} more (--all)")
