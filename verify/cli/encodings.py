"""`forms` and `schemes`: what there is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from verify.cli.options import opcode_ranges, scheme_named
from verify.cli.status import UNDECIDED
from verify.report.records import encoded, replaced
from verify.report.surveys import AssumptionRow, DecoderDisagreement, DescribedForm, DescribedScheme

if TYPE_CHECKING:
    from verify.models.schemes.scheme import Scheme
    from verify.models.x86.isa.ranges import OpcodeRange


FORMS_EXAMPLES: Final = """\b
Examples:
  ubp-verify forms 9c
  ubp-verify forms vex.0f38 --format json
  ubp-verify forms d8-df --disagreements
"""


@click.command(epilog=FORMS_EXAMPLES)
@click.argument("ranges", nargs=-1)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--disagreements", is_flag=True, help="Where Capstone reads the same bytes otherwise.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampled encodings.")
@click.option("--samples", type=click.IntRange(1, 1000), default=2, show_default=True, help="Encodings a form.")
def forms(ranges: tuple[str, ...], style: str, disagreements: bool, seed: int, samples: int) -> int:
    """The forms in RANGE..., or with --disagreements what the second decoder says otherwise."""
    from verify.models.x86.isa.forms import all_forms  # noqa: PLC0415
    from verify.models.x86.isa.ranges import opcode_text  # noqa: PLC0415

    wanted = opcode_ranges(ranges)
    if disagreements:
        return _disagreements(wanted, style, seed, samples)
    rows = (
        DescribedForm(form=f.name, opcode=opcode_text(f.opcode), mnemonic=f.opcode.mnemonic,
                      addressing=f.addressing.value, encoding=f.opcode.encoding, operands=tuple(f.opcode.op_kinds))
        for f in all_forms() if any(f in r for r in wanted)
    )  # fmt: skip
    for row in rows:
        if style == "json":
            click.echo(encoded(row))
        else:
            click.echo(f"{row.opcode:<18} {row.form:<48} {', '.join(row.operands)}")
    return 0


def _disagreements(wanted: tuple[OpcodeRange, ...], style: str, seed: int, samples: int) -> int:
    from verify.models.x86.isa.capstone_check import sampled_differences  # noqa: PLC0415  capstone only where asked for

    unknown = 0
    for form, data, difference in sampled_differences(seed, samples):
        if not any(form in r for r in wanted):
            continue
        unknown += difference.why is None
        said = f"{difference.kind}: {difference.theirs}"
        row = DecoderDisagreement(form=form.name, bytes=data.hex(), difference=said, known=difference.why)
        why = f"known: {difference.why}" if difference.why else "UNKNOWN"
        click.echo(encoded(row) if style == "json" else f"{form.name:<44} {data.hex():<30} {said}; {why}")
    return UNDECIDED if unknown else 0


SCHEMES_EXAMPLES: Final = """\b
Examples:
  ubp-verify schemes
  ubp-verify schemes xol-step
  ubp-verify schemes running --format json
"""


@click.command(epilog=SCHEMES_EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def schemes(names: tuple[str, ...], style: str) -> int:
    """The schemes that can be judged; with NAME, also the deviations that its forms share and the assumptions."""
    from verify.models.schemes.registry import DEFAULT, SCHEMES  # noqa: PLC0415  start-up time

    for scheme in [scheme_named(n) for n in names] or SCHEMES.values():
        row = DescribedScheme(scheme=scheme.name, default=scheme.name == DEFAULT, summary=scheme.summary,
                              source=scheme.source)  # fmt: skip
        row = _with_shared(row, scheme) if names else row
        if style == "json":
            click.echo(encoded(row))
        else:
            _print_scheme(row)
    return 0


def _with_shared(row: DescribedScheme, scheme: Scheme) -> DescribedScheme:
    from verify.models.schemes.assumptions import ASSUMPTIONS, ROWS  # noqa: PLC0415  start-up time
    from verify.survey.documents import shared_deviations  # noqa: PLC0415

    assumptions = tuple(AssumptionRow(**asdict(a)) for a in ROWS)
    return replaced(row, deviations=shared_deviations(scheme, ASSUMPTIONS), assumptions=assumptions)


def _print_scheme(row: DescribedScheme) -> None:
    click.echo(f"{row.scheme}{' (default)' * row.default}\n  {row.summary}\n  source: {row.source}")
    for entry in row.deviations or ():
        left_out = " (left out of the forms' verdicts)" if entry.left_out else ""
        click.echo(f"\n  {entry.name}{left_out}")
        for title in ("sees", "rule", "witness", "loses", "instead"):
            click.echo(f"    {title + ':':<9} {getattr(entry, title)}")
    if row.assumptions is not None:
        click.echo("\n  assumptions")
    for assumption in row.assumptions or ():
        mark = "" if assumption.by_default else " (not in force by default)"
        click.echo(f"    {assumption.name}{mark}: {assumption.says}; without it: {assumption.without}")
