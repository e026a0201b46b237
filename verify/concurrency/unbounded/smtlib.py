"""Conditions of an invariant as SMT-LIB 2 text, with real quantifiers, for any solver.

Shares no code with `symbols`, which instantiates: this is what a stored invariant is checked against. One problem says
that the clauses fail in an initial state; one a step says that they hold, the step is taken, and one fails afterwards.
One more, where it is asked for, says that they hold of one thread or more, that the state is not final and that no step
can be taken. Every problem must be "unsat". Integer parameters are assumed to be at least 1; flags have the protocol's
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from verify.concurrency.language.domains import BOOL, INT, THREAD, Array, Bounded, Domain, Type, plain_start, starts
from verify.concurrency.language.guarded_commands import GuardedCommand, Write, guarded_command
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.language.terms import (
    AllThreads,
    Bound,
    Cell,
    Const,
    Find,
    Op,
    Over,
    ParameterRef,
    Quantified,
    Range,
    Term,
)
from verify.concurrency.unbounded.claims import live
from verify.concurrency.unbounded.clauses import Clause, size_term
from verify.concurrency.unbounded.encoding import NotCovered

Names = Mapping[str, str]
NEXT = ".next"


SMT_NAMES = {"==": "=", "//": "div", "%": "mod"}  # rounded down, by a positive divisor


@dataclass(slots=True)
class Text:
    """Writes the problems of one protocol."""

    protocol: Protocol
    finds: dict[str, str] = field(default_factory=dict)
    definitions: list[str] = field(default_factory=list)

    # --- declarations ----------------------------------------------------------------------------------------------
    def variables(self) -> list[tuple[str, str, Domain]]:
        """(owner, name, domain) of every variable."""
        found = [("shared", name, domain) for name, domain in self.protocol.shared]
        return found + [("local", name, domain) for name, domain in self.protocol.local]

    def sort(self, kind: Type) -> str:
        """The name of a type's sort."""
        if isinstance(kind, tuple):
            return f"|enum {' '.join(kind)}|"
        return {INT: "Int", BOOL: "Bool", THREAD: "Thread"}[kind]

    def label(self, kind: tuple[str, ...], code: int) -> str:
        """The constant of an enumeration's label, by its number."""
        return f"|{kind[code]} of {' '.join(kind)}|"

    def declarations(self) -> list[str]:
        """Sorts, parameters and the state before."""
        lines = ["(set-logic ALL)", "(declare-sort Thread 0)", "(declare-const nobody Thread)"]
        for kind in dict.fromkeys(domain.type for _, _, domain in self.variables() if isinstance(domain.type, tuple)):
            assert isinstance(kind, tuple)
            labels = " ".join(f"({self.label(kind, code)})" for code in range(len(kind)))
            lines.append(f"(declare-datatypes (({self.sort(kind)} 0)) (({labels})))")
        for name, value in self.protocol.parameters:
            if not isinstance(value, bool):
                lines += [f"(declare-const |parameter {name}| Int)", f"(assert (>= |parameter {name}| 1))"]
        for owner, name, domain in self.variables():
            takes = " ".join(sort for _, sort in self.arguments(owner, domain))
            lines.append(f"(declare-fun {self.symbol(owner, name)} ({takes}) {self.sort(domain.type)})")
        return lines

    def symbol(self, owner: str, name: str, when: str = "") -> str:
        """The name of a function of the state; `when` tells before from after."""
        return f"|{owner} {name}{when}|"

    def arguments(self, owner: str, domain: Domain) -> list[tuple[str, str]]:
        """Names and sorts of what a variable's function takes."""
        found = [("x", "Thread")] if owner == "local" else []
        return found + ([("i", "Int")] if isinstance(domain, Array) else [])

    # --- terms -----------------------------------------------------------------------------------------------------
    def term(self, term: Term, names: Names, when: str = "") -> str:
        """A term about the state before, or about the one after with `when` NEXT."""
        match term:
            case Const():
                return self.constant(term)
            case ParameterRef():
                flag = dict(self.protocol.parameters)[term.name]
                return str(flag).lower() if isinstance(flag, bool) else f"|parameter {term.name}|"
            case Bound():
                return names[term.name]
            case Cell():
                return self.cell(term, names, when)
            case Find():
                return self.find(term, names, when)
            case Quantified():
                return self.quantified(term, names, when)
            case Op():
                return self.operation(term.op, [self.term(arg, names, when) for arg in term.args])

    def constant(self, term: Const) -> str:
        """A constant's text; of threads there is one, nobody."""
        if isinstance(term.type, tuple):
            return self.label(term.type, term.value)
        if term.type == THREAD:
            return "nobody"
        if term.type == BOOL:
            return "true" if term.value else "false"
        return str(term.value) if term.value >= 0 else f"(- {-term.value})"

    def cell(self, cell: Cell, names: Names, when: str) -> str:
        """A cell as an application of its function; arrays count from 0."""
        owner = "shared" if cell.thread is None else "local"
        args = [] if cell.thread is None else [names[cell.thread]]
        symbol = self.symbol(owner, cell.variable, when)
        if cell.index is None:
            return self.applied(symbol, args)
        domain = self.domain(cell)
        index = self.term(cell.index, names, when)
        low = size_term(domain.element.lo) if isinstance(domain.element, Bounded) else Const(0, domain.type)
        length = self.term(size_term(domain.length), names)
        inside = f"(and (<= 0 {index}) (< {index} {length}))"
        return f"(ite {inside} {self.applied(symbol, [*args, index])} {self.term(low, names)})"

    def domain(self, cell: Cell) -> Array:
        """The domain of an array cell."""
        domain = dict(self.protocol.shared if cell.thread is None else self.protocol.local)[cell.variable]
        assert isinstance(domain, Array)
        return domain

    def applied(self, symbol: str, args: Iterable[str]) -> str:
        """An application; a function without arguments is a constant."""
        given = " ".join(args)
        return f"({symbol} {given})" if given else symbol

    def find(self, term: Find, names: Names, when: str) -> str:
        """A constant that is the lowest index; it must not depend on a quantified name."""
        length = self.term(size_term(self.domain(term.array).length), names)
        owner = "shared" if term.array.thread is None else "local"
        args = [] if term.array.thread is None else [names[term.array.thread]]
        symbol, wanted = self.symbol(owner, term.array.variable, when), self.term(term.value, names, when)
        if any(name.startswith("|q.") for name in (*args, wanted)):
            raise NotCovered("find inside a quantifier")
        key = f"{symbol} {args} {wanted}"
        if key not in self.finds:
            name = self.finds[key] = f"|find {len(self.finds)}|"
            here, there = self.applied(symbol, [*args, name]), self.applied(symbol, [*args, "j"])
            self.definitions += [
                f"(declare-const {name} Int)",
                f"(assert (and (<= 0 {name}) (<= {name} {length})))",
                f"(assert (=> (< {name} {length}) (= {here} {wanted})))",
                f"(assert (forall ((j Int)) (=> (and (<= 0 j) (< j {name})) (not (= {there} {wanted})))))",
            ]
        return self.finds[key]

    def quantified(self, term: Quantified, names: Names, when: str) -> str:
        """A quantifier, its variable kept inside what it ranges over."""
        if term.kind in ("sum", "pick"):
            return self.sum(term, names, when)
        name = f"|q.{term.variable}|"
        body = self.term(term.body, {**names, term.variable: name}, when)
        inside = self.inside(term.over, name, names)
        if term.kind == "all":
            return f"(forall (({name} {self.over(term.over)})) (=> {inside} {body}))"
        return f"(exists (({name} {self.over(term.over)})) (and {inside} {body}))"

    def sum(self, term: Quantified, names: Names, when: str) -> str:
        """A sum over a range of known length."""
        over = term.over
        if not (isinstance(over, Range) and isinstance(over.lo, Const) and isinstance(over.hi, Const)):
            raise NotCovered("a sum over threads, or over a range of any length; or a variable of a named thread")
        values = range(over.lo.value, over.hi.value)
        return f"(+ 0 0 {' '.join(self.term(term.body, {**names, term.variable: str(i)}, when) for i in values)})"

    def over(self, over: Over) -> str:
        """The sort of what a quantifier ranges over."""
        return "Thread" if isinstance(over, AllThreads) else "Int"

    def inside(self, over: Over, name: str, names: Names) -> str:
        """That a name is inside what is ranged over."""
        if isinstance(over, AllThreads):
            return f"(not (= {name} nobody))"
        return f"(and (<= {self.term(over.lo, names)} {name}) (< {name} {self.term(over.hi, names)}))"

    def operation(self, op: str, args: list[str]) -> str:
        """An operation; its names are SMT-LIB's but for `SMT_NAMES` and !=."""
        if op == "!=":
            return f"(not (= {' '.join(args)}))"
        if op in ("and", "or") and len(args) == 1:
            return args[0]
        return f"({SMT_NAMES.get(op, op)} {' '.join(args)})"

    # --- clauses and states ----------------------------------------------------------------------------------------
    def clause(self, clause: Clause, when: str = "") -> str:
        """The clause, with its quantifiers."""
        names = {name: f"|q.{name}|" for name in (*clause.threads, *(name for name, _ in clause.indices))}
        inside = [f"(not (= {names[name]} nobody))" for name in clause.threads]
        if len(clause.threads) > 1:
            inside.append(f"(distinct {' '.join(names[name] for name in clause.threads)})")
        for name, length in clause.indices:
            inside.append(f"(and (<= 0 {names[name]}) (< {names[name]} {self.term(length, names)}))")
        body = self.term(clause.body, names, when)
        if not names:
            return body
        held = [f"({names[name]} Thread)" for name in clause.threads]
        held += [f"({names[name]} Int)" for name, _ in clause.indices]
        return f"(forall ({' '.join(held)}) (=> (and {' '.join(inside)}) {body}))"

    def mentioned(self) -> list[str]:
        """The first entry of each shared array by name, for solvers that instantiate what they see."""
        found = []
        for name, domain in self.protocol.shared:
            if isinstance(domain, Array):
                entry = self.applied(self.symbol("shared", name), ["0"])
                found.append(f"(declare-const |first {name}| {self.sort(domain.type)})")
                found.append(f"(assert (= |first {name}| {entry}))")
        return found

    def initial(self, domain: Domain, owner: str) -> str:
        """The value of a cell at the start, where thread x is or is not `first`."""
        scalar = domain.element if isinstance(domain, Array) else domain
        if isinstance(scalar, Bounded):
            usual = self.term(size_term(plain_start(scalar)), {})
            special = usual if scalar.first is None else self.term(size_term(scalar.first), {})
        else:
            codes = starts(scalar, self.protocol.values)
            usual, special = (self.constant(Const(code, scalar.type)) for code in codes)
        return usual if owner == "shared" or usual == special else f"(ite (= x first) {special} {usual})"

    def next(self, split: GuardedCommand, names: Names, owner: str, name: str, domain: Domain) -> str:
        """The value of a cell after a step, as an expression of x and i."""
        value = self.applied(self.symbol(owner, name), (arg for arg, _ in self.arguments(owner, domain)))
        for write in split.writes:
            if write.variable == name and (write.thread is None) == (owner == "shared"):
                for bound, conditions in self.rounds(write, names):
                    here = [*conditions, self.term(write.condition, bound)]
                    here += [] if write.thread is None else [f"(= x {bound[write.thread]})"]
                    here += [] if write.index is None else [f"(= i {self.term(write.index, bound)})"]
                    value = f"(ite (and {' '.join(here)}) {self.term(write.value, bound)} {value})"
        return value

    def rounds(self, write: Write, names: Names) -> list[tuple[dict[str, str], list[str]]]:
        """The rounds of a write's loops: names and conditions."""
        bound, conditions = dict(names), list[str]()
        for name, over in write.loops:
            if isinstance(over, AllThreads) and write.thread == name:
                bound[name] = "x"
            elif isinstance(over, Range) and isinstance(write.index, Bound) and write.index.name == name:
                bound[name] = "i"
                conditions.append(self.inside(over, "i", bound))
            else:
                raise NotCovered("a loop that writes at a computed place")
        return [(bound, conditions)]


@dataclass(frozen=True, slots=True)
class SmtQuery:
    """A text that must be unsatisfiable, and what that shows."""

    name: str
    text: str


def problems(protocol: Protocol, clauses: tuple[Clause, ...], deadlock: bool = False) -> list[SmtQuery]:
    """The initial condition, one for each step, and with `deadlock` that one. Raises NotCovered."""
    steps = (_consecution(protocol, clauses, guarded_command(step)) for step in protocol.steps)
    return [_initial(protocol, clauses), *steps, *([_stuck(protocol, clauses)] if deadlock else [])]


def _stuck(protocol: Protocol, clauses: tuple[Clause, ...]) -> SmtQuery:
    text = Text(protocol)
    facts = ["(not (= some nobody))", *map(text.clause, clauses), f"(not {text.term(live(protocol), {})})"]
    lines = [*text.declarations(), "(declare-const some Thread)", *text.definitions, *text.mentioned()]
    return SmtQuery(DEADLOCK, "\n".join([*lines, *(f"(assert {fact})" for fact in facts), "(check-sat)", ""]))


def _initial(protocol: Protocol, clauses: tuple[Clause, ...]) -> SmtQuery:
    text = Text(protocol)
    lines = [*text.declarations(), "(declare-const first Thread)"]
    for owner, name, domain in text.variables():
        held = " ".join(f"({arg} {sort})" for arg, sort in text.arguments(owner, domain))
        head = f"(define-fun {text.symbol(owner, name, NEXT)} ({held}) {text.sort(domain.type)}"
        lines.append(f"{head} {text.initial(domain, owner)})")
    return _problem("initial", text, lines, [], clauses)


def _consecution(protocol: Protocol, clauses: tuple[Clause, ...], split: GuardedCommand) -> SmtQuery:
    text = Text(protocol)
    names = {name: f"|step {name}|" for name in (*split.step.threads, *(name for name, _ in split.step.choices))}
    lines = text.declarations()
    lines += [f"(declare-const {names[name]} Thread)" for name in split.step.threads]
    lines += [f"(declare-const {names[name]} Int)" for name, _ in split.step.choices]
    facts = [f"(not (= {names[name]} nobody))" for name in split.step.threads]
    if len(split.step.threads) > 1:
        facts.append(f"(distinct {' '.join(names[name] for name in split.step.threads)})")
    facts += [text.inside(over, names[name], {}) for name, over in split.step.choices]
    facts += [text.term(conjunct.term, names) for conjunct in split.guard]
    facts += [text.clause(clause) for clause in clauses]
    following = []
    for owner, name, domain in text.variables():
        held = " ".join(f"({arg} {sort})" for arg, sort in text.arguments(owner, domain))
        head = f"(define-fun {text.symbol(owner, name, NEXT)} ({held}) {text.sort(domain.type)}"
        following.append(f"{head} {text.next(split, names, owner, name, domain)})")
    return _problem(split.step.name, text, [*lines, *text.definitions, *following], facts, clauses)


def _problem(name: str, text: Text, lines: list[str], facts: list[str], clauses: tuple[Clause, ...]) -> SmtQuery:
    """The facts hold, and some clause fails in the state called next."""
    defined = len(text.definitions)
    claims = " ".join(text.clause(clause, NEXT) for clause in clauses)
    if len(text.definitions) > defined:
        raise NotCovered("find in a clause")
    asserted = [f"(assert {fact})" for fact in facts]
    return SmtQuery(name, "\n".join([*lines, *asserted, f"(assert (not (and true {claims})))", "(check-sat)", ""]))
