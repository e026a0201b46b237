"""Faults seeded into protocols, made from their descriptions: deterministic, one fault a protocol.

drop: a step is missing. weaken: one conjunct of a guard is missing. swap: two steps that follow each other do each
other's work. split: an atomic step is interrupted between its guard and its effect, or between two assignments; the
same thread does nothing else in between, all others may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from verify.concurrency.language.domains import BOOL, INT, THREAD, Bool, Bounded, Domain, Enum, ThreadId
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    TRUE,
    Assign,
    Bound,
    Cell,
    Const,
    For,
    If,
    Let,
    Op,
    Quantified,
    Range,
    Statement,
    StepTerm,
    Term,
    conjuncts,
    substitute,
)

MOST = 15  # the largest number that a split step remembers
HALF = "half"  # the variable that says that a step is half done


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong protocol. `position` counts conjuncts or statements; `other` is the second step of a swap."""

    kind: str
    step: str
    position: int
    other: str
    protocol: Protocol

    @property
    def name(self) -> str:
        """The fault for people."""
        where = f" {self.position}" if self.kind in ("weaken", "split") else ""
        return f"{self.protocol.name}: {self.kind} {self.step}{where}{self.other and ' with ' + self.other}"


def faults(protocol: Protocol) -> tuple[Fault, ...]:
    """Every fault of a protocol, in the order of its steps."""
    plain = replace(protocol, expected=(), variants=())
    return tuple(
        found for step in plain.steps for make in (drops, weakenings, swaps, splits) for found in make(plain, step)
    )


def with_steps(protocol: Protocol, *steps: StepTerm) -> Protocol:
    """The protocol with steps of the same names replaced."""
    new = {step.name: step for step in steps}
    return replace(protocol, steps=tuple(new.get(step.name, step) for step in protocol.steps))


def conjunction(terms: list[Term]) -> Term:
    """All of the terms."""
    return Op("and", tuple(terms)) if len(terms) > 1 else terms[0] if terms else TRUE


def drops(protocol: Protocol, step: StepTerm) -> Iterator[Fault]:
    """The protocol without the step."""
    rest = tuple(other for other in protocol.steps if other.name != step.name)
    yield Fault("drop", step.name, 0, "", replace(protocol, steps=rest))


def weakenings(protocol: Protocol, step: StepTerm) -> Iterator[Fault]:
    """The protocol without one conjunct of the step's guard."""
    terms = list(conjuncts(step.guard))
    for number in range(len(terms)):
        weaker = replace(step, guard=conjunction(terms[:number] + terms[number + 1 :]))
        yield Fault("weaken", step.name, number, "", with_steps(protocol, weaker))


# --- two steps swapped ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Move:
    """A step as a move of an enumeration from one label to another, and the rest of it."""

    step: StepTerm
    cell: Cell
    source: int
    target: int
    guard: tuple[Term, ...]
    effect: tuple[Statement, ...]

    def between(self, name: str, source: int, target: int) -> StepTerm:
        """The same work as another step, moving from `source` to `target`."""
        here = Op("==", (self.cell, Const(source, self.cell.type)))
        there = Assign(self.cell, Const(target, self.cell.type))
        guard = conjunction([here, *self.guard])
        return replace(self.step, name=name, guard=guard, effect=(*self.effect, there))


def moves(step: StepTerm) -> Iterator[Move]:
    """The moves that a step may be read as."""
    terms = conjuncts(step.guard)
    for term in terms:
        if not (isinstance(term, Op) and term.op == "==" and isinstance(term.args[0], Cell)):
            continue
        cell, value = term.args[0], term.args[1]
        if not (isinstance(cell.type, tuple) and isinstance(value, Const)):
            continue
        for made in step.effect:
            if isinstance(made, Assign) and made.target == cell and isinstance(made.value, Const):
                guard = tuple(other for other in terms if other is not term)
                effect = tuple(other for other in step.effect if other is not made)
                yield Move(step, cell, value.value, made.value.value, guard, effect)


def swaps(protocol: Protocol, step: StepTerm) -> Iterator[Fault]:
    """The step and each one that follows it on the same program counter, exchanged."""
    for first in moves(step):
        for other in protocol.steps:
            for second in moves(other):
                same = (second.cell.variable, second.cell.index) == (first.cell.variable, first.cell.index)
                both = (first.cell.thread is None) == (second.cell.thread is None)
                if (
                    other is step
                    or not (same and both)
                    or first.target != second.source
                    or first.source == first.target
                ):
                    continue
                early = second.between(step.name, first.source, first.target)
                late = first.between(other.name, second.source, second.target)
                yield Fault("swap", step.name, 0, other.name, with_steps(protocol, early, late))


# --- an atomic step split ---------------------------------------------------------------------------------------------
def splits(protocol: Protocol, step: StepTerm) -> Iterator[Fault]:
    """The step in two, at each place."""
    for position in range(len(step.effect)):
        yield Fault("split", step.name, position, "", halved(protocol, step, position))


def halved(protocol: Protocol, step: StepTerm, position: int) -> Protocol:
    """The protocol in which the step stops after `position` statements, until its thread (or actor) goes on."""
    thread = step.threads[0] if step.threads else None
    names = {
        let.name: let.value.type for let in (*step.lets, *(s for s in step.effect[:position] if isinstance(s, Let)))
    }
    names |= {name: INT for name, _ in step.choices} | {name: THREAD for name in step.threads[1:]}
    needed = [name for name in names if name in mentioned(step.effect[position:])]
    kept = {name: Cell(f"kept_{number}", names[name], thread) for number, name in enumerate(needed)}
    half = Cell(HALF, BOOL, thread)
    saved = tuple(Assign(cell, Bound(name, cell.type)) for name, cell in kept.items())
    begin = replace(step, effect=(*step.effect[:position], *saved, Assign(half, Const(1, BOOL))))
    end = ending(step, position, kept, half)
    variables = ((HALF, Bool()), *((cell.variable, domain(cell)) for cell in kept.values()))
    steps = tuple(begin if other.name == step.name else other for other in protocol.steps)
    waiting = tuple(idle(other, step) for other in steps)
    if thread is None:
        return replace(protocol, steps=(*waiting, end), shared=(*protocol.shared, *variables))
    return replace(protocol, steps=(*waiting, end), local=(*protocol.local, *variables))


def ending(step: StepTerm, position: int, kept: dict[str, Cell], half: Cell) -> StepTerm:
    """The second half, which forgets everything in the end."""
    threads = tuple(name for name in step.threads if name == step.threads[0] or name in kept)
    guard: list[Term] = [half]
    guard += [Op("==", (kept[name], Bound(name, THREAD))) for name in threads[1:]]
    values = {name: cell for name, cell in kept.items() if name not in threads}
    read = tuple(Let(f"{name}''", cell) for name, cell in values.items())
    rest = tuple(renamed(item, {name: Bound(f"{name}''", cell.type) for name, cell in values.items()})
                 for item in step.effect[position:])  # fmt: skip
    forget = tuple(Assign(cell, Const(0, cell.type)) for cell in kept.values())
    effect = (*rest, *forget, Assign(half, Const(0, BOOL)))
    fair = step.fair or "weak"
    return StepTerm(f"{step.name}_ends", step.actor, threads, (), read, conjunction(guard), effect, fair)


def idle(other: StepTerm, step: StepTerm) -> StepTerm:
    """Another step of the same thread or actor, which waits until the half step is over."""
    if bool(other.threads) != bool(step.threads) or (not step.threads and other.actor != step.actor):
        return other
    busy = Cell(HALF, BOOL, other.threads[0] if other.threads else None)
    return replace(other, guard=conjunction([*conjuncts(other.guard), Op("not", (busy,))]))


def domain(cell: Cell) -> Domain:
    """A finite domain for what a half step remembers."""
    if cell.type == THREAD:
        return ThreadId()
    if isinstance(cell.type, tuple):
        return Enum(*cell.type)
    return Bool() if cell.type == BOOL else Bounded(0, MOST)


def mentioned(body: tuple[Statement, ...]) -> set[str]:
    """The bound names, threads included, that statements use."""
    found: set[str] = set()
    for item in body:
        match item:
            case Let(value=value):
                found |= names_in(value)
            case Assign(target=target, value=value):
                found |= names_in(target) | names_in(value)
            case If(condition=condition, then=then, otherwise=otherwise):
                found |= names_in(condition) | mentioned(then) | mentioned(otherwise)
            case For(over=over, body=inner):
                found |= mentioned(inner)
                found |= names_in(over.lo) | names_in(over.hi) if isinstance(over, Range) else set()
    return found


def names_in(term: Term) -> set[str]:
    """The bound names, threads included, that a term uses."""
    match term:
        case Bound(name=name):
            return {name}
        case Cell(thread=thread, index=index):
            return ({thread} if thread is not None else set()) | (names_in(index) if index is not None else set())
        case Op(args=args):
            return {name for arg in args for name in names_in(arg)}
        case Quantified(over=over, body=body):
            ends = names_in(over.lo) | names_in(over.hi) if isinstance(over, Range) else set()
            return names_in(body) | ends
        case Const():
            return set()
    return names_in(term.array) | names_in(term.value) if hasattr(term, "array") else set()


def renamed(item: Statement, values: dict[str, Term]) -> Statement:
    """A statement about other names."""
    match item:
        case Let():
            return replace(item, value=substitute(item.value, values))
        case Assign():
            target = substitute(item.target, values)
            assert isinstance(target, Cell)
            return Assign(target, substitute(item.value, values))
        case If():
            both = (tuple(renamed(inner, values) for inner in body) for body in (item.then, item.otherwise))
            return If(substitute(item.condition, values), *both)
    over = item.over
    if isinstance(over, Range):
        over = Range(substitute(over.lo, values), substitute(over.hi, values))
    return For(item.variable, over, tuple(renamed(inner, values) for inner in item.body))
