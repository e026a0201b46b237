"""The verdict of one encoding: its class's obligations decided once, then this encoding's own fields put in.

A class that is proved is proved for each of its encodings.  A class that is refuted is refuted for an encoding only
where the encoding's own fields show the deviation: by the class's witness, by other states, or by the solver again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from types import MappingProxyType
from typing import Final

from verify.claim.conditions import field_values
from verify.claim.groups import Groups
from verify.claim.kinds import Kinds
from verify.claim.obligation import Obligation
from verify.claim.obligations import Builder
from verify.claim.probes import Probe, not_modelled, probe
from verify.claim.undefined import undefined_runs_on
from verify.claim.verdicts import Decision, Verdict, Witness, worst
from verify.judge.dependence import Dependence
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.scheme import Refuse, Scheme
from verify.models.x86.isa.capstone_check import disagreement
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import OBSERVABLES
from verify.smt.canonical import Canonical
from verify.smt.decisions import (
    EASY_TRIES,
    Decisions,
    InMemory,
    ObligationDecision,
    Query,
    decide,
    decided,
    first_replayed,
    replayed,
)
from verify.terms import FALSE, Sort, Term, const, not_, substitute, var

CLASS_DIGEST: Final = 20  # hex digits of SHA-256
Asked = tuple[str, Canonical | str]  # an observable with what was asked: refuted; proved: the query's digest alone
ClassOutcome = tuple[Asked, ...]  # of a class: the observables that identity of terms did not prove


@dataclass(frozen=True)
class ClassResult:
    """All obligations of a class of encodings."""

    decided: tuple[ObligationDecision, ...]

    @cached_property
    def verdict(self) -> Verdict:
        """The class's verdict."""
        return worst(d.decision.verdict for d in self.decided)

    @property
    def is_lasting(self) -> bool:
        """Whether the result can be kept between runs: every obligation is refuted, or proved without a remark."""
        return bool(self.decided) and all(_is_lasting(d.decision) for d in self.decided)

    @property
    def outcome(self) -> ClassOutcome:
        """What is kept of the class between runs."""
        return tuple((d.observable, d.text or d.digest) for d in self.decided if d.text is not None or d.digest)

    @cached_property
    def queries(self) -> frozenset[str]:
        """Digests of what identity of terms did not prove."""
        return frozenset(d.digest for d in self.decided if d.digest)


def _is_lasting(decision: Decision) -> bool:
    return decision.verdict is Verdict.REFUTED or (decision.verdict is Verdict.PROVED and not decision.reason)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One refuted observable of an encoding, with the state that shows it."""

    observable: str
    query: Query
    witness: Witness  # in the query's canonical names


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one encoding under one vendor's decoder."""

    probe: Probe
    verdict: Verdict | None  # None: not an instruction
    observables: tuple[tuple[str, Verdict], ...]
    deviations: tuple[Deviation, ...]
    reason: str
    queries: frozenset[str] = frozenset()  # digests of its class's obligations that identity of terms did not prove


@dataclass(frozen=True, slots=True)
class _Own:
    """The decision of an obligation for one encoding's own fields."""

    verdict: Verdict
    query: Query
    witness: Witness
    reason: str = ""


class Judge:
    """Decides encodings under one scheme; keeps what it has decided of every class.

    Whatever it keeps saves time alone: the verdict of an encoding is a function of its bytes, the scheme, the
    assumptions and the vendor.  `known` is what earlier runs of the same code decided of classes.  With
    `verdicts_only` a state that refutes is not made small.
    """

    def __init__(
        self, scheme: Scheme, assumptions: frozenset[str] = ASSUMPTIONS, decisions: Decisions | None = None,
        known: Mapping[str, ClassOutcome] = MappingProxyType({}), verdicts_only: bool = False,
    ) -> None:  # fmt: skip
        self.scheme = scheme.under(assumptions)
        self.assumptions = assumptions
        self.planned_otherwise = assumptions & {name for name, _ in self.scheme.otherwise}  # the plan rests on these
        self.decisions: Decisions = decisions if decisions is not None else InMemory()
        self.classes: dict[tuple[object, ...], ClassResult] = {}
        self.groups = Groups(self.scheme)
        self.otherwise = [  # by the scheme's other plans
            Groups(replace(self.scheme, plan=plan)) for name, plan in self.scheme.otherwise if name in assumptions
        ]
        self.kinds = Kinds(assumptions)
        self.shared: dict[int, ClassResult] = {}  # by kind
        self.begun: dict[int, list[ObligationDecision]] = {}  # likewise, the first obligations alone
        self.builder = Builder(assumptions)
        self.dependence = Dependence(self.builder, self.kinds)
        self.known = known
        self.newly_decided: list[tuple[str, ClassOutcome]] = []
        self.own: dict[tuple[object, ...], _Own] = {}
        self.verdicts_only = verdicts_only
        self.nearby: dict[str, list[Witness]] | None = None  # states that refuted encodings of the form being judged

    def judgement(self, data: bytes, cpu: Cpu) -> Judgement:
        """The verdict of the encoding for all states and addresses, its own fields as they stand."""
        return self.judged(probe(data, self.scheme, cpu))

    def judged(self, p: Probe) -> Judgement:
        """The verdict of a probe."""
        return without_obligations(p) or self._of_class(p)

    def _of_class(self, p: Probe) -> Judgement:
        result = self.class_result(p)
        if result.verdict is Verdict.PROVED:
            return Judgement(p, Verdict.PROVED, _ALL_PROVED, (), "", result.queries)
        return self._individual(p, result)

    def is_exhausted(self, found: Judgement) -> bool:
        """Whether no other encoding of the same class can add to what this one showed of the class."""
        if found.verdict is Verdict.PROVED or found.verdict is Verdict.REFUSED:
            return True
        known = self.classes.get(found.probe.key)
        return known is not None and all(
            d.decision.verdict is v for d, (_, v) in zip(known.decided, found.observables, strict=False)
        )

    def class_result(self, p: Probe) -> ClassResult:
        """The obligations of the encoding's class, decided."""
        found = self.classes.get(p.key)
        if found is None:
            digest = class_digest(p.key)
            found = self._remembered(digest)
            if found is None:
                found = self._decide_class(p)
                if found.is_lasting:
                    self.newly_decided.append((digest, found.outcome))
            self.classes[p.key] = found
        return found

    def rests_on(self, p: Probe, names: frozenset[str]) -> frozenset[str]:
        """Those of the named assumptions that some proved observable of the probe's class rests on."""
        stated = isinstance(p.decoded, Decoded) and (isinstance(p.plan, Refuse) or not_modelled(p) is None)
        return self.dependence.of(p, names, self._proved) if stated else frozenset()

    def proves(self, p: Probe, observables: frozenset[str]) -> bool:
        """Whether each of the observables is proved of the encoding under this scheme's plan, or that is a refusal."""
        p = replace(p, scheme=self.scheme, plan=self.scheme.plan(p.data))
        if isinstance(p.plan, Refuse):
            return True
        values = field_values(p)
        for o in Builder(self.assumptions).built(p).obligations():
            if o.observable in observables:
                d = decided(o, self.decisions)
                refuted = d.decision.verdict is Verdict.REFUTED
                if (self._own(d, values).verdict if refuted else d.decision.verdict) is not Verdict.PROVED:
                    return False
        return True

    def replanned(self, p: Probe, names: frozenset[str]) -> frozenset[str]:
        """Those of them without which the scheme's other plan for the encoding lets a proved observable fall."""
        return self.dependence.replanned(p, names, self._proved) if isinstance(p.decoded, Decoded) else frozenset()

    def _proved(self, p: Probe) -> frozenset[str]:
        decided = self.class_result(p).decided
        return frozenset(d.observable for d in decided if d.decision.verdict is Verdict.PROVED)

    def _remembered(self, digest: str) -> ClassResult | None:
        """The class as it was decided before; None where it was not, or a decision of it is not known any more."""
        outcome = self.known.get(digest)
        if not outcome:
            return None if outcome is None else _ALL_PROVED_BEFORE
        asked = {o: self._decided_before(o, text) for o, text in outcome}
        if None in asked.values():
            return None
        return ClassResult(tuple(asked.get(o) or ObligationDecision(o, _PROVED) for o in OBSERVABLES))

    def _decided_before(self, observable: str, asked: Canonical | str) -> ObligationDecision | None:
        if isinstance(asked, str):
            return ObligationDecision(observable, _PROVED, asked)
        decision = self.decisions.get(asked.digest)
        if decision is None or decision.verdict is not Verdict.REFUTED:
            return None
        return ObligationDecision(observable, decision, asked.digest, asked)

    def _decide_class(self, p: Probe) -> ClassResult:
        kind = self.kinds.of(p)
        found = self.shared.get(kind)
        if found is None:
            found = self.shared[kind] = ClassResult(tuple(self._decisions(p)))
        return found

    def _decisions(self, p: Probe, done: Sequence[ObligationDecision] = ()) -> Iterator[ObligationDecision]:
        """The obligations of the encoding's class, decided one by one; `done`: the first ones, decided before."""
        yield from done
        built = self.builder.built(p)
        contradictory = self._contradiction(built.material.premises)
        for o in islice(built.obligations(), len(done), None):
            yield ObligationDecision(o.observable, contradictory) if contradictory else decided(o, self.decisions)

    def verdict(self, p: Probe) -> Verdict | None:
        """The verdict alone: a class that is met for the first time is decided up to where this encoding is refuted."""
        settled = without_obligations(p)
        if settled is not None:
            return settled.verdict
        if self._is_open(p):
            values, done = field_values(p), self.begun.setdefault(self.kinds.of(p), [])
            for i, d in enumerate(self._decisions(p, tuple(done))):
                done += [d] if i == len(done) else []
                if d.decision.verdict is Verdict.REFUTED and self._own(d, values).verdict is Verdict.REFUTED:
                    return Verdict.REFUTED
            self.shared[self.kinds.of(p)] = ClassResult(tuple(done))
        return self._of_class(p).verdict

    def _is_open(self, p: Probe) -> bool:
        """Whether nothing is known of the encoding's class yet."""
        return not (p.key in self.classes or class_digest(p.key) in self.known or self.kinds.of(p) in self.shared)

    @cached_property
    def brief(self) -> Judge:
        """A judge of verdicts alone that shares what this one knows and learns of classes."""
        other = Judge(self.scheme, self.assumptions, self.decisions, self.known, verdicts_only=True)
        other.classes, other.shared, other.newly_decided = self.classes, self.shared, self.newly_decided
        other.kinds, other.builder, other.dependence = self.kinds, self.builder, self.dependence
        other.groups, other.otherwise = self.groups, self.otherwise
        return other

    def begin_form(self) -> Judge:
        """The brief judge, which from now on tries states that refuted one encoding of the form on the next ones."""
        self.brief.nearby = {}
        return self.brief

    def _contradiction(self, premises: tuple[Term, ...]) -> Decision | None:
        """Vacuous where no state satisfies the premises, Unknown where that is not known; None where one does."""
        satisfied = decide(Obligation("premises", FALSE, premises), self.decisions)
        if satisfied.verdict is Verdict.REFUTED:  # its witness satisfies them
            return None
        if satisfied.verdict is Verdict.PROVED:
            return Decision(Verdict.VACUOUS, reason="the premises contradict each other")
        return Decision(Verdict.UNKNOWN, reason=f"premises: {satisfied.reason}")

    def _individual(self, p: Probe, result: ClassResult) -> Judgement:
        values = field_values(p)
        verdicts, deviations, reasons = [], [], []
        for d in result.decided:
            name, verdict, reason = d.observable, d.decision.verdict, d.decision.reason
            if verdict is Verdict.REFUTED:
                own = self._own(d, values)
                verdict, reason = own.verdict, own.reason
                if own.verdict is Verdict.REFUTED:
                    deviations.append(Deviation(name, own.query, own.witness))
            verdicts.append((name, verdict))
            if reason:
                reasons.append(reason)
        total = worst(v for _, v in verdicts)
        return Judgement(
            p, total, tuple(verdicts), tuple(deviations), "; ".join(dict.fromkeys(reasons)), result.queries
        )  # fmt: skip

    def _own(self, d: ObligationDecision, values: Mapping[str, int]) -> _Own:
        """The class is refuted; is this encoding?"""
        asked, witness = d.query, d.decision.witness
        assert witness is not None
        fixed = d.fixed(values)
        if not fixed or d.shows(fixed):
            return _Own(Verdict.REFUTED, asked, witness)
        nearby = [] if self.nearby is None else self.nearby.setdefault(asked.text.digest, [])
        other = next((w for w in nearby if asked.holds(w, fixed)), None)
        if other is not None:
            return _Own(Verdict.REFUTED, asked, other)
        key = (asked.text.digest, asked.text.names, tuple(fixed.values()))
        own = self.own.get(key)
        if own is None:
            own = self.own[key] = self._with_own_fields(d, witness, fixed)
        if own.verdict is Verdict.REFUTED:  # also where another form asked first: what is tried depends on the form
            nearby.append(_in_names_of(asked, own))
        return own

    def _with_own_fields(self, d: ObligationDecision, first: Witness, fixed: Mapping[str, int]) -> _Own:
        asked = d.query
        witness = (
            first_replayed(asked, first, fixed, EASY_TRIES) if self.verdicts_only else replayed(asked, first, fixed)
        )
        if witness is not None:
            return _Own(Verdict.REFUTED, asked, witness)
        sorts = dict(zip(asked.text.names, asked.text.sorts, strict=True))
        bindings = {var(n, sorts[n]): const(v, _width(sorts[n])) for n, v in fixed.items()}
        deviates, *premises = substitute(asked.text.terms(), bindings)
        found = decided(Obligation(d.observable, not_(deviates), tuple(premises)), self.decisions)
        if found.decision.verdict is Verdict.UNKNOWN and self.verdicts_only:
            witness = first_replayed(asked, first, fixed)  # more tries than before the solver was asked
            if witness is not None:
                return _Own(Verdict.REFUTED, asked, witness)
        if found.text is None:
            return _Own(found.decision.verdict, asked, first, found.decision.reason)
        return _Own(found.decision.verdict, found.query, found.decision.witness or first, found.decision.reason)


def _in_names_of(asked: Query, own: _Own) -> Witness:
    """The witness of an encoding's own query as a state of its class's."""
    number = {name: f"v{i}" for i, name in enumerate(asked.text.names)}
    names = own.query.text.names
    return replace(own.witness, values=tuple((number[names[int(n[1:])]], v) for n, v in own.witness.values))


def _width(sort: Sort) -> int:
    assert isinstance(sort, int)
    return sort


_PROVED: Final = Decision(Verdict.PROVED)
_ALL_PROVED_BEFORE: Final = ClassResult(tuple(ObligationDecision(o, _PROVED) for o in OBSERVABLES))


def class_digest(key: tuple[object, ...]) -> str:
    """A class key's hash, the same in every process."""
    return sha256(repr(key).encode()).hexdigest()[:CLASS_DIGEST]


_ALL_PROVED: Final = tuple((o, Verdict.PROVED) for o in OBSERVABLES)
_ALL_UNKNOWN: Final = tuple((o, Verdict.UNKNOWN) for o in OBSERVABLES)


def without_obligations(p: Probe) -> Judgement | None:
    """The judgement of what is no instruction, refused, not modelled or read otherwise by the second decoder."""
    match p.decoded:
        case NotAnInstruction(reason=reason):
            return Judgement(p, None, (), (), reason + ", runs on when probed" * undefined_runs_on(p))
        case _ if isinstance(p.plan, Refuse):
            return Judgement(p, Verdict.REFUSED, (), (), p.plan.reason)
        case NotModelled(reason=reason):
            return Judgement(p, Verdict.UNKNOWN, _ALL_UNKNOWN, (), f"not modelled: {reason}")
        case Decoded(data=data):
            gap = not_modelled(p)
            if gap is not None:
                return Judgement(p, Verdict.UNKNOWN, _ALL_UNKNOWN, (), f"not modelled: {gap}")
            disputed = disagreement(data, p.decoded) or _disputed_copy(p)
            if disputed is not None:
                return Judgement(p, Verdict.UNKNOWN, _ALL_UNKNOWN, (), f"the second decoder disagrees: {disputed}")
    return None


def _disputed_copy(p: Probe) -> str | None:
    """What the second decoder reads otherwise of a copy that does not correspond to the original, or None."""
    copies = map(p.read, p.codes) if p.relations is None else ()
    read = (c for c in copies if isinstance(c, Decoded) and c is not p.decoded)
    return next((f"a copy: {d}" for c in read if (d := disagreement(c.data, c)) is not None), None)
