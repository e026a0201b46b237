"""What is kept between runs of the classes of encodings: which are proved, which are refuted and by what.

Three tables.  classes: a class's digest and its outcome's, null where identity of terms proves all.  outcomes: a digest
and a list of [observable, query's digest, the variables' own names] for what is refuted and [observable, query's
digest] for what had to be asked and is proved.  queries: a refuted query's digest and its canonical text, from which it
can be evaluated again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from verify.judge.encoding import Asked, ClassOutcome
from verify.ledger.store import Store, Table
from verify.smt.canonical import Canonical, digest_of
from verify.survey.settings import CLASSES, OUTCOMES, QUERIES

OUTCOME_DIGEST: Final = 12  # hex digits
PROVED: Final = "null"


class KnownClasses(Mapping[str, ClassOutcome]):
    """Class digest -> what identity of terms did not prove, () where it did.  Outcomes are read when asked for."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}  # class -> outcome, "" where proved
        self.outcomes: dict[str, str] = {}
        self.queries: dict[str, str] = {}
        self._read: dict[str, ClassOutcome] = {"": ()}

    def __getitem__(self, digest: str) -> ClassOutcome:
        name = self.classes[digest]
        if name not in self._read:
            self._read[name] = tuple(self._asked(*row) for row in json.loads(self.outcomes[name]))
        return self._read[name]

    def _asked(self, observable: str, digest: str, names: list[str] | None = None) -> Asked:
        if names is None:
            return observable, digest
        return observable, Canonical(digest, self.queries[digest], tuple(names))

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)


class ClassLedger:
    """The classes of one scheme that code with this mark decided."""

    def __init__(self, store: Store, scheme: str, mark: str, setting: str = "") -> None:
        self.store = store
        self._classes, self._outcomes, self._queries = (
            Table(kind, scheme, mark, setting) for kind in (CLASSES, OUTCOMES, QUERIES)
        )
        self._current: KnownClasses | None = None

    def known(self) -> KnownClasses:
        """What is kept; empty where it is of other code or damaged."""
        if self._current is None:
            found = KnownClasses()
            found.queries = self._stored_queries()
            found.outcomes = self._stored_outcomes(found.queries)
            for digest, row in self.store.get(self._classes).items():
                name = "" if row == PROVED else row[1:-1]
                if not name or name in found.outcomes:
                    found.classes[digest] = name
            self._current = found
        return self._current

    def _stored_queries(self) -> dict[str, str]:
        rows = dict(self.store.get(self._queries))
        wrong = next((digest for digest, text in rows.items() if digest_of(text) != digest), None)
        if wrong is None:
            return rows
        self.store.reject(self._queries, f"what is written of query {wrong!r} is not what was stored")
        return {}

    def _stored_outcomes(self, queries: Mapping[str, str]) -> dict[str, str]:
        """Outcomes whose queries are there: the others' classes are decided again."""
        found = {}
        for name, row in self.store.get(self._outcomes).items():
            if _digest(row) != name:
                self.store.reject(self._outcomes, f"what is written of outcome {name!r} is not what was stored")
                return {}
            if all(len(asked) == 2 or asked[1] in queries for asked in json.loads(row)):
                found[name] = row
        return found

    def add(self, decided: Iterable[tuple[str, ClassOutcome]]) -> None:
        """Stores classes at once, what they name before them; those of other code are forgotten."""
        known, new = self.known(), KnownClasses()
        for digest, outcome in decided:
            row = json.dumps([_row(o, asked) for o, asked in outcome], separators=(",", ":"))
            name = _digest(row) if outcome else ""
            if known.classes.get(digest) == name:
                continue
            new.classes[digest] = name
            if name and name not in known.outcomes:
                new.outcomes[name] = row
            queries = (asked for _, asked in outcome if isinstance(asked, Canonical))
            new.queries.update({q.digest: q.text for q in queries if q.digest not in known.queries})
        for table, rows in ((self._queries, new.queries), (self._outcomes, new.outcomes)):
            if rows:
                self.store.put(table, rows)
        if new.classes:
            self.store.put(self._classes, {d: f'"{n}"' if n else PROVED for d, n in new.classes.items()})
        known.queries |= new.queries
        known.outcomes |= new.outcomes
        known.classes |= new.classes

    def settle(self) -> None:
        """Orders what is kept."""
        for table in (self._queries, self._outcomes, self._classes):
            self.store.settle(table)


def _row(observable: str, asked: Canonical | str) -> list[object]:
    return [observable, asked] if isinstance(asked, str) else [observable, asked.digest, asked.names]


def _digest(row: str) -> str:
    return sha256(row.encode()).hexdigest()[:OUTCOME_DIGEST]
