"""Symbols: terms of a protocol as Z3 expressions, for any number of threads and any values of integer parameters.

Threads are an uninterpreted sort, enumerations are datatypes, integers and indices are integers, integer parameters
are constants of at least 1; flags have the protocol's values. Quantifiers, and `find`, become fresh constants whose
meaning is instantiated on the terms that occur: weaker than the protocol, so that only "unsatisfiable" is a proof.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import z3

from verify.concurrency.language.domains import BOOL, INT, THREAD, Array, Bounded, Domain, Type, plain_start, starts
from verify.concurrency.language.guarded_commands import GuardedCommand, Write
from verify.concurrency.language.protocol import Protocol
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
from verify.concurrency.unbounded.clauses import Clause, mentioned, one_below, renamed, size_term
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.pending import Pending
from verify.concurrency.unbounded.solvers import Constants, Expr, equality, implication, junction, negation, operation

Env = Mapping[str, Expr]
Read = Callable[[str, Expr | None, Expr | None], Expr]
_Template = tuple[tuple[int, int], Expr, tuple[Expr, ...]]
MOST = 8  # values of a range that is written out
TERM, INSTANCE = 75, 100  # units of work of a term, and of a clause on some threads and indices


class Symbols(Constants):
    """Sorts, constants and functions of one protocol, and the terms that one condition mentions."""

    def __init__(self, protocol: Protocol, spend: Callable[[int], None]) -> None:
        super().__init__()
        self.protocol, self.spend = protocol, spend
        self.thread = z3.DeclareSort("Thread", self.context)
        self.nobody = z3.Const("nobody", self.thread)
        self.domains: dict[tuple[bool, str], Domain] = {(False, n): d for n, d in protocol.shared}
        self.domains |= {(True, n): d for n, d in protocol.local}
        self.flags = {name: value for name, value in protocol.parameters if isinstance(value, bool)}
        self.sizes = [name for name, value in protocol.parameters if not isinstance(value, bool)]
        self._enums: dict[tuple[str, ...], tuple[Expr, list[Expr]]] = {}
        self._functions: dict[tuple[bool, str], Expr] = {}
        self._numbers = itertools.count()
        self._made: list[_Template] = []
        self.clear()

    def clear(self) -> None:
        """Forgets what a condition mentioned."""
        self.axioms: list[Expr] = []
        self.pending: list[Pending] = []
        self.threads: dict[int, Expr] = {}
        self.indices: dict[int, Expr] = {}
        self.opened: dict[tuple[object, ...], tuple[Expr, tuple[Expr, ...]]] = {}
        self.finds: dict[tuple[str, int, int], tuple[Expr, tuple[Expr | None, Expr]]] = {}

    # --- sorts and values ------------------------------------------------------------------------------------------
    def sort(self, kind: Type) -> Expr:
        """The sort of a type."""
        if isinstance(kind, tuple):
            return self._enum(kind)[0]
        return {INT: self.integers, BOOL: self.truths, THREAD: self.thread}[kind]

    def _enum(self, labels: tuple[str, ...]) -> tuple[Expr, list[Expr]]:
        if labels not in self._enums:
            name = f"E{len(self._enums)}"
            self._enums[labels] = z3.EnumSort(name, [f"{name}.{label}" for label in labels], self.context)
        return self._enums[labels]

    def value(self, code: int, kind: Type) -> Expr:
        """The constant that a code stands for."""
        if isinstance(kind, tuple):
            return self._enum(kind)[1][code]
        return {INT: self.number(code), BOOL: self.boolean(bool(code)), THREAD: self.nobody}[kind]

    def parameter(self, name: str) -> Expr:
        """A parameter: a flag has its value, a size is any integer."""
        return self.boolean(self.flags[name]) if name in self.flags else self.integer(f"parameter.{name}")

    def sized(self) -> list[Expr]:
        """What is assumed of parameters."""
        return [self.parameter(name) >= 1 for name in self.sizes]

    def fresh(self, name: str, kind: Type) -> Expr:
        """A new constant, which instances then speak of."""
        made = z3.Const(f"{name}!{next(self._numbers)}", self.sort(kind))
        if kind == THREAD:
            self.mention_thread(made)
        elif kind == INT:
            self.mention_index(made)
        return made

    def mention_thread(self, term: Expr) -> None:
        """Has clauses made for this thread."""
        self.threads.setdefault(term.get_id(), term)

    def mention_index(self, term: Expr) -> None:
        """Has clauses made for this index."""
        self.indices.setdefault(term.get_id(), term)

    # --- the state before ------------------------------------------------------------------------------------------
    def before(self, variable: str, thread: Expr | None, index: Expr | None) -> Expr:
        """A cell in the state before the step; reading outside an array gives the first value."""
        key = (thread is not None, variable)
        domain = self.domains[key]
        array = isinstance(domain, Array)
        if key not in self._functions:
            takes = ([self.thread] if thread is not None else []) + ([self.integers] if array else [])
            name = ("local." if thread is not None else "shared.") + variable
            self._functions[key] = z3.Function(name, *takes, self.sort(domain.type))
        args = [arg for arg in (thread, index) if arg is not None]
        return self._functions[key](*args)

    def initially(self, first: Expr) -> Read:
        """Cells in an initial state, where `first` is the thread that may start otherwise."""

        def cell(variable: str, thread: Expr | None, index: Expr | None) -> Expr:
            domain = self.domains[thread is not None, variable]
            scalar = domain.element if isinstance(domain, Array) else domain
            if isinstance(scalar, Bounded):
                usual = size_term(plain_start(scalar))
                special = usual if scalar.first is None else size_term(scalar.first)
                values = [self.term(item, {}, self.before) for item in (usual, special)]
            else:
                values = [self.value(code, scalar.type) for code in starts(scalar, self.protocol.values)]
            same = values[0].eq(values[1]) or thread is None
            return values[0] if same else z3.If(thread == first, values[1], values[0])

        return cell

    def after(self, parts: GuardedCommand, env: Env) -> Read:
        """Cells in the state after a step."""
        known: dict[tuple[str, int, int], Expr] = {}
        alive: list[Expr | None] = []  # an identity is only valid while its expression lives

        def cell(variable: str, thread: Expr | None, index: Expr | None) -> Expr:
            key = (variable, -1 if thread is None else thread.get_id(), -1 if index is None else index.get_id())
            if key not in known:
                alive.extend((thread, index))
                known[key] = made(variable, thread, index)
            return known[key]

        def made(variable: str, thread: Expr | None, index: Expr | None) -> Expr:
            value = self.before(variable, thread, index)
            for write in parts.writes:
                if write.variable == variable and (write.thread is None) == (thread is None):
                    for condition, new in self._written(write, env, thread, index):
                        value = z3.If(condition, new, value)
            return value

        return cell

    def _written(self, write: Write, env: Env, thread: Expr | None, index: Expr | None) -> list[tuple[Expr, Expr]]:
        """(condition, value) of a write to one cell; one for each round of a loop that is written out."""
        rounds: list[tuple[dict[str, Expr], list[Expr]]] = [(dict(env), [])]
        for name, over in write.loops:
            rounds = [pair for each in rounds for pair in self._rounds(write, name, over, each, thread, index)]
        found = []
        for bound, conditions in rounds:
            here = list(conditions)
            if write.thread is not None:
                here.append(bound[write.thread] == thread)
            if write.index is not None:
                assert index is not None
                here.append(self.term(write.index, bound, self.before) == index)
            here.append(self.term(write.condition, bound, self.before))
            found.append((junction("and", here), self.term(write.value, bound, self.before)))
        return found

    def _rounds(
        self, write: Write, name: str, over: Over, base: tuple[dict[str, Expr], list[Expr]],
        thread: Expr | None, index: Expr | None,
    ) -> list[tuple[dict[str, Expr], list[Expr]]]:  # fmt: skip
        bound, conditions = base
        if isinstance(over, AllThreads):
            if write.thread != name:
                raise NotCovered(f"a loop over threads writes {write.variable}")
            return [({**bound, name: thread}, conditions)]
        lo, hi = (self.term(part, bound, self.before) for part in (over.lo, over.hi))
        if isinstance(write.index, Bound) and write.index.name == name:
            assert index is not None
            return [({**bound, name: index}, [*conditions, lo <= index, index < hi])]
        values = self._written_out(over)
        return [({**bound, name: self.number(value)}, conditions) for value in values]

    def _written_out(self, over: Range) -> list[int]:
        if not (isinstance(over.lo, Const) and isinstance(over.hi, Const)) or over.hi.value - over.lo.value > MOST:
            raise NotCovered("a loop over a range of any length that writes at a computed index")
        return list(range(over.lo.value, over.hi.value))

    # --- terms -----------------------------------------------------------------------------------------------------
    def term(self, term: Term, env: Env, read: Read) -> Expr:
        """A term as an expression."""
        self.spend(TERM)
        match term:
            case Const():
                return self.value(term.value, term.type)
            case ParameterRef():
                return self.parameter(term.name)
            case Bound():
                return env[term.name]
            case Cell():
                return self._cell(term, env, read)
            case Find():
                return self._find(term, env, read)
            case Quantified():
                return self._quantified(term, env, read)
            case Op():
                return operation(term.op, [self.term(arg, env, read) for arg in term.args])

    def _cell(self, cell: Cell, env: Env, read: Read) -> Expr:
        thread = None if cell.thread is None else env[cell.thread]
        if cell.index is None:
            found = read(cell.variable, thread, None)
        else:
            domain = self.domains[thread is not None, cell.variable]
            assert isinstance(domain, Array)
            index = self.term(cell.index, env, read)
            self.mention_index(index)
            low = size_term(domain.element.lo) if isinstance(domain.element, Bounded) else Const(0, domain.type)
            length = self.term(size_term(domain.length), {}, read)
            inside = z3.And(index >= 0, index < length)
            value = read(cell.variable, thread, index)
            found = z3.If(inside, value, self.term(low, {}, read))
            if cell.type == THREAD:
                self.mention_thread(value)
        if cell.type == THREAD and cell.index is None:
            self.mention_thread(found)
        return found

    def _length(self, array: Cell) -> Term:
        domain = self.domains[array.thread is not None, array.variable]
        assert isinstance(domain, Array)
        return size_term(domain.length)

    def _find(self, term: Find, env: Env, read: Read) -> Expr:
        thread = None if term.array.thread is None else env[term.array.thread]
        wanted = self.term(term.value, env, read)
        key = (term.array.variable, -1 if thread is None else thread.get_id(), wanted.get_id())
        if read == self.before and key in self.finds:
            return self.finds[key][0]
        found = self.fresh("find", INT)
        if read == self.before:
            self.finds[key] = found, (thread, wanted)  # an identity is only valid while its expression lives
        length = self.term(self._length(term.array), {}, read)
        here = read(term.array.variable, thread, found)
        if term.value.type == THREAD:
            self.mention_thread(here)
        self.axioms += [found >= 0, found <= length, z3.Implies(found < length, here == wanted)]

        def earlier(index: Expr) -> Expr:
            return z3.Implies(z3.And(index >= 0, index < found), read(term.array.variable, thread, index) != wanted)

        self.pending.append(Pending(self.boolean(True), False, earlier))
        return found

    def _quantified(self, term: Quantified, env: Env, read: Read) -> Expr:
        if term.kind in ("sum", "pick") or (isinstance(term.over, Range) and self._short(term.over)):
            return self._expanded(term, env, read)
        if read != self.before:
            return self._opened(term, env, read)
        free = sorted(mentioned(term) & env.keys())
        key = (renamed(term, 0), *((name, env[name].get_id()) for name in free))
        if key not in self.opened:
            self.opened[key] = self._opened(term, env, read), tuple(env.values())
        return self.opened[key][0]

    def _opened(self, term: Quantified, env: Env, read: Read) -> Expr:
        """A quantifier as a constant, with a witness where it does not hold."""
        number = next(self._numbers)
        truth = self.truth(f"all!{number}")
        over, negate = term.over, term.kind == "any"
        kind = THREAD if isinstance(over, AllThreads) else INT
        witness = self.fresh("witness", kind)

        def body(value: Expr) -> Expr:
            inner = self.term(term.body, {**env, term.variable: value}, read)
            inside = self._inside(over, value, env, read)
            return z3.Implies(inside, z3.Not(inner) if negate else inner)

        self.axioms.append(z3.Or(truth, z3.Not(body(witness))))
        self.pending.append(Pending(truth, kind == THREAD, body))
        return z3.Not(truth) if negate else truth

    def _inside(self, over: Over, value: Expr, env: Env, read: Read) -> Expr:
        if isinstance(over, AllThreads):
            return value != self.nobody
        return z3.And(self.term(over.lo, env, read) <= value, value < self.term(over.hi, env, read))

    def _short(self, over: Range) -> bool:
        constant = isinstance(over.lo, Const) and isinstance(over.hi, Const)
        return constant and len(self._written_out(over)) <= MOST

    def _expanded(self, term: Quantified, env: Env, read: Read) -> Expr:
        if isinstance(term.over, AllThreads):
            raise NotCovered("a sum over threads, or a variable of a thread that another one names")
        values = self._written_out(term.over)
        bodies = [self.term(term.body, {**env, term.variable: self.number(value)}, read) for value in values]
        if term.kind == "sum":
            return z3.Sum(bodies) if bodies else self.number(0)
        return junction("and" if term.kind == "all" else "or", bodies) if bodies else self.boolean(term.kind == "all")

    # --- instances -------------------------------------------------------------------------------------------------
    def settle(self) -> list[Expr]:
        """The axioms of quantifiers and `find`, instantiated on what has been mentioned so far. Quantifiers inside
        instances stay open until the next time: weaker, and still sound."""
        threads, indices = list(self.threads.values()), list(self.indices.values())
        for item in list(self.pending):
            for value in threads if item.thread else indices:
                if value.get_id() not in item.done:
                    item.done[value.get_id()] = value
                    self.axioms.append(implication(item.truth, item.body(value)))
        return self.axioms

    def closure(self) -> None:
        """Adds the threads that arrays name at the mentioned indices, and the indices that those threads hold."""
        for (local, variable), domain in self.domains.items():
            if local and isinstance(domain, Bounded) and self.is_index(variable):
                for thread in list(self.threads.values()):
                    self.mention_index(self.before(variable, thread, None))
        for (local, variable), domain in self.domains.items():
            if not local and domain.type == THREAD:
                if not isinstance(domain, Array):
                    self.mention_thread(self.before(variable, None, None))
                    continue
                for index in list(self.indices.values()):
                    self.mention_thread(self.before(variable, None, index))

    def is_index(self, variable: str) -> bool:
        """Whether a per-thread integer may index an array of threads: their bounds name one parameter."""
        domain = self.domains[True, variable]
        if not isinstance(domain, Bounded):
            return False
        top = size_term(domain.hi)
        arrays = [
            d for (local, _), d in self.domains.items() if not local and isinstance(d, Array) and d.type == THREAD
        ]
        return any(one_below(top, size_term(array.length)) for array in arrays)

    def instances(self, clauses: Sequence[Clause], selectors: Sequence[Expr]) -> list[Expr]:
        """Where its selector is true, each clause in the state before, on every mentioned term."""
        threads, indices = list(self.threads.values()), list(self.indices.values())
        found: list[Expr] = []
        for (many, more), template, held in self._templates(clauses, selectors):
            places = list(itertools.product(indices, repeat=more))
            for some in itertools.permutations(threads, many):
                for place in places:
                    self.spend(INSTANCE)
                    pairs = zip(held, (*some, *place), strict=True)
                    found.append(z3.substitute(template, *pairs) if held else template)
        for clause, selector in zip(clauses, selectors, strict=True):
            if clause.opens:
                for some in itertools.permutations(threads, len(clause.threads)):
                    for place in itertools.product(indices, repeat=len(clause.indices)):
                        found.append(z3.Implies(selector, self.clause(clause, some, place, self.before)))
        return found

    def _templates(self, clauses: Sequence[Clause], selectors: Sequence[Expr]) -> list[_Template]:
        """The clauses of each number of threads and indices, with constants in place of these; made once."""
        if not self._made:
            groups: dict[tuple[int, int], list[tuple[Clause, Expr]]] = {}
            for clause, selector in zip(clauses, selectors, strict=True):
                if not clause.opens:
                    groups.setdefault((len(clause.threads), len(clause.indices)), []).append((clause, selector))
            mentioned = dict(self.threads), dict(self.indices)
            for shape, members in groups.items():
                some = tuple(z3.Const(f"hole.t{i}", self.thread) for i in range(shape[0]))
                place = tuple(self.integer(f"hole.k{i}") for i in range(shape[1]))
                parts = [implication(sel, self.clause(clause, some, place, self.before)) for clause, sel in members]
                self._made.append((shape, junction("and", parts), (*some, *place)))
            self.threads, self.indices = mentioned
        return self._made

    def clause(self, clause: Clause, threads: tuple[Expr, ...], indices: tuple[Expr, ...], read: Read) -> Expr:
        """The clause of these threads and indices."""
        env = dict(zip((*clause.threads, *(name for name, _ in clause.indices)), (*threads, *indices), strict=True))
        inside = [negation(equality(thread, self.nobody)) for thread in threads]
        inside += [negation(equality(a, b)) for a, b in itertools.combinations(threads, 2)]
        for (_, length), index in zip(clause.indices, indices, strict=True):
            inside += [index >= 0, index < self.term(length, {}, read)]
        body = self.term(clause.body, env, read)
        return implication(junction("and", inside), body) if inside else body
