"""What is kept between runs of the classes of encodings: which are proved, which are refuted and by what.

Two files a scheme.  `classes-SCHEME.txt`: a fingerprint of the code that decided, then lines of four kinds: a class's
digest alone (proved by identity), a class's digest and an outcome's, `=`, an outcome's digest and the outcome as JSON,
and `#` with the versions that ran.  An outcome is a list of [observable, query's digest, the variables' own names]
for what is refuted and [observable, query's digest] for what had to be asked and is proved.
`queries-SCHEME.txt`: a refuted query's digest and its canonical text, from which it can be evaluated again.
Damage is found when the files are read: a query whose text has another digest, a line of another shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from verify.judge.encoding import CLASS_DIGEST, Asked, ClassOutcome
from verify.ledger.files import append, first_line, lines_of, locked, replace, undamaged
from verify.ledger.fingerprint import versions
from verify.smt.canonical import DIGEST, Canonical, digest_of

OUTCOME_DIGEST: Final = 12  # hex digits
HEX: Final = frozenset("0123456789abcdef")


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
    """The two files of one scheme; what is found damaged is set aside, and `notices` says so."""

    def __init__(self, directory: Path, scheme: str, mark: str, notices: list[str]) -> None:
        self.directory, self.mark, self.notices = directory, mark, notices
        self._classes = directory / f"classes-{scheme}.txt"
        self._questions = directory / f"queries-{scheme}.txt"
        self._current: KnownClasses | None = None

    def known(self) -> KnownClasses:
        """What the code with this ledger's mark decided; empty where the files are of other code or damaged."""
        if self._current is None:
            self._current = undamaged(self._classes, self._stored, KnownClasses(), self.notices, (ValueError,))
        return self._current

    def _stored(self) -> KnownClasses:
        found = KnownClasses()
        if not self._classes.exists():
            return found
        mark, *lines = lines_of(self._classes) or [""]
        if not _is_hex(mark, len(self.mark)):
            raise ValueError("its first line is not a fingerprint")
        if mark != self.mark:
            return found
        found.queries = undamaged(self._questions, self._stored_questions, {}, self.notices, (ValueError,))
        for line in lines:
            _take(found, line)
        return found

    def _stored_questions(self) -> dict[str, str]:
        """Queries by digest.  Raises ValueError where one of them is not what was stored."""
        found: dict[str, str] = {}
        for line in lines_of(self._questions):
            digest, _, text = line.partition(" ")
            if digest_of(text) != digest:
                raise ValueError(f"what is written of query {line[:DIGEST]!r} is not what was stored")
            found[digest] = text
        return found

    def add(self, decided: Iterable[tuple[str, ClassOutcome]]) -> None:
        """Stores classes at once; those of other code are forgotten."""
        known, lines, queries = self.known(), list[str](), list[str]()
        for digest, outcome in decided:
            rows = json.dumps([_row(o, asked) for o, asked in outcome], separators=(",", ":"))
            name = sha256(rows.encode()).hexdigest()[:OUTCOME_DIGEST] if outcome else ""
            if known.classes.get(digest) == name:
                continue
            for text in (asked for _, asked in outcome if isinstance(asked, Canonical)):
                if text.digest not in known.queries:
                    known.queries[text.digest] = text.text
                    queries.append(f"{text.digest} {text.text}")
            if name and name not in known.outcomes:
                known.outcomes[name] = rows
                lines.append(f"={name} {rows}")
            known.classes[digest] = name
            lines.append(_class_line(digest, name))
        if lines or queries:
            self._write(known, queries, lines)

    def _write(self, known: KnownClasses, queries: list[str], lines: list[str]) -> None:
        with locked(self.directory):
            if first_line(self._classes) != self.mark:
                queries = [f"{digest} {text}" for digest, text in known.queries.items()]
                replace(self._questions, "".join(f"{line}\n" for line in queries))
                outcomes = [f"={name} {rows}" for name, rows in known.outcomes.items()]
                classes = [_class_line(digest, name) for digest, name in known.classes.items()]
                replace(self._classes, "\n".join([self.mark, f"# {versions()}", *outcomes, *classes, ""]))
                return
            append(self._questions, queries)
            append(self._classes, lines)


def _row(observable: str, asked: Canonical | str) -> list[object]:
    return [observable, asked] if isinstance(asked, str) else [observable, asked.digest, asked.names]


def _class_line(digest: str, name: str) -> str:
    return f"{digest} {name}" if name else digest


def _take(found: KnownClasses, line: str) -> None:
    """Adds a line.  Raises ValueError for one of another shape or with an outcome that is not there."""
    first, _, rest = line.partition(" ")
    if first == "#":
        return
    if first.startswith("="):
        if not _is_hex(first[1:], OUTCOME_DIGEST) or sha256(rest.encode()).hexdigest()[:OUTCOME_DIGEST] != first[1:]:
            raise ValueError(f"an outcome is not the one of {first[:OUTCOME_DIGEST + 1]!r}")
        if all(len(row) == 2 or row[1] in found.queries for row in json.loads(rest)):
            found.outcomes[first[1:]] = rest
        return
    if not _is_hex(first, CLASS_DIGEST) or (rest and not _is_hex(rest, OUTCOME_DIGEST)):
        raise ValueError(f"a line is no digest: {line[:40]!r}")
    if not rest or rest in found.outcomes:
        found.classes[first] = rest


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and HEX.issuperset(text)
