"""The conditions of a certificate of liveness as SMT-LIB 2 texts; each must be "unsat".

One says that an initial state is outside the listed views; one a step and part of thread t in it that the step, taken
in a state of listed views only, leads t from its view to one that is not listed for that; and others that a guard, a
claim, or the absence of a premise is not what the certificate says in some view. What is known of the state: every
thread has a listed view, there are `least` threads and, where the certificate uses it, the stored invariant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from verify.concurrency.language.domains import THREAD
from verify.concurrency.language.guarded_commands import guarded_command
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    NO_THREAD,
    AllThreads,
    Bound,
    Op,
    PropertyTerm,
    Quantified,
    StepTerm,
    Term,
    conjuncts,
    negation,
    substitute,
    walk,
)
from verify.concurrency.unbounded.certificate_check import Nodes, Views, numbers
from verify.concurrency.unbounded.clauses import Clause, read, shown
from verify.concurrency.unbounded.smtlib import NEXT, SmtQuery, Text
from verify.report.explorations import ClauseRow

T = Bound("t", THREAD)
TRACKED = "|thread t|"


class Conditions:
    """Writes the conditions of one certificate."""

    def __init__(self, protocol: Protocol, views: Views, invariant: tuple[Clause, ...]) -> None:
        self.protocol, self.views, self.invariant = protocol, views, invariant
        self.shared = [self.read(f"shared state {i}", text) for i, text in enumerate(views.stored.shared)]
        self.records = [self.read(f"record {i}", text) for i, text in enumerate(views.stored.records)]

    def read(self, name: str, text: str) -> Term:
        """An expression about thread t. Raises ProtocolError."""
        return read(self.protocol, ClauseRow(name=name, holds=text, threads=("t",))).body

    def all(self) -> Iterator[SmtQuery]:
        """Every condition."""
        yield self.initial()
        for step in self.protocol.steps:
            for roles in _parts(step):
                yield self.edge(step, roles)
        for step in self.protocol.steps:
            yield from self.guards(step)
        for proof in self.views.stored.proves:
            prop = self.protocol.property_named(proof.property)
            yield self.truth(f"claim of {prop.name}", numbers(proof.claimed), _of_t(prop, prop.claim))
            yield self.truth(f"no premise of {prop.name}", numbers(proof.unmet), negation(_of_t(prop, prop.premise)))

    def owners(self) -> dict[str, tuple[Nodes, Nodes]]:
        """For each shared cell that names a thread: the views in which it names t, and in which another thread."""
        records = [set(conjuncts(term)) for term in self.records]
        shared = [set(conjuncts(term)) for term in self.shared]
        cells = {part.args[0] for parts in records for part in parts if isinstance(part, Op) and part.args[1:] == (T,)}
        found = {}
        for cell in cells:
            mine, not_mine, somebody = Op("==", (cell, T)), Op("!=", (cell, T)), Op("!=", (cell, NO_THREAD))
            views = [(n, records[self.views.record[n]], shared[self.views.shared[n]]) for n in self.views.every]
            found[shown(cell).removeprefix("s.")] = (
                frozenset(n for n, record, _ in views if mine in record),
                frozenset(n for n, record, state in views if not_mine in record and somebody in state),
            )
        return found

    # --- the state --------------------------------------------------------------------------------------------------
    def views_of(self, text: Text, when: str) -> list[str]:
        """Shared states and records as functions of the state."""
        lines = [
            f"(define-fun |shared {i}{when}| () Bool {text.term(term, {}, when)})" for i, term in enumerate(self.shared)
        ]
        return lines + [
            f"(define-fun |record {i}{when}| ((x Thread)) Bool {text.term(term, {'t': 'x'}, when)})"
            for i, term in enumerate(self.records)
        ]

    def view(self, node: int, thread: str, when: str = "") -> str:
        """That a thread has a view."""
        return f"(and |shared {self.views.shared[node]}{when}| (|record {self.views.record[node]}{when}| {thread}))"

    def some(self, nodes: Iterable[int], thread: str, when: str = "") -> str:
        """That a thread has one of some views; grouped by shared state."""
        by_shared: dict[int, list[int]] = {}
        for node in sorted(nodes):
            by_shared.setdefault(self.views.shared[node], []).append(self.views.record[node])
        parts = [
            f"(and |shared {shared}{when}| (or false {' '.join(f'(|record {r}{when}| {thread})' for r in records)}))"
            for shared, records in by_shared.items()
        ]
        return f"(or false {' '.join(parts)})"

    def known(self, text: Text, named: Iterable[str]) -> list[str]:
        """What is known of a state: of every thread, and of those with names once more."""
        listed = self.some(self.views.every, "x")
        facts = [f"(forall ((x Thread)) (=> (not (= x nobody)) {listed}))"]
        facts += [self.some(self.views.every, name) for name in named]
        return facts + [text.clause(clause) for clause in self.invariant]

    def threads(self, named: list[str]) -> tuple[list[str], list[str]]:
        """Declarations and facts of distinct threads with these names and, up to `least`, of others."""
        names = named + [f"|other {i}|" for i in range(self.views.stored.least - len(named))]
        facts = [f"(not (= {name} nobody))" for name in names]
        facts += [f"(distinct {' '.join(names)})"] if len(names) > 1 else []
        return [f"(declare-const {name} Thread)" for name in names], facts

    # --- the conditions ---------------------------------------------------------------------------------------------
    def initial(self) -> SmtQuery:
        """An initial state in which a thread has no listed view."""
        text = Text(self.protocol)
        lines = [*text.declarations(), "(declare-const first Thread)", f"(declare-const {TRACKED} Thread)"]
        for owner, name, domain in text.variables():
            held = " ".join(f"({arg} {sort})" for arg, sort in text.arguments(owner, domain))
            head = f"(define-fun {text.symbol(owner, name, NEXT)} ({held}) {text.sort(domain.type)}"
            lines.append(f"{head} {text.initial(domain, owner)})")
        facts = [f"(not (= {TRACKED} nobody))", f"(not {self.some(self.views.every, TRACKED, NEXT)})"]
        return _query("initial", [*lines, *self.views_of(text, NEXT)], facts)

    def edge(self, step: StepTerm, roles: tuple[int, ...]) -> SmtQuery:
        """The step leads thread t, which has these roles in it, where it is not said to lead."""
        text, split = Text(self.protocol), guarded_command(step)
        names = {name: TRACKED if i in roles else f"|step {name}|" for i, name in enumerate(step.threads)}
        choices = {name: f"|choice {name}|" for name, _ in step.choices}
        declared, facts = self.threads([TRACKED, *(name for name in names.values() if name != TRACKED)])
        lines = [*text.declarations(), *declared, *(f"(declare-const {name} Int)" for name in choices.values())]
        names |= choices
        facts += [text.inside(over, names[name], {}) for name, over in step.choices]
        facts += [text.term(conjunct.term, names) for conjunct in split.guard]
        facts += self.known(text, dict.fromkeys((TRACKED, *(names[name] for name in step.threads))))
        following = []
        for owner, name, domain in text.variables():
            held = " ".join(f"({arg} {sort})" for arg, sort in text.arguments(owner, domain))
            head = f"(define-fun {text.symbol(owner, name, NEXT)} ({held}) {text.sort(domain.type)}"
            following.append(f"{head} {text.next(split, names, owner, name, domain)})")
        facts += [text.clause(clause, NEXT) for clause in self.invariant]
        facts.append(self.elsewhere(step, roles))
        lines += [*text.definitions, *self.views_of(text, ""), *following, *self.views_of(text, NEXT)]
        return _query(f"{step.name}, t as {roles}", lines, facts)

    def elsewhere(self, step: StepTerm, roles: tuple[int, ...]) -> str:
        """That t goes from some view where no listed edge leads."""
        targets: dict[int, set[int]] = {}
        for arc in self.views.arcs:
            if (arc.step, arc.roles) == (step.name, roles):
                targets.setdefault(arc.source, set()).add(arc.target)
        groups: dict[Nodes, list[int]] = {}
        for node in self.views.every:
            groups.setdefault(frozenset(targets.get(node, ())), []).append(node)
        parts = [
            f"(and {self.some(sources, TRACKED)} (not {self.some(there, TRACKED, NEXT)}))"
            for there, sources in groups.items()
        ]
        return f"(or {' '.join(parts)})"

    def guards(self, step: StepTerm) -> Iterator[SmtQuery]:
        """What is said of a step's guard."""
        stored = self.views.stored
        if step.name not in stored.enabled:
            return
        guard = _guard(step)
        yield self.truth(f"{step.name} enabled", numbers(stored.enabled[step.name]), guard)
        if step.name not in stored.waits:
            return
        waiting = [inner for inner in walk(guard) if _waits(inner)]
        parts = stored.there[step.name]
        if len(parts) != len(waiting):
            raise ValueError(f"{step.name} waits for {len(waiting)} conditions, not for {len(parts)}")
        yield self.truth(f"{step.name} waits", numbers(stored.waits[step.name]), guard, tuple(waiting))
        for number, (inner, part) in enumerate(zip(waiting, parts, strict=True)):
            assert isinstance(inner, Quantified)
            body = substitute(inner.body, {inner.variable: Bound("t", THREAD)})
            yield self.truth(f"{step.name} waits for {number}", numbers(part), body)

    def truth(self, name: str, nodes: Nodes, claim: Term, granted: tuple[Term, ...] = ()) -> SmtQuery:
        """In some of the views a formula about thread t does not hold, though others do."""
        text = Text(self.protocol)
        declared, facts = self.threads([TRACKED])
        facts += [text.term(term, {"t": TRACKED}) for term in granted]
        facts += [*self.known(text, [TRACKED]), self.some(nodes, TRACKED), f"(not {text.term(claim, {'t': TRACKED})})"]
        lines = [*text.declarations(), *declared, *text.definitions, *self.views_of(text, "")]
        return _query(name, lines, facts)


def _parts(step: StepTerm) -> tuple[tuple[int, ...], ...]:
    """The roles that thread t may have in a step; none of them last."""
    return (*((role,) for role in range(len(step.threads))), ())


def _of_t(prop: PropertyTerm, term: Term) -> Term:
    return substitute(term, {name: Bound("t", THREAD) for name in prop.threads})


def _guard(step: StepTerm) -> Term:
    """The guard of the step of thread t, or of nobody."""
    values: dict[str, Term] = {name: Bound("t", THREAD) for name in step.threads}
    for let in step.lets:
        values[let.name] = substitute(let.value, values)
    return substitute(step.guard, values)


def _waits(term: Term) -> bool:
    """Whether a term is "all" over threads of something that speaks of no other thread."""
    if not (isinstance(term, Quantified) and term.kind == "all" and isinstance(term.over, AllThreads)):
        return False
    names = {inner.name for inner in walk(term.body) if isinstance(inner, Bound)}
    return "t" not in names and all(getattr(inner, "thread", None) != "t" for inner in walk(term.body))


def _query(name: str, lines: list[str], facts: list[str]) -> SmtQuery:
    return SmtQuery(name, "\n".join([*lines, *(f"(assert {fact})" for fact in facts), "(check-sat)", ""]))
