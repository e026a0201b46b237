"""`ubp-verify relocated`: an original and its copy elsewhere judged, or a file of such pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from verify.cli.options import assumptions_without, parsed_hex
from verify.cli.status import OPEN, REFUTED, UNDECIDED, USAGE
from verify.report.records import encoded
from verify.report.relocations import RelocatedPair

if TYPE_CHECKING:
    from verify.models.schemes.external.relocation import Ends
    from verify.survey.relocated import Pair


EXAMPLES: Final = """\b
Examples:
  ubp-verify relocated --original 488b0511223344 --at 0x401000 --copy 488b0511123344e902000000 --slot 0x402000
  ubp-verify relocated --original 90 --at 0x401000 --copy 90 --slot 0x402000 --ends breakpoint
  ubp-verify relocated pairs.jsonl --check
A line of the file: {"original": "90", "at": "0x401000", "copy": "90e9fcefffff", "slot": "0x402000", "ends": "jump"}
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--original", metavar="HEX", help="The instruction.")
@click.option("--at", metavar="ADDRESS", help="Where it stands.")
@click.option("--copy", metavar="HEX", help="What runs in its place, all of it.")
@click.option("--slot", metavar="ADDRESS", help="Where that stands.")
@click.option("--ends", type=click.Choice(["trap", "breakpoint", "jump"]), default="jump", show_default=True,
              help="How control comes back: a trap behind one instruction, a breakpoint behind the copy.")  # fmt: skip
@click.option("--cpu", type=click.Choice(["intel", "amd", "any"]), default="any", show_default=True,
              help="The processor that is modelled; any: both must agree.")  # fmt: skip
@click.option("--without-assumption", "dropped", multiple=True, metavar="NAME", help="Drop a named assumption.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--check", is_flag=True, help="End with status 1 where a pair is refuted.")
def relocated(
    file: BinaryIO | None, original: str | None, at: str | None, copy: str | None, slot: str | None, ends: str,
    cpu: str, dropped: tuple[str, ...], style: str, check: bool,
) -> int:  # fmt: skip
    """Whether a copy elsewhere does what the instruction does where it stands, in every state, at these addresses."""
    from verify.models.schemes.external.relocation import Ends  # noqa: PLC0415  start-up time
    from verify.survey.explanation import CPUS  # noqa: PLC0415
    from verify.survey.relocated import pair_row  # noqa: PLC0415

    assumptions, seen, wrong = assumptions_without(dropped), set[str](), False
    given = (original, at, copy, slot)
    pairs = _one(given, Ends(ends)) if file is None else _all(file, given, Ends(ends))
    for pair in pairs:
        if isinstance(pair, str):
            wrong = True
            click.echo(f"ubp-verify: {pair}", err=True)
            continue
        row = pair_row(pair, CPUS[cpu], assumptions)
        seen.add(row.verdict)
        _write(row, style)
    if wrong:
        return USAGE
    if check and "refuted" in seen:
        return REFUTED
    return UNDECIDED if seen & OPEN else 0


def _one(given: tuple[str | None, ...], ends: Ends) -> Iterator[Pair | str]:
    """The pair of the options.  A usage error names what is missing or wrong."""
    from verify.survey.relocated import Pair, address_of, hex_bytes  # noqa: PLC0415  start-up time

    names = ("--original", "--at", "--copy", "--slot")
    missing = [n for n, value in zip(names, given, strict=True) if value is None]
    if missing:
        raise click.UsageError(f"a pair, or a file of pairs, is needed: {', '.join(missing)} not given")
    original, at, copy, slot = (value or "" for value in given)
    try:
        yield Pair(parsed_hex(original, "--original"), address_of(at), hex_bytes(copy), address_of(slot), ends)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _all(file: BinaryIO, given: tuple[str | None, ...], ends: Ends) -> Iterator[Pair | str]:
    """The pairs of a file, or what is wrong with a line of it."""
    from verify.survey.relocated import pair_of  # noqa: PLC0415  start-up time

    if any(value is not None for value in given):
        raise click.UsageError("a file of pairs has the bytes and addresses of all of them")
    any_line = False
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        any_line = True
        try:
            yield pair_of(line, ends)
        except ValueError as error:
            yield f"line {number}: {error}"
    if not any_line:
        raise click.UsageError(f"{file.name}: no pairs: the file is empty")


def _write(row: RelocatedPair, style: str) -> None:
    if style == "json":
        click.echo(encoded(row))
        return
    refuted = f"  {','.join(row.observables)}" if row.observables else ""
    click.echo(f"{row.original} at {row.at}, copy {row.copy} at {row.slot}: {row.verdict}{refuted}")
    if row.reason:
        click.echo(f"  {row.reason}")
    if row.counterexample is not None and row.counterexample.initial:
        click.echo(f"  before: {', '.join(f'{n} = {v}' for n, v in row.counterexample.initial.items())}")
