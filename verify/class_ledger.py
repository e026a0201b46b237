"""What is kept between runs of the classes of encodings: which are proved, which are refuted and by what.

Two files a scheme.  `classes-SCHEME.txt`: a fingerprint of the code that decided, then lines of three kinds: a class's
digest alone (proved), a class's digest and an outcome's (refuted), and `=`, an outcome's digest and the outcome as
JSON, a list of [observable, question's digest, the variables' own names].  `questions-SCHEME.txt`: a question's digest
and its canonical text, from which it can be evaluated again, and `+`, a question's digest and a state that refuted an
encoding which the question's own witness did not.  Damage is found when the files are read: a question
whose text has another digest, a line of another shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from verify.smt.canonical import DIGEST, Canonical, digest_of
from verify.smt.judge import CLASS_DIGEST, OTHERS, RefutedBy
from verify.smt.verdicts import Witness, witness_of

OUTCOME_DIGEST: Final = 12  # hex digits
HEX: Final = frozenset("0123456789abcdef")
SetAside = Callable[[Path, str], None]


class KnownClasses(Mapping[str, RefutedBy]):
    """Class digest -> refuted observables with what was asked, () where proved.  Outcomes are read when asked for."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}  # class -> outcome, "" where proved
        self.outcomes: dict[str, str] = {}
        self.questions: dict[str, str] = {}
        self.others: dict[str, list[Witness]] = {}
        self._read: dict[str, RefutedBy] = {"": ()}

    def __getitem__(self, digest: str) -> RefutedBy:
        name = self.classes[digest]
        if name not in self._read:
            rows = json.loads(self.outcomes[name])
            self._read[name] = tuple((o, Canonical(q, self.questions[q], tuple(names))) for o, q, names in rows)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)


class ClassLedger:
    """The two files of one scheme; `set_aside` names a damaged file and moves it away."""

    def __init__(self, directory: Path, scheme: str, mark: str, set_aside: SetAside) -> None:
        self.directory, self.mark, self.set_aside = directory, mark, set_aside
        self._classes = directory / f"classes-{scheme}.txt"
        self._questions = directory / f"questions-{scheme}.txt"
        self._current: KnownClasses | None = None

    def known(self) -> KnownClasses:
        """What the code with this ledger's mark decided; empty where the files are of other code or damaged."""
        if self._current is None:
            self._current = self._stored()
        return self._current

    def _stored(self) -> KnownClasses:
        found = KnownClasses()
        if not self._classes.exists():
            return found
        mark, *lines = self._classes.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        if len(mark) != len(self.mark) or not _is_hex(mark, len(mark)):
            self.set_aside(self._classes, "its first line is not a fingerprint")
            return found
        if mark != self.mark:
            return found
        try:
            self._read_questions(found)
            for line in lines:
                _take(found, line)
        except ValueError as error:
            self.set_aside(self._classes, str(error))
            return KnownClasses()
        return found

    def _read_questions(self, found: KnownClasses) -> None:
        """Questions and states; none of them where one is damaged."""
        if not self._questions.exists():
            return
        questions, others = dict[str, str](), dict[str, list[Witness]]()
        for line in self._questions.read_text(encoding="utf-8", errors="replace").splitlines():
            digest, _, text = line.partition(" ")
            try:
                if digest.startswith("+"):
                    others.setdefault(digest[1:], []).append(witness_of(json.loads(text)))
                    continue
            except (ValueError, TypeError, IndexError, KeyError):
                digest = ""
            if digest_of(text) != digest:
                self.set_aside(self._questions, f"what is written of question {line[:DIGEST]!r} is not what was stored")
                return
            questions[digest] = text
        found.questions, found.others = questions, others

    def add(self, decided: Iterable[tuple[str, RefutedBy]], others: Iterable[tuple[str, Witness]] = ()) -> None:
        """Stores classes and states at once; those of other code are forgotten."""
        known = self.known()
        lines: list[str] = []
        questions: list[str] = []
        for digest, refuted in decided:
            if digest in known.classes:
                continue
            name = ""
            if refuted:
                outcome = json.dumps([(o, text.digest, text.names) for o, text in refuted], separators=(",", ":"))
                name = sha256(outcome.encode()).hexdigest()[:OUTCOME_DIGEST]
                for _, text in refuted:
                    if text.digest not in known.questions:
                        known.questions[text.digest] = text.text
                        questions.append(f"{text.digest} {text.text}\n")
                if name not in known.outcomes:
                    known.outcomes[name] = outcome
                    lines.append(f"={name} {outcome}\n")
            known.classes[digest] = name
            lines.append(f"{digest} {name}\n" if name else f"{digest}\n")
        for digest, witness in others:
            found = known.others.setdefault(digest, [])
            if len(found) < OTHERS and witness not in found and digest in known.questions:
                found.append(witness)
                questions.append(f"+{digest} {json.dumps(witness.row(), separators=(',', ':'))}\n")
        if lines or questions:
            self._write(questions, lines)

    def _write(self, questions: list[str], lines: list[str]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        fresh = _first_line(self._classes) != self.mark
        for path, first, more in ((self._questions, "", questions), (self._classes, f"{self.mark}\n", lines)):
            with path.open("w" if fresh else "a", encoding="utf-8") as out:
                out.writelines([first, *more] if fresh else more)


def _first_line(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


def _take(found: KnownClasses, line: str) -> None:
    """Adds a line.  Raises ValueError for one of another shape or with an outcome that is not there."""
    first, _, rest = line.partition(" ")
    if first.startswith("="):
        if not _is_hex(first[1:], OUTCOME_DIGEST) or sha256(rest.encode()).hexdigest()[:OUTCOME_DIGEST] != first[1:]:
            raise ValueError(f"an outcome is not the one of {first[:OUTCOME_DIGEST + 1]!r}")
        if all(q in found.questions for _, q, _ in json.loads(rest)):
            found.outcomes[first[1:]] = rest
        return
    if not _is_hex(first, CLASS_DIGEST) or (rest and not _is_hex(rest, OUTCOME_DIGEST)):
        raise ValueError(f"a line is no digest: {line[:40]!r}")
    if not rest or rest in found.outcomes:
        found.classes[first] = rest


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and HEX.issuperset(text)
