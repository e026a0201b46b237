"""Parts: a step for any number of threads, as a guard in classified conjuncts and simultaneous writes.

Values and conditions are terms over the state before the step. Nothing depends on the number of threads or on the
values of parameters; proofs for any number are made from this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from verify.concurrency.language.domains import THREAD, ProtocolError
from verify.concurrency.language.rounds import dependence
from verify.concurrency.language.terms import (
    TRUE,
    AllThreads,
    Assign,
    Bound,
    Cell,
    Find,
    For,
    If,
    Let,
    Op,
    Over,
    Quantified,
    Range,
    Statement,
    StepTerm,
    Term,
    conjuncts,
    negation,
    substitute,
    walk,
)


@dataclass(frozen=True, slots=True)
class Conjunct:
    """A conjunct of a guard.

    kind: "local" (cells of the step's own threads only), "shared" (shared cells only), "mixed", "universal" (all over
    threads), "existential" (any or sum over threads), or "constant" (parameters only).
    """

    term: Term
    kind: str


@dataclass(frozen=True, slots=True)
class Write:
    """`variable` of `thread` (None: shared), at `index` for arrays, becomes `value` where `condition` holds.

    `loops` bind names that occur in `thread`, `index`, `condition` and `value`: the write is made for each of their
    values. Of two writes to one cell the later wins.
    """

    variable: str
    thread: str | None
    index: Term | None
    condition: Term
    value: Term
    loops: tuple[tuple[str, Over], ...] = ()

    @property
    def broadcast(self) -> bool:
        """Whether it writes to every thread."""
        return any(name == self.thread for name, _ in self.loops)


@dataclass(frozen=True, slots=True)
class GuardedCommand:
    """A step: taken where every conjunct holds, then all `writes`, from the state before."""

    step: StepTerm
    guard: tuple[Conjunct, ...]
    writes: tuple[Write, ...]

    @property
    def local(self) -> tuple[Write, ...]:
        """Writes to the step's own threads."""
        return tuple(write for write in self.writes if write.thread is not None and not write.broadcast)

    @property
    def shared(self) -> tuple[Write, ...]:
        """Writes to shared variables."""
        return tuple(write for write in self.writes if write.thread is None)

    @property
    def broadcasts(self) -> tuple[Write, ...]:
        """Writes to every thread."""
        return tuple(write for write in self.writes if write.broadcast)


def guarded_command(step: StepTerm) -> GuardedCommand:
    """The step as a guarded command. Raises ProtocolError for a loop whose rounds read what earlier rounds wrote."""
    values: dict[str, Term] = {}
    for let in step.lets:
        values[let.name] = substitute(let.value, values)
    guard = conjuncts(substitute(step.guard, values))
    execution = _Execution(step, values)
    execution.block(step.effect, TRUE, ())
    return GuardedCommand(step, tuple(Conjunct(term, kind(term)) for term in guard), tuple(execution.writes))


def kind(term: Term) -> str:
    """The kind of a conjunct; see `Conjunct`."""
    core = term.args[0] if isinstance(term, Op) and term.op == "not" else term
    for inner in walk(core):
        if isinstance(inner, Quantified) and isinstance(inner.over, AllThreads):
            universal = (inner.kind == "all") == (core is term)
            return "universal" if universal and inner.kind not in ("sum", "pick") else "existential"
    cells = [inner for inner in walk(term) if isinstance(inner, Cell)]
    own = any(cell.thread is not None for cell in cells)
    named = any(isinstance(inner, Bound) and inner.type == THREAD for inner in walk(term))
    shared = any(cell.thread is None for cell in cells)
    if shared:
        return "mixed" if own or named else "shared"
    return "local" if own else "constant"


def cells(term: Term) -> tuple[Cell, ...]:
    """Every variable that a term reads."""
    return tuple(inner for inner in walk(term) if isinstance(inner, Cell))


class _Execution:
    """Runs an effect on terms; every value it writes is about the state before the step."""

    def __init__(self, step: StepTerm, values: dict[str, Term]) -> None:
        self.step, self.values = step, dict(values)
        self.writes: list[Write] = []

    def block(self, body: tuple[Statement, ...], path: Term, loops: tuple[tuple[str, Over], ...]) -> None:
        """Statements in order, where `path` holds, inside `loops`."""
        for item in body:
            match item:
                case Let():
                    self.values[item.name] = self.now(item.value)
                case Assign():
                    index = None if item.target.index is None else self.now(item.target.index)
                    write = Write(item.target.variable, item.target.thread, index, path, self.now(item.value), loops)
                    self.writes.append(write)
                case If():
                    condition = self.now(item.condition)
                    self.block(item.then, conjunction(path, condition), loops)
                    self.block(item.otherwise, conjunction(path, negation(condition)), loops)
                case For():
                    start = len(self.writes)
                    self.block(item.body, path, (*loops, (item.variable, item.over)))
                    self.independent(item, self.writes[start:])

    def independent(self, loop: For, made: list[Write]) -> None:
        """Refuses a loop whose rounds depend on each other."""
        found = dependence(loop, {}, sums=False)
        if loop.ordered or found is not None:
            raise ProtocolError(
                f"step {self.step.name}: rounds of a loop depend on each other"
                + (f": {found}" if found else "")
                + "; a proof for any number needs rounds that do not"
            )
        for write in made:
            mentioned = {write.thread} | {b.name for b in walk(write.index or TRUE) if isinstance(b, Bound)}
            if loop.variable not in mentioned:
                raise ProtocolError(
                    f"step {self.step.name}: the rounds of a loop write {write.variable} again and again; "
                    "a proof for any number needs rounds that do not depend on each other"
                )

    def now(self, term: Term) -> Term:
        """A term at this point of the effect, about the state before the step."""
        match term:
            case Bound():
                return self.values.get(term.name, term)
            case Cell():
                index = None if term.index is None else self.now(term.index)
                return self.written(replace(term, index=index))
            case Op():
                return Op(term.op, tuple(self.now(arg) for arg in term.args), term.type)
            case Find():
                if any(write.variable == term.array.variable for write in self.writes):
                    raise ProtocolError(f"step {self.step.name}: find after a write to {term.array.variable}")
                return Find(term.array, self.now(term.value))
            case Quantified():
                return replace(term, body=self.now(term.body))
        return term

    def written(self, cell: Cell) -> Term:
        """The value of a cell after the writes so far."""
        value: Term = cell
        for write in self.writes:
            if write.variable == cell.variable and (write.thread is None) == (cell.thread is None):
                value = _after(write, cell, value)
        return value


def _after(write: Write, cell: Cell, before: Term) -> Term:
    """The value of `cell` after one write, `before` without it."""
    bound: dict[str, Term] = {}
    same: Term = TRUE
    names = dict(write.loops)
    if write.thread is not None and cell.thread is not None:
        if write.thread in names:
            bound[write.thread] = Bound(cell.thread, THREAD)
        elif write.thread != cell.thread:
            same = Op("==", (Bound(write.thread, THREAD), Bound(cell.thread, THREAD)))
    if write.index is not None and cell.index is not None:
        over = names.get(write.index.name) if isinstance(write.index, Bound) else None
        if isinstance(write.index, Bound) and isinstance(over, Range):
            bound[write.index.name] = cell.index
            if cell.index != write.index:  # another round than this one
                same = conjunction(same, Op("<=", (over.lo, cell.index)), Op("<", (cell.index, over.hi)))
        elif write.index != cell.index:
            same = conjunction(same, Op("==", (write.index, cell.index)))
    condition = conjunction(same, substitute(write.condition, bound))
    value = substitute(write.value, bound)
    left = {b.name for term in (condition, value) for b in walk(term) if isinstance(b, Bound)} & names.keys()
    if left - ({cell.thread} | _mentioned(cell.index)):
        raise ProtocolError(f"a read of {write.variable} after a loop that writes it at a computed index")
    return value if condition == TRUE else Op("ite", (condition, value, before), cell.type)


def _mentioned(term: Term | None) -> set[str]:
    return {inner.name for inner in walk(term) if isinstance(inner, Bound)} if term is not None else set()


def conjunction(*terms: Term) -> Term:
    """The conjunction of terms, flat."""
    found = tuple(part for term in terms for part in conjuncts(term))
    return TRUE if not found else found[0] if len(found) == 1 else Op("and", found)
