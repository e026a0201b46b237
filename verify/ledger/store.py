"""A store keeps rows of plain text in tables, for several processes at once; what rows mean it does not know.

A table is what one state of the code (its fingerprint, the mark) found of one kind for one scheme under one setting.
Of each kind, scheme and setting a store keeps one table: rows under another mark are not given, and are replaced when
rows under the present one come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Rows = Mapping[str, str]  # key -> JSON text; no tab and no line end in either


@dataclass(frozen=True, slots=True)
class Table:
    """What rows lie together; `setting` is the name of a folder, "" for the default settings."""

    kind: str
    scheme: str
    mark: str  # fingerprint
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """What a table takes up; `mark` is "" for what can be read no more (damaged, half-written, of a former format)."""

    table: Table
    path: Path
    rows: int
    bytes: int


class Store(Protocol):
    """The verbs. Each raises OSError where the environment refuses."""

    @property
    def notices(self) -> Sequence[str]:
        """What was found damaged, a line each."""

    def get(self, table: Table) -> Rows:
        """All rows; none where what is kept is of other code, or damaged."""

    def put(self, table: Table, rows: Rows) -> None:
        """Keeps rows; those with the same keys are replaced.

        What has been put when it returns is not lost by the death of any process.
        """

    def forget(self, table: Table) -> None:
        """Keeps no row of this kind, scheme and setting any more, whoever's."""

    def reject(self, table: Table, reason: str) -> None:
        """Somebody who knows what rows mean found that they are not what was stored: a damage like others."""

    def settle(self, table: Table) -> None:
        """Orders the rows by key: equal rows are then equal bytes, however they came."""

    def is_stale(self, table: Table) -> bool:
        """Whether rows are kept there under another mark."""

    def sizes(self) -> list[Size]:
        """Every table and whatever else takes up space."""

    def prune(self, is_current: Callable[[Size], bool]) -> list[Size]:
        """Removes what is not current; what was removed."""


@dataclass(slots=True)
class Layers:
    """A store on top of others that are only read: a row of an upper layer hides that of a lower one."""

    top: Store
    below: Sequence[Store]  # the uppermost first
    _known: dict[Table, dict[str, str]] = field(default_factory=dict)

    @property
    def notices(self) -> Sequence[str]:
        """Those of all layers."""
        return [notice for layer in (self.top, *self.below) for notice in layer.notices]

    def get(self, table: Table) -> Rows:
        """The rows of all layers under this mark."""
        found: dict[str, str] = {}
        for layer in (*reversed(self.below), self.top):
            found.update(layer.get(table))
        self._known[table] = found
        return found

    def put(self, table: Table, rows: Rows) -> None:
        """Keeps in the top layer what no layer has."""
        known = self._known.get(table)
        if known is None:
            self.get(table)
            known = self._known[table]
        new = {key: value for key, value in rows.items() if known.get(key) != value}
        if new:
            self.top.put(table, new)
            known.update(new)

    def forget(self, table: Table) -> None:
        """In the top layer: what lies below stays readable."""
        self.top.forget(table)
        self._known.pop(table, None)

    def reject(self, table: Table, reason: str) -> None:
        """In every layer: which of them it was is not told."""
        for layer in (self.top, *self.below):
            layer.reject(table, reason)
        self._known.pop(table, None)

    def settle(self, table: Table) -> None:
        """Orders the top layer."""
        self.top.settle(table)

    def is_stale(self, table: Table) -> bool:
        """Whether the top layer keeps rows of other code."""
        return self.top.is_stale(table)

    def sizes(self) -> list[Size]:
        """Those of all layers, the top one first."""
        return [size for layer in (self.top, *self.below) for size in layer.sizes()]

    def prune(self, is_current: Callable[[Size], bool]) -> list[Size]:
        """In the top layer."""
        return self.top.prune(is_current)
