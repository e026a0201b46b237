"""Obligations decided: by identity of terms, from the ledger, or by the solver; every refutation is replayed.

A `Ledger` gives and takes decisions by canonical digest.  A witness is stored in canonical names, so that it serves
every obligation with the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from verify.models import bits
from verify.models.bits import Array, Term, not_, postorder
from verify.models.evaluation import Evaluator, Memory, World, compiled
from verify.models.machine import component_sort
from verify.smt.canonical import Canonical, canonical
from verify.smt.verdicts import Decision, Verdict, Witness
from verify.smt.z3terms import SEED, satisfiable

TYPICAL: Final[Mapping[str, Any]] = {"origin": 0x401000, "slot": 0x7FFFFFFFE080, "length": 4}
TRIES: Final = 48  # random states tried where the solver's own does not replay


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


def decide(obligation: Obligation, decisions: Decisions) -> Decision:
    """The decision of an obligation; its witness is in the obligation's own names."""
    if obligation.is_trivial:
        return Decision(Verdict.PROVED)
    text = canonical(obligation.roots)
    known = decisions.get(text.digest)
    if known is None:
        known = _solved(obligation, text)
        decisions.put(text.digest, known)
    return _renamed(known, text)


def _solved(obligation: Obligation, text: Canonical) -> Decision:
    answer = satisfiable(obligation.roots)
    if answer.status == "unsat":
        return Decision(Verdict.PROVED)
    if answer.model is None:
        return Decision(Verdict.UNKNOWN, reason=f"solver: {answer.reason}")
    first = Witness(tuple(sorted(answer.model.values.items())), answer.model.faults, SEED)
    witness = replayed(obligation.roots, first)
    if witness is None:
        return Decision(Verdict.UNKNOWN, reason="the solver's counterexample does not replay")
    numbered = {name: f"v{i}" for i, name in enumerate(text.names)}
    values = tuple((numbered[n], v) for n, v in witness.values if n in numbered)
    return Decision(Verdict.REFUTED, Witness(values, witness.faults, witness.seed))


def _renamed(decision: Decision, text: Canonical) -> Decision:
    if decision.witness is None:
        return decision
    values = tuple((text.names[int(n[1:])], v) for n, v in decision.witness.values)
    return Decision(decision.verdict, Witness(values, decision.witness.faults, decision.witness.seed))


def environment(variables: Mapping[str, bits.Sort], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for all variables: given ones, typical addresses, otherwise zero."""
    env: dict[str, Any] = {}
    for name, sort in variables.items():
        if name in values:
            env[name] = values[name]
        elif isinstance(sort, Array):
            env[name] = (0,) * (1 << sort.index_bits)
        elif isinstance(sort, int):
            env[name] = TYPICAL.get(name, 0) & ((1 << sort) - 1)
        else:
            env[name] = Memory()
    return env


def variables_of(roots: Sequence[Term]) -> dict[str, bits.Sort]:
    """Free variables and their sorts."""
    return {str(t.params[0]): t.sort for t in postorder(roots) if t.op == "var"}


def holds(evaluator: Evaluator, variables: Mapping[str, bits.Sort], witness: Witness,
          fixed: Mapping[str, int] | None = None) -> bool:  # fmt: skip
    """Whether all roots evaluate to 1 in the witness's state (with some variables fixed otherwise)."""
    values = dict(witness.values)
    values.update(fixed or {})
    env = environment(variables, values)
    world = World({(a, s, w): v for a, s, w, v in witness.faults}, witness.seed)
    return all(evaluator(env, world))


def replayed(roots: Sequence[Term], first: Witness, fixed: Mapping[str, int] | None = None) -> Witness | None:
    """A witness that replays without the solver, made small; None where none of the states tried does."""
    evaluator, variables = compiled(roots), variables_of(roots)
    for candidate in _candidates(variables, first):
        if holds(evaluator, variables, candidate, fixed):
            return _minimised(evaluator, variables, candidate, fixed)
    return None


def _candidates(variables: Mapping[str, bits.Sort], first: Witness) -> Sequence[Witness]:
    typical = {n: v for n, v in TYPICAL.items() if n in variables}
    placed = Witness(tuple(sorted({**dict(first.values), **typical}.items())), first.faults, first.seed)
    found = [Witness((), (), SEED), placed, first]
    random = Random(SEED)
    for _ in range(TRIES):
        values = {n: _random_value(random, s) for n, s in variables.items() if not isinstance(s, bits.Opaque)}
        found.append(Witness(tuple(sorted({**values, **typical}.items())), first.faults, random.getrandbits(16)))
    return found


def _random_value(random: Random, sort: bits.Sort) -> Any:
    if isinstance(sort, Array):
        return tuple(random.getrandbits(sort.value_bits) for _ in range(1 << sort.index_bits))
    assert isinstance(sort, int)
    return random.choice([0, 1, random.getrandbits(sort), random.getrandbits(min(sort, 5))]) & ((1 << sort) - 1)


def _minimised(evaluator: Evaluator, variables: Mapping[str, bits.Sort], witness: Witness,
               fixed: Mapping[str, int] | None) -> Witness:  # fmt: skip
    """Greedily fewer non-zero components, then fewer faults; the order is that of the names."""
    values, faults = dict(witness.values), witness.faults
    for name in sorted(values):
        rest = {n: v for n, v in values.items() if n != name}
        if holds(evaluator, variables, Witness(tuple(rest.items()), faults, witness.seed), fixed):
            values = rest
        elif isinstance(values[name], tuple):
            values[name] = _thinned(evaluator, variables, values, name, faults, witness.seed, fixed)
        else:
            values[name] = _smaller(evaluator, variables, values, name, faults, witness.seed, fixed)
    if faults and holds(evaluator, variables, Witness(tuple(values.items()), (), witness.seed), fixed):
        faults = ()
    return Witness(tuple(sorted(values.items())), faults, witness.seed)


def _thinned(evaluator: Evaluator, variables: Mapping[str, bits.Sort], values: Mapping[str, Any], name: str,
             faults: tuple[tuple[int, int, int, int], ...], seed: int,
             fixed: Mapping[str, int] | None) -> tuple[int, ...]:  # fmt: skip
    cells: tuple[int, ...] = values[name]
    for i in range(len(cells)):
        for small in (0, 1):
            trial = (*cells[:i], small, *cells[i + 1 :])
            if cells[i] > small and holds(
                evaluator, variables, Witness(tuple({**values, name: trial}.items()), faults, seed), fixed
            ):
                cells = trial
                break
    return cells


def _smaller(evaluator: Evaluator, variables: Mapping[str, bits.Sort], values: Mapping[str, Any], name: str,
             faults: tuple[tuple[int, int, int, int], ...], seed: int, fixed: Mapping[str, int] | None) -> int:  # fmt: skip
    value: int = values[name]
    for candidate in (1, *(value & ((1 << n) - 1) for n in (4, 8, 16, 32))):
        trial = Witness(tuple({**values, name: candidate}.items()), faults, seed)
        if candidate < value and holds(evaluator, variables, trial, fixed):
            return candidate
    return value


def default_component(name: str) -> Any:
    """The value that a state component has in a witness that does not name it."""
    return environment({name: component_sort(name)}, {})[name]
