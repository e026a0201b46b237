"""Commands `interleavings` and `protocols`: explores probe protocols and prints verdicts, counts and traces."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from verify.concurrency import quotient
from verify.concurrency.domains import ProtocolError
from verify.concurrency.explored import Explored, Limits, Refuted, Trace, Unknown, Vacuous
from verify.concurrency.explorer import ENGINES, distinct, explore
from verify.concurrency.export import FORMATS, export
from verify.concurrency.ground import ground
from verify.concurrency.language import Protocol
from verify.concurrency.presentation import explored_object, itf, mermaid, svg, table
from verify.concurrency.protocols import names, protocol

UNDECIDED, REFUTED, USAGE = 2, 1, 64
MEGABYTE = 1 << 20


@click.command()
@click.argument("protocols", nargs=-1, metavar="[PROTOCOL...]")
@click.option("--threads", default=None, help="Number of threads (default: the protocol's), or `any`.")
@click.option("--variant", default=None, help="A variant by name, or `all` for the protocol and all its variants.")
@click.option("--parameter", "-p", multiple=True, metavar="NAME=VALUE", help="Another size, for example K=3.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option("--graph", type=click.Path(path_type=Path), help="Writes the quotient graph (.graphml, .dot).")
@click.option("--traces", type=click.Path(path_type=Path), help="Writes each trace here as Mermaid, SVG and ITF.")
@click.option("--export", "exported", type=click.Choice(FORMATS), help="Prints the model for SPIN or Murphi instead.")
@click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="Memory for states; beyond: incomplete.")
@click.option(
    "-k", "count", type=click.IntRange(min=1), default=1, show_default=True, help="Counterexamples a property."
)
@click.option("--check", is_flag=True, help="End with status 1 where a property is refuted.")
def interleavings(
    protocols: tuple[str, ...],
    threads: str | None,
    variant: str | None,
    parameter: tuple[str, ...],
    engine: str,
    form: str,
    graph: Path | None,
    traces: Path | None,
    exported: str | None,
    memory: int | None,
    count: int,
    check: bool,
) -> None:
    """Explores every interleaving of the protocols (default: all)."""
    if threads == "any":
        sys.exit(_any_number(_chosen(protocols, variant, parameter), form, memory, check))
    number = _threads(threads)
    status = 0
    for chosen in _chosen(protocols, variant, parameter):
        used = chosen.threads if number is None else number
        if exported is not None:
            click.echo(export(ground(chosen, used), exported), nl=False)
            continue
        try:
            found = explore(chosen, used, engine, None, Limits(memory=memory and memory * MEGABYTE))
        except (ProtocolError, ValueError) as error:
            raise _usage(f"{chosen.name}: {error}") from error
        shown = _traces(chosen, found, count)
        click.echo(_json(found, shown) if form == "json" else _text(chosen, found, shown))
        _files(chosen, found, shown, graph, traces)
        status = max(status, _status(found, check), key=(0, UNDECIDED, REFUTED).index)
        if found.reason == "interrupted":
            break
    sys.exit(status)


def _any_number(chosen: list[Protocol], form: str, memory: int | None, check: bool) -> int:
    """Verdicts for any number of threads; the exit status."""
    from verify.concurrency.unbounded import AnyNumber, prove_any  # noqa: PLC0415  the solver only where asked for

    status = 0
    for item in chosen:
        try:
            found: AnyNumber = prove_any(item, limits=Limits(seconds=30, memory=memory and memory * MEGABYTE))
        except (ProtocolError, ValueError) as error:
            raise _usage(f"{item.name}: {error}") from error
        rows = [(name, verdict.name, verdict.reason) for name, verdict in found.properties]
        if form == "json":
            properties = {name: {"verdict": verdict, "reason": reason} for name, verdict, reason in rows}
            head = {"protocol": found.protocol, "variant": found.variant, "threads": "any"}
            click.echo(json.dumps({**head, "properties": properties, "seconds": round(found.seconds, 2)}))
        else:
            name = found.protocol + (f" ({found.variant})" if found.variant else "")
            lines = [f"  {verdict:<8} {prop}: {reason}" for prop, verdict, reason in rows]
            click.echo("\n".join([f"{name}: any number of threads, {found.seconds:.1f} s", *lines]))
        refuted = check and any(verdict == "refuted" for _, verdict, _ in rows)
        now = REFUTED if refuted else 0 if found.decided else UNDECIDED
        status = max(status, now, key=(0, UNDECIDED, REFUTED).index)
    return status


class _Usage(click.UsageError):
    """Wrong usage."""

    exit_code = USAGE


def _usage(message: str) -> click.ClickException:
    return _Usage(message)


def _threads(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise _usage(f"--threads is a number of at least 1, got {text!r}")
    return int(text)


def _chosen(wanted: tuple[str, ...], variant: str | None, parameter: tuple[str, ...]) -> list[Protocol]:
    """The protocols to explore, with variant and parameters."""
    found: list[Protocol] = []
    try:
        values = dict(_assignment(item) for item in parameter)
        for name in wanted or names():
            base = protocol(name)
            if variant == "all":
                found += [base, *(base.with_variant(item.name) for item in base.variants)]
            else:
                found.append(base if variant is None else base.with_variant(variant))
        return [item.with_parameters(**values) for item in found]
    except ProtocolError as error:
        raise _usage(str(error)) from error


def _assignment(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    flags = {"true": True, "false": False}
    try:
        return name, flags[value.lower()] if value.lower() in flags else int(value)
    except ValueError:
        raise _usage(f"--parameter is NAME=VALUE with a number, true or false, got {text!r}") from None


def _traces(chosen: Protocol, found: Explored, count: int) -> tuple[Trace, ...]:
    """The counterexamples to show: one a property, or up to `count` of each safety property."""
    if count == 1:
        return found.traces
    return tuple(trace for name, _ in found.properties for trace in distinct(chosen, found, name, count))


def _status(found: Explored, check: bool) -> int:
    if check and any(isinstance(verdict, Refuted) for _, verdict in found.properties):
        return REFUTED
    return 0 if found.decided else UNDECIDED


def _json(found: Explored, shown: tuple[Trace, ...]) -> str:
    return json.dumps(explored_object(found, shown), ensure_ascii=False)


def _text(chosen: Protocol, found: Explored, shown: tuple[Trace, ...]) -> str:
    """Verdicts, counts and traces for people."""
    name = found.protocol + (f" ({found.variant})" if found.variant else "")
    sizes = ", ".join(f"{key}={value}" for key, value in found.parameters)
    depth = f", depth {found.depth}" if found.depth >= 0 else ""
    stored = f", {found.stored:,} orbits" if found.symmetric else ""
    lines = [
        f"{name}: {chosen.question}",
        f"  {found.threads} threads; {sizes}",
        f"  {found.states:,} states, {found.transitions:,} transitions{depth}{stored}; "
        f"engine {found.engine}, {found.seconds:.2f} s" + ("" if found.complete else f"; incomplete: {found.reason}"),
    ]
    for prop, verdict in found.properties:
        reason = f" ({verdict.reason})" if isinstance(verdict, Unknown | Vacuous) else ""
        lines.append(f"  {verdict.name:8} {prop}{reason}")
    for trace in shown:
        lines += ["", f"  {trace.property} is violated in {len(trace.events)} steps:"]
        lines += ["    " + line for line in table(trace).splitlines()]
    assumed = ", ".join(item.name for item in chosen.assumptions)
    return "\n".join([*lines, f"  assumptions: {assumed or 'none'}", ""])


def _files(
    chosen: Protocol, found: Explored, shown: tuple[Trace, ...], graph: Path | None, traces: Path | None
) -> None:
    """Writes what was asked for beside the text; several protocols get files of their own names."""
    stem = found.protocol + (f"-{found.variant}" if found.variant else "")
    model = ground(chosen, found.threads)
    if graph is not None:
        try:
            quotient.write(quotient.quotient(model), graph)
        except ValueError as error:
            raise _usage(str(error)) from error
    if traces is not None:
        traces.mkdir(parents=True, exist_ok=True)
        for number, trace in enumerate(shown):
            base = traces / f"{stem}-{trace.property}-{number}"
            base.with_suffix(".mmd").write_text(mermaid(trace))
            base.with_suffix(".svg").write_text(svg(trace))
            base.with_suffix(".itf.json").write_text(json.dumps(itf(model, trace), ensure_ascii=False, indent=1))


@click.command()
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def protocols(form: str) -> None:
    """Lists the protocols, their questions and variants."""
    for name in names():
        item = protocol(name)
        if form == "json":
            click.echo(json.dumps(_described(item), ensure_ascii=False))
            continue
        click.echo(f"{name}: {item.question}")
        click.echo(f"  properties: {', '.join(prop.name for prop in item.properties)}")
        click.echo(f"  assumptions: {', '.join(entry.name for entry in item.assumptions) or 'none'}")
        for variant in item.variants:
            wrong = ", ".join(f"{key} {value}" for key, value in variant.expected) or "as the protocol"
            click.echo(f"  variant {variant.name}: {variant.question} [{wrong}]")


def _described(item: Protocol) -> dict[str, object]:
    """A protocol as JSON."""
    return {
        "protocol": item.name,
        "question": item.question,
        "threads": item.threads,
        "parameters": dict(item.parameters),
        "steps": [step.name for step in item.steps],
        "properties": {prop.name: item.expectation(prop.name) for prop in item.properties},
        "assumptions": {entry.name: entry.text for entry in item.assumptions},
        "variants": {
            entry.name: {"question": entry.question, "expected": dict(entry.expected)} for entry in item.variants
        },
    }
