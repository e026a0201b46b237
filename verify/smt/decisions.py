"""Obligations decided: by identity of terms, from the ledger, by evaluation, or by the solver.

Every refutation is a state in which evaluation on integers shows the deviation; the solver's counterexamples are
replayed in the same way, and one that does not replay is no refutation.  A decision is a function of the obligation's
canonical text, and witnesses are in canonical names, so that one serves every obligation with the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from verify.claim.obligation import Obligation
from verify.claim.premises import ends_are_canonical
from verify.claim.verdicts import SEED, Decision, Verdict, Witness
from verify.models.x86.environment import IS_32_BIT, PLAIN_ANSWER, USER32_CS, Environment
from verify.models.x86.machine import NO_FAULT
from verify.models.x86.mode import ACCESS_FAULTS, in_own_half
from verify.smt.candidates import MEASURED, candidates, choosy
from verify.smt.canonical import TYPICAL, Canonical, canonical
from verify.smt.minimise import minimised
from verify.terms import Array, Opaque, Sort, Term, add, const, eq, extract, not_, or_, postorder, ult
from verify.terms.evaluation import Adaptive, Memory, Value

if TYPE_CHECKING:
    from verify.smt.z3terms import Answer

WIDEST: Final = 1 << 16  # bytes; no access is as wide
EASY_TRIES: Final = 20  # states tried before the solver is asked
MANY_TRIES: Final = 100  # likewise where no state is wanted; the solver takes as long as thousands
TRIES: Final = 60  # states tried where the solver's own does not replay
MODEL_SEEDS: Final = 256  # datapaths tried with the solver's state: eight choices of one bit are met by one of them


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
class Query:
    """An obligation in canonical names, with its evaluator."""

    text: Canonical
    evaluator: Adaptive

    def holds(self, witness: Witness, fixed: Mapping[str, int] | None = None) -> bool:
        """Whether all roots evaluate to 1 in the witness's state, with some variables (own names) fixed otherwise."""
        return all(self.evaluator(self.assignment(witness, fixed), environment_of(witness)))

    def assignment(self, witness: Witness, fixed: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Values of the canonical variables."""
        given, fixed = dict(witness.values), fixed or {}
        env: dict[str, Value] = {}
        for i, (own, sort) in enumerate(zip(self.text.names, self.text.sorts, strict=True)):
            name = f"v{i}"
            if own in fixed:
                env[name] = fixed[own]
            elif isinstance(sort, Opaque):
                env[name] = _memory(witness)
            else:
                env[name] = given[name] if name in given else default_value(own, sort)
        return env


def environment_of(witness: Witness) -> Environment:
    """What the environment answers in the witness's state."""
    return Environment({(a, s, w): v for a, s, w, v in witness.faults}, witness.seed, dict(witness.answers))


def _memory(witness: Witness) -> Memory:
    memory = Memory(witness.seed)
    for address, size, value in witness.memory:
        memory = memory.write(address, value, size)
    return memory


def default_value(name: str, sort: Sort) -> int | tuple[int, ...]:
    """What a variable is where a witness does not say: zero, or a typical address."""
    if isinstance(sort, Array):
        return (0,) * (1 << sort.index_bits)
    assert isinstance(sort, int)
    return TYPICAL.get(name, 0) & ((1 << sort) - 1)


_EVALUATORS: dict[str, Adaptive] = {}


def query(text: Canonical) -> Query:
    """What is asked, ready to be evaluated; evaluators are shared by all obligations with the same text."""
    evaluator = _EVALUATORS.get(text.digest)
    if evaluator is None:
        evaluator = _EVALUATORS[text.digest] = Adaptive(text.program)
    return Query(text, evaluator)


@dataclass(frozen=True)
class ObligationDecision:
    """One observable's decision, with what was asked where it is refuted."""

    observable: str
    decision: Decision
    digest: str = ""  # of the query; nothing is asked where both sides are the same term
    text: Canonical | None = None

    @cached_property
    def query(self) -> Query:
        """What was asked.  Raises ValueError where nothing was."""
        if self.text is None:
            raise ValueError(f"{self.observable}: nothing was asked")
        return query(self.text)

    @cached_property
    def _state(self) -> tuple[dict[str, Value], Environment]:
        assert self.decision.witness is not None
        return self.query.assignment(self.decision.witness), environment_of(self.decision.witness)

    def fixed(self, values: Mapping[str, int]) -> dict[str, int]:
        """Those of the values, by own names, that the query speaks of."""
        return {n: values[n] for n in self.query.text.names if n in values}

    def shows(self, fixed: Mapping[str, int]) -> bool:
        """Whether the decision's witness also refutes with some variables (own names) fixed otherwise."""
        env, environment = self._state
        if fixed:
            env = env | {f"v{i}": fixed[n] for i, n in enumerate(self.query.text.names) if n in fixed}
        return all(self.query.evaluator(env, environment))


def decided(obligation: Obligation, decisions: Decisions) -> ObligationDecision:
    """The obligation's decision; its witness is in canonical names."""
    if obligation.is_trivial:
        return ObligationDecision(obligation.observable, Decision(Verdict.PROVED))
    text = canonical(obligation.roots)
    known = decisions.get(text.digest)
    if known is None:
        known = _solved(query(text.anonymous))
        decisions.put(text.digest, known)
    refuted = known.verdict is Verdict.REFUTED  # only then is it asked again, with an encoding's own fields
    return ObligationDecision(obligation.observable, known, text.digest, _shared(text) if refuted else None)


_TEXTS: dict[str, str] = {}


def _shared(text: Canonical) -> Canonical:
    """The same, its text the one object that all of its kind have."""
    return replace(text, text=_TEXTS.setdefault(text.digest, text.text))


def decide(obligation: Obligation, decisions: Decisions) -> Decision:
    """The decision alone."""
    return decided(obligation, decisions).decision


def is_proved(obligation: Obligation, known: dict[str, bool]) -> bool:
    """Whether the obligation's decision is that it is proved; `known` keeps the answers by digest."""
    if obligation.is_trivial:
        return True
    text = canonical(obligation.roots)
    if text.digest not in known:
        known[text.digest] = _is_unsatisfiable(query(text.anonymous))
    return known[text.digest]


def _is_unsatisfiable(asked: Query) -> bool:
    """As `_solved`, without a state that is shown to anyone."""
    states = islice(candidates(asked.text, Witness((), (), SEED), MEASURED), MANY_TRIES)
    if any(asked.holds(w) for w in states):
        return False
    from verify.smt import z3terms  # noqa: PLC0415  start-up time

    return z3terms.unsatisfiable(asked.text.terms())


def satisfiable(conditions: Sequence[Term]) -> Answer:
    """As `z3terms.satisfiable`; the solver is imported when the first query needs it."""
    from verify.smt import z3terms  # noqa: PLC0415  start-up time

    return z3terms.satisfiable(conditions)


NO_REPLAY: Final = "the solver's counterexample does not replay"  # a fault of this program: never kept


def _solved(asked: Query) -> Decision:
    easy = replayed(asked, Witness((), (), SEED), tries=TRIES)
    if easy is not None:
        return Decision(Verdict.REFUTED, easy)
    roots = asked.text.terms()
    answer = satisfiable(roots)
    if answer.status == "unsat":
        return Decision(Verdict.PROVED)
    if answer.model is None:
        return Decision(Verdict.UNKNOWN, reason=f"solver: {answer.reason}")
    witness = _shown(asked, answer) or next(filter(None, _shown_restricted(asked, roots)), None)
    witness = witness or _shown_by_refusals(asked, answer) or _shown_by_answers(asked, roots)
    if witness is not None:
        return Decision(Verdict.REFUTED, witness)
    return Decision(Verdict.UNKNOWN, reason=NO_REPLAY)


def _shown(asked: Query, answer: Answer) -> Witness | None:
    """The solver's counterexample as a state that replays; None where it gave none or the state shows nothing.

    What the solver says of datapaths is no part of a state: other seeds are tried until the datapaths agree with it.
    """
    if answer.model is None:
        return None
    first = _from_model(answer, asked.text)
    found = first_replayed(asked, first) or next(
        (w for seed in range(MODEL_SEEDS) if asked.holds(w := replace(first, seed=seed))), None
    )
    return found and minimised(asked.holds, found)


def _shown_by_refusals(asked: Query, answer: Answer) -> Witness | None:
    """As `_shown`, in states where what is refused depends on the values that datapaths and selectors are given."""
    states = islice(choosy(_from_model(answer, asked.text)), TRIES)
    found = next((w for w in states if asked.holds(w)), None)
    return found and minimised(asked.holds, found)


def _shown_by_answers(asked: Query, roots: Sequence[Term]) -> Witness | None:
    """A state with the solver's own answers of functions, under restrictions that evaluation has."""
    from verify.smt.answers import answered  # noqa: PLC0415  start-up time

    plain, user = tuple(plain_answers(roots)), tuple(user_accesses(roots))
    for more in ((), tuple(canonical_accesses(roots)), plain, (*plain, *user)):
        answer = satisfiable((*roots, *more))
        if answer.model is not None:
            state = _from_model(answer, asked.text)
            found = answered(asked.text, answer.model, state, asked.assignment(state))
            if asked.holds(found):
                return minimised(asked.holds, found)
    return None


def _shown_restricted(asked: Query, roots: Sequence[Term]) -> Iterator[Witness | None]:
    """Counterexamples under restrictions that evaluation has."""
    plain, user = tuple(plain_answers(roots)), tuple(user_accesses(roots))
    for more in (plain, (*plain, *user)):
        yield _shown(asked, satisfiable((*roots, *more)))


def user_accesses(roots: Sequence[Term]) -> Iterator[Term]:
    """One-bit terms: accesses without fault are in user space, those of the kernel in the upper half."""
    for t in postorder(roots):
        if t.op == "uf" and (mode := ACCESS_FAULTS.get(str(t.params[0]))) is not None:
            yield or_(not_(eq(t, const(NO_FAULT, 8))), in_own_half(t.args[0], WIDEST + 1, mode))


def canonical_accesses(roots: Sequence[Term]) -> Iterator[Term]:
    """One-bit terms: accesses whose ends are not canonical addresses fault, as evaluation has it."""
    for t in postorder(roots):
        if t.op == "uf" and (mode := ACCESS_FAULTS.get(str(t.params[0]))) is not None:
            yield or_(ends_are_canonical(t.args[0], t.args[1], mode), not_(eq(t, const(NO_FAULT, 8))))


def plain_answers(roots: Sequence[Term]) -> Iterator[Term]:
    """One-bit terms of what evaluation answers: nothing is refused, descriptors are Linux', what wraps round faults."""
    for t in postorder(roots):
        if t.op != "uf":
            continue
        name = str(t.params[0])
        if name in ACCESS_FAULTS and t.args[1].value:
            last = add(t.args[0], const(t.args[1].value - 1, 64))
            yield or_(not_(eq(t, const(NO_FAULT, 8))), not_(ult(last, t.args[0])))
        elif name.endswith(PLAIN_ANSWER):
            yield not_(t)
        elif name.endswith(IS_32_BIT):
            yield eq(t, eq(extract(t.args[0], 15, 3), const(USER32_CS >> 3, 13)))


def _from_model(answer: Answer, text: Canonical) -> Witness:
    assert answer.model is not None
    canonical_name = {name: f"v{i}" for i, name in enumerate(text.names)}
    values = tuple(sorted((canonical_name[n], v) for n, v in answer.model.values.items()))
    faults = tuple((a, s, w, 14 if v != NO_FAULT else v) for a, s, w, v in answer.model.faults)
    return Witness(values, faults, SEED, answer.model.loads)


def replayed(
    asked: Query, first: Witness, fixed: Mapping[str, int] | None = None, tries: int = TRIES
) -> Witness | None:
    """A witness that replays without the solver, made small; None where none of the states tried does."""
    found = first_replayed(asked, first, fixed, tries)
    return found and minimised(lambda w: asked.holds(w, fixed), found)


def first_replayed(
    asked: Query, first: Witness, fixed: Mapping[str, int] | None = None, tries: int = TRIES
) -> Witness | None:
    """As `replayed`, as it was found."""
    return next((w for w in islice(candidates(asked.text, first, fixed or {}), tries) if asked.holds(w, fixed)), None)
