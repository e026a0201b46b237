"""Candidates: clauses from templates that no state of a small explored instance violates.

Templates: single literals; pairs of literals over shared variables and one thread; pairs that exclude two threads from
two places; and pairs with "entry k of an array of threads names t" (owner lemmas). The bounds of integers come along.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from verify.concurrency.explicit.numpy_engine import Explorer
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.instance.instantiation import Scope
from verify.concurrency.instance.vectors import WIDTH, States, Values
from verify.concurrency.language.domains import (
    INT,
    THREAD,
    Array,
    Bool,
    Bounded,
    Domain,
    Enum,
    Scalar,
    ThreadId,
    TooLarge,
)
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import NO_THREAD, Bound, Cell, Const, Op, Term, negation, substitute
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.clauses import Clause, implication, mentioned, of_property, one_below, size_term
from verify.concurrency.unbounded.encoding import NotCovered

Matrix = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
T, U, K = Bound("t", THREAD), Bound("u", THREAD), Bound("k", INT)
STATES = 60_000  # orbits of the small instance
SMALL = 2  # what a size is made where the given one has more
MANY = 1_000  # clauses of three literals
WRITTEN_OUT = 4  # entries of an array of fixed length that are named one by one


@dataclass(frozen=True, slots=True)
class Literals:
    """Literals by what they speak of: shared variables, thread t, or index k of an array of `length`."""

    shared: tuple[Term, ...]
    local: tuple[Term, ...]
    indexed: tuple[Term, ...]
    length: Term | None

    @property
    def one(self) -> tuple[Term, ...]:
        """Those that need at most thread t."""
        return self.shared + self.local


def literals(protocol: Protocol) -> Literals:
    """Every literal of the templates, each with its negation."""
    shared: list[Term] = []
    local: list[Term] = []
    indexed: list[Term] = []
    length: Term | None = None
    for name, domain in protocol.shared:
        if not isinstance(domain, Array):
            cell = Cell(name, domain.type)
            shared += atoms(domain, cell)
            if isinstance(domain, ThreadId):
                local.append(_equal(cell, T))
            continue
        places: list[Term] = list(indices(protocol, domain))
        cells = [Cell(name, domain.type, None, place) for place in places]
        local += [atom for cell in cells for atom in named(domain.element, cell)]
        fixed = written_out(domain)
        for number in fixed:
            entry = Cell(name, domain.type, None, Const(number, INT))
            shared += atoms(domain.element, entry)
            local += named(domain.element, entry) if isinstance(domain.element, ThreadId) else []
        if isinstance(domain.element, ThreadId) and not fixed and length in (None, size_term(domain.length)):
            length = size_term(domain.length)
            entry = Cell(name, THREAD, None, K)
            indexed += [_equal(entry, NO_THREAD), _equal(entry, T)]
            indexed += [_equal(place, K) for place in places]
    for name, domain in protocol.local:
        if not isinstance(domain, Array):
            local += atoms(domain, Cell(name, domain.type, "t"))
            continue
        said = [atoms(domain.element, Cell(name, domain.type, "t", Const(i, INT))) for i in written_out(domain)]
        local += [atom for entry in said for atom in entry]
        local += [Op("or", some) for some in zip(*said, strict=True) if len(some) > 1]  # of some entry
    return Literals(_both(shared), _both(local), _both(indexed), length)


def written_out(array: Array) -> range:
    """The indices of an array that is short enough to be named entry by entry."""
    return range(array.length) if isinstance(array.length, int) and array.length <= WRITTEN_OUT else range(0)


def indices(protocol: Protocol, array: Array) -> list[Cell]:
    """The per-thread integers that may index the array."""
    top = size_term(array.length)
    found = []
    for name, domain in protocol.local:
        if isinstance(domain, Bounded) and one_below(size_term(domain.hi), top):
            found.append(Cell(name, INT, "t"))
    return found


def atoms(domain: Scalar, cell: Term) -> list[Term]:
    """What may be said of one value."""
    match domain:
        case Enum():
            return [_equal(cell, Const(number, domain.labels)) for number in range(len(domain.labels))]
        case Bool():
            return [cell]
        case ThreadId():
            return [_equal(cell, NO_THREAD)]
        case Bounded():
            fixed = isinstance(domain.lo, int) and isinstance(domain.hi, int) and domain.hi - domain.lo < WRITTEN_OUT
            if not fixed:
                return [_equal(cell, size_term(bound)) for bound in (domain.lo, domain.hi)]
            assert isinstance(domain.lo, int)
            assert isinstance(domain.hi, int)
            return [_equal(cell, Const(number, INT)) for number in range(domain.lo, domain.hi + 1)]


def named(domain: Scalar, cell: Cell) -> list[Term]:
    """What may be said of an entry from the point of view of thread t."""
    return [_equal(cell, T), _equal(cell, NO_THREAD)] if isinstance(domain, ThreadId) else atoms(domain, cell)


def _equal(left: Term, right: Term) -> Term:
    return Op("==", (left, right))


def _both(found: Sequence[Term]) -> tuple[Term, ...]:
    return tuple(itertools.chain.from_iterable((term, _negated(term)) for term in found))


def _negated(term: Term) -> Term:
    return Op("!=", term.args) if isinstance(term, Op) and term.op == "==" else negation(term)


def ranges(protocol: Protocol) -> list[Clause]:
    """The bounds of integer variables."""
    found = []
    for local, variables in ((False, protocol.shared), (True, protocol.local)):
        for name, domain in variables:
            found += _range(name, local, domain)
    return found


def _range(name: str, local: bool, domain: Domain) -> list[Clause]:
    scalar = domain.element if isinstance(domain, Array) else domain
    if not isinstance(scalar, Bounded):
        return []
    threads = ("t",) if local else ()
    held = (("k", size_term(domain.length)),) if isinstance(domain, Array) else ()
    cell = Cell(name, INT, "t" if local else None, K if held else None)
    low, high = Op("<=", (size_term(scalar.lo), cell)), Op("<=", (cell, size_term(scalar.hi)))
    return [Clause(f"{name}_low", threads, held, low), Clause(f"{name}_high", threads, held, high)]


@dataclass(frozen=True, slots=True)
class Sample:
    """Reachable states (representatives) of a small instance, and dags to look at them."""

    model: Model
    scope: Scope
    values: Values
    states: States

    def truth(self, terms: Sequence[Term], thread: int, other: int | None = None, index: int = 0) -> Matrix:
        """One row a term, one column a state."""
        const = self.model.dag.const
        env = {"t": const(thread + 1), "k": const(index), "u": const(0 if other is None else other + 1)}
        rows = [self.values.truth(self.scope.term(term, env)) for term in terms]
        return np.array(rows, dtype=np.bool_).reshape(len(terms), len(self.states))


def sample(protocol: Protocol, limits: Limits = Limits()) -> Sample:  # noqa: B008 - frozen
    """The largest instance of up to three threads whose orbits are few, of the given sizes or of smaller ones: what
    holds there is a candidate, not more. Raises NotCovered."""
    least = {name: SMALL for name, value in protocol.parameters if not isinstance(value, bool) and value > SMALL}
    for tried in (protocol, *([protocol.with_parameters(**least)] if least else [])):
        for threads in (3, 2):
            found = _explored(tried, threads, limits)
            if found is not None:
                return found
    raise NotCovered("no small instance can be explored as a sample")


def _explored(protocol: Protocol, threads: int, limits: Limits) -> Sample | None:
    """Every orbit of an instance, if they are few."""
    try:
        model = instantiate(protocol, threads, limits.memory)
    except TooLarge:
        return None
    if model.bits > WIDTH or not model.symmetric:
        return None
    explorer = Explorer.of(model, True, keep=True)
    explorer.run(replace(limits, states=STATES), time.perf_counter())
    if not explorer.found.complete or explorer.keep is None:
        return None
    states = np.concatenate(explorer.keep)
    scope = Scope(protocol, threads, model.slots, model.dag)
    return Sample(model, scope, Values(model, states), states)


def candidates(
    protocol: Protocol,
    triples: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> list[Clause]:
    """The properties and every clause of the templates that the sample does not violate; with `triples` of three
    literals too."""
    found, seen = literals(protocol), sample(protocol, limits)
    made = [of_property(prop) for prop in protocol.properties if prop.kind == "always"]
    made += ranges(protocol)
    columns = _columns(seen, found.one)
    made += _pairs(found.one, found.one, columns, None, True)
    made += _triples(found, columns) if triples else []
    if found.length is not None:
        both = found.indexed + found.one
        placed = _columns(seen, both, int(seen.scope.term(found.length, {}).constant or 0))
        made += _pairs(found.indexed, both, placed, found.length, False)
    made += _exclusions(found.local, seen)
    return [Clause(clause.name or f"c{number}", *_rest(clause)) for number, clause in enumerate(made)]


def _rest(clause: Clause) -> tuple[tuple[str, ...], tuple[tuple[str, Term], ...], Term]:
    return clause.threads, clause.indices, clause.body


def _columns(seen: Sample, terms: Sequence[Term], length: int = 1) -> Matrix:
    """The distinct columns of truth values of `terms`, over every state, thread and index."""
    parts = [seen.truth(terms, t, None, k) for t in range(seen.model.threads) for k in range(length)]
    return _distinct(np.concatenate(parts, axis=1))


def _distinct(columns: Matrix) -> Matrix:
    packed = np.ascontiguousarray(np.packbits(columns, axis=0).T)
    _, index = np.unique(packed.view([("", packed.dtype)] * packed.shape[1]).ravel(), return_index=True)
    result: Matrix = columns[:, index]
    return result


def _pairs(
    left: Sequence[Term], right: Sequence[Term], columns: Matrix, length: Term | None, single: bool
) -> list[Clause]:
    """Disjunctions of two literals that hold in every column; `left` are the first rows of `right`."""
    false = (~columns).astype(np.float32)
    holds: Matrix = np.equal(false[: len(left)] @ false.T, 0)
    always: Matrix = np.asarray(columns.all(axis=1))
    held = () if length is None else (("k", length),)
    made = []
    for i, j in np.argwhere(holds):
        if i == j and single:
            made.append(_clause(left[i], held))
        elif i < j and not (always[i] or always[j] or _trivial(left[i], right[j])):
            made.append(_clause(_disjunction(left[i], right[j]), held))
    return made


def _triples(found: Literals, columns: Matrix) -> list[Clause]:
    """Where two variables have some values, a third literal holds; without those in which two literals suffice.

    Where these are too many, only of a shared variable and thread t.
    """
    terms = found.one
    false = (~columns).astype(np.float32)
    pair: Matrix = np.equal(false @ false.T, 0)
    shared, local = len(found.shared), [i for i in range(len(terms)) if _is_negative(terms[i])]
    every = [(i, j) for i, j in itertools.combinations(local, 2) if not pair[i, j]]
    made = _of_three(terms, false, pair, every)
    return made if len(made) <= MANY else _of_three(terms, false, pair, [(i, j) for i, j in every if i < shared <= j])


def _of_three(terms: Sequence[Term], false: Floats, pair: Matrix, premises: Sequence[tuple[int, int]]) -> list[Clause]:
    """For each two premises, given by their negations, the claims that hold only where both do."""
    made: dict[frozenset[int], Clause] = {}
    single = np.diag(pair)
    for i, j in premises:
        here = false[:, (false[i] > 0) & (false[j] > 0)]
        for k in np.flatnonzero(~here.any(axis=1) & ~pair[i] & ~pair[j] & ~single) if here.shape[1] else ():
            key = frozenset((i, j, int(k)))
            if key not in made:
                premise = Op("and", (_negated_back(terms[i]), _negated_back(terms[j])))
                made[key] = _clause(implication(premise, terms[int(k)]), ())
    return list(made.values())


def _disjunction(a: Term, b: Term) -> Term:
    """a or b, written as an implication where one is a negation."""
    if _is_negative(a):
        return implication(_negated_back(a), b)
    return implication(_negated_back(b), a) if _is_negative(b) else Op("or", (a, b))


def _is_negative(term: Term) -> bool:
    return isinstance(term, Op) and term.op in ("!=", "not")


def _negated_back(term: Term) -> Term:
    assert isinstance(term, Op)
    return Op("==", term.args) if term.op == "!=" else term.args[0]


def _trivial(a: Term, b: Term) -> bool:
    """Whether a or b holds whatever the state: complements, and two "not equal" of one variable."""
    if isinstance(a, Op) and isinstance(b, Op) and a.op == b.op == "!=" and a.args[0] == b.args[0]:
        constants = (Const, Bound)
        return isinstance(a.args[1], constants) and isinstance(b.args[1], constants)
    return _negated(a) == b or (_is_negative(a) and _negated_back(a) == b)


def _clause(body: Term, held: tuple[tuple[str, Term], ...]) -> Clause:
    threads = tuple(name for name in ("t", "u") if name in mentioned(body))
    return Clause("", threads, held, body)


def _exclusions(local: Sequence[Term], seen: Sample) -> list[Clause]:
    """Two threads are never at a and at b."""
    positive = [term for term in local if not _is_negative(term)]
    count = seen.model.threads
    first = np.concatenate([seen.truth(positive, t) for t, u in itertools.permutations(range(count), 2)], axis=1)
    second = np.concatenate([seen.truth(positive, u) for t, u in itertools.permutations(range(count), 2)], axis=1)
    both = _distinct(np.concatenate((first, second)))
    one, two = both[: len(positive)].astype(np.float32), both[len(positive) :].astype(np.float32)
    never: Matrix = np.equal(one @ two.T, 0)
    possible: Matrix = np.asarray(one.any(axis=1))
    made = []
    for i, j in np.argwhere(never):
        if i <= j and possible[i] and possible[j] and not (_shares(positive[i]) and _shares(positive[j])):
            made.append(Clause("", ("t", "u"), (), implication(positive[i], _negated(_other(positive[j])))))
    return made


def _shares(term: Term) -> bool:
    """Whether a literal only says that a shared variable names the thread: two threads exclude each other anyway."""
    return isinstance(term, Op) and term.args[1] == T


def _other(term: Term) -> Term:
    """The literal about thread u."""
    return substitute(term, {"t": U})
