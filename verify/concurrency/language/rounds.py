"""Rounds of loops: whether the order in which a loop goes through its values can matter.

Threads are exchangeable, so the rounds of `for u in threads` may be made in any order only if none depends on another.
What is not seen to be independent counts as dependent: nothing is lost by refusing but the author's time. Decides
nothing about loops in which the author declares an order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from verify.concurrency.language.domains import THREAD, Array, Bounded, Domain
from verify.concurrency.language.terms import (
    AllThreads,
    Assign,
    Bound,
    Cell,
    Const,
    Find,
    For,
    If,
    Let,
    Op,
    Quantified,
    Statement,
    StepTerm,
    Term,
    conjuncts,
    negation,
    walk,
)

Domains = Mapping[tuple[bool, str], Domain]
"""The domain of each variable, by whether threads have it and its name."""


@dataclass(frozen=True, slots=True)
class Access:
    """A read of `cell`, or with `write` an assignment to it, where all of `path` holds; `place` is `file:line`."""

    cell: Cell
    path: tuple[Term, ...]
    place: str
    write: Assign | None = None

    @property
    def name(self) -> str:
        """The variable with its owner, as people read it."""
        owner = "s" if self.cell.thread is None else self.cell.thread.split("'")[0]
        return f"{owner}.{self.cell.variable}" + ("" if self.cell.index is None else "[..]")


@dataclass(frozen=True, slots=True)
class Dependence:
    """Two rounds of a loop: what one writes, and what another reads or writes of the same variable."""

    loop: For
    written: Access
    other: Access

    def __str__(self) -> str:
        verb = "reads" if self.other.write is None else "writes"
        return (
            f"one writes {self.written.name} ({self.written.place}), another {verb} {self.other.name} "
            f"({self.other.place})"
        )


def ordered(step: StepTerm) -> bool:
    """Whether a step goes through threads in a declared order."""
    return any(loop.ordered for loop in loops(step.effect))


def loops(body: Iterable[Statement]) -> Iterator[For]:
    """Every loop of an effect, outer ones first."""
    for item in body:
        match item:
            case For():
                yield item
                yield from loops(item.body)
            case If():
                yield from loops((*item.then, *item.otherwise))


def dependent(step: StepTerm, domains: Domains) -> Dependence | None:
    """The first pair of rounds of a loop over threads, without a declared order, that depend on each other."""
    for loop in loops(step.effect):
        if isinstance(loop.over, AllThreads) and not loop.ordered:
            found = dependence(loop, domains)
            if found is not None:
                return found
    return None


def dependence(loop: For, domains: Domains, sums: bool = True) -> Dependence | None:
    """A pair of rounds of one loop that depend on each other. `sums`: rounds that only add to one variable are
    independent, as are those that write one value."""
    body = _Body(loop, domains)
    for name in dict.fromkeys((w.cell.thread is not None, w.cell.variable) for w in body.writes):
        found = body.conflict(name, sums)
        if found is not None:
            return found
    return None


class _Body:
    """What one round of a loop reads and writes."""

    def __init__(self, loop: For, domains: Domains) -> None:
        self.loop, self.domains = loop, domains
        self.accesses: list[Access] = []
        self.changing = {loop.variable}  # names whose value is another in another round
        self._block(loop.body, ())
        self.writes = [access for access in self.accesses if access.write is not None]
        self.written = {(access.cell.thread is not None, access.cell.variable) for access in self.writes}

    def _block(self, body: tuple[Statement, ...], path: tuple[Term, ...]) -> None:
        for item in body:
            match item:
                case Let():
                    self._read(item.value, path, item.place)
                    self.changing.add(item.name)
                case Assign():
                    self._read(item.value, path, item.place)
                    if item.target.index is not None:
                        self._read(item.target.index, path, item.place)
                    self.accesses.append(Access(item.target, path, item.place, item))
                case If():
                    self._read(item.condition, path, item.place)
                    self._block(item.then, (*path, *conjuncts(item.condition)))
                    self._block(item.otherwise, (*path, *conjuncts(negated(item.condition))))
                case For():
                    self.changing.add(item.variable)
                    self._block(item.body, path)

    def _read(self, term: Term, path: tuple[Term, ...], place: str) -> None:
        for inner in walk(term):
            if isinstance(inner, Cell):
                self.accesses.append(Access(inner, path, place))

    # --- where two rounds meet ------------------------------------------------------------------------------------
    def conflict(self, name: tuple[bool, str], sums: bool) -> Dependence | None:
        """Two accesses to one variable, of two rounds, one of them a write, that do not commute."""
        here = [access for access in self.accesses if (access.cell.thread is not None, access.cell.variable) == name]
        writes = [access for access in here if access.write is not None]
        if self._one_value(here, writes) or (sums and self._sum(here, writes)):
            return None
        for one, other in itertools.product(writes, here):
            if not self._apart(one, other):
                return Dependence(self.loop, one, other)
        return None

    def _apart(self, one: Access, other: Access) -> bool:
        """Whether two accesses of different rounds never meet in one cell."""
        mine, its = self._own(one), self._own(other)
        if mine and its:
            return True
        if (mine and self._not_at(one, other.cell)) or (its and self._not_at(other, one.cell)):
            return True
        return bool(self._pins(one) & self._pins(other))

    def _own(self, access: Access) -> bool:
        """Whether a cell belongs to the round: to its thread, or at its index."""
        if isinstance(self.loop.over, AllThreads):
            thread = access.cell.thread
            return thread == self.loop.variable or thread in {pin for pin in map(_name, self._pins(access)) if pin}
        return isinstance(access.cell.index, Bound) and access.cell.index.name == self.loop.variable

    def _not_at(self, access: Access, cell: Cell) -> bool:
        """Whether the round of an access is not that of a cell's thread, by its path."""
        if cell.thread is None or cell.thread in self.changing:
            return False
        return any(_compared(term, "!=", self.loop.variable) == Bound(cell.thread, THREAD) for term in access.path)

    def _pins(self, access: Access) -> frozenset[Term]:
        """Values, the same in all rounds, that the loop's variable must have for an access: at most one round does."""
        found = (_compared(term, "==", self.loop.variable) for term in access.path)
        return frozenset(value for value in found if value is not None and self._constant(value))

    def _constant(self, term: Term) -> bool:
        """Whether a term has one value in all rounds."""
        for inner in walk(term):
            if isinstance(inner, Bound) and inner.name in self.changing:
                return False
            if isinstance(inner, Cell):
                named = (inner.thread is not None, inner.variable)
                if named in self.written or inner.thread in self.changing:
                    return False
            if isinstance(inner, Quantified):
                return False
        return True

    # --- writes that commute --------------------------------------------------------------------------------------
    def _one_value(self, here: list[Access], writes: list[Access]) -> bool:
        """Whether a variable is only written, and always the same value."""
        values = {access.write.value for access in writes if access.write is not None}
        return len(here) == len(writes) and len(values) == 1 and self._constant(next(iter(values)))

    def _sum(self, here: list[Access], writes: list[Access]) -> bool:
        """Whether a variable is only added to, always upwards or always downwards, or joined with `or` or with
        `and`; and read for nothing else."""
        kinds = {self._added(access) for access in writes}
        return len(kinds) == 1 and None not in kinds and len(here) == 2 * len(writes)

    def _added(self, access: Access) -> str | None:
        """`up`, `down`, `or` or `and` where a write joins the cell's old value with another one."""
        assert access.write is not None
        value, target = access.write.value, access.write.target
        if not isinstance(value, Op) or not value.args or value.args[0] != target or self._shared_index(target):
            return None
        rest = value.args[1:]
        if value.op in ("or", "and"):
            return value.op
        if value.op not in ("+", "-") or len(rest) != 1 or not self._natural(rest[0]):
            return None
        return "up" if value.op == "+" else "down"

    def _shared_index(self, target: Cell) -> bool:
        """Whether the index of a target changes with what the loop writes."""
        return target.index is not None and any(
            isinstance(inner, Cell) and (inner.thread is not None, inner.variable) in self.written
            for inner in walk(target.index)
        )

    def _natural(self, term: Term) -> bool:
        """Whether an integer is known not to be negative."""
        match term:
            case Const(value=value):
                return value >= 0
            case Cell():
                domain = self.domains.get((term.thread is not None, term.variable))
                scalar = domain.element if isinstance(domain, Array) else domain
                return isinstance(scalar, Bounded) and isinstance(scalar.lo, int) and scalar.lo >= 0
            case Op(op="ite", args=(_, then, otherwise)):
                return self._natural(then) and self._natural(otherwise)
            case Find():
                return True
        return False


def negated(term: Term) -> Term:
    """The negation of a term, a comparison turned round and a disjunction taken apart."""
    match term:
        case Op(op="not", args=(inner,)):
            return inner
        case Op(op="==", args=args):
            return Op("!=", args)
        case Op(op="!=", args=args):
            return Op("==", args)
        case Op(op="or", args=args):
            return Op("and", tuple(map(negated, args)))
    return negation(term)


def _compared(term: Term, op: str, variable: str) -> Term | None:
    """What a conjunct compares the variable with, by `op`."""
    if isinstance(term, Op) and term.op == "not":
        term = negated(term.args[0])
    if not (isinstance(term, Op) and term.op == op):
        return None
    for one, other in (term.args, term.args[::-1]):
        if isinstance(one, Bound) and one.name == variable:
            return other
    return None


def _name(term: Term) -> str:
    """The name of a bound thread; nothing of another term."""
    return term.name if isinstance(term, Bound) and term.type == THREAD else ""


__all__ = ["Dependence", "dependence", "dependent", "loops", "ordered"]
