"""A second reading of the protocol language: the functions of a protocol are run, as plain Python, over dictionaries.

Shares nothing with `verify`: the words that a protocol file imports are defined here anew, with their own search and
their own fair components (Tarjan 1972; Emerson and Lei 1987 for strong fairness). No tests.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

State = tuple[Any, ...]
RUNS = 40  # of functions a state, beyond which a graph counts as large
Who = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A step with the threads and choices that took it."""


class OutsideDomain(Exception):
    """A step assigns a value outside a variable's domain."""

    def __init__(self, variable: str, value: object) -> None:
        super().__init__(variable, value)
        self.variable, self.value = variable, value


# --- the words of a protocol file --------------------------------------------------------------------------------
class Bounded:
    def __init__(self, lo: int, hi: int, initial: int | None = None, first: int | None = None) -> None:
        self.lo, self.hi = lo, hi
        self.initial = lo if initial is None else initial
        self.first = self.initial if first is None else first
        self.default: Any = lo

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and self.lo <= value <= self.hi


class Enum:
    def __init__(self, *labels: str, initial: str | None = None, first: str | None = None) -> None:
        self.labels, self.default = labels, labels[0]
        self.initial = labels[0] if initial is None else initial
        self.first = self.initial if first is None else first

    def holds(self, value: Any) -> bool:
        return value in self.labels


class Bool:
    def __init__(self, initial: bool = False, first: bool | None = None) -> None:
        self.default, self.initial = False, initial
        self.first = initial if first is None else first

    def holds(self, value: Any) -> bool:
        return isinstance(value, bool)


class ThreadId:
    default = None

    def __init__(self, initial: str | None = None) -> None:
        self.initial = self.first = initial

    def holds(self, value: Any) -> bool:
        return value is None or isinstance(value, OneThread)


class Array:
    def __init__(self, length: int, element: Any) -> None:
        self.length, self.element = length, element


class Implication:
    """`implies(premise, claim)`."""

    def __init__(self, premise: Any, claim: Any) -> None:
        self.premise, self.claim = bool(premise), bool(claim)

    def __bool__(self) -> bool:
        return not self.premise or self.claim


# --- the state while a function runs -------------------------------------------------------------------------------
class OneThread:
    """A thread; its attributes are its variables."""

    def __init__(self, memory: Memory, number: int) -> None:
        object.__setattr__(self, "_memory", memory)
        object.__setattr__(self, "number", number)

    def __getattr__(self, name: str) -> Any:
        return self._memory.read(self.number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._memory.write(self.number, name, value)


class SharedState:
    """The shared variables as attributes."""

    def __init__(self, memory: Memory) -> None:
        object.__setattr__(self, "_memory", memory)

    def __getattr__(self, name: str) -> Any:
        return self._memory.read(None, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._memory.write(None, name, value)


class Cells:
    """An array while a function runs."""

    def __init__(self, memory: Memory, owner: int | None, name: str, domain: Array) -> None:
        self.memory, self.key, self.domain = memory, (owner, name), domain

    def __getitem__(self, index: int) -> Any:
        inside = 0 <= index < self.domain.length
        return self.memory.values[self.key][index] if inside else self.domain.element.default

    def __setitem__(self, index: int, value: Any) -> None:
        if not 0 <= index < self.domain.length:
            raise OutsideDomain(f"index of {self.key[1]}", index)
        self.memory.check(f"{self.key[1]}[{index}]", self.domain.element, value)
        self.memory.values[self.key][index] = value

    def find(self, value: Any) -> int:
        cells = self.memory.values[self.key]
        return cells.index(value) if value in cells else self.domain.length


class Memory:
    """The variables of one state."""

    def __init__(self, described: Description, threads: int) -> None:
        self.described, self.values = described, dict[tuple[int | None, str], Any]()
        self.threads = [OneThread(self, number) for number in range(threads)]
        self.shared = SharedState(self)
        self.keys = [(i, name) for i in range(threads) for name in described.local]
        self.keys += [(None, name) for name in described.shared]

    def domain(self, owner: int | None, name: str) -> Any:
        return (self.described.shared if owner is None else self.described.local)[name]

    def read(self, owner: int | None, name: str) -> Any:
        domain = self.domain(owner, name)
        return Cells(self, owner, name, domain) if isinstance(domain, Array) else self.values[owner, name]

    def write(self, owner: int | None, name: str, value: Any) -> None:
        self.check(name, self.domain(owner, name), value)
        self.values[owner, name] = value

    def check(self, name: str, domain: Any, value: Any) -> None:
        if not domain.holds(value):
            raise OutsideDomain(name, value)

    def load(self, state: State) -> None:
        """Takes in a state."""
        for key, value in zip(self.keys, state, strict=True):
            shown = self._shown
            self.values[key] = [shown(v) for v in value] if isinstance(value, tuple) else shown(value)

    def _shown(self, value: Any) -> Any:
        return self.threads[value.number] if isinstance(value, Named) else value

    def store(self) -> State:
        """The state as a value."""
        return tuple(
            tuple(map(_kept, value)) if isinstance(value := self.values[key], list) else _kept(value)
            for key in self.keys
        )


@dataclass(frozen=True, order=True)
class Named:
    """A thread in a state."""

    number: int


def _kept(value: Any) -> Any:
    return Named(value.number) if isinstance(value, OneThread) else value


@dataclass
class Step:
    """A step: its function, whose guard calls `taken`, and its options."""

    name: str
    function: Callable[..., None]
    threads: tuple[str, ...]
    choices: tuple[tuple[str, int], ...]
    fair: str | None
    fair_over: tuple[str, ...] | None
    order: tuple[str, ...]  # of its parameters, the shared state left out

    def instance(self, who: Who) -> tuple[Any, ...]:
        """What a run is fair to."""
        names = (*self.threads, *(name for name, _ in self.choices))
        over = names if self.fair_over is None else self.fair_over
        return (self.name, *(v for name, v in zip(names, (*who[1], *who[2]), strict=True) if name in over))


@dataclass
class Property:
    name: str
    kind: str
    function: Callable[..., Any]
    threads: int
    step: str = ""


class Description:
    """Collects what a protocol file declares."""

    last: Description

    def __init__(self, name: str, question: str, *, shared: dict[str, Any], local: dict[str, Any], **_: Any) -> None:
        self.shared, self.local = shared, local
        self.steps: list[Step] = []
        self.properties: list[Property] = []
        self.final: Callable[..., Any] | None = None
        self.taken: Callable[[], None] = lambda: None
        Description.last = self

    def step(
        self, actor: str = "thread", fair: str | None = "weak", choose: dict[str, int] | None = None,
        fair_over: Sequence[str] | None = None,
    ) -> Callable[..., Any]:  # fmt: skip
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            names = list(inspect.signature(function).parameters)[1:]
            threads = tuple(name for name in names if name not in (choose or {}))
            choices = tuple((name, (choose or {})[name]) for name in names if name in (choose or {}))
            over = None if fair_over is None else tuple(fair_over)
            marked, order = self.marked(function), tuple(names)
            self.steps.append(Step(function.__name__, marked, threads, choices, fair, over, order))
            return function

        return register

    def marked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which says `taken` where its guard holds."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        mark = ast.parse("_taken()").body[0]
        rest = [i for i, item in enumerate(definition.body) if not _temporary(item)]
        guard = definition.body[rest[0]] if len(rest) == 1 else None
        if isinstance(guard, ast.If):
            guard.body.insert(0, mark)
        else:
            definition.body.insert(rest[0], mark)
        names = {**function.__globals__, "_taken": lambda: self.taken()}  # noqa: PLW0108 - it changes
        exec(compile(ast.fix_missing_locations(tree), f"<{function.__name__}>", "exec"), names)
        found: Callable[..., Any] = names[function.__name__]
        return found

    def _property(self, kind: str) -> Callable[..., Any]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            count = len(inspect.signature(function).parameters) - 1
            self.properties.append(Property(function.__name__, kind, function, count))
            return function

        return register

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        if kind in ("always", "sometimes", "eventually"):
            return self._property(kind)
        raise AttributeError(kind)

    def precondition(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._property("always")(function)
            self.properties[-1].step = step.__name__
            return function

        return register

    def terminal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.final = function
        return function

    def protocol(self) -> None:
        """Nothing more is asked of a file."""


def _temporary(item: ast.stmt) -> bool:
    docstring = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
    return docstring or (isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name))


# --- what a protocol does --------------------------------------------------------------------------------------------
@dataclass
class Graph:
    """Every reachable state with its distance, the moves from each, and what overflows: (step, value)."""

    depth: dict[State, int] = field(default_factory=dict)
    moves: dict[State, list[tuple[Who, State]]] = field(default_factory=dict)
    overflows: set[tuple[str, object]] = field(default_factory=set)


class Oracle:
    """A protocol file, run for some number of threads."""

    def __init__(
        self, text: str, threads: int, parameters: dict[str, int], source: str, backwards: bool = False
    ) -> None:
        self.count, self.backwards, self.runs = threads, backwards, 0
        words: dict[str, Any] = {
            "Array": Array, "Bool": Bool, "Bounded": Bounded, "Enum": Enum, "ThreadId": ThreadId,
            "Description": Description, "Parameter": parameters.get,
            "implies": Implication, "leads_to": lambda premise, claim: (bool(premise), bool(claim)),
            "ANY": "ANY", "NUMBER": "NUMBER", "NEXT": "NEXT", "PREVIOUS": "PREVIOUS",
            "in_order": lambda _: _Ordered(self), "threads": _Any(self), "Shared": Any, "Thread": Any, "Claim": Any,
        }  # fmt: skip
        exec(compile(_without_imports(text), source, "exec"), words)
        self.described = Description.last
        self.memory = Memory(self.described, threads)

    # --- states and moves -------------------------------------------------------------------------------------------
    def initial(self) -> list[State]:
        """Every initial state."""
        return sorted({state for first in range(self.count) for state in self._starts(first)}, key=repr)

    def _starts(self, first: int) -> Iterator[State]:
        ways: list[list[Any]] = []
        for owner, name in self.memory.keys:
            domain = self.memory.domain(owner, name)
            element = domain.element if isinstance(domain, Array) else domain
            one = self._values(element, owner, first)
            ways.append(list(itertools.product(one, repeat=domain.length)) if isinstance(domain, Array) else one)
        yield from itertools.product(*ways)

    def _values(self, element: Any, owner: int | None, first: int) -> list[Any]:
        """What a cell of a thread may start with."""
        if element.initial == "ANY":
            whole = range(element.lo, element.hi + 1) if isinstance(element, Bounded) else (False, True)
            return list(element.labels if isinstance(element, Enum) else whole)
        if owner is not None and element.initial == "NUMBER":
            return [owner]
        if owner is not None and element.initial in ("NEXT", "PREVIOUS"):
            return [Named((owner + (1 if element.initial == "NEXT" else -1)) % self.count)]
        return [element.first if owner == first else element.initial]

    def ways(self, step: Step) -> Iterator[Who]:
        """Every choice of distinct threads and of values."""
        for who in itertools.permutations(range(self.count), len(step.threads)):
            for chosen in itertools.product(*(range(many) for _, many in step.choices)):
                yield step.name, who, chosen

    def taken(self, state: State, step: Step, who: Who) -> State | None:
        """The state after a step, None where its guard does not hold. Raises OutsideDomain."""
        self.runs += 1
        self.memory.load(state)
        marks: list[bool] = []
        self.described.taken = lambda: marks.append(True)
        threads = [self.memory.threads[i] for i in who[1]]
        given = {**dict(zip(step.threads, threads, strict=True)),
                 **dict(zip((name for name, _ in step.choices), who[2], strict=True))}  # fmt: skip
        step.function(self.memory.shared, *(given[name] for name in step.order))
        return self.memory.store() if marks else None

    def graph(self, most: int) -> Graph | None:
        """The whole graph; None where it has more states than `most`."""
        found = Graph()
        queue = deque(self.initial())
        found.depth = dict.fromkeys(queue, 0)
        while queue:
            state = queue.popleft()
            found.moves[state] = list(self._moves(state, found))
            for _, after in found.moves[state]:
                if after not in found.depth:
                    found.depth[after] = found.depth[state] + 1
                    queue.append(after)
            if len(found.depth) > most or self.runs > RUNS * most:
                return None
        return found

    def _moves(self, state: State, found: Graph) -> Iterator[tuple[Who, State]]:
        for step in self.described.steps:
            for who in self.ways(step):
                try:
                    after = self.taken(state, step, who)
                except OutsideDomain as error:
                    found.overflows.add((step.name, error.value))
                    continue
                if after is not None:
                    yield who, after

    # --- properties -------------------------------------------------------------------------------------------------
    def asked(self, prop: Property, state: State, who: tuple[int, ...]) -> tuple[bool, bool]:
        """Premise and claim of a property of some threads in a state."""
        self.memory.load(state)
        said = prop.function(self.memory.shared, *(self.memory.threads[i] for i in who))
        if isinstance(said, tuple):
            return said
        if isinstance(said, Implication):
            return said.premise, said.claim
        return True, bool(said)

    def people(self, prop: Property) -> list[tuple[int, ...]]:
        """Every choice of distinct threads for a property."""
        return list(itertools.permutations(range(self.count), prop.threads))

    def verdicts(self, graph: Graph) -> dict[str, tuple[str, int | None]]:
        """Verdict of each property, and the length of the shortest trace to what refutes an invariant."""
        found = {prop.name: self._verdict(prop, graph) for prop in self.described.properties}
        stuck = [graph.depth[s] for s, moves in graph.moves.items() if not moves and not self._final(s)]
        found["no_deadlock"] = ("refuted", min(stuck)) if stuck else ("proved", None)
        return found

    def _final(self, state: State) -> bool:
        self.memory.load(state)
        return self.described.final is not None and bool(self.described.final(self.memory.shared))

    def _verdict(self, prop: Property, graph: Graph) -> tuple[str, int | None]:
        people = self.people(prop)
        if not people:
            return "vacuous", None
        if prop.kind == "eventually":
            return self.leads_to(prop, graph), None
        met, bad = False, list[int]()
        for state, moves in graph.moves.items():
            able = {who[1] for who, _ in moves if who[0] == prop.step}
            for who in people:
                premise, claim = self.asked(prop, state, who)
                premise = premise and (not prop.step or who in able)
                met = met or (claim if prop.kind == "sometimes" else premise)
                if premise and not claim:
                    bad.append(graph.depth[state])
        if prop.kind == "sometimes":
            return ("proved" if met else "refuted"), None
        return ("refuted", min(bad)) if bad else ("proved" if met else "vacuous", None)

    def leads_to(self, prop: Property, graph: Graph) -> str:
        """The verdict of a leads-to property."""
        said = {who: {state: self.asked(prop, state, who) for state in graph.moves} for who in self.people(prop)}
        if not any(premise for table in said.values() for premise, _ in table.values()):
            return "vacuous"
        return "refuted" if any(self.stays(graph, table) for table in said.values()) else "proved"

    def stays(self, graph: Graph, said: dict[State, tuple[bool, bool]]) -> bool:
        """Whether a fair run can stay for ever where the premise has held and the claim not since."""
        pending = [state for state, (premise, claim) in said.items() if premise and not claim]
        inside = set(pending)
        while pending:
            for _, after in graph.moves[pending.pop()]:
                if after not in inside and not said[after][1]:
                    inside.add(after)
                    pending.append(after)
        if any(not self.able(graph, state) for state in inside):
            return True
        return self.fair(graph, inside)

    def able(self, graph: Graph, state: State) -> set[tuple[Any, ...]]:
        """The fair instances that are enabled in a state."""
        steps = {step.name: step for step in self.described.steps}
        return {steps[w[0]].instance(w) for w, _ in graph.moves[state] if steps[w[0]].fair is not None}

    def starved(self, graph: Graph, around: list[State], taken: list[Who]) -> set[tuple[Any, ...]]:
        """The fair instances that a run starves which passes these states by these steps again and again."""
        steps = {step.name: step for step in self.described.steps}
        done, able = {steps[who[0]].instance(who) for who in taken}, [self.able(graph, state) for state in around]
        strong = {one for one in set().union(*able) if steps[one[0]].fair == "strong"}
        return (set.intersection(*able) | strong) - done

    def fair(self, graph: Graph, inside: set[State]) -> bool:
        """Whether a fair run can stay inside these states by moving on and on."""
        steps = {step.name: step for step in self.described.steps}
        for component in components(graph, inside):
            inner = [(w, b) for a in component for w, b in graph.moves[a] if b in component]
            if not inner:
                continue
            taken = {steps[w[0]].instance(w) for w, _ in inner if steps[w[0]].fair is not None}
            able = {state: self.able(graph, state) for state in component}
            if set.intersection(*able.values()) - taken:
                continue
            strong = {step.name for step in self.described.steps if step.fair == "strong"}
            owed = {one for one in set().union(*able.values()) - taken if one[0] in strong}
            if not owed or self.fair(graph, {state for state in component if not able[state] & owed}):
                return True
        return False


class _Ordered:
    """The threads by their numbers."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def __iter__(self) -> Iterator[OneThread]:
        return iter(self.oracle.memory.threads)


class _Any(_Ordered):
    """The threads in no order: forwards, or backwards."""

    def __iter__(self) -> Iterator[OneThread]:
        found = self.oracle.memory.threads
        return iter(found[::-1] if self.oracle.backwards else found)


def _without_imports(text: str) -> ast.Module:
    """The file without its imports; lines keep their numbers."""
    tree = ast.parse(text)
    tree.body = [item for item in tree.body if not isinstance(item, ast.Import | ast.ImportFrom)]
    return tree


def components(graph: Graph, inside: set[State]) -> list[set[State]]:
    """Strongly connected components of the part of a graph that lies inside (Tarjan, without recursion)."""
    number: dict[State, int] = {}
    low: dict[State, int] = {}
    stack: list[State] = []
    on: set[State] = set()
    found: list[set[State]] = []
    for root in inside:
        if root in number:
            continue
        work = [(root, iter([after for _, after in graph.moves[root] if after in inside]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on.add(root)
        while work:
            state, rest = work[-1]
            for after in rest:
                if after not in number:
                    number[after] = low[after] = len(number)
                    stack.append(after)
                    on.add(after)
                    work.append((after, iter([b for _, b in graph.moves[after] if b in inside])))
                    break
                if after in on:
                    low[state] = min(low[state], number[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[state])
                if low[state] == number[state]:
                    at = stack.index(state)
                    found.append(set(stack[at:]))
                    on -= found[-1]
                    del stack[at:]
    return found
