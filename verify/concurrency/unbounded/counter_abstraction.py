"""Counters: how many threads are in each local state, as Horn clauses over integers for Z3's Spacer.

Threads are symmetric, so the shared state with the number of threads in each local state (record, and which shared
cells name the thread) is exact for any number of threads. Shared and local states come from view abstraction, for the
given sizes; it sees every reachable one. What views cannot say, "some thread holds the object", counters can.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import z3

from verify.concurrency.instance.dag import Dag, Node, evaluate
from verify.concurrency.instance.instantiation import Scope
from verify.concurrency.instance.transitions import Transition
from verify.concurrency.language.guarded_commands import guarded_command
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import PropertyTerm, Quantified, StepTerm, Term
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.encoding import (
    NotCovered,
    Sight,
    answers,
    check_step,
    check_terms,
    thread_quantifiers,
    tracked,
)
from verify.concurrency.unbounded.solvers import Constants, Expr, horn, junction, negation
from verify.concurrency.unbounded.views import ConfigurationSpace, Entry, Key, Reached

MOST_STATES = 40  # local states, each with a counter
MOST_RULES = 1_500
WORK = 52_000_000  # units, where the limits do not say
SETTING = 100  # units of looking at some threads in some local states


@dataclass(frozen=True, slots=True)
class Counted:
    """Properties that hold for every number of threads from `least` on, for the given sizes; a note for people."""

    least: int
    proved: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class HornRule:
    """In shared state `key`, threads in the local states `acting` move to `becomes`, all others by `moves`.

    `absent`: no other thread is in one of these states; `present`: for each set, some other thread is in one of them.
    """

    key: int
    acting: tuple[int, ...]
    absent: frozenset[int]
    present: tuple[frozenset[int], ...]
    after: int = 0
    becomes: tuple[int, ...] = ()
    moves: tuple[tuple[int, int], ...] = ()


def counted(protocol: Protocol, names: list[str], limits: Limits) -> Counted:
    """Judges the named invariants. Raises NotCovered."""
    budget = Budget(limits, WORK)
    began = time.perf_counter()
    system = System.of(protocol, limits, budget.spend)
    rules: list[HornRule] = []
    for rule in (rule for step in protocol.steps for rule in system.step(step)):
        rules.append(rule)
        budget.look()
        if len(rules) > MOST_RULES:
            raise NotCovered(f"more than {MOST_RULES} rules")
    engine = _Engine(system, rules, budget)
    proved = tuple(name for name in names if engine.proves(system.failing(protocol.property_named(name), rules)))
    spent = time.perf_counter() - began
    least = max(space.threads for space in system.reached.spaces)
    return Counted(least, proved, f"{len(system.entries)} counters, {len(rules)} rules, {spent:.2f} s")


@dataclass(slots=True)
class System:
    """The shared and local states of a protocol by number."""

    protocol: Protocol
    reached: Reached
    keys: dict[Key, int]
    entries: dict[Entry, int]
    spend: Callable[[int], None]
    spaces: dict[int, tuple[ConfigurationSpace, Sight]] = field(default_factory=dict)

    @staticmethod
    def of(protocol: Protocol, limits: Limits, spend: Callable[[int], None]) -> System:
        """Numbers what views of one thread reach."""
        reached = Reached(protocol, 1, limits, time.perf_counter())
        reached.close()
        if reached.reason:
            raise NotCovered(reached.reason)
        keys = {key: number for number, key in enumerate(reached.views)}
        entries = {entry: i for i, entry in enumerate(sorted({e for held in reached.single.values() for e in held}))}
        if len(entries) > MOST_STATES:
            raise NotCovered(f"{len(entries)} local states, more than {MOST_STATES} counters")
        return System(protocol, reached, keys, entries, spend)

    def space(self, threads: int) -> tuple[ConfigurationSpace, Sight]:
        """The layout for some tracked threads, and a scope in which quantifiers are answered."""
        if threads not in self.spaces:
            model = tracked(self.protocol, threads, ()).model
            scope = Sight(self.protocol, threads, model.slots, Dag())
            scope.total = True
            self.spaces[threads] = ConfigurationSpace.of(self.protocol, threads, ()), scope
        return self.spaces[threads]

    def settings(self, count: int) -> Iterator[tuple[Key, tuple[Entry, ...]]]:
        """Every shared state with `count` threads in local states that were seen there."""
        low = (1 << len(self.reached.layout.identities)) - 1
        for key, held in self.reached.single.items():
            for chosen in itertools.product(held, repeat=count):
                self.spend(SETTING)
                if all(not a & b & low for a, b in itertools.combinations(chosen, 2)):
                    yield key, chosen

    def step(self, step: StepTerm) -> Iterator[HornRule]:
        """The rules of a step."""
        check_step(step)
        bodies = _bodies(step)
        count = len(step.threads)
        space, scope = self.space(count + 1)
        for scope.rest in answers({name: (0, 1) for name in bodies}):
            for one in scope.instances(step, 0):
                if one.threads == tuple(range(count)):
                    asked = _asked(scope, step, one, bodies)
                    for key, acting in self.settings(count):
                        yield from self.rule(space, scope, one, asked, key, acting)

    def rule(
        self, space: ConfigurationSpace, scope: Sight, one: Transition, asked: Mapping[str, _Question], key: Key,
        acting: tuple[Entry, ...],
    ) -> Iterator[HornRule]:  # fmt: skip
        """The rule of one transition in one setting, if it can be taken there."""
        others = self.others(key, acting)
        first = self.cells(space, key, (*acting, others[0] if others else 0))
        if not evaluate(one.guard, first):
            return
        condition = self.condition(space, scope.rest, asked, key, acting)
        if condition is None:
            return
        after, becomes = self.taken(space, one, key, acting, others[0] if others else 0)
        if after < 0 or min(becomes[: len(acting)], default=0) < 0:
            return  # no view goes there: it takes fewer threads than views cover
        moves = tuple((self.entries[other], self.moved(space, one, key, acting, other)) for other in others)
        here = tuple(self.entries[entry] for entry in acting)
        yield HornRule(self.keys[key], here, *condition, after, becomes[: len(acting)], moves)

    def others(self, key: Key, acting: tuple[Entry, ...]) -> list[Entry]:
        """The local states in which other threads may be."""
        low = (1 << len(self.reached.layout.identities)) - 1
        return [entry for entry in self.reached.single[key] if all(not entry & own & low for own in acting)]

    def cells(self, space: ConfigurationSpace, key: Key, entries: tuple[Entry, ...]) -> tuple[int, ...]:
        """The values of all cells in a configuration."""
        return space.model.cells(space.packed(key, entries))

    def taken(
        self, space: ConfigurationSpace, one: Transition, key: Key, acting: tuple[Entry, ...], other: Entry
    ) -> tuple[int, tuple[int, ...]]:
        """Numbers of the shared state and of the local states after the transition."""
        cells = list(self.cells(space, key, (*acting, other)))
        before = tuple(cells)
        for number, node in one.updates:
            cells[number] = evaluate(node, before)
        new, entries = space.unpacked(space.model.packed(tuple(cells)))
        return self.keys.get(new, -1), tuple(self.entries.get(entry, -1) for entry in entries)

    def moved(
        self, space: ConfigurationSpace, one: Transition, key: Key, acting: tuple[Entry, ...], other: Entry
    ) -> int:
        """The local state to which the transition moves a thread that does not act."""
        return self.taken(space, one, key, acting, other)[1][-1]

    def condition(
        self,
        space: ConfigurationSpace,
        rest: Mapping[str, int],
        asked: Mapping[str, _Question],
        key: Key,
        acting: tuple[Entry, ...],
    ) -> tuple[frozenset[int], tuple[frozenset[int], ...]] | None:
        """Which local states others must not be in, and must be in, for these answers; None: these are impossible."""
        absent: set[int] = set()
        present: list[frozenset[int]] = []
        for name, question in asked.items():
            wanted = question.kind == "any"  # what a single thread must say to decide the quantifier
            others = self.others(key, acting)
            cells = self.cells(space, key, (*acting, others[0] if others else 0))
            own = any(bool(evaluate(node, cells)) == wanted for node in question.acting)
            deciding = frozenset(
                self.entries[other]
                for other in others
                if bool(evaluate(question.other, self.cells(space, key, (*acting, other)))) == wanted
            )
            decided = bool(rest[name]) == wanted
            if not decided and own:
                return None
            if not decided:
                absent |= deciding
            elif not own:
                present.append(deciding)
        return frozenset(absent), tuple(present)

    def failing(self, prop: PropertyTerm, rules: list[HornRule]) -> list[Failure]:
        """Where the property fails; for freedom from deadlock where no state may be final and no rule applies."""
        if prop.kind != "deadlock":
            return [(rule, ()) for rule in self.violations(prop)]
        here: dict[int, list[HornRule]] = {key: [] for key in self.keys.values()}
        for rule in rules:
            here[rule.key].append(rule)
        return [(rule, tuple(here[rule.key])) for rule in self.violations(prop)]

    def violations(self, prop: PropertyTerm) -> list[HornRule]:
        """Where the property, or the claim of a deadlock, fails."""
        terms = (prop.premise, prop.claim)
        check_terms(terms)
        bodies = {q.variable: q for term in terms for q in thread_quantifiers(term)}
        count = len(prop.threads)
        space, scope = self.space(count + 1)
        env = {name: scope.dag.const(i + 1) for i, name in enumerate(prop.threads)}
        found = []
        for scope.rest in answers({name: (0, 1) for name in bodies}):
            bad = scope.dag.conjunction(
                (scope.term(prop.premise, env), scope.dag.negation(scope.term(prop.claim, env)))
            )
            asked = {name: _question(scope, q, env, count) for name, q in bodies.items()}
            for key, acting in self.settings(count):
                others = self.others(key, acting)
                if evaluate(bad, self.cells(space, key, (*acting, others[0] if others else 0))):
                    condition = self.condition(space, scope.rest, asked, key, acting)
                    if condition is not None:
                        here = tuple(self.entries[entry] for entry in acting)
                        found.append(HornRule(self.keys[key], here, *condition))
        return found


Failure = tuple[HornRule, tuple[HornRule, ...]]
"""A rule without an effect, and others that do not apply."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A quantifier over threads: what it says of each acting thread and of another one."""

    kind: str
    acting: tuple[Node, ...]
    other: Node


def _question(scope: Scope, term: Quantified, env: Mapping[str, Node], count: int) -> _Question:
    said = [scope.term(term.body, {**env, term.variable: scope.dag.const(i + 1)}) for i in range(count + 1)]
    return _Question(term.kind, tuple(said[:-1]), said[-1])


def _bodies(step: StepTerm) -> dict[str, Quantified]:
    """The quantifiers over threads of a step, about the state before it."""
    split = guarded_command(step)
    terms: list[Term] = [conjunct.term for conjunct in split.guard]
    terms += [term for write in split.writes for term in (write.condition, write.value)]
    found: dict[str, Quantified] = {}
    for quantifier in (q for term in terms for q in thread_quantifiers(term)):
        if found.setdefault(quantifier.variable, quantifier) != quantifier:
            raise NotCovered(f"step {step.name}: a quantifier over threads changes its meaning during the step")
    return found


def _asked(scope: Sight, step: StepTerm, one: Transition, bodies: Mapping[str, Quantified]) -> dict[str, _Question]:
    """The quantifiers of a step for one of its transitions."""
    const = scope.dag.const
    env = {name: const(thread + 1) for name, thread in zip(step.threads, one.threads, strict=True)}
    env |= {name: const(value) for (name, _), value in zip(step.choices, one.choices, strict=True)}
    for let in step.lets:
        env[let.name] = scope.term(let.value, env)
    return {name: _question(scope, body, env, len(step.threads)) for name, body in bodies.items()}


class _Engine:
    """The rules as Horn clauses: a relation for each shared state over the counters of the local states seen there."""

    def __init__(self, system: System, rules: list[HornRule], budget: Budget) -> None:
        self.constants, self.budget = Constants(), budget
        self.made = horn(self.constants.context)
        self.counts = [self.constants.integer(f"count.{number}") for number in range(len(system.entries))]
        self.made.declare_var(*self.counts)
        self.seen = [sorted(system.entries[entry] for entry in system.reached.single[key]) for key in system.keys]
        self.relations = [
            z3.Function(f"reached.{key}", *[self.constants.integers] * len(held), self.constants.truths)
            for key, held in enumerate(self.seen)
        ]
        self.made.register_relation(*self.relations)
        low = (1 << len(system.reached.layout.identities)) - 1
        self.single = {number for entry, number in system.entries.items() if entry & low}
        self.queries = 0
        self.start(system)
        for rule in rules:
            self.made.rule(self.at(rule.after, self.after(rule)), [self.at(rule.key, self.counts), *self.taken(rule)])

    def at(self, key: int, counts: list[Expr]) -> Expr:
        """That the shared state is reached with these counters."""
        return self.relations[key](*(counts[number] for number in self.seen[key]))

    def start(self, system: System) -> None:
        """Any number of threads in the initial local state, one of them perhaps in another."""
        for key, entries in system.reached.starting():
            tally = Counter(system.entries[entry] for entry in entries)
            usual = tally.most_common(1)[0][0]
            facts = [
                count >= tally[number] if number == usual else count == tally[number]
                for number, count in enumerate(self.counts)
            ]
            self.made.rule(self.at(system.keys[key], self.counts), facts)

    def taken(self, rule: HornRule) -> list[Expr]:
        """When the rule applies. What holds of every count is said too, for it helps Spacer."""
        held = self.seen[rule.key]
        once = [self.counts[number] <= 1 for number in held if number in self.single]
        return [*self.applies(rule), *(self.counts[number] >= 0 for number in held), *once]

    def applies(self, rule: HornRule) -> list[Expr]:
        """When the rule applies, in its shared state."""
        own = Counter(rule.acting)
        facts = [self.counts[number] >= many for number, many in own.items()]
        facts += [self.counts[number] <= own[number] for number in sorted(rule.absent)]
        for some in rule.present:
            more = [self.counts[number] > own[number] for number in sorted(some)]
            facts.append(junction("or", more) if more else self.constants.boolean(False))
        return facts or [self.constants.boolean(True)]

    def after(self, rule: HornRule) -> list[Expr]:
        """The counters afterwards."""
        own = Counter(rule.acting)
        moves = dict(rule.moves)
        terms: list[list[Expr]] = [[] for _ in self.counts]
        for number in self.seen[rule.key]:
            left = self.counts[number] - own[number] if own[number] else self.counts[number]
            if moves.get(number, -1) >= 0:
                terms[moves[number]].append(left)
        for number in rule.becomes:
            terms[number].append(self.constants.number(1))
        return [z3.Sum(held) if len(held) > 1 else held[0] if held else self.constants.number(0) for held in terms]

    def proves(self, failing: list[Failure]) -> bool:
        """Whether none of these can come true."""
        bad = z3.Function(f"bad.{self.queries}", self.constants.truths)
        self.queries += 1
        self.made.register_relation(bad)
        for rule, others in failing:
            blocked = [negation(junction("and", self.applies(other))) for other in others]
            self.made.rule(bad(), [self.at(rule.key, self.counts), *self.taken(rule), *blocked])
        return self.budget.left > 0 and self.budget.asked(self.made, bad()).unsat
