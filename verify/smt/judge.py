"""The verdict of one encoding: its class's obligations decided once, then this encoding's own fields put in.

A class that is proved is proved for each of its encodings.  A class that is refuted is refuted for an encoding only
where the encoding's own fields show the deviation: by the class's witness, by other states, or by the solver again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain
from types import MappingProxyType
from typing import Final

from verify.models.bits import FALSE, Sort, Term, const, not_, substitute, var
from verify.models.isa.decode import Decoded, NotAnInstruction, NotModelled
from verify.models.isa.forms import Cpu
from verify.models.isa.second_opinion import disagreement
from verify.models.machine import OBSERVABLES
from verify.models.problems import own_values, problem
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.plan import Refuse, Scheme
from verify.models.sites import Probe, probe
from verify.smt.canonical import Canonical
from verify.smt.decide import (
    EASY_TRIES,
    Decided,
    Decisions,
    InMemory,
    Obligation,
    Question,
    decide,
    decided,
    first_replayed,
    replayed,
)  # fmt: skip
from verify.smt.dependence import Dependence
from verify.smt.obligations import obligations
from verify.smt.verdicts import Decision, Verdict, Witness, worst

CLASS_DIGEST: Final = 20  # hex digits of SHA-256
OTHERS: Final = 8  # states kept beside a refuted question's own
RefutedBy = tuple[tuple[str, Canonical], ...]  # of a class: refuted observables with what was asked; () where proved


@dataclass(frozen=True)
class ClassResult:
    """All obligations of a class of encodings."""

    decided: tuple[Decided, ...]
    refused: str | None = None
    disputed: str | None = None  # an open disagreement of the two decoders

    @cached_property
    def verdict(self) -> Verdict:
        """The class's verdict."""
        if self.disputed is not None:
            return Verdict.UNKNOWN
        return Verdict.REFUSED if self.refused else worst(d.decision.verdict for d in self.decided)

    @property
    def is_lasting(self) -> bool:
        """Whether the result can be kept between runs: every obligation is refuted, or proved without a remark."""
        return bool(self.decided) and all(_is_lasting(d.decision) for d in self.decided)

    @property
    def refuted_by(self) -> RefutedBy:
        """The refuted observables with what was asked."""
        return tuple(
            (d.observable, d.text) for d in self.decided if d.decision.verdict is Verdict.REFUTED and d.text is not None
        )


def _is_lasting(decision: Decision) -> bool:
    return decision.verdict is Verdict.REFUTED or (decision.verdict is Verdict.PROVED and not decision.reason)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One refuted observable of an encoding, with the state that shows it."""

    observable: str
    question: Question
    witness: Witness  # in the question's canonical names


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one encoding under one vendor's decoder."""

    probe: Probe
    verdict: Verdict | None  # None: not an instruction
    observables: tuple[tuple[str, Verdict], ...]
    deviations: tuple[Deviation, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class _Own:
    """The decision of an obligation for one encoding's own fields."""

    verdict: Verdict
    question: Question
    witness: Witness
    reason: str = ""


class Judge:
    """Decides encodings under one scheme; keeps what it has decided of every class.

    `known` is what earlier runs of the same code decided of classes, `others` further states that refuted some of
    their encodings, by the question's digest.  With `verdicts_only` such states are tried on the next encoding, so that
    the witnesses, not the verdicts, depend on the order of what is judged.
    """

    def __init__(
        self, scheme: Scheme, assumptions: frozenset[str] = ASSUMPTIONS, decisions: Decisions | None = None,
        known: Mapping[str, RefutedBy] = MappingProxyType({}),
        others: Mapping[str, Sequence[Witness]] = MappingProxyType({}),
        verdicts_only: bool = False,
    ) -> None:  # fmt: skip
        self.scheme = scheme.under(assumptions)
        self.assumptions = assumptions
        self.decisions: Decisions = decisions if decisions is not None else InMemory()
        self.classes: dict[tuple[object, ...], ClassResult] = {}
        self.shared: dict[tuple[object, ...], ClassResult] = {}  # by what opcodes may have in common
        self.dependence = Dependence(assumptions, InMemory())
        self.known = known
        self.newly_decided: list[tuple[str, RefutedBy]] = []
        self.own: dict[tuple[object, ...], _Own] = {}
        self.verdicts_only = verdicts_only
        self.others: dict[str, deque[Witness]] = {q: deque(found, maxlen=OTHERS) for q, found in others.items()}
        self.new_others: list[tuple[str, Witness]] = []
        self.nearby: dict[str, list[Witness]] = {}  # of the form that is being judged

    def judgement(self, data: bytes, cpu: Cpu) -> Judgement:
        """The verdict of the encoding for all states and addresses, its own fields as they stand."""
        return self.judged(probe(data, self.scheme, cpu))

    def judged(self, p: Probe) -> Judgement:
        """The verdict of a probe."""
        if isinstance(p.decoded, NotAnInstruction):
            return Judgement(p, None, (), (), p.decoded.reason)
        if isinstance(p.plan, Refuse):
            return Judgement(p, Verdict.REFUSED, (), (), p.plan.reason)
        if isinstance(p.decoded, NotModelled):
            return Judgement(p, Verdict.UNKNOWN, (), (), f"not modelled: {p.decoded.reason}")
        result = self.class_result(p)
        if result.verdict is Verdict.PROVED:
            return Judgement(p, Verdict.PROVED, _ALL_PROVED, (), "")
        if result.disputed is not None:
            return Judgement(p, Verdict.UNKNOWN, _ALL_UNKNOWN, (), result.disputed)
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
                    self.newly_decided.append((digest, found.refuted_by))
            self.classes[p.key] = found
        return found

    def rests_on(self, p: Probe, names: frozenset[str]) -> frozenset[str]:
        """Those of the named assumptions that some proved observable of the probe's class rests on."""
        return self.dependence.of(p, names, self._proved) if isinstance(p.decoded, Decoded) else frozenset()

    def replanned(self, p: Probe, names: frozenset[str]) -> frozenset[str]:
        """Those of them without which the scheme's other plan for the encoding lets a proved observable fall."""
        return self.dependence.replanned(p, names, self._proved) if isinstance(p.decoded, Decoded) else frozenset()

    def _proved(self, p: Probe) -> frozenset[str]:
        decided = self.class_result(p).decided
        return frozenset(d.observable for d in decided if d.decision.verdict is Verdict.PROVED)

    def _remembered(self, digest: str) -> ClassResult | None:
        """The class as it was decided before; None where it was not, or a decision of it is not known any more."""
        refuted = self.known.get(digest)
        if not refuted:
            return None if refuted is None else _ALL_PROVED_BEFORE
        decisions = {o: self.decisions.get(text.digest) for o, text in refuted}
        if any(d is None or d.verdict is not Verdict.REFUTED for d in decisions.values()):
            return None
        texts = dict(refuted)
        return ClassResult(tuple(Decided(o, decisions.get(o) or _PROVED, texts.get(o)) for o in OBSERVABLES))

    def _decide_class(self, p: Probe) -> ClassResult:
        if isinstance(p.plan, Refuse):
            return ClassResult((), p.plan.reason)
        disputed = disagreement(p.decoded.data, p.decoded) if isinstance(p.decoded, Decoded) else None
        if disputed is not None:
            return ClassResult((), disputed=f"the second decoder disagrees: {disputed}")
        found = self.shared.get(p.shared_key)
        if found is None:
            found = self.shared[p.shared_key] = ClassResult(tuple(self._decisions(p)))
        return found

    def _decisions(self, p: Probe) -> Iterator[Decided]:
        """The obligations of the encoding's class, decided one by one."""
        material = problem(p, self.assumptions)
        contradictory = self._contradiction(material.premises)
        for o in obligations(p, material):
            yield Decided(o.observable, contradictory) if contradictory else decided(o, self.decisions)

    def verdict(self, p: Probe) -> Verdict | None:
        """The verdict alone: a class that is met for the first time is decided up to where this encoding is refuted."""
        if self._is_open(p):
            values, done = own_values(p), []
            for d in self._decisions(p):
                if d.decision.verdict is Verdict.REFUTED and self._own(d, values).verdict is Verdict.REFUTED:
                    return Verdict.REFUTED
                done.append(d)
            self.shared[p.shared_key] = ClassResult(tuple(done))
        return self.judged(p).verdict

    def _is_open(self, p: Probe) -> bool:
        """Whether nothing is known of the encoding's class yet, and obligations are to say it."""
        if isinstance(p.plan, Refuse) or not isinstance(p.decoded, Decoded):
            return False
        if p.key in self.classes or p.shared_key in self.shared:
            return False
        return class_digest(p.key) not in self.known and disagreement(p.decoded.data, p.decoded) is None

    @cached_property
    def brief(self) -> Judge:
        """A judge of verdicts alone that shares what this one knows and learns."""
        other = Judge(self.scheme, self.assumptions, self.decisions, self.known, verdicts_only=True)
        other.classes, other.shared, other.newly_decided = self.classes, self.shared, self.newly_decided
        other.others, other.new_others, other.nearby = self.others, self.new_others, self.nearby
        other.dependence = self.dependence
        return other

    def _contradiction(self, premises: tuple[Term, ...]) -> Decision | None:
        """Vacuous where no state satisfies the premises, Unknown where that is not known; None where one does."""
        satisfied = decide(Obligation("premises", FALSE, premises), self.decisions)
        if satisfied.verdict is Verdict.REFUTED:  # its witness satisfies them
            return None
        if satisfied.verdict is Verdict.PROVED:
            return Decision(Verdict.VACUOUS, reason="the premises contradict each other")
        return Decision(Verdict.UNKNOWN, reason=f"premises: {satisfied.reason}")

    def _individual(self, p: Probe, result: ClassResult) -> Judgement:
        values = own_values(p)
        verdicts, deviations, reasons = [], [], []
        for d in result.decided:
            name, verdict, reason = d.observable, d.decision.verdict, d.decision.reason
            if verdict is Verdict.REFUTED:
                own = self._own(d, values)
                verdict, reason = own.verdict, own.reason
                if own.verdict is Verdict.REFUTED:
                    deviations.append(Deviation(name, own.question, own.witness))
            verdicts.append((name, verdict))
            if reason:
                reasons.append(reason)
        total = worst(v for _, v in verdicts)
        return Judgement(p, total, tuple(verdicts), tuple(deviations), "; ".join(dict.fromkeys(reasons)))

    def _own(self, d: Decided, values: Mapping[str, int]) -> _Own:
        """The class is refuted; is this encoding?"""
        asked, witness = d.question, d.decision.witness
        assert witness is not None
        fixed = d.fixed(values)
        if not fixed or d.shows(fixed):
            return _Own(Verdict.REFUTED, asked, witness)
        digest = asked.text.digest
        further = self.others.get(digest, ()) if self.verdicts_only else ()
        other = _showing(asked, fixed, chain(self.nearby.get(digest, ()), further))
        if other is not None:
            return _Own(Verdict.REFUTED, asked, other)
        key = (digest, tuple(fixed.values()))
        if key not in self.own:
            own = self.own[key] = self._with_own_fields(d, witness, fixed)
            if own.verdict is Verdict.REFUTED:
                self._remember(asked, fixed, _in_names_of(asked, own))
        return self.own[key]

    def _remember(self, asked: Question, fixed: Mapping[str, int], found: Witness) -> None:
        digest = asked.text.digest
        self.nearby.setdefault(digest, []).append(found)
        if _showing(asked, fixed, self.others.get(digest, ())) is None:
            self.others.setdefault(digest, deque(maxlen=OTHERS)).appendleft(found)
            self.new_others.append((digest, found))

    def begin_form(self) -> None:
        """What refuted encodings of another form is not tried first any more: witnesses depend on the form alone."""
        self.nearby.clear()

    def _with_own_fields(self, d: Decided, first: Witness, fixed: Mapping[str, int]) -> _Own:
        asked = d.question
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
        return _Own(found.decision.verdict, found.question, found.decision.witness or first, found.decision.reason)


def _showing(asked: Question, fixed: Mapping[str, int], states: Iterable[Witness]) -> Witness | None:
    """The first state that refuted another encoding of the class and refutes this one too."""
    return next((w for w in states if asked.holds(w, fixed)), None)


def _in_names_of(asked: Question, own: _Own) -> Witness:
    """The witness of an encoding's own question as a state of its class's."""
    number = {name: f"v{i}" for i, name in enumerate(asked.text.names)}
    names = own.question.text.names
    values = tuple((number[names[int(n[1:])]], v) for n, v in own.witness.values)
    return replace(own.witness, values=values)


def _width(sort: Sort) -> int:
    assert isinstance(sort, int)
    return sort


_PROVED: Final = Decision(Verdict.PROVED)
_ALL_PROVED_BEFORE: Final = ClassResult(tuple(Decided(o, _PROVED) for o in OBSERVABLES))


def class_digest(key: tuple[object, ...]) -> str:
    """A class key's hash, the same in every process."""
    return sha256(repr(key).encode()).hexdigest()[:CLASS_DIGEST]


_ALL_PROVED = tuple((o, Verdict.PROVED) for o in OBSERVABLES)
_ALL_UNKNOWN = tuple((o, Verdict.UNKNOWN) for o in OBSERVABLES)
