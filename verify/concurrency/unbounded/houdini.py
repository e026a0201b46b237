"""Houdini: the largest inductive subset of candidate clauses, and a small one that still implies the properties.

Every condition is quantifier-free: the state after a step is substituted, and clauses about the state before are
instantiated on the threads and indices that occur. That is weaker than the clauses, so an "unsatisfiable" is a proof
for any number of threads and any integer parameters of at least 1; nothing is concluded from "satisfiable".
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import z3

from verify.concurrency.language.domains import INT, THREAD
from verify.concurrency.language.guarded_commands import GuardedCommand, guarded_command
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.language.terms import Term
from verify.concurrency.language.terms import enabled as possibility
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.candidates import candidates
from verify.concurrency.unbounded.claims import finals
from verify.concurrency.unbounded.clauses import Clause, of_property
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.solvers import Expr, SolverAnswer, equality, implication, junction, negation, solver
from verify.concurrency.unbounded.symbols import Read, Symbols

MOST = 1_500  # candidates
WORK = 120_000_000  # units, where the limits do not say
QUERY = 17_000_000  # units of one question
ROUNDS = 3  # of instances where no step can be taken: each may mention further threads
JUDGED = ("always", "deadlock")


@dataclass(frozen=True, slots=True)
class Invariant:
    """Clauses that hold initially and are kept by every step, and imply the `proved` properties.

    `candidates`, `inductive`, `clauses`: how many came from the templates, were inductive together, and are needed.
    """

    protocol: str
    variant: str
    clauses: tuple[Clause, ...]
    proved: tuple[str, ...]
    open: tuple[str, ...]
    candidates: int
    inductive: int
    seconds: float


def invariant(
    protocol: Protocol,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    triples: bool | None = None,
    wanted: Iterable[str] | None = None,
    small: bool = True,
) -> Invariant:
    """An inductive invariant for any number of threads. Raises NotCovered.

    `wanted`: the properties to prove (None: every invariant and freedom from deadlock that is not declared to be
    wrong). `triples`: with candidates of three literals; None: only where those of two leave something wanted open.
    `small`: without the clauses that can be left out one by one, which takes longer than all else.
    """
    names = tuple(_provable(protocol) if wanted is None else wanted)
    budget = Budget(limits, WORK)
    found = _invariant(protocol, budget, bool(triples), names, small)
    if triples is not None or set(names) <= set(found.proved):
        return found
    try:
        more = _invariant(protocol, budget, True, names, small)
    except NotCovered:
        return found
    return more if len(more.proved) > len(found.proved) else found


def _provable(protocol: Protocol) -> list[str]:
    wrong = {name for name, verdict in protocol.expected if verdict == "refuted"}
    return [prop.name for prop in protocol.properties if prop.kind in JUDGED and prop.name not in wrong]


def _invariant(protocol: Protocol, budget: Budget, triples: bool, wanted: tuple[str, ...], small: bool) -> Invariant:
    began = time.perf_counter()
    pool = candidates(protocol, triples, budget.limits)
    if len(pool) > MOST:
        raise NotCovered(f"{len(pool)} candidates, more than {MOST}")
    conditions = Conditions(protocol, pool, budget)
    kept = conditions.inductive(frozenset(range(len(pool))))
    proved = [pool[index].name for index in kept if pool[index].name in protocol_names(protocol)]
    goal = frozenset(i for i in kept if pool[i].name in proved)
    if DEADLOCK in wanted and conditions.is_live(kept):
        proved.append(DEADLOCK)
        goal |= conditions.live_core(kept)
    needed = [pool[index] for index in sorted(conditions.needed(kept, goal))]
    chosen = Conditions(protocol, needed, budget).minimal(proved) if proved and small else tuple(needed)
    names = [prop.name for prop in protocol.properties if prop.kind in JUDGED]
    closed, left = tuple(n for n in names if n in proved), tuple(n for n in names if n not in proved)
    spent = time.perf_counter() - began
    return Invariant(protocol.name, protocol.variant, chosen, closed, left, len(pool), len(kept), spent)


def protocol_names(protocol: Protocol) -> set[str]:
    """The names of its invariants."""
    return {prop.name for prop in protocol.properties if prop.kind == "always"}


@dataclass(frozen=True, slots=True)
class _Condition:
    """One step's condition: with the selectors of clauses assumed, may the violation of one come true?"""

    name: str
    made: z3.Solver
    violated: tuple[Expr, ...]


class Conditions:
    """The conditions of one protocol and one list of clauses."""

    def __init__(self, protocol: Protocol, clauses: list[Clause], budget: Budget) -> None:
        self.protocol, self.clauses, self.budget = protocol, clauses, budget
        self.symbols = Symbols(protocol, budget.spend)
        self.goals = itertools.count()
        self.selectors = [self.symbols.truth(f"clause.{index}") for index in range(len(clauses))]
        self.without = [negation(selector) for selector in self.selectors]
        self.numbers = {selector.get_id(): index for index, selector in enumerate(self.selectors)}
        self.initial = self._initial()
        self.steps = [self._step(guarded_command(step)) for step in protocol.steps]
        self.stuck: _Condition | None = None

    # --- making ----------------------------------------------------------------------------------------------------
    def _generic(self) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        """The threads and indices for which a clause is violated."""
        threads = max(len(clause.threads) for clause in self.clauses)
        indices = max(len(clause.indices) for clause in self.clauses)
        return (
            tuple(self.symbols.fresh("t", THREAD) for _ in range(threads)),
            tuple(self.symbols.fresh("k", INT) for _ in range(indices)),
        )

    def _violations(self, threads: tuple[Expr, ...], indices: tuple[Expr, ...], read: Read) -> list[Expr]:
        found = []
        for clause in self.clauses:
            chosen = threads[: len(clause.threads)], indices[: len(clause.indices)]
            found.append(negation(self.symbols.clause(clause, *chosen, read)))
        return found

    def _finished(self, name: str, facts: list[Expr], violations: list[Expr], instances: list[Expr]) -> _Condition:
        """The solver of a condition, its axioms included."""
        self.budget.look()
        made = solver(self.symbols.context)
        made.add(*facts, *self.symbols.size_assumptions(), *self.symbols.settle())
        made.add(*instances)
        marks = [self.symbols.truth(f"violated.{name}.{index}") for index in range(len(violations))]
        for mark, violation in zip(marks, violations, strict=True):
            made.add(implication(mark, violation))
        return _Condition(name, made, tuple(marks))

    def _initial(self) -> _Condition:
        self.symbols.clear()
        threads, indices = self._generic()
        first = self.symbols.fresh("first", THREAD)
        violations = self._violations(threads, indices, self.symbols.initially(first))
        return self._finished("initial", [], violations, [])

    def _step(self, split: GuardedCommand) -> _Condition:
        symbols = self.symbols
        symbols.clear()
        env = {name: symbols.fresh(name, THREAD) for name in split.step.threads}
        acting = list(env.values())
        facts = [thread != symbols.nobody for thread in acting]
        facts += [z3.Distinct(acting)] if len(acting) > 1 else []
        for name, over in split.step.choices:
            env[name] = symbols.fresh(name, INT)
            low, high = (symbols.term(part, {}, symbols.before) for part in (over.lo, over.hi))
            facts += [low <= env[name], env[name] < high]
        threads, indices = self._generic()
        facts += [symbols.term(conjunct.term, env, symbols.before) for conjunct in split.guard]
        violations = self._violations(threads, indices, symbols.after(split, env))
        symbols.closure()
        instances = symbols.instances(self.clauses, self.selectors)
        return self._finished(split.step.name, facts, violations, instances)

    def _stuck(self) -> _Condition:
        """That the clauses hold in a state that is not final, of one thread or more, and no step can be taken."""
        symbols = self.symbols
        symbols.clear()
        symbols.mention_index(symbols.number(0))
        facts = [negation(equality(symbols.fresh("some", THREAD), symbols.nobody))]
        facts += [negation(symbols.term(end, {}, symbols.before)) for end in finals(self.protocol)]
        possible = {step.name: possibility(step, step.threads) for step in self.protocol.steps}
        done: set[tuple[object, ...]] = set()
        for number in range(ROUNDS):
            for step in sorted(self.protocol.steps, key=lambda step: len(step.threads)):
                for some in itertools.permutations(list(symbols.threads.values()), len(step.threads)):
                    key = (step.name, *(thread.get_id() for thread in some))
                    if key not in done:
                        self.budget.look()
                        done.add(key)
                        facts.append(self._impossible(possible[step.name], step.threads, some))
            if number == 0:
                symbols.closure()
            symbols.settle()
        instances = symbols.instances(self.clauses, self.selectors)
        return self._finished("stuck", facts, [], instances)

    def _impossible(self, possible: Term, names: tuple[str, ...], threads: tuple[Expr, ...]) -> Expr:
        """That these threads, if they are different ones, cannot take a step."""
        symbols = self.symbols
        same = [equality(thread, symbols.nobody) for thread in threads]
        same += [equality(a, b) for a, b in itertools.combinations(threads, 2)]
        guard = symbols.term(possible, dict(zip(names, threads, strict=True)), symbols.before)
        return junction("or", [*same, negation(guard)])

    # --- deciding --------------------------------------------------------------------------------------------------
    def inductive(self, active: frozenset[int]) -> frozenset[int]:
        """The largest subset that holds initially and is kept by every step."""
        kept = self._sweep(self.initial, active)
        while True:
            before = kept
            for step in self.steps:
                kept = self._sweep(step, kept)
            if kept == before:
                return kept

    def _sweep(self, condition: _Condition, active: frozenset[int]) -> frozenset[int]:
        """Drops clauses until no active one is violated by this condition."""
        either = [junction("and", (self.selectors[i], condition.violated[i])) for i in sorted(active)]
        goal = self._one_of(condition, either)
        while active:
            chosen = [self.selectors[i] if i in active else self.without[i] for i in range(len(self.clauses))]
            answer = self._asked(condition, (*chosen, goal))
            if answer.unsat:
                return active
            if answer.status == z3.unknown:
                raise NotCovered(f"the solver gave up on {condition.name}")
            model = condition.made.model()
            dropped = {i for i in active if z3.is_true(model.eval(condition.violated[i]))}
            if not dropped:
                raise AssertionError("a model violates a clause and no clause is marked")
            active = active - dropped
        return active

    def is_live(self, kept: Iterable[int]) -> bool:
        """Whether the clauses say that each state is final, or has a step that can be taken."""
        self.budget.look()
        self.stuck = self.stuck or self._stuck()
        return self._asked(self.stuck, [self.selectors[i] for i in sorted(kept)]).unsat

    def live_core(self, kept: frozenset[int]) -> frozenset[int]:
        """Some of the clauses that say so."""
        if self.stuck is None or not self.is_live(kept):
            raise AssertionError("the clauses do not say that no state is a deadlock")
        return frozenset(self._named(self.stuck))

    def _named(self, condition: _Condition) -> set[int]:
        """The clauses in the last core of a condition."""
        core = (item.get_id() for item in condition.made.unsat_core())
        return {self.numbers[number] for number in core if number in self.numbers}

    def needed(self, kept: frozenset[int], wanted: frozenset[int]) -> frozenset[int]:
        """An inductive subset of `kept` that holds `wanted`: what the cores name, from `wanted` on."""
        found, fresh = set(wanted), set(wanted)
        while fresh:
            more = {index for step in self.steps for index in self._core(step, kept, fresh)}
            fresh, found = more - found, found | more
        return frozenset(found)

    def minimal(self, wanted: Collection[str]) -> tuple[Clause, ...]:
        """The inductive clauses without those that can be left out one by one; `wanted` stay."""
        active = frozenset(range(len(self.clauses)))
        for index in reversed(range(len(self.clauses))):
            rest = active - {index}
            kept = DEADLOCK not in wanted or self.is_live(rest)
            if self.clauses[index].name not in wanted and kept and self.is_inductive(rest):
                active = rest
        return tuple(self.clauses[index] for index in sorted(active))

    def _core(self, condition: _Condition, kept: frozenset[int], some: Iterable[int]) -> set[int]:
        """Clauses that keep some of them over a step."""
        goal = self._goal(condition, some)
        if not self._asked(condition, (*(self.selectors[i] for i in sorted(kept)), goal)).unsat:
            raise NotCovered(f"the solver gave up on {condition.name}")
        return self._named(condition)

    def _goal(self, condition: _Condition, some: Iterable[int]) -> Expr:
        """That one of some clauses is violated after the step."""
        return self._one_of(condition, [condition.violated[i] for i in sorted(some)])

    def _one_of(self, condition: _Condition, terms: list[Expr]) -> Expr:
        """An assumption that says so."""
        goal = self.symbols.truth(f"goal.{condition.name}.{next(self.goals)}")
        condition.made.add(implication(goal, junction("or", terms) if terms else self.symbols.boolean(False)))
        return goal

    def _asked(self, condition: _Condition, assumed: Sequence[Expr]) -> SolverAnswer:
        return self.budget.asked(condition.made, assumed, QUERY)

    def is_inductive(self, active: frozenset[int]) -> bool:
        """Whether the clauses are kept by every step, and hold initially."""
        for condition in list(self.steps):
            if self._broken(condition, active):
                self.steps.remove(condition)  # what refused one subset is likely to refuse the next
                self.steps.insert(0, condition)
                return False
        return not self._broken(self.initial, active)

    def _broken(self, condition: _Condition, active: frozenset[int]) -> bool:
        goal = self._goal(condition, active)
        return not self._asked(condition, (*(self.selectors[i] for i in sorted(active)), goal)).unsat


__all__ = ["Conditions", "Invariant", "invariant", "of_property"]
