"""Evidence made: every class of a form stated plainly and proved or refuted in a way that the checker accepts.

Runs in a process whose terms are built as they are written (`verify.terms.rules.CHOICE`), and takes nothing from the
ledger: what the survey decided is compared with it afterwards.  A proof is a function of the statement alone, a state
that refutes one of the statement and of the obligation's canonical text: several obligations may have one statement,
and the least of their states is kept.  So what is made depends on no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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


Outcome = tuple[tuple[str, str], ...]  # an observable and its statement each


@dataclass(frozen=True, slots=True)
class ClassLine:
    """A class of encodings that a form has."""

    form: str
    kind: str  # REGULAR, IRREGULAR
    digest: str
    outcome: str


@dataclass(frozen=True, slots=True)
class OwnLine:
    """One encoding of a class that is refuted: one observable, stated with the encoding's own fields."""

    form: str
    kind: str
    digest: str  # of the class
    encoding: str  # bytes in hex, and those behind it after a `+`
    observable: str
    statement: str


@dataclass(slots=True)
class Evidence:
    """What is known of some forms."""

    classes: list[ClassLine] = field(default_factory=list)
    own: list[OwnLine] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # statement -> SMT-LIB
    certified: dict[str, Certified] = field(default_factory=dict)  # by statement

    def certify(self, c: Certified) -> None:
        """Keeps the better of two."""
        self.certified[c.statement] = better(self.certified.get(c.statement, c), c)

    def add(self, other: Evidence) -> None:
        """Adds what is known of other forms."""
        self.classes += other.classes
        self.own += other.own
        self.outcomes |= other.outcomes
        self.texts |= other.texts
        for c in other.certified.values():
            self.certify(c)


def better(a: Certified, b: Certified) -> Certified:
    """Of two for one statement: what is decided, by the shorter evidence, the first in order among those."""
    return min(a, b, key=lambda c: (c.verdict == UNKNOWN, len(c.evidence), c.evidence))


def outcome_digest(outcome: Outcome) -> str:
    """The digest by which an outcome is known."""
    return digest_of("".join(f"{observable}\t{statement}\n" for observable, statement in outcome))


@dataclass(slots=True)
class _Class:
    outcome: Outcome
    obligations: Mapping[str, Obligation]  # of what is not proved


class Certifier:
    """Makes evidence for one scheme; what it keeps saves time alone.

    `known` says what is claimed of statements, which is then not decided again: they are stated alone.
    """

    def __init__(
        self, scheme: Scheme, assumptions: frozenset[str], cpus: tuple[Cpu, ...],
        known: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.scheme, self.assumptions, self.cpus = scheme.under(assumptions), assumptions, cpus
        self.builder = Builder(assumptions)
        self.known = known
        self.proved: dict[str, bool] = {}  # by statement
        self.refuted: dict[tuple[str, str], Certified] = {}  # by statement and the obligation's canonical text
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
        of_kind = [x for x in found.own if x.kind == kind]
        shown = {x.observable for x in of_kind if found.certified[x.statement].verdict == REFUTED}
        seen = {x.digest for x in found.classes if x.kind == kind}
        for p in probes:
            if kind == IRREGULAR and shown:
                return
            if without_obligations(p) is not None:
                continue
            judged, digest = self._class(p, found), class_digest(p.key)
            if digest not in seen:
                seen.add(digest)
                outcome = outcome_digest(judged.outcome)
                found.outcomes[outcome] = judged.outcome
                found.classes.append(ClassLine(name, kind, digest, outcome))
            for observable, obligation in judged.obligations.items():
                if observable not in shown:
                    own = self._own(p, obligation, found)
                    found.own.append(OwnLine(name, kind, digest, _encoding(p), observable, own.statement))
                    shown |= {observable} if own.verdict == REFUTED else set()

    def _class(self, p: Probe, found: Evidence) -> _Class:
        known = self.classes.get(p.key)
        if known is None:
            obligations = {o.observable: o for o in self.builder.built(p).obligations()}
            certified = {name: self._certified(o, written(o.roots), found) for name, o in obligations.items()}
            open_ = {name: obligations[name] for name, c in certified.items() if c.verdict != PROVED}
            outcome = tuple((name, c.statement) for name, c in certified.items())
            known = self.classes[p.key] = _Class(outcome, open_)
        return known

    def _own(self, p: Probe, o: Obligation, found: Evidence) -> Certified:
        """What becomes of the obligation where the class's variables are the encoding's own fields."""
        values = field_values(p)
        return self._certified(o, written(with_values(o, values).roots), found, values)

    def _certified(
        self, o: Obligation, stated: Written, found: Evidence, values: Mapping[str, int] = MappingProxyType({})
    ) -> Certified:
        """The obligation with some variables fixed, so stated, with evidence; it is found's from now on."""
        digest = stated.digest
        if digest in self.known:
            made = Certified(digest, self.known[digest], "")
        else:
            found.texts[digest] = stated.text
            made = self._made(o, stated, digest, values)
        found.certify(made)
        return made

    def _made(self, o: Obligation, stated: Written, digest: str, values: Mapping[str, int]) -> Certified:
        if digest not in self.proved:
            self.proved[digest] = contradictory(read(stated.text))
        if self.proved[digest]:
            return Certified(digest, PROVED, BY_REWRITING)
        asked = decided(o, self.decisions)
        made = self.refuted.get((digest, asked.digest))
        if made is None:
            made = self._refuted(o, asked, stated, values)
            if made is None and values:
                own = with_values(o, values)
                made = self._refuted(own, decided(own, self.decisions), stated, {})
            made = self.refuted[digest, asked.digest] = made or Certified(digest, UNKNOWN, "")
        return made

    def _refuted(
        self, o: Obligation, asked: ObligationDecision, stated: Written, fixed: Mapping[str, int]
    ) -> Certified | None:
        """The witness, with some variables fixed, as evidence; None where there is none, or it shows nothing."""
        witness = asked.decision.witness
        if witness is None or asked.text is None or not asked.shows(fixed):
            return None
        values = asked.query.assignment(witness, fixed)
        text = assignment(o.roots, asked.text, values, environment_of(witness), stated)
        if not refutes(read(stated.text), text):
            return None
        return Certified(stated.digest, REFUTED, REFUTED_BY + text)


def _encoding(p: Probe) -> str:
    bytes_ = p.decoded.data.hex() if hasattr(p.decoded, "data") else p.data.hex()
    return f"{bytes_}+{p.followed_by.hex()}" if p.followed_by else bytes_
