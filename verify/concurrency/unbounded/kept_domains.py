"""Domains: what must hold for every assignment to stay in its variable's domain, with any number of threads.

An obligation an assignment, judged as the invariants of a protocol are (`claims`); those that the declarations and the
guard settle by themselves are left out. Induction is over steps: a variable that is read is in its domain. Where a
step is outside guarded commands, nothing is said of it: `views` then judges its assignments, or nobody does.
"""

from __future__ import annotations

from verify.concurrency.language.domains import INT, THREAD, Array, Bounded, Domain, Offset, Parameter, ProtocolError
from verify.concurrency.language.domains import Size as DeclaredSize
from verify.concurrency.language.guarded_commands import Write, guarded_command
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
    StepTerm,
    Term,
    conjuncts,
    negation,
    substitute,
)

KEPT = "values_in_domain"
"""The obligation of a protocol, as it is reported."""


def obligations(protocol: Protocol) -> tuple[PropertyTerm, ...] | None:
    """An invariant for each assignment that may leave its domain; None where a step is not covered."""
    found: list[PropertyTerm] = []
    try:
        for step in protocol.steps:
            command = guarded_command(step)
            guard = tuple(conjunct.term for conjunct in command.guard)
            for number, write in enumerate(command.writes):
                found += _of_write(protocol, step, guard, write, f"{KEPT} {step.name} {write.variable} {number}")
    except ProtocolError:
        return None
    return tuple(found)


def _of_write(
    protocol: Protocol, step: StepTerm, guard: tuple[Term, ...], write: Write, name: str
) -> list[PropertyTerm]:
    known = (*guard, *conjuncts(write.condition))
    ranges = [(name, over) for name, over in (*write.loops, *step.choices) if isinstance(over, Range)]
    inside = tuple(fact for variable, over in ranges for fact in _in_range(variable, over))
    domain = dict(protocol.shared if write.thread is None else protocol.local)[write.variable]
    wanted = [part for part in _wanted(write, domain) if not _implied(protocol, part, (*known, *inside))]
    if not wanted:
        return []
    premise = Op("and", known) if known else TRUE
    body: Term = Op("or", (negation(premise), *(wanted if len(wanted) == 1 else (Op("and", tuple(wanted)),))))
    for variable, over in ranges:
        body = Quantified("all", variable, over, body)
    looped = tuple(variable for variable, over in write.loops if isinstance(over, AllThreads))
    found = [PropertyTerm(name, "always", (*step.threads, *looped), TRUE, body)]
    for variable in looped:  # the round of one of the step's own threads
        for own in step.threads:
            here = substitute(body, {variable: Bound(own, THREAD)})
            found.append(PropertyTerm(f"{name} {own}", "always", step.threads, TRUE, here))
    return found


def _wanted(write: Write, domain: Domain) -> list[Term]:
    """What must hold of a write: value and index are inside."""
    scalar = domain.element if isinstance(domain, Array) else domain
    found: list[Term] = []
    if isinstance(scalar, Bounded):
        found += [Op("<=", (_size(scalar.lo), write.value)), Op("<=", (write.value, _size(scalar.hi)))]
    if isinstance(domain, Array) and write.index is not None:
        found += [Op("<=", (Const(0, INT), write.index)), Op("<", (write.index, _size(domain.length)))]
    return found


def _in_range(variable: str, over: Range) -> tuple[Term, Term]:
    value = Bound(variable, INT)
    return Op("<=", (over.lo, value)), Op("<", (value, over.hi))


def _size(bound: int | DeclaredSize) -> Term:
    if isinstance(bound, Offset):
        return Op("+", (ParameterRef(bound.origin.name), Const(bound.offset, INT)), INT)
    return ParameterRef(bound.name) if isinstance(bound, Parameter) else Const(bound, INT)


# --- what settles itself ------------------------------------------------------------------------------------------
def _implied(protocol: Protocol, part: Term, known: tuple[Term, ...]) -> bool:
    """Whether a comparison holds wherever the known conjuncts do, by declarations alone."""
    assert isinstance(part, Op)
    low, high = part.args
    if part.op == "<":
        if part in known:
            return True
        return _below(protocol, low, high, 1, known)
    return part in known or _below(protocol, low, high, 0, known)


def _below(protocol: Protocol, low: Term, high: Term, gap: int, known: tuple[Term, ...]) -> bool:
    """Whether `low + gap <= high`, by declarations and known comparisons."""
    for term, put in ((low, 0), (high, 1)):
        if isinstance(term, Op) and term.op == "ite":
            branches = [(arg, high) if put == 0 else (low, arg) for arg in term.args[1:]]
            return all(_below(protocol, a, b, gap, known) for a, b in branches)
    name, lowest = _linear(_bounded(protocol, low, True))
    other, highest = _linear(_bounded(protocol, high, False))
    if name == other and lowest + gap <= highest:
        return True
    if name == "" and isinstance(other, ParameterRef) and lowest + gap <= highest + 1:  # sizes are at least 1
        return True
    return _compared(protocol, low, high, gap, known)


def _compared(protocol: Protocol, low: Term, high: Term, gap: int, known: tuple[Term, ...]) -> bool:
    """Whether a known comparison `a < b` settles it: `low` is a + 1 or less, `high` b or more."""
    for fact in known:
        if isinstance(fact, Op) and fact.op in ("<", ">"):
            a, b = fact.args if fact.op == "<" else fact.args[::-1]
            (mine, over), (its, under) = _linear(low), _linear(high)
            (left, less), (right, more) = _linear(a), _linear(b)
            if (mine, its) == (left, right) and over - less + gap <= 1 + under - more:
                return True
            if mine == left and _below_sizes(protocol, b, high, over - less + gap - 1):
                return True
            if its == right and _below_sizes(protocol, low, a, gap - 1 + more - under):
                return True
    return False


def _below_sizes(protocol: Protocol, low: Term, high: Term, gap: int) -> bool:
    """Whether `low + gap <= high` by declarations alone."""
    (name, lowest), (other, highest) = _linear(_bounded(protocol, low, True)), _linear(_bounded(protocol, high, False))
    return name == other and lowest + gap <= highest


def _bounded(protocol: Protocol, term: Term, greatest: bool) -> Term:
    """The greatest (or least) value of a variable, with what is added to it; another term itself."""
    if isinstance(term, Op) and term.op in ("+", "-") and isinstance(term.args[1], Const):
        return Op(term.op, (_bounded(protocol, term.args[0], greatest), term.args[1]), INT)
    if isinstance(term, Cell):
        domain = dict(protocol.shared if term.thread is None else protocol.local)[term.variable]
        scalar = domain.element if isinstance(domain, Array) else domain
        if isinstance(scalar, Bounded):
            return _size(scalar.hi if greatest else scalar.lo)
    if isinstance(term, Find) and not greatest:
        return Const(0, INT)
    return term


def _linear(term: Term) -> tuple[object, int]:
    """A term as (what is added to, constant); nothing is added to where it is a constant."""
    if isinstance(term, Const):
        return "", term.value
    if isinstance(term, Op) and term.op in ("+", "-") and isinstance(term.args[1], Const):
        inner, offset = _linear(term.args[0])
        return inner, offset + (term.args[1].value if term.op == "+" else -term.args[1].value)
    return term, 0
