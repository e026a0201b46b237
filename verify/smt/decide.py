"""Obligations decided: by identity of terms, from the ledger, or by the solver; every refutation is replayed.

A `Ledger` gives and takes decisions by canonical digest.  A witness is stored in canonical names, so that it serves
every obligation with the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import Any, Final, Protocol

from verify.models import bits
from verify.models.bits import Array, Term, not_, postorder
from verify.models.evaluation import Evaluator, Memory, World, compiled
from verify.models.machine import NO_FAULT, component_sort
from verify.smt.canonical import Canonical, canonical
from verify.smt.verdicts import Decision, Verdict, Witness
from verify.smt.z3terms import SEED, satisfiable

TYPICAL: Final[Mapping[str, Any]] = {"origin": 0x401000, "slot": 0x7FFFFFFFE080, "length": 4}
EASY_TRIES: Final = 12  # states tried before the solver is asked
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
    easy = replayed(obligation.roots, Witness((), (), SEED), tries=EASY_TRIES)
    if easy is not None:
        return _in_canonical_names(easy, text)
    answer = satisfiable(obligation.roots)
    if answer.status == "unsat":
        return Decision(Verdict.PROVED)
    if answer.model is None:
        return Decision(Verdict.UNKNOWN, reason=f"solver: {answer.reason}")
    faults = tuple((a, s, w, 14 if v != NO_FAULT else v) for a, s, w, v in answer.model.faults)
    first = Witness(tuple(sorted(answer.model.values.items())), faults, SEED, answer.model.loads)
    witness = replayed(obligation.roots, first)
    if witness is None:
        return Decision(Verdict.UNKNOWN, reason="the solver's counterexample does not replay")
    return _in_canonical_names(witness, text)


def _in_canonical_names(witness: Witness, text: Canonical) -> Decision:
    numbered = {name: f"v{i}" for i, name in enumerate(text.names)}
    values = tuple((numbered[n], v) for n, v in witness.values if n in numbered)
    return Decision(Verdict.REFUTED, replace(witness, values=values))


def _renamed(decision: Decision, text: Canonical) -> Decision:
    if decision.witness is None:
        return decision
    values = tuple((text.names[int(n[1:])], v) for n, v in decision.witness.values)
    return Decision(decision.verdict, replace(decision.witness, values=values))


def environment(variables: Mapping[str, bits.Sort], values: Mapping[str, Any], seed: int = SEED) -> dict[str, Any]:
    """Values for all variables: given ones, typical addresses, otherwise zero; memory is pseudo-random by seed."""
    env: dict[str, Any] = {}
    for name, sort in variables.items():
        if name in values:
            env[name] = values[name]
        elif isinstance(sort, Array):
            env[name] = (0,) * (1 << sort.index_bits)
        elif isinstance(sort, int):
            env[name] = TYPICAL.get(name, 0) & ((1 << sort) - 1)
        else:
            env[name] = Memory(seed)
    return env


def variables_of(roots: Sequence[Term]) -> dict[str, bits.Sort]:
    """Free variables and their sorts."""
    return {str(t.params[0]): t.sort for t in postorder(roots) if t.op == "var"}


def holds(evaluator: Evaluator, variables: Mapping[str, bits.Sort], witness: Witness,
          fixed: Mapping[str, int] | None = None) -> bool:  # fmt: skip
    """Whether all roots evaluate to 1 in the witness's state (with some variables fixed otherwise)."""
    values = dict(witness.values)
    values.update(fixed or {})
    env = environment(variables, values, witness.seed)
    if "memory" in env:
        for address, size, value in witness.memory:
            env["memory"] = env["memory"].write(address, value, size)
    world = World({(a, s, w): v for a, s, w, v in witness.faults}, witness.seed)
    return all(evaluator(env, world))


def replayed(
    roots: Sequence[Term], first: Witness, fixed: Mapping[str, int] | None = None, tries: int = TRIES
) -> Witness | None:
    """A witness that replays without the solver, made small; None where none of the states tried does."""
    evaluator, variables = compiled(roots), variables_of(roots)
    for candidate in islice(_candidates(variables, first), tries):
        if holds(evaluator, variables, candidate, fixed):
            return _minimised(evaluator, variables, candidate, fixed)
    return None


def _candidates(variables: Mapping[str, bits.Sort], first: Witness) -> Iterator[Witness]:
    typical = {n: v for n, v in TYPICAL.items() if n in variables}
    placed = replace(first, values=tuple(sorted({**dict(first.values), **typical}.items())))
    mapped = {n: _user_values(v) for n, v in placed.values}
    yield from (Witness((), (), SEED), placed, replace(first, values=tuple(mapped.items()), faults=()), first)
    random = Random(SEED)
    for _ in range(TRIES):
        values = {n: _random_value(random, s) for n, s in variables.items() if not isinstance(s, bits.Opaque)}
        values["gprs"] = _user_values(values.get("gprs", ()))
        yield Witness(tuple(sorted({**values, **typical}.items())), first.faults, random.getrandbits(16) | 1)


def _user_values(value: Any) -> Any:
    """64-bit registers moved into user space, so that an address made of one of them can be mapped."""
    if isinstance(value, tuple) and len(value) == 16:
        return tuple(v & 0x3FFFFFFFFFFF for v in value)
    return value


def _random_value(random: Random, sort: bits.Sort) -> Any:
    if isinstance(sort, Array):
        return tuple(random.getrandbits(sort.value_bits) for _ in range(1 << sort.index_bits))
    assert isinstance(sort, int)
    return random.choice([0, 1, random.getrandbits(sort), random.getrandbits(min(sort, 5))]) & ((1 << sort) - 1)


def _minimised(evaluator: Evaluator, variables: Mapping[str, bits.Sort], witness: Witness,
               fixed: Mapping[str, int] | None) -> Witness:  # fmt: skip
    """Greedily: no faults or memory contents, then fewer non-zero components in the order of names, then small ones."""

    def good(trial: Witness) -> bool:
        return holds(evaluator, variables, trial, fixed)

    for bare in (replace(witness, faults=(), memory=()), replace(witness, faults=()), replace(witness, memory=())):
        if bare != witness and good(bare):
            witness = bare
            break
    for name in sorted(dict(witness.values)):
        without = replace(witness, values=tuple((n, v) for n, v in witness.values if n != name))
        witness = without if good(without) else _thinned(good, witness, name)
    return witness


def _thinned(good: Callable[[Witness], bool], witness: Witness, name: str) -> Witness:
    """The component with as many zero registers, or as few bits, as still shows the deviation."""
    value = dict(witness.values)[name]
    cells: tuple[int, ...] = value if isinstance(value, tuple) else (value,)
    for i in range(len(cells)):
        for small in _smaller_numbers(cells[i]):
            trial = (*cells[:i], small, *cells[i + 1 :])
            values = {**dict(witness.values), name: trial if isinstance(value, tuple) else small}
            candidate = replace(witness, values=tuple(sorted(values.items())))
            if good(candidate):
                witness, cells = candidate, trial
                break
    return witness


def _smaller_numbers(value: int) -> Iterator[int]:
    candidates = (0, 1, *(value & ((1 << n) - 1) for n in (4, 8, 16, 32)))
    return (c for c in dict.fromkeys(candidates) if c < value)


def default_component(name: str) -> Any:
    """The value that a state component has in a witness that does not name it."""
    return environment({name: component_sort(name)}, {})[name]
