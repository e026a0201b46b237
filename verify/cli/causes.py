"""`ubp-verify causes`: why programs can notice probes, and why probes are refused."""

from __future__ import annotations

from typing import Final

import click

from verify.cli.options import text_width
from verify.report.causes import DescribedCause
from verify.report.records import encoded

EXAMPLES: Final = """\b
Examples:
  ubp-verify causes
  ubp-verify causes vex-opcode-taken-for-legacy
  ubp-verify causes --format json
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def causes(names: tuple[str, ...], style: str) -> int:
    """The causes of refutations and refusals, the most harmful first; with NAME, what happens and what to do."""
    from verify.causes.catalogue import CAUSES  # noqa: PLC0415  start-up time

    if wrong := next((n for n in names if n not in CAUSES), None):
        raise click.UsageError(f"no cause {wrong!r}; there are {', '.join(CAUSES)}")
    wanted = [CAUSES[n] for n in names] or sorted(CAUSES.values(), key=lambda c: c.harm.rank)
    for cause in wanted:
        row = DescribedCause(name=cause.name, harm=cause.harm.value, happens=cause.happens, loses=cause.loses,
                             instead=cause.instead, rules=dict(cause.rules))  # fmt: skip
        if style == "json":
            click.echo(encoded(row))
        else:
            _print(row, bool(names))
    return 0


def _print(row: DescribedCause, whole: bool) -> None:
    from verify.report.wrapped import paragraph  # noqa: PLC0415  start-up time

    if not whole:
        click.echo(f"{row.name:<28} {row.harm}")
        return
    click.echo(f"{row.name}: {row.harm}")
    rules = [(f"rule of {name}*" if len(row.rules) > 1 else "rule", text) for name, text in row.rules.items()]
    said = (("what", row.happens), *rules, ("loses", row.loses), ("instead", row.instead))
    size = max(len(label) for label, _ in said) + 2
    for label, words in said:
        for line in paragraph(label, words, text_width(), 2, size):
            click.echo(line)
