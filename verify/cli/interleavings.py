"""`ubp-verify interleavings`: explores probe protocols and prints verdicts, counts and traces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from verify.cli.any_number import any_number, stored_proofs
from verify.cli.common import is_quiet
from verify.cli.manifests import USUAL, Manifests, manifest_option, never_anywhere, own_manifest
from verify.cli.progress import step
from verify.cli.status import UNDECIDED, WRONG_PLACE, worse
from verify.cli.trace_files import broken_off, stem, trace_folder, write_traces
from verify.concurrency.explorer import ENGINES, distinct, explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.domains import ProtocolError
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results import projection
from verify.concurrency.results.exploration import Exploration, Limits, Trace
from verify.concurrency.results.export import FORMATS, export
from verify.concurrency.results.presentation import (
    explored_document,
    explored_text,
    table,
)
from verify.report.records import encoded

MEGABYTE: Final = 1 << 20
MOST: Final = 256  # threads of one run; `any` is for more


EXAMPLES: Final = """\b
Examples:
  ubp-verify interleavings
  ubp-verify interleavings xol-step --threads 4
  ubp-verify interleavings ref-count --threads any
  ubp-verify interleavings ref-count --variant no-lock --traces ./traces
  ubp-verify interleavings --variant all --check
  ubp-verify interleavings ./mine.py
"""


@click.command(epilog=EXAMPLES)
@click.argument("protocols", nargs=-1, metavar="[PROTOCOL...]")
@click.option("--threads", default=None, help="Number of threads (default: the protocol's), or `any`.")
@click.option("--variant", default=None, help="A variant by name, or `all` for the protocol and all its variants.")
@click.option("--parameter", "-p", multiple=True, metavar="NAME=VALUE", help="Another size, for example K=3.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option(
    "--graph", type=click.Path(path_type=Path), help="Writes the projected graph (.graphml, .dot); of several, each."
)
@click.option("--traces", type=click.Path(path_type=Path), help="Writes each trace here as Mermaid, SVG and ITF.")
@click.option("--export", "exported", type=click.Choice(FORMATS), help="Prints the model for SPIN or Murphi instead.")
@click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="Memory for states; beyond: incomplete.")
@click.option(
    "-k", "count", type=click.IntRange(min=1), default=1, show_default=True, help="Counterexamples a property."
)
@click.option(
    "--check",
    is_flag=False,
    flag_value=USUAL,
    metavar="[FILE.json]",
    help="End with status 1 where counts or verdicts differ from the manifest, or a property is refuted (of a "
    "known-wrong variant under `--variant all`: another one than declared). With `--threads any` the stored invariant "
    "is judged by the independent check. FILE is the manifest of a protocol of one's own.",
)
@click.option(
    "--record",
    is_flag=False,
    flag_value=USUAL,
    metavar="[FILE.json]",
    help="Write counts and verdicts into the manifest; or the invariant.",
)
@click.option("--ledger", metavar="DIR", help="Where proofs are kept (default: proofs/ of the checkout).")
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
    check: str | None,
    record: str | None,
    ledger: str | None,
) -> int:
    """Explores every interleaving of the protocols (default: all); a file `mine.py` has one's own."""
    protocols, check, file = manifest_option(protocols, check)
    protocols, record, other = manifest_option(protocols, record)
    chosen = _chosen(protocols, variant, parameter)
    limits = Limits(memory=memory and memory * MEGABYTE)
    place = own_manifest(protocols, file or other, bool(check or record), threads == "any")
    if threads == "any":
        _nothing_else(engine=engine != "auto", graph=graph, export=exported, k=count > 1)
        stored = stored_proofs(ledger, bool(check), bool(record), variant is None and not parameter)
        return any_number(chosen, form, limits, bool(check), traces, stored)
    number = _threads(threads)
    if exported is not None:
        _nothing_else(graph=graph, traces=traces, check=check, record=record)
        click.echo(_exported(chosen, number, exported), nl=False)
        return 0
    usual = number is None and not parameter
    manifests = _manifests(ledger, variant, bool(check), bool(record), usual, place)
    run = _Run(engine, form, limits, count, _graphs(graph, chosen), trace_folder(traces))
    return run.all(chosen, number, manifests, bool(record))


@dataclass(frozen=True, slots=True)
class _Run:
    """What every exploration of one command shares. `graphs`: where the graph of each protocol goes, in order."""

    engine: str
    form: str
    limits: Limits
    count: int
    graphs: tuple[Path, ...]
    traces: Path | None

    def all(self, chosen: list[Protocol], number: int | None, manifests: Manifests | None, record: bool) -> int:
        """Explores one after the other; the exit status."""
        status, seen = 0, list[tuple[Protocol, Exploration]]()
        for position, item in enumerate(chosen):
            step(f"{stem(item)}, {item.threads if number is None else number} threads")
            try:
                found = self.one(item, item.threads if number is None else number, position)
            except KeyboardInterrupt:
                return broken_off(stem(item), position, chosen)
            if manifests is None:
                status = worse(status, 0 if found.decided else UNDECIDED)
            else:
                status = worse(status, _judged(manifests, item, found, record))
            if found.reason == "interrupted":
                return broken_off(stem(item), position, chosen)
            seen.append((item, found))
        status = worse(status, never_anywhere(seen))
        if manifests is not None:
            status = worse(status, _finished(manifests, {item.name: item for item in chosen}, record))
        return status

    def one(self, chosen: Protocol, threads: int, position: int) -> Exploration:
        """Explores one protocol, prints the result and writes its files."""
        try:
            found = explore(chosen, threads, self.engine, None, self.limits, lambda trace: self.early(chosen, trace))
        except ValueError as error:
            raise click.UsageError(f"{stem(chosen)}: {error}") from error
        shown = _traces(chosen, found, self.count)
        if self.form == "json":
            click.echo(encoded(explored_document(found, shown)))
        else:
            click.echo(explored_text(chosen, found, shown))
        try:
            if self.graphs:
                projection.write(
                    projection.projection(instantiate(chosen, threads), self.limits.memory), self.graphs[position]
                )
            if self.traces is not None:
                write_traces(self.traces, chosen, threads, shown)
        except (*WRONG_PLACE, ValueError) as error:
            raise click.UsageError(f"{stem(chosen)}: {error}") from error
        return found

    def early(self, chosen: Protocol, trace: Trace) -> None:
        """Tells on standard error of a counterexample while the other properties are being decided."""
        if self.form == "text" and not is_quiet():
            head = f"{stem(chosen)}: {trace.property} is violated in {len(trace.events)} steps; deciding the rest"
            click.echo("\n".join([head, *("    " + line for line in table(trace).splitlines())]), err=True)


def _threads(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= MOST:
        raise click.UsageError(f"--threads is a number from 1 to {MOST}, or `any` for all numbers, got {text!r}")
    return int(text)


def _nothing_else(**options: object) -> None:
    """A usage error for options that do not go together with what was asked."""
    given = [f"-{name}" if len(name) == 1 else f"--{name}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(f"{', '.join(given)}: not with this command")


def _chosen(wanted: tuple[str, ...], variant: str | None, parameter: tuple[str, ...]) -> list[Protocol]:
    """The protocols to explore, with variant and parameters."""
    found: list[Protocol] = []
    try:
        values = dict(_assignment(item) for item in parameter)
        for name in dict.fromkeys(wanted) or names():
            base = protocol(name)
            if variant == "all":
                found += [base, *(base.with_variant(item.name) for item in base.variants)]
            else:
                found.append(base if variant is None else base.with_variant(variant))
        return [item.with_parameters(**values) for item in found]
    except ProtocolError as error:
        raise click.UsageError(str(error)) from error


def _assignment(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    flags = {"true": True, "false": False}
    try:
        return name, flags[value.lower()] if value.lower() in flags else int(value)
    except ValueError:
        raise click.UsageError(f"--parameter is NAME=VALUE with a number, true or false, got {text!r}") from None


def _exported(chosen: list[Protocol], number: int | None, form: str) -> str:
    """The model's text for another tool; one protocol a call, since two models in one text are no model."""
    if len(chosen) != 1:
        raise click.UsageError(f"--export prints one model, {len(chosen)} were chosen: name one protocol (and variant)")
    try:
        return export(instantiate(chosen[0], chosen[0].threads if number is None else number), form)
    except ValueError as error:
        raise click.UsageError(f"{stem(chosen[0])}: {error}") from error


def _manifests(
    ledger: str | None, variant: str | None, check: bool, record: bool, usual: bool, place: Path | None
) -> Manifests | None:
    """Where to compare or record, `place` for a protocol of one's own; None where neither is asked for."""
    if not (check or record):
        return None
    from verify.cli.options import ledger_directory  # noqa: PLC0415  start-up time

    if check and record:
        raise click.UsageError("--check compares and --record rewrites: one of the two")
    directory = place or ledger_directory(ledger, not record) / "protocols"
    return Manifests(directory, variant not in (None, "all"), usual)


def _judged(manifests: Manifests, chosen: Protocol, found: Exploration, record: bool) -> int:
    """The exit status of one run by its manifest."""
    try:
        return (manifests.record if record else manifests.check)(chosen, found)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _finished(manifests: Manifests, chosen: dict[str, Protocol], record: bool) -> int:
    """Writes what was recorded, or looks for records of what is gone; the exit status."""
    try:
        if not record:
            return max((manifests.gone(item) for item in chosen.values()), default=0)
        manifests.write(chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return 0


def _graphs(path: Path | None, chosen: list[Protocol]) -> tuple[Path, ...]:
    """Where the graph of each protocol goes: the given file, or beside it files of their names."""
    if path is None:
        return ()
    found = (
        [path] if len(chosen) == 1 else [path.with_name(f"{path.stem}-{stem(item)}{path.suffix}") for item in chosen]
    )
    try:
        projection.writable(path)
    except (*WRONG_PLACE, ValueError) as error:
        raise click.UsageError(f"--graph: {error}") from error
    return tuple(found)


def _traces(chosen: Protocol, found: Exploration, count: int) -> tuple[Trace, ...]:
    """The counterexamples to show: one a property, or up to `count` of each safety property."""
    if count == 1:
        return found.traces
    return tuple(trace for name, _ in found.properties for trace in distinct(chosen, found, name, count))
