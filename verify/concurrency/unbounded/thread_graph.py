"""What one thread sees of a run with any number of threads: the reachable views of size 1 as a graph.

A node is a view: the shared state with the record of the tracked thread t. An edge is a step of t, of a named actor or
of another thread, from every configuration of t with one more thread (two more, where two others act) all of whose
views are reachable. Every run of `least` threads or more, seen by any of its threads, is a way in this graph; a way
need not be a run. `enabled` is the other way round: a fair instance counts as enabled in a node only where it is in
every state that the node stands for. Mixing the two up is the way to be unsound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from verify.concurrency.explicit.python_engine import PythonProgram, program
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.transitions import Observation, Transition
from verify.concurrency.language.domains import INT, THREAD
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import Bound, Const, Op, Quantified, StepTerm, Term, substitute, walk
from verify.concurrency.unbounded.encoding import NotCovered, Sight, answers, check_terms, thread_quantifiers
from verify.concurrency.unbounded.views import ConfigurationSpace, Entry, Key, Reached

View = tuple[Key, Entry]
MANY = 8  # quantifiers over threads in one term


@dataclass(frozen=True, slots=True)
class Instance:
    """What a run is fair to: a step of the tracked thread or of nobody's, with its fair choices; `strong` or weak."""

    step: str
    threads: int
    choices: tuple[int, ...]
    strong: bool

    @property
    def text(self) -> str:
        """For people: `get_slot (strong)`."""
        chosen = f" {', '.join(map(str, self.choices))}" if self.choices else ""
        return self.step + chosen + (" (strong)" if self.strong else "")


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` and `target` are nodes; `shared` numbers (step, shared state before, after); `instance` numbers what is
    taken, -1: another thread's or nothing fair; `own` are the roles of the tracked thread in the step, `others` those
    of threads that are not tracked."""

    source: int
    target: int
    shared: int
    instance: int
    own: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Universal:
    """`all(A(u) for u in threads)` in the guard of a fair instance: the nodes where the guard holds if it does
    (`enough`), and those in which A holds of the tracked thread (`holds`)."""

    instance: int
    enough: frozenset[int]
    holds: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class ThreadGraph:
    """The graph. `enabled[instance]` are nodes; `cells` names the shared cells that name a thread, by their bits."""

    nodes: tuple[View, ...]
    edges: tuple[Edge, ...]
    out: tuple[tuple[int, ...], ...]
    instances: tuple[Instance, ...]
    enabled: tuple[frozenset[int], ...]
    universals: tuple[Universal, ...]
    cells: tuple[str, ...]
    least: int
    truths: Mapping[str, tuple[frozenset[int], frozenset[int]]]

    def must(self, name: str) -> frozenset[int]:
        """The nodes in every state of which the named formula holds."""
        return self.truths[name][0]

    def may(self, name: str) -> frozenset[int]:
        """The nodes in some state of which the named formula may hold."""
        return self.truths[name][1]


def thread_graph(protocol: Protocol, reached: Reached, formulas: Mapping[str, Term]) -> ThreadGraph:
    """The graph of complete views of size 1; `formulas`: what else is to be judged in its nodes, of thread t. Raises
    NotCovered."""
    if reached.size != 1 or reached.reason:
        raise NotCovered(reached.reason or "views of more than one thread")
    return _Building(protocol, reached, formulas).graph()


class _Building:
    """Makes the graph."""

    def __init__(self, protocol: Protocol, reached: Reached, formulas: Mapping[str, Term]) -> None:
        if any(len(step.threads) > 2 for step in protocol.steps):  # noqa: PLR2004 - the tracked one and another
            raise NotCovered("liveness with a step of more than two threads")
        self.protocol, self.reached = protocol, reached
        self.space = ConfigurationSpace.of(protocol, 2, tuple(step.name for step in protocol.steps))
        self.nodes = [(key, entry) for key in reached.single for entry in reached.single[key]]
        self.number = {node: index for index, node in enumerate(self.nodes)}
        self.bits = (1 << len(self.space.model.identities)) - 1
        self.instances: dict[tuple[str, int, tuple[int, ...]], Instance] = {}
        self.guards: dict[tuple[str, int, tuple[int, ...]], list[Term]] = defaultdict(list)
        self._collect()
        self.order = {key: index for index, key in enumerate(self.instances)}
        self.sight = _Sighting(protocol, self.space.model)
        check_terms(formulas.values())
        self.formulas = dict(formulas)
        for key, terms in self.guards.items():
            self.formulas[_guard(self.order[key])] = terms[0] if len(terms) == 1 else Op("or", tuple(terms))
        self.found: dict[tuple[int, int, int, int, tuple[int, ...], tuple[int, ...]], None] = {}
        self.shared: dict[tuple[str, Key, Key], int] = {}

    def _collect(self) -> None:
        """The fair instances whose threads are the tracked one, or none, with the guards of their transitions."""
        for item in self.space.model.transitions:
            if item.step.fair is None or item.threads not in ((), (0,)):
                continue
            key = self.instance(item)
            assert key is not None
            self.instances[key] = Instance(*key, item.step.fair == "strong")
            self.guards[key].append(_guard_of(item))

    @staticmethod
    def instance(item: Transition) -> tuple[str, int, tuple[int, ...]] | None:
        """What a transition is fair to, seen by thread 0; None where another thread has a part in it."""
        name, threads, choices = item.fair_instance
        return (name, len(threads), choices) if all(thread == 0 for thread in threads) else None

    def graph(self) -> ThreadGraph:
        for node in self.nodes:
            self.expand(*node)
        self.beside()
        edges = tuple(Edge(*one) for one in self.found)
        out: list[list[int]] = [[] for _ in self.nodes]
        for index, edge in enumerate(edges):
            out[edge.source].append(index)
        judged = _Judging(self.sight, self.space, self.formulas, self.bits)
        truths, universals = self.judged(judged)
        enabled = tuple(truths[_guard(index)][0] for index in range(len(self.instances)))
        cells = tuple(slot.name for slot in self.space.model.identities)
        least = max(space.threads for space in self.reached.spaces)
        return ThreadGraph(
            tuple(self.nodes), edges, tuple(map(tuple, out)), tuple(self.instances.values()), enabled, universals,
            cells, least, truths,
        )  # fmt: skip

    # --- edges ------------------------------------------------------------------------------------------------------
    def others(self, key: Key, entry: Entry) -> Iterator[Entry]:
        """The records that another thread may have beside this one."""
        return (more for more in self.reached.single[key] if not entry & more & self.bits)

    def expand(self, key: Key, entry: Entry) -> None:
        """The edges from a node by the tracked thread, an actor, another thread, or the tracked and another one."""
        transitions = self.space.model.transitions
        for more in self.others(key, entry):
            out: list[tuple[int, int]] = []
            self.space.code.steps(self.space.packed(key, (entry, more)), out)
            for number, after in out:
                new, entries = self.space.unpacked(after)
                self.add(transitions[number], (key, entry), (new, entries[0]))

    def beside(self) -> None:
        """The edges by two other threads."""
        pairs = [step.name for step in self.protocol.steps if len(step.threads) == 2]  # noqa: PLR2004
        if not pairs:
            return
        whole = ConfigurationSpace.of(self.protocol, 3, tuple(pairs))
        kept = tuple(item for item in whole.model.transitions if item.threads == (1, 2))
        numbers = {item.number: item for item in kept}
        whole.model = replace(whole.model, transitions=kept)
        whole.code = program(whole.model)
        for key in self.reached.single:
            for first, second in self.acting(key, set(pairs)):
                for entry in self.others(key, first):
                    if not entry & second & self.bits:
                        out: list[tuple[int, int]] = []
                        whole.code.steps(whole.packed(key, (entry, first, second)), out)
                        for number, after in out:
                            new, entries = whole.unpacked(after)
                            self.add(numbers[number], (key, entry), (new, entries[0]))

    def acting(self, key: Key, pairs: set[str]) -> Iterator[tuple[Entry, Entry]]:
        """The records of two threads that may take a step together."""
        transitions = self.space.model.transitions
        for first in self.reached.single[key]:
            for second in self.others(key, first):
                out: list[tuple[int, int]] = []
                self.space.code.steps(self.space.packed(key, (first, second)), out)
                if any(transitions[number].threads == (0, 1) and transitions[number].step.name in pairs
                       for number, _ in out):  # fmt: skip
                    yield first, second

    def add(self, item: Transition, source: View, target: View) -> None:
        """One edge."""
        step = item.step
        known = (step.name, source[0], target[0])
        shared = self.shared.setdefault(known, len(self.shared))
        key = self.instance(item) if step.fair is not None else None
        own = tuple(role for role, thread in enumerate(item.threads) if thread == 0)
        others = tuple(role for role, thread in enumerate(item.threads) if thread != 0)
        if target not in self.number:  # nobody's view: the tracked threads were too few to see that
            return
        taken = self.order.get(key, -1) if key is not None else -1
        self.found.setdefault((self.number[source], self.number[target], shared, taken, own, others))

    # --- what holds in nodes ----------------------------------------------------------------------------------------
    def judged(
        self, judging: _Judging
    ) -> tuple[dict[str, tuple[frozenset[int], frozenset[int]]], tuple[Universal, ...]]:
        """Truths of every formula, and of what universal guards wait for."""
        must: dict[str, set[int]] = {name: set() for name in self.formulas}
        may: dict[str, set[int]] = {name: set() for name in self.formulas}
        enough: dict[str, set[int]] = {name: set() for name in self.formulas}
        holds: dict[str, set[int]] = {name: set() for name in judging.waits}
        for number, (key, entry) in enumerate(self.nodes):
            for name, (all_, any_, with_) in judging.node(key, entry, self.others(key, entry)).items():
                for wanted, found in ((must, all_), (may, any_), (enough, with_)):
                    if found:
                        wanted[name].add(number)
            for name in judging.own(key, entry):
                holds[name].add(number)
        universals = []
        for key_, index in self.order.items():
            waits = judging.universal(_guard(index))
            if waits:
                parts = tuple(frozenset(holds[name]) for name in waits)
                universals.append(Universal(index, frozenset(enough[_guard(index)]), parts))
        return {name: (frozenset(must[name]), frozenset(may[name])) for name in self.formulas}, tuple(universals)


def _guard(index: int) -> str:
    """The name of a fair instance's guard among the formulas."""
    return f"guard {index}"


def _guard_of(item: Transition) -> Term:
    """The guard of a transition of thread t or of nobody."""
    step: StepTerm = item.step
    values: dict[str, Term] = {name: Bound("t", THREAD) for name in step.threads}
    values |= {name: Const(c, INT) for (name, _), c in zip(step.choices, item.choices, strict=True)}
    for let in step.lets:
        values[let.name] = substitute(let.value, values)
    return substitute(step.guard, values)


class _Sighting:
    """Terms about thread t (0) and another, u (1), as dags; quantifiers over threads as they are answered."""

    def __init__(self, protocol: Protocol, model: Model) -> None:
        self.scope = Sight(protocol, 2, model.slots, model.dag)
        self.scope.total, self.scope.rest = True, {}
        self.env = {"t": model.dag.const(1)}

    def answered(self, term: Term, rest: Mapping[str, int]) -> Node:
        """The term where the quantifiers have these answers."""
        self.scope.rest = rest
        return self.scope.term(term, self.env)

    def body(self, term: Quantified, thread: int) -> Node:
        """What a quantifier says of one of the two threads."""
        return self.scope.term(term.body, {**self.env, term.variable: self.scope.dag.const(thread + 1)})


class _Judging:
    """Truths of formulas in nodes: true in every state, in some, and in every one in which all threads satisfy what its
    universal quantifiers ask."""

    def __init__(
        self, sight: _Sighting, space: ConfigurationSpace, formulas: Mapping[str, Term], bits: int
    ) -> None:
        self.space = space
        self.seen: dict[str, int] = {}
        self.observed: list[Node] = []
        self.quantified: dict[str, Quantified] = {}
        self.asked: dict[str, list[tuple[dict[str, int], int]]] = {}
        for name, term in formulas.items():
            found = {inner.variable: inner for inner in thread_quantifiers(term)}
            if len(found) > MANY:
                raise NotCovered(f"more than {MANY} quantifiers over threads")
            self.quantified |= found
            ways = answers({variable: (0, 1) for variable in found})
            self.asked[name] = [(way, self.watch(sight.answered(term, way))) for way in ways]
        self.bodies = {
            variable: (self.watch(sight.body(term, 0)), self.watch(sight.body(term, 1)))
            for variable, term in self.quantified.items()
        }
        self.waits = {v for v, term in self.quantified.items() if term.kind == "all" and not _of(term, "t")}
        observations = tuple(Observation(str(i), "bad", node) for i, node in enumerate(self.observed))
        self.code: PythonProgram = program(replace(space.model, observations=observations, transitions=()))

    def watch(self, node: Node) -> int:
        """The bit at which a truth is observed."""
        self.observed.append(node)
        return len(self.observed) - 1

    def universal(self, name: str) -> tuple[str, ...]:
        """The quantifiers of a formula that wait for every thread."""
        return tuple(variable for variable in self.asked[name][0][0] if variable in self.waits)

    def own(self, key: Key, entry: Entry) -> list[str]:
        """The quantifiers whose body holds of the tracked thread."""
        return self._own

    def node(self, key: Key, entry: Entry, others: Iterator[Entry]) -> dict[str, tuple[bool, bool, bool]]:
        """(in every state, in some, in every one where all threads are as the universal quantifiers ask)."""
        looks = [self.code.observe(self.space.packed(key, (entry, more))) for more in others]
        self._own: list[str] = []
        if not looks:  # no state of two threads or more has this view: nothing is claimed of it
            return dict.fromkeys(self.asked, (False, True, False))
        possible: dict[str, tuple[int, ...]] = {}
        for variable, (mine, its) in self.bodies.items():
            own = looks[0] >> mine & 1
            rest = [look >> its & 1 for look in looks]
            possible[variable] = _answers(self.quantified[variable].kind, own, rest)
            if all(look >> mine & 1 for look in looks):
                self._own.append(variable)
        return {name: self._truth(ways, looks, possible) for name, ways in self.asked.items()}

    def _truth(
        self, ways: list[tuple[dict[str, int], int]], looks: list[int], possible: Mapping[str, tuple[int, ...]]
    ) -> tuple[bool, bool, bool]:
        real = [bit for way, bit in ways if all(answer in possible[name] for name, answer in way.items())]
        truths = {look >> bit & 1 for bit in real for look in looks}
        granted = [
            bit for way, bit in ways
            if all(answer == 1 if name in self.waits else answer in possible[name] for name, answer in way.items())
        ]  # fmt: skip
        with_ = {look >> bit & 1 for bit in granted for look in looks}
        return truths == {1}, 1 in truths, with_ == {1}


def _of(term: Quantified, name: str) -> bool:
    """Whether the body of a quantifier speaks of a thread beside its own."""
    inner = [part for part in walk(term.body)]
    named = {part.name for part in inner if isinstance(part, Bound)}
    return name in named or any(getattr(part, "thread", None) == name for part in inner)


def _answers(kind: str, own: int, others: list[int]) -> tuple[int, ...]:
    """The answers that a quantifier over all threads may have: one is tracked, each other is one of `others`, and there
    is at least one other."""
    if kind == "all":
        if not own or not any(others):
            return (0,)
        return (1,) if all(others) else (0, 1)
    if own or all(others):
        return (1,)
    return (0, 1) if any(others) else (0,)
