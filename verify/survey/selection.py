"""What of a survey counts: some observables, causes that are not ignored, what compilers emit, what was not so before.

Verdicts stay as they are, but for `observables`, which restricts what is asked; what does not count is neither listed
among the findings nor does `--check` end with 1 for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from verify.report.records import Verdict, decoded, replaced
from verify.report.surveys import ClassifiedEncoding, EncodingVerdict, FormRow, Scan, ScannedPlace, Survey

Known = Mapping[str, frozenset[str]]  # what is known to be refuted, by name: its observables
NOTHING_KNOWN: Final[Known] = {}
WORST: Final[tuple[Verdict, ...]] = ("refuted", "unknown", "vacuous", "proved")


@dataclass(frozen=True, slots=True)
class Selection:
    """What counts.  `observables`: all where empty; `known`: of a baseline."""

    observables: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    only_emitted: bool = False
    known: Known = field(default_factory=lambda: NOTHING_KNOWN)

    def form(self, row: FormRow) -> FormRow:
        """The row restricted to the observables."""
        if not self.observables or row.verdict == "refused":
            return row
        kept = {o: v for o, v in row.observables.items() if o in self.observables}
        verdict = next((v for v in WORST if v in kept.values()), "proved")
        if verdict != "refuted":
            return replaced(row, observables=kept, verdict=verdict, counterexample=None)
        return replaced(row, observables=kept, verdict=verdict)

    def encoding(self, row: ClassifiedEncoding) -> ClassifiedEncoding:
        """The row restricted to the observables."""
        if not self.observables or row.verdict != "refuted":
            return row
        kept = tuple(o for o in row.observables if o in self.observables)
        verdict: EncodingVerdict = "refuted" if kept else "proved"
        return replaced(row, observables=kept, verdict=verdict, cause=row.cause if kept else "")

    def counts(self, name: str, cause: str, emitted: bool | None, refuted: Iterable[str]) -> bool:
        """Whether a refutation or refusal counts; `name`: by which a baseline knows it."""
        if cause in self.ignored or (self.only_emitted and not emitted):
            return False
        return not (name in self.known and self.known[name] >= frozenset(refuted))

    def counts_form(self, row: FormRow) -> bool:
        """Whether a form's refutation or refusal counts."""
        return self.counts(row.form, row.cause, row.emitted, refuted_of(row.observables))


EVERYTHING: Final = Selection()


def refuted_of(observables: Mapping[str, str]) -> frozenset[str]:
    """The refuted ones."""
    return frozenset(o for o, v in observables.items() if v == "refuted")


def known_forms(text: bytes) -> Known:
    """What an earlier document of `opcode-range` has as refuted or refused.  ValueError where it is none."""
    rows = decoded(text, Survey).forms
    return {r.form: refuted_of(r.observables) for r in rows if r.verdict in {"refuted", "refused"}}


def known_encodings(text: bytes) -> Known:
    """What earlier lines of `classify --format json` have.  ValueError where they are none."""
    rows = (decoded(line, ClassifiedEncoding) for line in text.splitlines() if line.strip())
    return {r.bytes: frozenset(r.observables) for r in rows if r.verdict in {"refuted", "refused"}}


def place_name(place: ScannedPlace) -> str:
    """By which a place is known again, where addresses have moved: symbol and offset, and the bytes."""
    return f"{place.place} {place.bytes}"


def known_places(text: bytes) -> Known:
    """What an earlier document of `scan` has.  ValueError where it is none."""
    places = (p for f in decoded(text, Scan).findings for p in f.places)
    return {place_name(p): frozenset(p.observables) for p in places}
