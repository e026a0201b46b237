"""What is said of ledgers: the tables that are kept, and what was removed."""

from __future__ import annotations

from verify.report.records import Document, Record


class TableRow(Record, frozen=True, kw_only=True):
    """A file of a ledger; `current`: the present code would use it; `rows`, `bytes`: what it holds and takes up."""

    path: str
    setting: str
    scheme: str
    kind: str
    current: bool
    rows: int
    bytes: int


class LedgerSizes(Document, frozen=True, kw_only=True, tag="ubp-verify/ledger-sizes/1"):
    """What `ledger` says: what is kept, and what `--prune` removed."""

    tables: tuple[TableRow, ...]
    removed: tuple[TableRow, ...]
