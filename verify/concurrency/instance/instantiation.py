"""Grounding: terms become dags, and steps become transitions, for a given number of threads and parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from verify.concurrency.instance.dag import Dag, Node, TooWide, bounds, conjuncts, interval
from verify.concurrency.instance.transitions import DomainCheck, Observation, Room, Slot, Transition
from verify.concurrency.language.domains import ProtocolError
from verify.concurrency.language.protocol import Protocol
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
    Over,
    ParameterRef,
    PropertyTerm,
    Quantified,
    Range,
    Statement,
    StepTerm,
    Term,
)

DEEPEST = 128  # cells or terms that one expression goes through: what gcc and Python can nest


_Env = Mapping[str, Node]


def _at(place: str) -> str:
    """A place before a message, where there is one."""
    return f"{place}: " if place else ""


class Scope:
    """Turns terms into dags for one size."""

    def __init__(
        self, protocol: Protocol, threads: int, slots: tuple[Slot, ...], dag: Dag, room: Room | None = None
    ) -> None:
        self.protocol, self.threads, self.slots, self.dag = protocol, threads, slots, dag
        self.room = room or Room()
        self.values = protocol.values
        self.first: dict[tuple[str, int | None], tuple[int, int]] = {}
        for slot in slots:
            start, count = self.first.get((slot.variable, slot.thread), (slot.number, 0))
            self.first[slot.variable, slot.thread] = (start, count + 1)
        self.reads = {slot.number: self._whole(slot) for slot in slots}

    def _whole(self, slot: Slot) -> Node:
        try:
            return self.dag.read(slot.number, slot.lo, slot.hi)
        except TooWide as error:
            raise ProtocolError(f"variable {slot.name}: {error}") from error

    def choices_of(self, names: tuple[str, ...]) -> list[tuple[tuple[int, ...], dict[str, Node]]]:
        """Every way to give distinct threads to names."""
        ways = itertools.permutations(range(self.threads), len(names))
        return [(way, {n: self.dag.const(i + 1) for n, i in zip(names, way, strict=True)}) for way in ways]

    def observed(self, prop: PropertyTerm) -> list[Observation]:
        """What must be watched of each state for a property."""
        try:
            return self._observed(prop)
        except TooWide as error:
            raise ProtocolError(f"{_at(prop.place)}property {prop.name}: {error}") from error

    def _observed(self, prop: PropertyTerm) -> list[Observation]:
        dag = self.dag
        if prop.kind not in ("always", "sometimes"):
            for _, env in self.choices_of(prop.threads):
                self.term(prop.premise, env), self.term(prop.claim, env)  # values too wide are told of before a search
            return []
        ways = [env for _, env in self.choices_of(prop.threads)]
        claims = [self.term(prop.claim, env) for env in ways]
        if prop.kind == "sometimes":
            return [Observation(prop.name, "goal", dag.disjunction(claims))]
        premises = [self.term(prop.premise, env) for env in ways]
        bad = dag.disjunction(
            dag.conjunction((p, dag.negation(c))) for p, c in zip(premises, claims, strict=True)
        )
        found = [Observation(prop.name, "bad", bad)]
        if not (isinstance(prop.premise, Const) and prop.premise.value == 1):
            found.append(Observation(prop.name, "premise", dag.disjunction(premises)))
        return found

    def instances(self, step: StepTerm, start: int) -> list[Transition]:
        """The transitions of a step, without those whose guard is false for this size."""
        ranges = [self._values(step, name, over) for name, over in step.choices]
        found: list[Transition] = []
        for threads, env in self.choices_of(step.threads):
            for chosen in itertools.product(*ranges):
                names = [name for name, _ in step.choices]
                full = {**env, **{n: self.dag.const(c) for n, c in zip(names, chosen, strict=True)}}
                before = len(self.dag)
                try:
                    one = Execution(self, step, full).transition(start + len(found), threads, chosen)
                except TooWide as error:
                    raise ProtocolError(f"{_at(step.place)}step {step.name}: {error}") from error
                self.room.take(1 + len(self.dag) - before, f"nodes of step {step.name}")
                if one.guard is not self.dag.false:
                    found.append(one)
        return found

    def _values(self, step: StepTerm, name: str, over: Range) -> range:
        """The values of a choice. Raises ProtocolError where there are none."""
        lo, hi = self._number(over.lo), self._number(over.hi)
        if hi <= lo:
            raise ProtocolError(f"step {step.name}: choice {name} has no values: expected 1 or more, got {hi - lo}")
        return self._range(lo, hi)

    def _number(self, term: Term) -> int:
        value = self.term(term, {}).constant
        assert value is not None
        return value

    def members(self, over: Over, env: _Env, state: Mapping[int, Node] | None) -> list[Node]:
        """The values that a range goes through."""
        if isinstance(over, AllThreads):
            return [self.dag.const(thread + 1) for thread in range(self.threads)]
        lo, hi = self.term(over.lo, env, state).constant, self.term(over.hi, env, state).constant
        if lo is None or hi is None:
            raise ProtocolError("a range needs constant bounds")
        return [self.dag.const(value) for value in self._range(lo, hi)]

    def _range(self, lo: int, hi: int) -> range:
        """The numbers lo..hi-1, if there is room for them."""
        self.room.take(max(0, hi - lo), "values of a range")
        return range(lo, hi)

    def _looked_through(self, array: Cell, count: int) -> None:
        """Refuses what would become an expression nested too deeply for the engines."""
        if count > DEEPEST:
            raise ProtocolError(f"{array.variable} of {count} cells: at most {DEEPEST} can be looked through")

    def place(self, cell: Cell, env: _Env) -> tuple[int, int]:
        """Number of the first cell of a variable, and how many there are."""
        thread = None
        if cell.thread is not None:
            constant = env[cell.thread].constant
            assert constant is not None
            thread = constant - 1
        return self.first.get((cell.variable, thread), (0, 0))

    def term(self, term: Term, env: _Env, state: Mapping[int, Node] | None = None) -> Node:
        """The dag of a term, in the initial cells or where `state` says otherwise."""
        dag = self.dag
        match term:
            case Const():
                return dag.const(term.value)
            case ParameterRef():
                return dag.const(self.values[term.name])
            case Bound():
                return env[term.name]
            case Cell():
                return self._cell(term, env, state)
            case Find():
                return self._find(term, env, state)
            case Quantified():
                return self._quantified(term, env, state)
            case Op():
                return self._operation(term.op, [self.term(arg, env, state) for arg in term.args])

    def _cell(self, cell: Cell, env: _Env, state: Mapping[int, Node] | None) -> Node:
        first, count = self.place(cell, env)
        values = [(state or {}).get(first + i, self.reads[first + i]) for i in range(count)]
        if cell.index is None:
            return values[0]
        index = self.term(cell.index, env, state)
        lo = self.slots[first].lo if count else 0
        if index.constant is not None:
            return values[index.constant] if 0 <= index.constant < count else self.dag.const(lo)
        if count and all(values[i] is self.reads[first + i] for i in range(count)):
            return self.dag.select(index, first, count, (lo, self.slots[first].hi))
        self._looked_through(cell, count)
        found = self.dag.const(lo)
        for i in range(count):
            found = self.dag.choice(self.dag.equal(index, self.dag.const(i)), values[i], found)
        return found

    def _find(self, term: Find, env: _Env, state: Mapping[int, Node] | None) -> Node:
        first, count = self.place(term.array, env)
        wanted = self.term(term.value, env, state)
        self._looked_through(term.array, count)
        found = self.dag.const(count)
        for i in reversed(range(count)):
            value = (state or {}).get(first + i, self.reads[first + i])
            found = self.dag.choice(self.dag.equal(value, wanted), self.dag.const(i), found)
        return found

    def _quantified(self, term: Quantified, env: _Env, state: Mapping[int, Node] | None) -> Node:
        members = self.members(term.over, env, state)
        if term.kind == "pick":
            return self._picked(term, members, env, state)
        parts = [self.term(term.body, {**env, term.variable: member}, state) for member in members]
        if term.kind == "sum":
            if len(parts) > DEEPEST:
                raise ProtocolError(f"a sum of {len(parts)} terms: at most {DEEPEST} can be added")
            total = self.dag.const(0)
            for part in parts:
                total = self.dag.add(total, part)
            return total
        return self.dag.conjunction(parts) if term.kind == "all" else self.dag.disjunction(parts)

    def _picked(self, term: Quantified, members: list[Node], env: _Env, state: Mapping[int, Node] | None) -> Node:
        """Of the members for which the body's condition holds, of which there is at most one, the body's value."""
        assert isinstance(term.body, Op)
        test, value, otherwise = term.body.args
        found = self.term(otherwise, env, state)
        for member in members:
            here = {**env, term.variable: member}
            found = self.dag.choice(self.term(test, here, state), self.term(value, here, state), found)
        return found

    def _operation(self, op: str, args: list[Node]) -> Node:
        dag = self.dag
        match op:
            case "and":
                return dag.conjunction(args)
            case "or":
                return dag.disjunction(args)
            case "not":
                return dag.negation(args[0])
            case "==":
                return dag.equal(args[0], args[1])
            case "!=":
                return dag.negation(dag.equal(args[0], args[1]))
            case "<":
                return dag.less(args[0], args[1])
            case ">":
                return dag.less(args[1], args[0])
            case "<=":
                return dag.negation(dag.less(args[1], args[0]))
            case ">=":
                return dag.negation(dag.less(args[0], args[1]))
            case "+":
                return dag.add(args[0], args[1])
            case "-":
                return dag.subtract(args[0], args[1])
            case "*":
                return dag.multiply(args[0], args[1])
            case "//" | "%":
                by = args[1].constant
                if by is None or by < 1:
                    raise ProtocolError(f"{op} needs a constant divisor of at least 1, got {by}")
                return dag.divide(args[0], by) if op == "//" else dag.remainder(args[0], by)
            case "ite":
                return dag.choice(args[0], args[1], args[2])
        raise ProtocolError(f"unknown operation {op}")


class Execution:
    """Runs one instance of a step on dags: what each cell becomes, and which checks that needs."""

    def __init__(self, scope: Scope, step: StepTerm, env: dict[str, Node]) -> None:
        self.scope, self.step, self.env, self.dag = scope, step, env, scope.dag
        self.state: dict[int, Node] = {}
        self.checks: list[DomainCheck] = []
        for let in step.lets:
            env[let.name] = scope.term(let.value, env)
        self.guard = scope.term(step.guard, env)
        self.known = frozenset(conjuncts(self.guard))
        for condition in self.known:
            self._learn(condition)
        self.shard_result = dict(self.state)

    def _learn(self, condition: Node) -> None:
        """A guard that fixes a cell fixes what the effect reads."""
        for node, (lo, hi) in bounds((condition,)).items():
            if node.op == "read" and lo == hi:
                self.state[node.value[0]] = self.dag.const(lo)

    def transition(self, number: int, threads: tuple[int, ...], choices: tuple[int, ...]) -> Transition:
        """The finished instance."""
        if self.guard is not self.dag.false:
            self.block(self.step.effect, self.dag.true)
        updates = []
        for cell, node in sorted(self.state.items()):
            if node is not self.scope.reads[cell] and node is not self.shard_result.get(cell):
                updates.append((cell, node))
        return Transition(number, self.step, threads, choices, self.guard, tuple(updates), tuple(self.checks))

    def block(self, body: tuple[Statement, ...], path: Node) -> None:
        """Statements in order, where `path` holds."""
        for item in body:
            match item:
                case Let():
                    self.env[item.name] = self.scope.term(item.value, self.env, self.state)
                case Assign():
                    self.assign(item, path)
                case If():
                    condition = self.scope.term(item.condition, self.env, self.state)
                    self.block(item.then, self.dag.conjunction((path, condition)))
                    self.block(item.otherwise, self.dag.conjunction((path, self.dag.negation(condition))))
                case For():
                    for member in self.scope.members(item.over, self.env, self.state):
                        self.env[item.variable] = member
                        self.block(item.body, path)

    def assign(self, item: Assign, path: Node) -> None:
        """One assignment."""
        if path is self.dag.false:
            return
        value = self.scope.term(item.value, self.env, self.state)
        first, count = self.scope.place(item.target, self.env)
        if item.target.index is None:
            self._write(first, value, path)
            return
        index = self.scope.term(item.target.index, self.env, self.state)
        inside = self.dag.conjunction(
            (
                self.dag.negation(self.dag.less(index, self.dag.const(0))),
                self.dag.less(index, self.dag.const(count)),
            )
        )
        self._require(path, (0, count - 1), DomainCheck(inside, f"index of {item.target.variable}", index, None))
        for i in range(count):
            here = self.dag.equal(index, self.dag.const(i))
            self._write(first + i, value, self.dag.conjunction((path, here)))

    def _write(self, cell: int, value: Node, path: Node) -> None:
        if path is self.dag.false:
            return
        slot = self.scope.slots[cell]
        low = self.dag.negation(self.dag.less(value, self.dag.const(slot.lo)))
        inside = self.dag.conjunction((low, self.dag.less(value, self.dag.const(slot.hi + 1))))
        self._require(path, (slot.lo, slot.hi), DomainCheck(inside, slot.label, value, slot.domain))
        old = self.state.get(cell, self.scope.reads[cell])
        self.state[cell] = self.dag.choice(path, value, old)

    def _require(self, path: Node, allowed: tuple[int, int], check: DomainCheck) -> None:
        """Notes a check, to hold where `path` does, unless the guard implies it."""
        inside, value = check.holds, check.value
        lo, hi = interval(value, bounds((*self.known, *conjuncts(path))))
        implied = all(part in self.known or part is self.dag.true for part in conjuncts(inside))
        holds = self.dag.disjunction((self.dag.negation(path), inside))
        if not (implied or holds is self.dag.true or (allowed[0] <= lo and hi <= allowed[1])):
            self.checks.append(DomainCheck(holds, check.target, value, check.domain))
