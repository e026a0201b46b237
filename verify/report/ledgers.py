"""What ledgers keep of obligations, and what is said of ledgers: the tables that are kept, and what was removed."""

from __future__ import annotations

from verify.report.records import Document, Record, Verdict

Value = int | tuple[int, ...]


class WitnessRow(Record, frozen=True, array_like=True):
    """A state that refutes, as a list: named values, page faults (address, size, write, vector), the seed, memory
    (address, size, value), and where there are some the answers of uninterpreted functions.
    """

    values: tuple[tuple[str, Value], ...]
    faults: tuple[tuple[int, int, int, int], ...]
    seed: int
    memory: tuple[tuple[int, int, int], ...]
    answers: tuple[tuple[str, Value], ...] = ()


class DecisionRow(Record, frozen=True, array_like=True):
    """The verdict of an obligation, its reason, and the state that refutes it, as a list."""

    verdict: Verdict
    reason: str
    witness: WitnessRow | None


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
