"""Terms: what a step or a property says, for any number of threads and any parameters.

`frontend` makes these from Python functions; `instance` turns them into expression DAGs for given numbers;
`guarded_commands` splits them for proofs about any number. Nothing here evaluates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from verify.concurrency.language.domains import BOOL, INT, THREAD, Bounded, Offset, ProtocolError, Type


@dataclass(frozen=True, slots=True)
class Const:
    """A value by its code (`domains.span`): label number, 0/1, integer, 0 for no thread."""

    value: int
    type: Type


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """The value of a parameter."""

    name: str
    type: Type = INT


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound name: the step's thread, another thread, a choice, a loop variable or a temporary."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Cell:
    """A variable: shared (`thread` is None) or of the named thread; `index` for arrays (None: the whole array)."""

    variable: str
    type: Type
    thread: str | None = None
    index: Term | None = None


@dataclass(frozen=True, slots=True)
class Op:
    """and, or (n-ary), not, ==, !=, <, <=, >, >=, +, -, *, // and % (by a positive constant, rounded down) and ite
    (condition, then, else)."""

    op: str
    args: tuple[Term, ...]
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Find:
    """The lowest index at which `array` holds `value`, its length if none."""

    array: Cell
    value: Term
    type: Type = INT


@dataclass(frozen=True, slots=True)
class AllThreads:
    """Range of a quantifier or loop: every thread."""


@dataclass(frozen=True, slots=True)
class Range:
    """Range of a quantifier, loop or choice: lo..hi-1."""

    lo: Term
    hi: Term


Over = AllThreads | Range


@dataclass(frozen=True, slots=True)
class Quantified:
    """`kind` "all", "any" or "sum" of `body` over `over`; or "pick": the body is an ite whose condition holds for at
    most one of them, of which it is the second value, and else the third."""

    kind: str
    variable: str
    over: Over
    body: Term
    type: Type = BOOL


Term = Const | ParameterRef | Bound | Cell | Op | Find | Quantified


@dataclass(frozen=True, slots=True)
class Let:
    """A temporary."""

    name: str
    value: Term
    place: str = field(default="", compare=False)  # where it is written: `file:line`


@dataclass(frozen=True, slots=True)
class Assign:
    """`target` becomes `value`; later statements of the effect see it."""

    target: Cell
    value: Term
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class If:
    """Both branches are statement lists."""

    condition: Term
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class For:
    """`body` for each value of `variable`, in order; threads in the order of their numbers.

    `ordered`: the author says that this order of threads matters, so that they cannot be exchanged.
    """

    variable: str
    over: Over
    body: tuple[Statement, ...]
    ordered: bool = False
    place: str = field(default="", compare=False)


Statement = Let | Assign | If | For


@dataclass(frozen=True, slots=True)
class StepTerm:
    """A step: `lets`, then if `guard` then `effect`, atomically; one instance for each combination of distinct
    `threads` and of values of `choices`.

    `fair_over`: the threads and choices for each of whose values the step is fair by itself (None: all of them).
    """

    name: str
    actor: str
    threads: tuple[str, ...]
    choices: tuple[tuple[str, Range], ...]
    lets: tuple[Let, ...]
    guard: Term
    effect: tuple[Statement, ...]
    fair: str | None
    text: str = field(default="", compare=False)
    fair_over: tuple[str, ...] | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PropertyTerm:
    """A property: for `always` and `eventually` holds for every choice of distinct `threads`, for `sometimes` for some.

    always: `premise` implies `claim`. sometimes: `claim`. eventually: `premise` leads to `claim`.
    deadlock: a state without successors satisfies `claim`. With `step`, the premise is that the step is enabled.
    """

    name: str
    kind: str
    threads: tuple[str, ...]
    premise: Term
    claim: Term
    text: str = field(default="", compare=False)
    step: str = ""
    place: str = field(default="", compare=False)


def walk(term: Term) -> list[Term]:
    """The term and every term in it."""
    found: list[Term] = [term]
    children: tuple[Term, ...] = ()
    if isinstance(term, Op):
        children = term.args
    elif isinstance(term, Find):
        children = (term.array, term.value)
    elif isinstance(term, Quantified):
        children = (term.body, *((term.over.lo, term.over.hi) if isinstance(term.over, Range) else ()))
    elif isinstance(term, Cell) and term.index is not None:
        children = (term.index,)
    for child in children:
        found += walk(child)
    return found


TRUE = Const(1, BOOL)
FALSE = Const(0, BOOL)
NO_THREAD = Const(0, THREAD)


def negation(term: Term) -> Term:
    """True where the term is false."""
    return Op("not", (term,))


def conjuncts(term: Term) -> tuple[Term, ...]:
    """The conjuncts of a term."""
    if isinstance(term, Op) and term.op == "and":
        return tuple(part for arg in term.args for part in conjuncts(arg))
    return () if term == TRUE else (term,)


def substitute(term: Term, values: Mapping[str, Term]) -> Term:
    """`term` with bound names replaced; a thread name in a cell is replaced by another bound name only."""
    if isinstance(term, Bound):
        return values.get(term.name, term)
    if isinstance(term, Cell):
        thread = values.get(term.thread) if term.thread is not None else None
        name = thread.name if isinstance(thread, Bound) else term.thread
        return Cell(term.variable, term.type, name, None if term.index is None else substitute(term.index, values))
    if isinstance(term, Op):
        return Op(term.op, tuple(substitute(arg, values) for arg in term.args), term.type)
    if isinstance(term, Find):
        array = substitute(term.array, values)
        assert isinstance(array, Cell)
        return Find(array, substitute(term.value, values))
    if isinstance(term, Quantified):
        inner = {name: value for name, value in values.items() if name != term.variable}
        over = term.over
        if isinstance(over, Range):
            over = Range(substitute(over.lo, values), substitute(over.hi, values))
        return Quantified(term.kind, term.variable, over, substitute(term.body, inner), term.type)
    return term


def enabled(step: StepTerm | None, threads: tuple[str, ...]) -> Term:
    """Whether the step of the named threads can be taken, with some choice; never, where there is no step."""
    if step is None:
        return FALSE
    if len(step.threads) != len(threads):
        raise ProtocolError(f"step {step.name} is of {len(step.threads)} threads, its precondition of {len(threads)}")
    values: dict[str, Term] = {old: Bound(new, THREAD) for old, new in zip(step.threads, threads, strict=True)}
    for let in step.lets:
        values[let.name] = substitute(let.value, values)
    guard = substitute(step.guard, values)
    for name, over in step.choices:
        guard = Quantified("any", name, over, guard)
    return guard


def lowest(domain: Bounded) -> Term:
    """The first value of a domain of integers."""
    if isinstance(domain.lo, int):
        return Const(domain.lo, INT)
    base = ParameterRef(domain.lo.origin.name, INT)
    return Op("+", (base, Const(domain.lo.offset, INT)), INT) if isinstance(domain.lo, Offset) else base
