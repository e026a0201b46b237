"""`ubp-verify report`: what a survey found, as pages to read, to show and to send."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from verify.cli.beside import Beside, html, read
from verify.cli.options import SCHEME_HELP, assumptions_without, scheme_named
from verify.cli.status import WRONG_PLACE
from verify.cli.surveyed import Request, surveyed
from verify.report.html.frame import INDEX

if TYPE_CHECKING:
    from verify.report.surveys import Survey

HTML: Final = "html"
LATEX: Final = "latex"
EXAMPLES: Final = """\b
Examples:
  ubp-verify report ./pages
  ubp-verify report ./pages --scheme linux-uprobes-6.18 --scheme linux-uprobes-6.1
  ubp-verify report ./pages d8-df vex.0f
  ubp-verify report ./to-send --format findings
  ubp-verify interleavings --variant all --format json > runs.jsonl
  ubp-verify report ./pages --with runs.jsonl
"""


@click.command(epilog=EXAMPLES)
@click.argument("directory", metavar="DIR")
@click.argument("ranges", nargs=-1)
@click.option("--scheme", "names", multiple=True, metavar="NAME", help=f"{SCHEME_HELP} Several stand side by side.")
@click.option("--without-assumption", "dropped", multiple=True, metavar="NAME", help="Drop a named assumption.")
@click.option("--cpu", type=click.Choice(["intel", "amd", "any"]), default="any", show_default=True,
              help="The processor that is modelled; any: both must agree.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(["html", "findings", "latex"]), default="html", show_default=True,
              help="html: pages for a browser; findings: a Markdown page a cause, ready to send; latex: tables.")
@click.option("--with", "besides", multiple=True, metavar="FILE",
              help="Of html: JSON that `interleavings` (traces to step through) or `confirm cost` (a chart) printed.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress; do not say what was written.")
def report(
    directory: str, ranges: tuple[str, ...], names: tuple[str, ...], dropped: tuple[str, ...], cpu: str,
    style: str, besides: tuple[str, ...], jobs: int | None, folder: str | None, quiet: bool,
) -> int:  # fmt: skip
    """A static HTML report of the survey in DIR, for any browser and without network: open DIR/index.html.

    With --format findings a Markdown page for each cause: what, which bytes, where it was seen, how to see it; with
    --format latex tables for a paper.
    """
    schemes = [scheme_named(name) for name in dict.fromkeys(names or (None,))]
    if besides and style != HTML:
        raise click.UsageError("--with is of --format html")
    beside, assumptions, place = read(besides), assumptions_without(dropped), Path(directory)
    found = [surveyed(Request(ranges, s, cpu, assumptions, folder=folder, jobs=jobs, quiet=quiet)) for s in schemes]
    try:
        for where, files in _files(found, style, beside):
            _write(place / where, files)
    except WRONG_PLACE as error:
        raise click.UsageError(f"no report in {directory!r}: {error.strerror}") from error
    if not quiet:
        click.echo(os.fspath(place / INDEX if style == HTML else place))
    return 0


def _files(found: Sequence[Survey], style: str, beside: Beside) -> Iterator[tuple[str, dict[str, str]]]:
    """Folders below the report's, and their files."""
    from verify.report.findings import findings  # noqa: PLC0415  start-up time
    from verify.report.latex import latex  # noqa: PLC0415

    if style == LATEX:
        yield "", dict(latex(found))
    elif style == HTML:
        yield from html(found, beside)
    else:
        yield from ((one.scheme if len(found) > 1 else "", dict(findings(one))) for one in found)


def _write(place: Path, files: dict[str, str]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_text(content, encoding="utf-8")
