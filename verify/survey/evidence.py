"""What is kept of evidence: a folder a scheme, `proofs/evidence/SCHEME/`.

`ledger.tsv`, sorted lines of text: the first says what it is and by which fingerprint; `class` form, kind, class,
outcome; `outcome` digest, observable, statement; `own` form, kind, class, encoding, observable, statement; `statement`
digest, verdict, evidence; the last the digest of all others.  `statements.smt2.xz` and `assignments.jsonl.xz` are the
texts in the order of their digests.  Equal evidence is equal bytes, whoever made it and in whichever order.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from verify.certificates.writing import digest_of
from verify.ledger.files import locked, replace
from verify.survey.certify import PROVED, REFUTED, UNKNOWN, Evidence

FOLDER: Final = "evidence"
FORMAT: Final = "ubp-verify/evidence/2"
LEDGER, STATEMENTS, ASSIGNMENTS = "ledger.tsv", "statements.smt2.xz", "assignments.jsonl.xz"
LARGEST: Final = 1 << 30  # bytes of unpacked texts
END: Final = "(check-sat)\n"
FIELDS: Final = {"class": 5, "outcome": 4, "own": 7, "statement": 4}
Line = tuple[str, ...]


@dataclass
class Recorded:
    """What was read, or is to be written."""

    mark: str
    lines: set[Line] = field(default_factory=set)  # but those of statements
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)  # statement -> verdict, evidence
    statements: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> Iterator[Line]:
        """The lines of a kind."""
        return (line for line in self.lines if line[0] == kind)

    def verdict(self, statement: str) -> str:
        """What is claimed of a statement."""
        return self.claims.get(statement, (UNKNOWN, ""))[0]

    @cached_property
    def outcomes(self) -> Mapping[str, Mapping[str, str]]:
        """Outcome -> observable -> statement."""
        found: dict[str, dict[str, str]] = {}
        for _, digest, observable, statement in self.of("outcome"):
            found.setdefault(digest, {})[observable] = statement
        return found

    @cached_property
    def of_form(self) -> Mapping[str, Sequence[Line]]:
        """Form -> its classes and own encodings."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            if line[0] != "outcome":
                found.setdefault(line[1], []).append(line)
        return found

    def forms(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """Form and kind -> observable -> verdict: of all classes, and where a class is refuted of its own encodings."""
        own: dict[Line, set[str]] = {}
        for _, form, kind, digest, _, observable, statement in self.of("own"):
            own.setdefault((form, kind, digest, observable), set()).add(self.verdict(statement))
        found: dict[tuple[str, str], dict[str, str]] = {}
        for _, form, kind, digest, outcome in self.of("class"):
            verdicts = found.setdefault((form, kind), {})
            for observable, statement in self.outcomes.get(outcome, {}).items():
                is_proved = self.verdict(statement) == PROVED
                seen = {PROVED} if is_proved else own.get((form, kind, digest, observable), {UNKNOWN})
                verdicts[observable] = worst({*seen, verdicts.get(observable, PROVED)})
        return found


def recorded(found: Evidence, mark: str) -> Recorded:
    """Evidence as it is written."""
    claims = {s: (c.verdict, c.reference) for s, c in found.certified.items()}
    assignments = {c.reference: c.evidence for c in found.certified.values() if c.verdict == REFUTED}
    return Recorded(mark, set(lines_of(found)), claims, found.texts, assignments)


def worst(verdicts: Iterable[str]) -> str:
    """Refuted before unknown before proved."""
    return max(verdicts, key=(PROVED, UNKNOWN, REFUTED).index)


def lines_of(found: Evidence) -> Iterator[Line]:
    """The lines of a ledger but those of statements."""
    yield from (("class", c.form, c.kind, c.digest, c.outcome) for c in found.classes)
    yield from (("outcome", digest, o, s) for digest, outcome in found.outcomes.items() for o, s in outcome)
    yield from (("own", x.form, x.kind, x.digest, x.encoding, x.observable, x.statement) for x in found.own)


def write(folder: Path, found: Recorded) -> None:
    """Writes everything.  Raises OSError."""
    statements = (("statement", s, *claim) for s, claim in found.claims.items())
    lines = [(FORMAT, found.mark), *sorted((*found.lines, *statements))]
    text = "".join(f"{chr(9).join(line)}\n" for line in lines)
    with locked(folder):
        replace(folder / LEDGER, f"{text}end\t{digest_of(text)}\n".encode())
        replace(folder / STATEMENTS, lzma.compress(_joined(found.statements, "")))
        replace(folder / ASSIGNMENTS, lzma.compress(_joined(found.assignments, "\n")))


def _joined(texts: Mapping[str, str], end: str) -> bytes:
    return "".join(f"{texts[digest]}{end}" for digest in sorted(texts)).encode()


def read(folder: Path) -> Recorded:
    """What is kept there.  Raises OSError, and ValueError with the place where it is not what was written."""
    text = _text(folder / LEDGER)
    body, _, end = text.rpartition("end\t")
    first, *lines = body.splitlines()
    name, _, mark = first.partition("\t")
    if name != FORMAT:
        raise ValueError(f"{folder / LEDGER}: {name[:60]!r} is not {FORMAT}: of another version, or no evidence")
    if end.rstrip("\n") != digest_of(body):
        raise ValueError(f"{folder / LEDGER}: a line is not what was written")
    split = [_line(line, folder) for line in lines]
    found = Recorded(mark, {line for line in split if line[0] != "statement"})
    found.claims = {line[1]: (line[2], line[3]) for line in split if line[0] == "statement"}
    if split != sorted(split) or len(found.lines) + len(found.claims) != len(split):
        raise ValueError(f"{folder / LEDGER}: lines out of order, or a line or statement twice")
    statements = (f"{s}{END}" for s in _unpacked(folder / STATEMENTS).split(END)[:-1])
    found.statements = {digest_of(s): s for s in statements}
    found.assignments = {digest_of(a): a for a in _unpacked(folder / ASSIGNMENTS).splitlines()}
    return found


def _line(text: str, folder: Path) -> Line:
    line = tuple(text.split("\t"))
    if len(line) != FIELDS.get(line[0]):
        raise ValueError(f"{folder / LEDGER}: {text[:60]!r} is no line of a ledger")
    return line


def _text(path: Path) -> str:
    """Raises ValueError where it is no such file, or of more than LARGEST bytes."""
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST or not data.isascii():
        raise ValueError(f"{path}: more than {LARGEST} bytes, or no ASCII")
    return data.decode("ascii")


def _unpacked(path: Path) -> str:
    """Raises ValueError where it is no such file, or unpacks to more than LARGEST bytes."""
    unpacker = lzma.LZMADecompressor(memlimit=1 << 28)
    try:
        data = unpacker.decompress(path.read_bytes(), max_length=LARGEST)
        if not unpacker.eof:
            raise ValueError(f"{path}: cut short, or more than {LARGEST} bytes unpacked")
        return data.decode("ascii")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
