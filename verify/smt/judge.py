"""The verdict of one encoding: its class's obligations decided once, then this encoding's own fields put in.

A class that is proved is proved for each of its encodings.  A class that is refuted is refuted for an encoding only
where the encoding's own fields show the deviation: by the class's witness, by other states, or by the solver again.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from verify.models.bits import FALSE, Sort, Term, const, distinct_registers, substitute, var
from verify.models.isa.decode import Decoded, NotAnInstruction, NotModelled, decode
from verify.models.isa.forms import Cpu
from verify.models.isa.second_opinion import disagreement
from verify.models.machine import OBSERVABLES, symbolic_state
from verify.models.schemes.execution import ASSUMPTIONS, displaced, in_place, initial
from verify.models.schemes.plan import Refuse, Scheme
from verify.models.sites import Probe, Problem, is_vendor_specific, own_values, probe, problem
from verify.smt.decide import Decisions, InMemory, Obligation, Question, decide, question, replayed
from verify.smt.theorem import goals
from verify.smt.verdicts import Decision, Verdict, Witness, worst


@dataclass(frozen=True)
class Decided:
    """One obligation of a class with its decision."""

    obligation: Obligation
    decision: Decision

    @cached_property
    def question(self) -> Question:
        """In canonical names; a class that was refuted is asked for each of its encodings."""
        return question(self.obligation)


@dataclass(frozen=True)
class ClassResult:
    """All obligations of a class of encodings."""

    decided: tuple[Decided, ...]
    refused: str | None = None
    proved_before: bool = False
    disputed: str | None = None  # an open disagreement of the two decoders

    @cached_property
    def verdict(self) -> Verdict:
        """The class's verdict."""
        if self.proved_before:
            return Verdict.PROVED
        if self.disputed is not None:
            return Verdict.UNKNOWN
        return Verdict.REFUSED if self.refused else worst(d.decision.verdict for d in self.decided)


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
    """Decides encodings under one scheme; keeps what it has decided of every class."""

    def __init__(self, scheme: Scheme, assumptions: frozenset[str] = ASSUMPTIONS,
                 decisions: Decisions | None = None, proved: Container[str] = ()) -> None:  # fmt: skip
        self.scheme = scheme
        self.assumptions = assumptions
        self.decisions: Decisions = decisions if decisions is not None else InMemory()
        self.classes: dict[tuple[object, ...], ClassResult] = {}
        self.proved = proved  # digests of classes that were proved before, by the same code
        self.newly_proved: list[str] = []
        self.own: dict[tuple[object, ...], _Own] = {}

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
            found = _PROVED_BEFORE if digest in self.proved else self._decide_class(p)
            self.classes[p.key] = found
            if found.verdict is Verdict.PROVED and found is not _PROVED_BEFORE:
                self.newly_proved.append(digest)
        return found

    def _decide_class(self, p: Probe) -> ClassResult:
        if isinstance(p.plan, Refuse):
            return ClassResult((), p.plan.reason)
        disputed = disagreement(p.decoded.data, p.decoded) if isinstance(p.decoded, Decoded) else None
        if disputed is not None:
            return ClassResult((), disputed=f"the second decoder disagrees: {disputed}")
        material = problem(p, self.assumptions)
        contradictory = self._contradiction(material.premises)
        decided = tuple(
            Decided(o, contradictory or decide(o, self.decisions)) for o in obligations(p, material)
        )
        return ClassResult(decided)

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
            name, verdict, reason = d.obligation.observable, d.decision.verdict, d.decision.reason
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
        fixed = {n: v for n, v in values.items() if n in asked.text.names}
        if not fixed or asked.holds(witness, fixed):
            return _Own(Verdict.REFUTED, asked, witness)
        key = (asked.text.digest, tuple(sorted(fixed.items())))
        if key not in self.own:
            self.own[key] = self._with_own_fields(d, witness, fixed)
        return self.own[key]

    def _with_own_fields(self, d: Decided, first: Witness, fixed: Mapping[str, int]) -> _Own:
        witness = replayed(d.question, first, fixed)
        if witness is not None:
            return _Own(Verdict.REFUTED, d.question, witness)
        sorts = dict(zip(d.question.text.names, d.question.text.sorts, strict=True))
        bindings = {var(n, sorts[n]): const(v, _width(sorts[n])) for n, v in fixed.items()}
        goal, *premises = substitute((d.obligation.goal, *d.obligation.premises), bindings)
        narrowed = Obligation(d.obligation.observable, goal, tuple(premises))
        decision = decide(narrowed, self.decisions)
        return _Own(decision.verdict, question(narrowed), decision.witness or first, decision.reason)


def _width(sort: Sort) -> int:
    assert isinstance(sort, int)
    return sort


_PROVED_BEFORE = ClassResult((), proved_before=True)


def class_digest(key: tuple[object, ...]) -> str:
    """A class key's hash, the same in every process."""
    return sha256(repr(key).encode()).hexdigest()[:20]


_ALL_PROVED = tuple((o, Verdict.PROVED) for o in OBSERVABLES)
_ALL_UNKNOWN = tuple((o, Verdict.UNKNOWN) for o in OBSERVABLES)


def obligations(p: Probe, material: Problem) -> Iterator[Obligation]:
    """One obligation an observable."""
    assert not isinstance(p.plan, Refuse)
    site = material.site
    with distinct_registers(material.distinct):
        state = initial(site, symbolic_state(site.origin))
        here, there = in_place(site, state), displaced(p.plan, site, state)
        compared = goals(here, there, code_not_read="code-not-read" in site.assumptions)
    for name in OBSERVABLES:
        yield Obligation(name, compared[name], material.premises)


def vendors(data: bytes, cpus: tuple[Cpu, ...]) -> tuple[Cpu, ...]:
    """The vendors to ask: one alone where all read the bytes alike and run them alike."""
    if len(cpus) == 1:
        return cpus
    answers = [decode(data, c) for c in cpus]
    first, second = answers[0], answers[1]
    if isinstance(first, Decoded) and isinstance(second, Decoded):
        alike = (first.form is second.form, first.layout == second.layout, first.faults_ud == second.faults_ud)
        if all(alike) and not is_vendor_specific(first.form.opcode):
            return cpus[:1]
    return cpus
