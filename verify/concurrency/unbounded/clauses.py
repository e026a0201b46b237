"""Clauses: the universally quantified conjuncts of an inductive invariant, as text and as terms.

A clause speaks of distinct threads and of indices below a length; its text is an expression of the protocol language,
with `s` the shared state, and is read by the same reader as a protocol.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from verify.concurrency.language.domains import BOOL, INT, THREAD, Array, Domain, Offset, Parameter, Size
from verify.concurrency.language.expressions import SHARED, Declarations, Expressions, implies, threads
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    TRUE,
    AllThreads,
    Bound,
    Cell,
    Const,
    Find,
    Op,
    ParameterRef,
    PropertyTerm,
    Quantified,
    Range,
    Term,
    substitute,
    walk,
)
from verify.report.explorations import ClauseRow


@dataclass(frozen=True, slots=True)
class Clause:
    """`body` holds for all distinct `threads` and all `indices` (name, length), 0 <= index < length."""

    name: str
    threads: tuple[str, ...]
    indices: tuple[tuple[str, Term], ...]
    body: Term

    @property
    def text(self) -> str:
        """The body as an expression of the protocol language."""
        return shown(self.body)

    @property
    def canonical(self) -> tuple[Term, ...]:
        """Body and lengths with bound names by their position: equal clauses have equal ones."""
        names = {name: Bound(f"k{number}", INT) for number, (name, _) in enumerate(self.indices)}
        return renamed(substitute(self.body, names), 0), *(length for _, length in self.indices)

    @property
    def opens(self) -> bool:
        """Whether each instance of the clause needs constants of its own: it has a quantifier or `find`."""
        return any(isinstance(inner, Quantified | Find) for inner in walk(self.body))

    def as_property(self) -> PropertyTerm:
        """The clause as an invariant that every engine can judge."""
        body = self.body
        for name, length in reversed(self.indices):
            body = Quantified("all", name, Range(Const(0, INT), length), body)
        return PropertyTerm(self.name, "always", self.threads, TRUE, body, self.text)

    def row(self) -> ClauseRow:
        """The clause as it is stored."""
        indices = {_plain(name): shown(length) for name, length in self.indices}
        return ClauseRow(name=self.name, holds=self.text, threads=self.threads, indices=indices)


def renamed(term: Term, depth: int) -> Term:
    """The term with the names of its quantifiers by their depth, and with flat conjunctions and disjunctions."""
    match term:
        case Op(op="and" | "or"):
            found = tuple(part for arg in term.args for part in _flat(renamed(arg, depth), term.op))
            return found[0] if len(found) == 1 else replace(term, args=found)
        case Op():
            return replace(term, args=tuple(renamed(arg, depth) for arg in term.args))
        case Quantified():
            kind = THREAD if isinstance(term.over, AllThreads) else INT
            name = f"q{depth}"
            body = substitute(term.body, {term.variable: Bound(name, kind)})
            return replace(term, variable=name, body=renamed(body, depth + 1))
    return term


def _flat(term: Term, op: str) -> tuple[Term, ...]:
    return term.args if isinstance(term, Op) and term.op == op else (term,)


def _plain(name: str) -> str:
    return name.replace("'", "_")


def of_property(prop: PropertyTerm) -> Clause:
    """An invariant of the protocol as a clause; "all" over a range in its claim becomes an index."""
    claim, indices = prop.claim, list[tuple[str, Term]]()
    while isinstance(claim, Quantified) and claim.kind == "all" and isinstance(claim.over, Range):
        if claim.over.lo != Const(0, INT):
            break
        indices.append((claim.variable, claim.over.hi))
        claim = claim.body
    body = claim if prop.premise == TRUE else implication(prop.premise, claim)
    return Clause(prop.name, prop.threads, tuple(indices), body)


def implication(premise: Term, claim: Term) -> Term:
    """premise implies claim."""
    return Op("or", (Op("not", (premise,)), claim))


def size_term(bound: int | Size) -> Term:
    """A length or bound as a term."""
    match bound:
        case Parameter():
            return ParameterRef(bound.name)
        case Offset():
            return Op("+", (ParameterRef(bound.origin.name), Const(bound.offset, INT)), INT)
    return Const(bound, INT)


def one_below(bound: Term, length: Term) -> bool:
    """Whether `bound` is written as `length - 1`."""
    if isinstance(bound, Const) and isinstance(length, Const):
        return bound.value == length.value - 1
    return isinstance(bound, Op) and bound.args == (length, Const(-1, INT))


def mentioned(term: Term) -> set[str]:
    """The names that a term mentions."""
    found = {inner.name for inner in walk(term) if isinstance(inner, Bound)}
    return found | {inner.thread for inner in walk(term) if isinstance(inner, Cell) and inner.thread is not None}


def read(protocol: Protocol, stored: ClauseRow) -> Clause:
    """The clause that was stored. Raises ProtocolError where it names what the protocol does not have."""
    outer: dict[str, object] = {"implies": implies, "threads": threads}
    outer |= {name: Parameter(name, value) for name, value in protocol.parameters}
    scope = Expressions(Declarations(dict(protocol.shared), dict(protocol.local)), f"clause {stored.name}", outer)
    scope.names["s"] = SHARED
    indices = tuple((name, scope.term(_expression(text), INT)) for name, text in stored.indices.items())
    scope.names |= {name: Bound(name, THREAD) for name in stored.threads}
    scope.names |= {name: Bound(name, INT) for name, _ in indices}
    return Clause(stored.name, stored.threads, indices, scope.boolean(_expression(stored.holds)))


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def shown(term: Term) -> str:
    """A term as an expression of the protocol language."""
    match term:
        case Const(value=value, type=kind):
            if isinstance(kind, tuple):
                return repr(kind[value]).replace("'", '"')
            return {BOOL: str(bool(value)), THREAD: "None"}.get(str(kind), str(value))
        case ParameterRef():
            return term.name
        case Bound():
            return _plain(term.name)
        case Cell():
            cell = f"{term.thread or 's'}.{term.variable}".replace("'", "_")
            return cell if term.index is None else f"{cell}[{shown(term.index)}]"
        case Find():
            return f"{shown(term.array)}.find({shown(term.value)})"
        case Quantified():
            over = (
                "threads"
                if isinstance(term.over, AllThreads)
                else f"range({shown(term.over.lo)}, {shown(term.over.hi)})"
            )
            return f"{term.kind}({shown(term.body)} for {_plain(term.variable)} in {over})"
        case Op():
            return _operation(term)


def _operation(term: Op) -> str:
    args = [_inner(arg) for arg in term.args]
    match term.op:
        case "not":
            return f"not {args[0]}"
        case "ite":
            return f"{args[1]} if {args[0]} else {args[2]}"
        case "or" if _implies(term):
            premise = term.args[0]
            assert isinstance(premise, Op)
            return f"implies({shown(premise.args[0])}, {shown(term.args[1])})"
    return f" {term.op} ".join(args)


def _inner(term: Term) -> str:
    return shown(term) if not isinstance(term, Op) or _implies(term) else f"({shown(term)})"


def _implies(term: Op) -> bool:
    """Whether a term is written as an implication."""
    return term.op == "or" and len(term.args) == 2 and isinstance(term.args[0], Op) and term.args[0].op == "not"


def length(domain: Domain) -> Term | None:
    """The length of an array, None for a scalar."""
    return size_term(domain.length) if isinstance(domain, Array) else None
