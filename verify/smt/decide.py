"""Obligations decided: by identity of terms, from the ledger, by evaluation, or by the solver.

Every refutation is a state in which evaluation on integers shows the deviation; the solver's counterexamples are
replayed in the same way, and one that does not replay is no refutation.  Witnesses are kept in canonical names, so
that one serves every obligation with the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import Any, Final, Protocol

from verify.models.bits import Array, Opaque, Sort, Term, const, eq, not_, or_, postorder, ult
from verify.models.evaluation import DATAPATH, EVERYWHERE, UNMAPPED_CODE, Evaluator, Memory, World, compiled
from verify.models.machine import NO_FAULT
from verify.smt.canonical import Canonical, canonical
from verify.smt.minimise import minimised
from verify.smt.verdicts import Decision, Verdict, Witness
from verify.smt.z3terms import SEED, Answer, satisfiable

TYPICAL: Final[Mapping[str, Any]] = {"origin": 0x401000, "slot": 0x7FFFFFFFE080, "length": 4}
USER_SPACE: Final = (1 << 47) - (1 << 16)  # addresses below it are user addresses, whatever an access's size
EASY_TRIES: Final = 12  # states tried before the solver is asked
TRIES: Final = 60  # states tried where the solver's own does not replay


class Decisions(Protocol):
    """Where decisions are kept between obligations and runs."""

    def get(self, digest: str) -> Decision | None:
        """The stored decision, or None."""

    def put(self, digest: str, decision: Decision) -> None:
        """Stores a decision."""


@dataclass(slots=True)
class InMemory:
    """Decisions of this process only."""

    known: dict[str, Decision] = field(default_factory=dict)

    def get(self, digest: str) -> Decision | None:
        """The stored decision, or None."""
        return self.known.get(digest)

    def put(self, digest: str, decision: Decision) -> None:
        """Stores a decision."""
        self.known[digest] = decision


@dataclass(frozen=True, slots=True)
class Obligation:
    """One goal with its premises; refuted where all premises hold and the goal does not."""

    observable: str
    goal: Term
    premises: tuple[Term, ...]

    @property
    def is_trivial(self) -> bool:
        """Whether both sides are the same term."""
        return self.goal.value == 1

    @property
    def roots(self) -> tuple[Term, ...]:
        """What must not hold together."""
        return (not_(self.goal), *self.premises)


@dataclass(frozen=True, slots=True)
class Question:
    """An obligation in canonical names, with its evaluator."""

    text: Canonical
    evaluator: Evaluator

    def holds(self, witness: Witness, fixed: Mapping[str, Any] | None = None) -> bool:
        """Whether all roots evaluate to 1 in the witness's state, with some variables (own names) fixed otherwise."""
        env = self.environment(witness, fixed)
        world = World({(a, s, w): v for a, s, w, v in witness.faults}, witness.seed)
        return all(self.evaluator(env, world))

    def environment(self, witness: Witness, fixed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Values of the canonical variables."""
        given, fixed = dict(witness.values), fixed or {}
        env: dict[str, Any] = {}
        for i, (own, sort) in enumerate(zip(self.text.names, self.text.sorts, strict=True)):
            name = f"v{i}"
            if own in fixed:
                env[name] = fixed[own]
            elif isinstance(sort, Opaque):
                env[name] = _memory(witness)
            else:
                env[name] = given[name] if name in given else default_value(own, sort)
        return env


def _memory(witness: Witness) -> Memory:
    memory = Memory(witness.seed)
    for address, size, value in witness.memory:
        memory = memory.write(address, value, size)
    return memory


def default_value(name: str, sort: Sort) -> Any:
    """What a variable is where a witness does not say: zero, or a typical address."""
    if isinstance(sort, Array):
        return (0,) * (1 << sort.index_bits)
    assert isinstance(sort, int)
    return TYPICAL.get(name, 0) & ((1 << sort) - 1)


_EVALUATORS: dict[str, Evaluator] = {}


def question(obligation: Obligation) -> Question:
    """The canonical form of an obligation; evaluators are shared by all obligations with the same text."""
    text = canonical(obligation.roots)
    evaluator = _EVALUATORS.get(text.digest)
    if evaluator is None:
        evaluator = _EVALUATORS[text.digest] = compiled(obligation.roots, text.renaming())
    return Question(text, evaluator)


def decide(obligation: Obligation, decisions: Decisions) -> Decision:
    """The decision of an obligation; its witness is in canonical names."""
    if obligation.is_trivial:
        return Decision(Verdict.PROVED)
    text = canonical(obligation.roots)
    known = decisions.get(text.digest)
    if known is None:
        known = _solved(obligation)
        decisions.put(text.digest, known)
    return known


def _solved(obligation: Obligation) -> Decision:
    asked = question(obligation)
    easy = replayed(asked, Witness((), (), SEED), tries=EASY_TRIES)
    if easy is not None:
        return Decision(Verdict.REFUTED, easy)
    answer = satisfiable(obligation.roots)
    if answer.status == "unsat":
        return Decision(Verdict.PROVED)
    if answer.model is None:
        return Decision(Verdict.UNKNOWN, reason=f"solver: {answer.reason}")
    witness = replayed(asked, _from_model(answer, asked.text)) or _ordinary_witness(obligation, asked)
    if witness is None:
        return Decision(Verdict.UNKNOWN, reason="the solver's counterexample does not replay")
    return Decision(Verdict.REFUTED, witness)


def _ordinary_witness(obligation: Obligation, asked: Question) -> Witness | None:
    """A counterexample of the solver under restrictions that evaluation has; None where that shows nothing."""
    answer = satisfiable((*obligation.roots, *ordinary(obligation.roots)))
    return None if answer.model is None else replayed(asked, _from_model(answer, asked.text))


def ordinary(roots: Sequence[Term]) -> Iterator[Term]:
    """One-bit terms of an ordinary replay: accesses without fault are in user space, nothing is refused."""
    for t in postorder(roots):
        if t.op == "uf" and t.params[0] == "access_fault":
            yield or_(not_(eq(t, const(NO_FAULT, 8))), ult(t.args[0], const(USER_SPACE, 64)))
        elif t.op == "uf" and str(t.params[0]).endswith(".refuses"):
            yield not_(t)


def _from_model(answer: Answer, text: Canonical) -> Witness:
    assert answer.model is not None
    renaming = text.renaming()
    values = tuple(sorted((renaming[n], v) for n, v in answer.model.values.items()))
    faults = tuple((a, s, w, 14 if v != NO_FAULT else v) for a, s, w, v in answer.model.faults)
    return Witness(values, faults, SEED, answer.model.loads)


def replayed(
    asked: Question, first: Witness, fixed: Mapping[str, Any] | None = None, tries: int = TRIES
) -> Witness | None:
    """A witness that replays without the solver, made small; None where none of the states tried does."""
    for candidate in islice(_candidates(asked.text, first), tries):
        if asked.holds(candidate, fixed):
            return minimised(lambda w: asked.holds(w, fixed), candidate)
    return None


def _candidates(text: Canonical, first: Witness) -> Iterator[Witness]:
    """All zero, the given one (also at typical addresses and in user space), random ones with and without faults."""
    sorts = {f"v{i}": s for i, s in enumerate(text.sorts)}
    typical = {f"v{i}": TYPICAL[n] for i, n in enumerate(text.names) if n in TYPICAL}
    yield Witness((), (), SEED)
    if first.values:
        placed = replace(first, values=_sorted({**dict(first.values), **typical}))
        yield from (placed, replace(placed, values=_sorted(_in_user_space(dict(placed.values))), faults=()), first)
    random = Random(SEED)
    everywhere = ((*EVERYWHERE, 14), (*DATAPATH, 19), (*UNMAPPED_CODE, 14))
    while True:
        values = {n: _random_value(random, s) for n, s in sorts.items() if not isinstance(s, Opaque)}
        near = _sorted(_in_user_space({**values, **typical}))
        yield Witness(near, (), random.getrandbits(16) | 1)
        yield Witness(near, everywhere, random.getrandbits(16) | 1)
        yield Witness(_sorted({**values, **typical}), first.faults, random.getrandbits(16) | 1)


def _sorted(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))


def _in_user_space(values: Mapping[str, Any]) -> dict[str, Any]:
    """General registers moved into user space, so that an address made of one of them can be mapped."""
    return {
        n: tuple(x & 0x3FFFFFFFFFFF for x in v) if isinstance(v, tuple) and len(v) == 16 else v
        for n, v in values.items()
    }


def _random_value(random: Random, sort: Sort) -> Any:
    if isinstance(sort, Array):
        return tuple(random.getrandbits(sort.value_bits) for _ in range(1 << sort.index_bits))
    assert isinstance(sort, int)
    return random.choice([0, 1, random.getrandbits(sort), random.getrandbits(min(sort, 5))]) & ((1 << sort) - 1)
