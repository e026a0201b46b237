"""The verdict of a form: of all its encodings, by judging one encoding of every class that the scheme distinguishes.

Where the scheme looks at bytes behind the instruction, every kind of continuation that it tells apart is judged.

Regular encodings have at most one REX prefix, directly before the opcode, and at most four different legacy prefixes.
Irregular ones are judged too and reported apart: what goes wrong there is a deviation of the scheme's decoder, which
all forms share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from verify.claim.probes import is_vendor_specific, probe_of
from verify.claim.undefined import undefined_without
from verify.claim.verdicts import Verdict, worst
from verify.judge.counterexample import Counterexample, counterexample
from verify.judge.encoding import Judge, Judgement
from verify.models.x86.isa.capstone_check import disagreement, is_disputed
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.encode import Placed, decoded_irregular, decoded_representatives, placed_representatives
from verify.models.x86.isa.forms import Addressing, Cpu, Form
from verify.models.x86.isa.ranges import opcode_text
from verify.models.x86.machine import OBSERVABLES


@dataclass(frozen=True, slots=True)
class FormResult:
    """What is known of a form under a scheme."""

    form: str
    opcode: str
    mnemonic: str
    addressing: str
    verdict: Verdict
    observables: tuple[tuple[str, Verdict], ...]
    irregular: Verdict | None  # of encodings with repeated or misplaced REX or more than four different prefixes
    reason: str
    refused: tuple[str, ...]  # why some encodings of an accepted form are refused
    over_cautious: bool  # refused, though running an unchanged copy would be proved
    counterexample: Counterexample | None
    obligations: int
    queries: frozenset[str]  # digests of those obligations that identity of terms did not prove
    rests_on: tuple[str, ...] = ()  # assumptions without which a proved observable of one of its classes falls
    looks_behind: bool = False  # the plan of some encoding depends on what stands behind it
    undefined_without: tuple[str, ...] = ()  # on processors without these it is undefined, and runs on when probed


@dataclass(slots=True)
class _Tally:
    verdicts: list[Verdict] = field(default_factory=list)
    observables: dict[str, list[Verdict]] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    refusals: dict[str, None] = field(default_factory=dict)
    queries: set[str] = field(default_factory=set)
    first: Judgement | None = None
    rests_on: set[str] = field(default_factory=set)
    looks_behind: bool = False
    undefined_without: dict[str, None] = field(default_factory=dict)

    def add(self, j: Judgement) -> None:
        self.looks_behind |= bool(j.probe.followed_by)
        self.undefined_without.update(dict.fromkeys(undefined_without(j.probe)))
        if j.verdict is None:
            return
        self.verdicts.append(j.verdict)
        self.queries |= j.queries
        for name, verdict in j.observables:
            self.observables.setdefault(name, []).append(verdict)
        if j.verdict is Verdict.REFUSED:
            self.refusals[j.reason] = None
        elif j.reason:
            self.reasons[j.reason] = None
        if j.deviations:
            self.first = self.first or j


def form_result(form: Form, judge: Judge, cpus: tuple[Cpu, ...], cautious: Judge | None = None) -> FormResult:
    """The verdict of one form under the judge's scheme, for all given vendors."""
    regular, irregular, brief = _Tally(), list[Verdict](), judge.begin_form()
    for cpu in vendors(form, cpus):
        _judged(form, judge, regular, cpu)
        irregular += _irregular(form, brief, cpu)
    verdict = worst(regular.verdicts)
    names = [(o, worst(regular.observables[o])) for o in OBSERVABLES if o in regular.observables]
    refused = verdict is Verdict.REFUSED
    first = regular.first
    return FormResult(
        form.name, opcode_text(form.opcode), form.opcode.mnemonic, form.addressing.value, verdict, tuple(names),
        worst(irregular) if irregular else None,
        "; ".join(regular.refusals if refused else regular.reasons) or _nothing(regular, cpus),
        tuple(() if refused else regular.refusals),
        refused and cautious is not None and _provable(form, cautious, cpus),
        counterexample(first, judge.assumptions) if first is not None else None,
        sum(len(v) for v in regular.observables.values()), frozenset(regular.queries),
        tuple(sorted(regular.rests_on)), regular.looks_behind,
        tuple(regular.undefined_without),
    )  # fmt: skip


def vendors(form: Form, cpus: tuple[Cpu, ...]) -> tuple[Cpu, ...]:
    """Those whose encodings of the form are judged: the first alone where all read and run the form alike."""
    return cpus if is_vendor_specific(form.opcode) or _reads_66(form) else cpus[:1]


def _nothing(regular: _Tally, cpus: tuple[Cpu, ...]) -> str:
    """Why there is no verdict to form a conjunction of; empty where there is one."""
    return "" if regular.verdicts else f"no encoding on {' or '.join(c.value for c in cpus)} processors"


def undecided(form: Form, reason: str) -> FormResult:
    """The result of a form that could not be judged."""
    names = tuple((o, Verdict.UNKNOWN) for o in OBSERVABLES)
    return FormResult(
        form.name, opcode_text(form.opcode), form.opcode.mnemonic, form.addressing.value, Verdict.UNKNOWN, names,
        None, reason, (), False, None, 0, frozenset(),
    )  # fmt: skip


def _reads_66(form: Form) -> bool:
    """Legacy opcodes whose length or meaning a 66 or REX.W prefix may change for one vendor only."""
    return form.opcode.encoding == "LEGACY" and form.opcode.flow_control == "NEXT" and form.opcode.table == "0F"


def _judged(form: Form, judge: Judge, tally: _Tally, cpu: Cpu) -> None:
    """Every regular class judged; of those behind the first that is refuted, the verdicts are wanted alone."""
    placed = placed_representatives(form, cpu)
    grouped, done = judge.groups.of(placed), _Done(judge, placed)
    for i, (data, number) in enumerate(zip(placed.data, grouped.classes, strict=True)):
        if number in done.classes and done.adds_nothing(i, number, tally):
            continue
        decoded = placed[i]
        for behind in (b"", *judge.scheme.continuations(data)):
            p = probe_of(decoded, judge.scheme, behind, None if behind else grouped.plans[i])
            if p.key in done.keys and disagreement(data, decoded) is None:  # a dispute is about bytes, not a class
                if not judge.planned_otherwise <= tally.rests_on:
                    tally.rests_on |= judge.replanned(p, judge.planned_otherwise - tally.rests_on)
                continue
            found = (judge.brief if tally.first else judge).judged(p)
            tally.add(found)
            tally.rests_on |= judge.rests_on(p, judge.assumptions - tally.rests_on)
            if judge.is_exhausted(found):
                done.add(p.key, number)


class _Done:
    """The classes of a form whose further encodings add no verdict."""

    def __init__(self, judge: Judge, placed: Placed) -> None:
        self.judge, self.placed = judge, placed
        self.keys, self.classes = set[object](), set[int | None]()
        self._otherwise: list[tuple[int | None, ...]] | None = None
        self._replanned: set[tuple[int | None, ...]] = set()  # class, and classes by the other plans

    def add(self, key: object, number: int | None) -> None:
        """A class, which has no number where it depends on what stands behind the encoding."""
        self.keys.add(key)
        if number is not None:
            self.classes.add(number)

    def adds_nothing(self, i: int, number: int | None, tally: _Tally) -> bool:
        """Whether an encoding of such a class is not disputed, and one that is planned alike was asked before what
        rests on its plan.
        """
        data, mnemonic = self.placed.data[i], self.placed.form.opcode.mnemonic
        if is_disputed(data, mnemonic, lambda: self.placed[i]):
            return False
        return self.judge.planned_otherwise <= tally.rests_on or not self._is_new(i, number)

    def _is_new(self, i: int, number: int | None) -> bool:
        """Whether no encoding before was of the same classes by all plans."""
        if self._otherwise is None:
            self._otherwise = [groups.of(self.placed).classes for groups in self.judge.otherwise]
        case = (number, *(classes[i] for classes in self._otherwise))
        is_new = case not in self._replanned
        self._replanned.add(case)
        return is_new


def _irregular(form: Form, judge: Judge, cpu: Cpu) -> list[Verdict]:
    """Verdicts of irregular encodings, until one is refuted."""
    found: list[Verdict] = []
    for decoded in judged_irregular(form, cpu):
        verdict = judge.verdict(probe_of(decoded, judge.scheme))
        if verdict is not None:
            found.append(verdict)
        if verdict is Verdict.REFUTED:
            break
    return found


def judged_irregular(form: Form, cpu: Cpu) -> Iterator[Decoded]:
    """What the scheme's decoder makes of an irregular prefix matters to rip-relative operands and to control transfer;
    of other forms every fifth encoding is judged.
    """
    matters = form.addressing is Addressing.RIP or form.opcode.flow_control != "NEXT" or form.opcode.is_stack
    return islice(decoded_irregular(form, cpu), 0, None, 1 if matters else 5)


def _provable(form: Form, other: Judge, cpus: tuple[Cpu, ...]) -> bool:
    """Whether another plan for the same bytes is proved, for every regular encoding."""
    seen: set[object] = set()
    for cpu in cpus if is_vendor_specific(form.opcode) else cpus[:1]:
        for decoded in islice(decoded_representatives(form, cpu), 1):  # most forms fail here
            if other.judged(probe_of(decoded, other.scheme)).verdict is not Verdict.PROVED:
                return False
        placed, done = placed_representatives(form, cpu), set[int | None]()
        grouped = other.groups.of(placed)
        for i, number in enumerate(grouped.classes):
            if number is not None and number in done:
                continue
            p = probe_of(placed[i], other.scheme, plan=grouped.plans[i])
            if p.key not in seen and other.judged(p).verdict is not Verdict.PROVED:
                return False
            seen.add(p.key)
            done.add(number)
    return bool(seen)
