"""Houdini: the largest inductive subset of candidate clauses, and a small one that still implies the properties.

Every condition is quantifier-free: the state after a step is substituted, and clauses about the state before are
instantiated on the threads and indices that occur. That is weaker than the clauses, so an "unsatisfiable" is a proof
for any number of threads and any integer parameters of at least 1; nothing is concluded from "satisfiable".
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import z3

from verify.concurrency.domains import INT, THREAD
from verify.concurrency.language import Protocol
from verify.concurrency.parts import Parts, parts
from verify.concurrency.unbounded.candidates import candidates
from verify.concurrency.unbounded.clauses import Clause, of_property
from verify.concurrency.unbounded.solvers import Expr, asked, implication, junction, negation, solver
from verify.concurrency.unbounded.symbols import Read, Symbols
from verify.concurrency.unbounded.tracked import NotCovered

MOST = 1_500  # candidates


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


def invariant(protocol: Protocol, seconds: float = 60.0, triples: bool | None = None) -> Invariant:
    """An inductive invariant for any number of threads. Raises NotCovered.

    `triples`: with candidates of three literals; None: only where those of two leave something open.
    """
    if triples is None:
        began = time.perf_counter()
        found = invariant(protocol, seconds, False)
        left = seconds - (time.perf_counter() - began)
        if not found.open or left < seconds / 3 or set(found.open) <= _refuted(protocol):
            return found
        try:
            more = invariant(protocol, left, True)
        except NotCovered:
            return found
        return more if len(more.proved) > len(found.proved) else found
    return _invariant(protocol, seconds, triples)


def _refuted(protocol: Protocol) -> set[str]:
    """What no invariant can prove: it is declared to be wrong."""
    return {name for name, verdict in protocol.expected if verdict == "refuted"}


def _invariant(protocol: Protocol, seconds: float, triples: bool) -> Invariant:
    began = time.perf_counter()
    names = [prop.name for prop in protocol.properties if prop.kind == "always"]
    pool = candidates(protocol, triples)
    if len(pool) > MOST:
        raise NotCovered(f"{len(pool)} candidates, more than {MOST}")
    conditions = Conditions(protocol, pool, began + seconds)
    kept = conditions.inductive(frozenset(range(len(pool))))
    proved = tuple(name for name in names if any(pool[index].name == name for index in kept))
    wanted = frozenset(i for i in kept if pool[i].name in proved)
    needed = [pool[index] for index in sorted(conditions.needed(kept, wanted))]
    chosen = Conditions(protocol, needed, began + seconds).minimal(proved) if proved else ()
    left = tuple(name for name in names if name not in proved)
    spent = time.perf_counter() - began
    return Invariant(protocol.name, protocol.variant, chosen, proved, left, len(pool), len(kept), spent)


@dataclass(frozen=True, slots=True)
class _Condition:
    """One step's condition: with the selectors of clauses assumed, may the violation of one come true?"""

    name: str
    made: z3.Solver
    violated: tuple[Expr, ...]


class Conditions:
    """The conditions of one protocol and one list of clauses."""

    def __init__(self, protocol: Protocol, clauses: list[Clause], until: float) -> None:
        self.protocol, self.clauses, self.until = protocol, clauses, until
        self.symbols = Symbols(protocol)
        self.selectors = [z3.Bool(f"clause.{index}") for index in range(len(clauses))]
        self.without = [negation(selector) for selector in self.selectors]
        self.numbers = {selector.get_id(): index for index, selector in enumerate(self.selectors)}
        self.initial = self._initial()
        self.steps = [self._step(parts(step)) for step in protocol.steps]

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
        made = solver()
        made.add(*facts, *self.symbols.sized(), *self.symbols.settle())
        made.add(*instances)
        marks = [z3.Bool(f"violated.{name}.{index}") for index in range(len(violations))]
        for mark, violation in zip(marks, violations, strict=True):
            made.add(implication(mark, violation))
        return _Condition(name, made, tuple(marks))

    def _initial(self) -> _Condition:
        self.symbols.clear()
        threads, indices = self._generic()
        first = self.symbols.fresh("first", THREAD)
        violations = self._violations(threads, indices, self.symbols.initially(first))
        return self._finished("initial", [], violations, [])

    def _step(self, split: Parts) -> _Condition:
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
        goal = z3.Bool(f"goal.{condition.name}.{time.perf_counter_ns()}")
        either = [junction("and", (self.selectors[i], condition.violated[i])) for i in active]
        condition.made.add(implication(goal, junction("or", either)))
        while active:
            self._in_time()
            chosen = [self.selectors[i] if i in active else self.without[i] for i in range(len(self.clauses))]
            answer = asked(condition.made, (*chosen, goal))
            if answer == z3.unsat:
                return active
            if answer == z3.unknown:
                raise NotCovered(f"the solver gave up on {condition.name}")
            model = condition.made.model()
            dropped = {i for i in active if z3.is_true(model.eval(condition.violated[i]))}
            if not dropped:
                raise AssertionError("a model violates a clause and no clause is marked")
            active = active - dropped
        return active

    def needed(self, kept: frozenset[int], wanted: frozenset[int]) -> frozenset[int]:
        """An inductive subset of `kept` that holds `wanted`: what the cores name, from `wanted` on."""
        found, fresh = set(wanted), set(wanted)
        while fresh:
            more = {index for step in self.steps for index in self._core(step, kept, fresh)}
            fresh, found = more - found, found | more
        return frozenset(found)

    def minimal(self, wanted: tuple[str, ...]) -> tuple[Clause, ...]:
        """The inductive clauses without those that can be left out one by one; `wanted` stay."""
        active = frozenset(range(len(self.clauses)))
        for index in reversed(range(len(self.clauses))):
            if self.clauses[index].name not in wanted and self.is_inductive(active - {index}):
                active = active - {index}
        return tuple(self.clauses[index] for index in sorted(active))

    def _core(self, condition: _Condition, kept: frozenset[int], some: Iterable[int]) -> set[int]:
        """Clauses that keep some of them over a step."""
        goal = self._goal(condition, some)
        if asked(condition.made, (*(self.selectors[i] for i in sorted(kept)), goal)) != z3.unsat:
            raise NotCovered(f"the solver gave up on {condition.name}")
        core = (item.get_id() for item in condition.made.unsat_core())
        return {self.numbers[number] for number in core if number in self.numbers}

    def _goal(self, condition: _Condition, some: Iterable[int]) -> Expr:
        """That one of some clauses is violated after the step."""
        self._in_time()
        goal = z3.Bool(f"goal.{condition.name}.{time.perf_counter_ns()}")
        condition.made.add(implication(goal, junction("or", [condition.violated[i] for i in sorted(some)])))
        return goal

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
        return bool(asked(condition.made, (*(self.selectors[i] for i in sorted(active)), goal)) != z3.unsat)

    def _in_time(self) -> None:
        if time.perf_counter() > self.until:
            raise NotCovered("no invariant within the time allowed")


__all__ = ["Conditions", "Invariant", "invariant", "of_property"]
