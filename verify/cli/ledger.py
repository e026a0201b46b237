"""`ubp-verify ledger`: what is kept between runs, how much of it there is, and what may go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from verify.ledger.folder import Folder
from verify.ledger.places import brought_directory, cache_directory, checkout_directory
from verify.ledger.store import Layers, Size
from verify.models.schemes.registry import SCHEMES
from verify.report.ledgers import LedgerSizes, TableRow
from verify.report.records import encoded
from verify.survey.settings import is_current

UNIT: Final = 1_000_000  # bytes of an MB


EXAMPLES: Final = """\b
Examples:
  ubp-verify ledger
  ubp-verify ledger --prune
  ubp-verify ledger --ledger ./results --format json
"""


@click.command("ledger", epilog=EXAMPLES)
@click.option("--size", is_flag=True, help="What is kept, by place, scheme and setting (the default).")
@click.option("--prune", is_flag=True, help="Remove from the cache, or DIR, what is of no use now.")
@click.option("--ledger", "folder", metavar="DIR", help="Another ledger than the cache and what is recorded.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def ledger(size: bool, prune: bool, folder: str | None, style: str) -> int:
    """What is kept of verdicts, its size by scheme and setting; with --prune, without what is of no use any more."""
    store = _store(folder)
    removed = store.prune(lambda found: is_current(found, SCHEMES)) if prune else []
    sizes = store.sizes() if size or not prune else []
    if style == "json":
        click.echo(encoded(LedgerSizes(tables=tuple(map(_row, sizes)), removed=tuple(map(_row, removed)))))
        return 0
    for line in _lines(map(_row, sizes)):
        click.echo(line)
    if prune:
        click.echo(f"{len(removed)} files removed, {sum(r.bytes for r in removed) / UNIT:.1f} MB")
    return 0


def _store(given: str | None) -> Layers:
    """What is asked about; the top layer is what may be pruned."""
    if given is not None:
        if not Path(given).is_dir():
            raise click.UsageError(f"there is no ledger {given!r}")
        return Layers(Folder(Path(given)), [])
    recorded = dict.fromkeys(place for place in (checkout_directory(), brought_directory()) if place)
    return Layers(Folder(cache_directory()), [Folder(place, writable=False) for place in recorded])


def _row(size: Size) -> TableRow:
    table = size.table
    return TableRow(
        path=str(size.path), setting=table.setting, scheme=table.scheme, kind=table.kind,
        current=is_current(size, SCHEMES), rows=size.rows, bytes=size.bytes,
    )  # fmt: skip


def _lines(rows: Iterable[TableRow]) -> Iterable[str]:
    """A line for the tables of one place, setting and scheme that are alike."""
    groups: dict[tuple[Path, str, str], list[TableRow]] = defaultdict(list)
    for row in rows:
        groups[Path(row.path).parent, row.scheme, "current" if row.current else "not used"].append(row)
    for (place, scheme, state), found in groups.items():
        kinds = ", ".join(f"{row.kind} {row.rows:,}" for row in found)
        yield f"{place}  {scheme}  {state}  {sum(row.bytes for row in found) / UNIT:.1f} MB  ({kinds})"
