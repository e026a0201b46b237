"""Evidence made: every class of a form stated plainly and proved or refuted in a way that the checker accepts.

Runs in a process whose terms are built as they are written (`verify.terms.rules.CHOICE`), and takes nothing from the
ledger: what the survey decided is compared with it afterwards.  Evidence is a function of the statement alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from verify.certificates.checker import BY_REWRITING, REFUTED_BY
from verify.certificates.evaluate import refutes
from verify.certificates.refute import contradictory
from verify.certificates.statement import read
from verify.certificates.writing import Written, digest_of, written
from verify.claim.conditions import field_values
from verify.claim.obligation import Obligation
from verify.claim.obligations import Builder
from verify.claim.probes import Probe, probe_of
from verify.judge.assignment import assignment, with_values
from verify.judge.encoding import class_digest, without_obligations
from verify.judge.form import judged_irregular, vendors
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, form
from verify.smt.decisions import InMemory, ObligationDecision, decided, environment_of

PROVED, REFUTED, UNKNOWN = "proved", "refuted", "unknown"
REWRITING, NONE = "rewriting", "-"  # evidence that has no text of its own
REGULAR, IRREGULAR = "regular", "irregular"


@dataclass(frozen=True, slots=True)
class Certified:
    """A statement with its evidence: a line that the checker accepts, "" where there is none."""

    statement: str  # digest
    verdict: str
    evidence: str


    @property
    def reference(self) -> str:
        """The evidence as ledgers name it."""
        return {BY_REWRITING: REWRITING, "": NONE}.get(self.evidence) or digest_of(self.evidence)


Outcome = tuple[tuple[str, Certified], ...]  # an observable each


@dataclass(frozen=True, slots=True)
class ClassLine:
    """A class of encodings that a form has."""

    form: str
    kind: str  # REGULAR, IRREGULAR
    digest: str
    outcome: str


@dataclass(frozen=True, slots=True)
class OwnLine:
    """One encoding of a class that is refuted, with its own fields: what becomes of one observable."""

    form: str
    kind: str
    digest: str  # of the class
    encoding: str  # bytes in hex, and those behind it after a `+`
    observable: str
    certified: Certified


@dataclass(slots=True)
class Evidence:
    """What is known of some forms."""

    classes: list[ClassLine] = field(default_factory=list)
    own: list[OwnLine] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    statements: dict[str, str] = field(default_factory=dict)


def outcome_digest(outcome: Outcome) -> str:
    """The digest by which an outcome is known."""
    return digest_of("".join(f"{o}\t{c.statement}\t{c.verdict}\t{c.reference}\n" for o, c in outcome))


@dataclass(slots=True)
class _Class:
    outcome: Outcome
    obligations: Mapping[str, Obligation]  # of what is refuted


class Certifier:
    """Makes evidence for one scheme; what it keeps saves time alone."""

    def __init__(self, scheme: Scheme, assumptions: frozenset[str], cpus: tuple[Cpu, ...]) -> None:
        self.scheme, self.assumptions, self.cpus = scheme.under(assumptions), assumptions, cpus
        self.builder = Builder(assumptions)
        self.certified: dict[str, Certified] = {}
        self.classes: dict[tuple[object, ...], _Class] = {}
        self.decisions = InMemory()

    def evidence(self, name: str) -> Evidence:
        """Of one form."""
        found = Evidence()
        for cpu in vendors(form(name), self.cpus):
            regular = (probe_of(d, self.scheme, b) for d in decoded_representatives(form(name), cpu)
                       for b in (b"", *self.scheme.continuations(d.data)))  # fmt: skip
            self._walked(name, REGULAR, regular, found)
            self._walked(name, IRREGULAR, (probe_of(d, self.scheme) for d in judged_irregular(form(name), cpu)), found)
        return found

    def _walked(self, name: str, kind: str, probes: Iterable[Probe], found: Evidence) -> None:
        """Every class once; of a refuted one, each encoding until the observable is refuted for the form.

        Irregular encodings have one verdict together, so that the first that is refuted ends them.
        """
        shown = {x.observable for x in found.own if x.kind == kind and x.certified.verdict == REFUTED}
        seen: set[str] = {x.digest for x in found.classes if x.kind == kind}
        for p in probes:
            if kind == IRREGULAR and shown:
                return
            if without_obligations(p) is not None:
                continue
            judged, digest = self._class(p, found.statements), class_digest(p.key)
            if digest not in seen:
                seen.add(digest)
                outcome = outcome_digest(judged.outcome)
                found.outcomes[outcome] = judged.outcome
                found.classes.append(ClassLine(name, kind, digest, outcome))
            for observable, obligation in judged.obligations.items():
                if observable not in shown:
                    own = self._own(p, obligation, found.statements)
                    found.own.append(OwnLine(name, kind, digest, _encoding(p), observable, own))
                    shown |= {observable} if own.verdict == REFUTED else set()

    def _class(self, p: Probe, statements: dict[str, str]) -> _Class:
        known = self.classes.get(p.key)
        if known is None:
            obligations = {o.observable: o for o in self.builder.built(p).obligations()}
            outcome = tuple((name, self._of(o, statements)) for name, o in obligations.items())
            refuted = {name: obligations[name] for name, c in outcome if c.verdict != PROVED}
            known = self.classes[p.key] = _Class(outcome, refuted)
        return known

    def _of(self, o: Obligation, statements: dict[str, str]) -> Certified:
        """The obligation's statement, with evidence."""
        stated = written(o.roots)
        digest = stated.digest
        if digest not in self.certified:
            self.certified[digest] = self._made(o, stated, digest)
        statements[digest] = stated.text
        return self.certified[digest]

    def _made(self, o: Obligation, stated: Written, digest: str) -> Certified:
        if contradictory(read(stated.text)):
            return Certified(digest, PROVED, BY_REWRITING)
        return self._refuted(o, decided(o, self.decisions), stated, {}) or Certified(digest, UNKNOWN, "")

    def _refuted(
        self, o: Obligation, found: ObligationDecision, stated: Written, fixed: Mapping[str, int]
    ) -> Certified | None:
        """The witness, with some variables fixed, as evidence; None where there is none, or it shows nothing."""
        witness = found.decision.witness
        if witness is None or found.text is None:
            return None
        values = found.query.assignment(witness, fixed)
        text = assignment(o.roots, found.text, values, environment_of(witness), stated)
        if not refutes(read(stated.text), text):
            return None
        return Certified(stated.digest, REFUTED, REFUTED_BY + text)

    def _own(self, p: Probe, o: Obligation, statements: dict[str, str]) -> Certified:
        """What becomes of the obligation where the class's variables are the encoding's own fields."""
        stated = written(o.roots)
        found = decided(o, self.decisions)
        values = {n: v for n, v in field_values(p).items() if n in stated.variables}
        shown = self._refuted(o, found, stated, values) if found.decision.witness and found.shows(values) else None
        if shown is not None:
            return shown
        return self._of(with_values(o, values), statements)


def _encoding(p: Probe) -> str:
    bytes_ = p.decoded.data.hex() if hasattr(p.decoded, "data") else p.data.hex()
    return f"{bytes_}+{p.followed_by.hex()}" if p.followed_by else bytes_
