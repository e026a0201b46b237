"""`ubp-verify protocols`: the protocols that can be explored, with what they ask and their known-wrong variants."""

from __future__ import annotations

from typing import Final

import click

from verify.concurrency.language.protocol import Protocol, ProtocolError, Variant
from verify.concurrency.protocols import installed, names, protocol
from verify.report.explorations import PROPERTY_VERDICTS, DescribedProtocol, VariantRow
from verify.report.records import encoded

EXAMPLES: Final = """\b
Examples:
  ubp-verify protocols
  ubp-verify protocols --format json
"""


@click.command(epilog=EXAMPLES)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def protocols(form: str) -> None:
    """Lists the protocols, their questions and variants."""
    for name in (*names(), *installed()):
        try:
            item = protocol(name)
        except ProtocolError as error:  # of a package that is installed, and broken
            click.echo(f"ubp-verify: {error}", err=True)
            continue
        if form == "json":
            click.echo(encoded(described(item)))
            continue
        click.echo(f"{name}: {item.question}")
        click.echo(f"  properties: {', '.join(prop.name for prop in item.properties)}")
        click.echo(f"  assumptions: {', '.join(entry.name for entry in item.assumptions) or 'none'}")
        for variant in item.variants:
            wrong = ", ".join(f"{key} {value}" for key, value in variant.expected) or "as the protocol"
            click.echo(f"  variant {variant.name}: {variant.question} [{wrong}]")


def described(item: Protocol) -> DescribedProtocol:
    """A protocol for programs."""
    return DescribedProtocol(
        protocol=item.name, question=item.question, threads=item.threads, parameters=dict(item.parameters),
        steps=tuple(step.name for step in item.steps),
        properties={p.name: PROPERTY_VERDICTS[item.expectation(p.name)] for p in item.properties},
        assumptions={entry.name: entry.text for entry in item.assumptions},
        variants={v.name: _variant(v) for v in item.variants},
    )  # fmt: skip


def _variant(item: Variant) -> VariantRow:
    expected = {name: PROPERTY_VERDICTS[verdict] for name, verdict in item.expected}
    return VariantRow(question=item.question, expected=expected)
