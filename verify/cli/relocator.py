"""`ubp-verify relocator`: a relocator of the user's own, a program or a shared library, judged on many encodings."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from typing import Final

import click

from verify.cli.options import assumptions_without, forms_in
from verify.cli.status import OPEN, REFUTED, UNDECIDED
from verify.report.records import encoded
from verify.report.relocations import RelocatedEncoding

EXAMPLES: Final = """\b
Examples:
  ubp-verify relocator --command 'python3 examples/relocators/small.py' 50-5f 88-8b
  ubp-verify relocator --library ./librelocate.so 70-7f --check
The program reads {"bytes": "90", "origin": 1, "slot": 2}, one a line, and answers {"code": "90e9..."} or {"refused":
"why"}.  The library has int relocate(const uint8_t *bytes, size_t length, uint64_t origin, uint64_t slot, uint8_t
*code, size_t room), which gives the bytes of code, or a negative number where it refuses.
"""


@click.command(epilog=EXAMPLES)
@click.argument("ranges", nargs=-1)
@click.option("--command", metavar="'PROG ARGS'", help="A program that answers on standard output.")
@click.option("--library", metavar="FILE.so", help="A shared library with the function `relocate`.")
@click.option("--ends", type=click.Choice(["trap", "breakpoint", "jump"]), default="jump", show_default=True,
              help="How control comes back: a trap behind one instruction, a breakpoint behind the code.")  # fmt: skip
@click.option("--cpu", type=click.Choice(["intel", "amd", "any"]), default="any", show_default=True,
              help="The processor that is modelled; any: both must agree.")  # fmt: skip
@click.option("--without-assumption", "dropped", multiple=True, metavar="NAME", help="Drop a named assumption.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--check", is_flag=True, help="End with status 1 where an encoding is refuted.")
def relocator(
    ranges: tuple[str, ...], command: str | None, library: str | None, ends: str, cpu: str, dropped: tuple[str, ...],
    style: str, check: bool,
) -> int:  # fmt: skip
    """Whether what a relocator of your own makes of the instructions in RANGE... does the same, in every state."""
    from verify.models.schemes.external.relocation import Ends  # noqa: PLC0415  start-up time
    from verify.survey.asked import Relocator  # noqa: PLC0415
    from verify.survey.explanation import CPUS  # noqa: PLC0415
    from verify.survey.relocator import encodings_of, relocator_row  # noqa: PLC0415

    wanted, assumptions, seen = forms_in(ranges or ("all",), cpu), assumptions_without(dropped), Counter[str]()
    try:
        asked = Relocator(_command(command, library))
    except OSError as error:
        raise click.UsageError(f"{command or library!r} cannot be started: {error.strerror}") from error
    with asked:
        for data in encodings_of(wanted, CPUS[cpu]):
            row = relocator_row(data, asked, Ends(ends), CPUS[cpu], assumptions)
            seen[row.verdict] += 1
            _write(row, style)
    if style == "text":
        click.echo(f"{seen.total()} encodings: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(seen.items())))
    if check and "refuted" in seen:
        return REFUTED
    return UNDECIDED if set(seen) & OPEN else 0


def _command(command: str | None, library: str | None) -> list[str]:
    """What is started.  A usage error where not one of both is given."""
    if (command is None) == (library is None):
        raise click.UsageError("either --command or --library says which relocator")
    if library is not None:
        return [sys.executable, "-m", "verify.survey.library_child", library]
    try:
        words = shlex.split(command or "")
    except ValueError as error:
        raise click.UsageError(f"--command {command!r}: {error}") from error
    if not words:
        raise click.UsageError("--command is empty")
    return words


def _write(row: RelocatedEncoding, style: str) -> None:
    """In text what is proved or refused for all addresses is counted alone."""
    if style == "json":
        click.echo(encoded(row))
    elif row.verdict not in {"proved", "refused"} or row.addresses:
        refuted = ",".join(row.observables)
        said = "  ".join(filter(None, (row.bytes, row.code, row.verdict, refuted, row.addresses, row.reason)))
        click.echo(said)
