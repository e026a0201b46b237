"""What is kept of evidence: a folder a scheme, `proofs/evidence/SCHEME/`.

`ledger.tsv.xz`, sorted lines of text: the first says what it is and by which fingerprint; `class` form, kind, class,
outcome; `outcome` digest, observable, statement, verdict, evidence; `own` form, kind, class, encoding, observable,
statement, verdict, evidence; the last the digest of all others.  `statements.smt2.xz` and `assignments.jsonl.xz` are
the texts in the order of their digests.  Equal evidence is equal bytes, whoever made it.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from verify.certificates.writing import digest_of
from verify.ledger.files import locked, replace
from verify.survey.certify import PROVED, REFUTED, UNKNOWN, Evidence

FOLDER: Final = "evidence"
FORMAT: Final = "ubp-verify/evidence/1"
LEDGER, STATEMENTS, ASSIGNMENTS = "ledger.tsv.xz", "statements.smt2.xz", "assignments.jsonl.xz"
LARGEST: Final = 1 << 30  # bytes of unpacked texts
END: Final = "(check-sat)\n"
FIELDS: Final = {"class": 5, "outcome": 6, "own": 9}
Line = tuple[str, ...]


@dataclass(slots=True)
class Recorded:
    """What was read, or is to be written."""

    mark: str
    lines: set[Line] = field(default_factory=set)
    statements: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)

    def add(self, found: Evidence) -> None:
        """Adds what is known of some forms."""
        self.lines.update(lines_of(found))
        self.statements.update(found.statements)
        certified = [c for outcome in found.outcomes.values() for _, c in outcome] + [x.certified for x in found.own]
        self.assignments.update((c.reference, c.evidence) for c in certified if c.verdict == REFUTED)

    def of(self, kind: str) -> Iterator[Line]:
        """The lines of a kind."""
        return (line for line in self.lines if line[0] == kind)

    @property
    def claims(self) -> dict[str, tuple[str, str]]:
        """Statement -> verdict and evidence.  Raises ValueError where two lines say two things of one."""
        found: dict[str, tuple[str, str]] = {}
        for line in (*self.of("outcome"), *self.of("own")):
            statement, verdict, evidence = line[-3:]
            known = found.setdefault(statement, (verdict, evidence))
            if known[0] != verdict:
                raise ValueError(f"statement {statement} is {known[0]} and {verdict}")
        return found

    @property
    def refutations(self) -> set[tuple[str, str]]:
        """Statements and assignments, every pair that a line names."""
        return {(line[-3], line[-1]) for k in ("outcome", "own") for line in self.of(k) if line[-2] == REFUTED}

    def forms(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """Form and kind -> observable -> verdict: of all classes, and where a class is refuted of its own encodings."""
        outcomes: dict[str, list[Line]] = {}
        for line in self.of("outcome"):
            outcomes.setdefault(line[1], []).append(line)
        own: dict[Line, set[str]] = {}
        for line in self.of("own"):
            own.setdefault((line[1], line[2], line[3], line[5]), set()).add(line[7])
        found: dict[tuple[str, str], dict[str, str]] = {}
        for _, form, kind, digest, outcome in self.of("class"):
            verdicts = found.setdefault((form, kind), {})
            for _, _, observable, _, verdict, _ in outcomes.get(outcome, []):
                seen = {PROVED} if verdict == PROVED else own.get((form, kind, digest, observable), {UNKNOWN})
                verdicts[observable] = worst({*seen, verdicts.get(observable, PROVED)})
        return found


def worst(verdicts: Iterable[str]) -> str:
    """Refuted before unknown before proved."""
    return max(verdicts, key=(PROVED, UNKNOWN, REFUTED).index)


def lines_of(found: Evidence) -> Iterator[Line]:
    """The lines of a ledger."""
    yield from (("class", c.form, c.kind, c.digest, c.outcome) for c in found.classes)
    for digest, outcome in found.outcomes.items():
        yield from (("outcome", digest, o, c.statement, c.verdict, c.reference) for o, c in outcome)
    for x in found.own:
        c = x.certified
        yield ("own", x.form, x.kind, x.digest, x.encoding, x.observable, c.statement, c.verdict, c.reference)


def write(folder: Path, found: Recorded) -> None:
    """Writes everything.  Raises OSError."""
    text = "".join(f"{chr(9).join(line)}\n" for line in [(FORMAT, found.mark), *sorted(found.lines)])
    with locked(folder):
        replace(folder / LEDGER, lzma.compress(f"{text}end\t{digest_of(text)}\n".encode()))
        replace(folder / STATEMENTS, lzma.compress(_joined(found.statements, "")))
        replace(folder / ASSIGNMENTS, lzma.compress(_joined(found.assignments, "\n")))


def _joined(texts: Mapping[str, str], end: str) -> bytes:
    return "".join(f"{texts[digest]}{end}" for digest in sorted(texts)).encode()


def read(folder: Path) -> Recorded:
    """What is kept there.  Raises OSError, and ValueError with the place where it is not what was written."""
    text = _unpacked(folder / LEDGER)
    body, _, end = text.rpartition("end\t")
    first, *lines = body.splitlines()
    name, _, mark = first.partition("\t")
    if name != FORMAT:
        raise ValueError(f"{folder / LEDGER}: {name[:60]!r} is not {FORMAT}: of another version, or no evidence")
    if end.rstrip("\n") != digest_of(body):
        raise ValueError(f"{folder / LEDGER}: a line is not what was written")
    found = Recorded(mark, {_line(line, folder) for line in lines})
    statements = (f"{s}{END}" for s in _unpacked(folder / STATEMENTS).split(END)[:-1])
    found.statements = {digest_of(s): s for s in statements}
    found.assignments = {digest_of(a): a for a in _unpacked(folder / ASSIGNMENTS).splitlines()}
    return found


def _line(text: str, folder: Path) -> Line:
    line = tuple(text.split("\t"))
    if len(line) != FIELDS.get(line[0]):
        raise ValueError(f"{folder / LEDGER}: {text[:60]!r} is no line of a ledger")
    return line


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
