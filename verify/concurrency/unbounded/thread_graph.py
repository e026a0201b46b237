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

from verify.concurrency.explicit.python_engine import program
from verify.concurrency.instance.transitions import Transition
from verify.concurrency.language.domains import INT, THREAD
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import Bound, Const, Op, StepTerm, Term, substitute
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.view_truths import NodeTruths, PossibleViews, Sighting, beside
from verify.concurrency.unbounded.views import ConfigurationSpace, Entry, Key

View = tuple[Key, Entry]


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
    """The graph. `enabled[instance]` are nodes; `cells` names the shared cells that name a thread, by their bits, and
    `steps` the step of each number in `Edge.shared`."""

    nodes: tuple[View, ...]
    edges: tuple[Edge, ...]
    out: tuple[tuple[int, ...], ...]
    instances: tuple[Instance, ...]
    enabled: tuple[frozenset[int], ...]
    universals: tuple[Universal, ...]
    cells: tuple[str, ...]
    least: int
    steps: tuple[str, ...]
    truths: Mapping[str, tuple[frozenset[int], frozenset[int]]]

    def must(self, name: str) -> frozenset[int]:
        """The nodes in every state of which the named formula holds."""
        return self.truths[name][0]

    def may(self, name: str) -> frozenset[int]:
        """The nodes in some state of which the named formula may hold."""
        return self.truths[name][1]


def thread_graph(protocol: Protocol, least: int, single: PossibleViews, formulas: Mapping[str, Term]) -> ThreadGraph:
    """The graph of the views that threads may have, among `least` and more. `formulas`: what else is to be judged
    in its nodes, of thread t. Raises NotCovered."""
    return _Building(protocol, single, formulas).graph(least)


class _Building:
    """Makes the graph."""

    def __init__(self, protocol: Protocol, single: PossibleViews, formulas: Mapping[str, Term]) -> None:
        if any(len(step.threads) > 2 for step in protocol.steps):
            raise NotCovered("liveness with a step of more than two threads")
        self.protocol, self.single = protocol, single
        self.space = ConfigurationSpace.of(protocol, 2, tuple(step.name for step in protocol.steps))
        self.bits = (1 << len(self.space.model.identities)) - 1
        self.sight = Sighting(protocol, self.space.model)
        self.nodes = [(key, entry) for key in self.single for entry in self.single[key]]
        self.number = {node: index for index, node in enumerate(self.nodes)}
        self.instances: dict[tuple[str, int, tuple[int, ...]], Instance] = {}
        self.guards: dict[tuple[str, int, tuple[int, ...]], list[Term]] = defaultdict(list)
        self._collect()
        self.order = {key: index for index, key in enumerate(self.instances)}
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
            self.guards[key].append(guard_of(item))

    @staticmethod
    def instance(item: Transition) -> tuple[str, int, tuple[int, ...]] | None:
        """What a transition is fair to, seen by thread 0; None where another thread has a part in it."""
        name, threads, choices = item.fair_instance
        return (name, len(threads), choices) if all(thread == 0 for thread in threads) else None

    def graph(self, least: int) -> ThreadGraph:
        """The whole of it."""
        for node in self.nodes:
            self.expand(*node)
        self.beside()
        edges = tuple(Edge(*one) for one in self.found)
        out: list[list[int]] = [[] for _ in self.nodes]
        for index, edge in enumerate(edges):
            out[edge.source].append(index)
        judged = NodeTruths(self.sight, self.space, self.formulas)
        truths, universals = self.judged(judged)
        enabled = tuple(truths[_guard(index)][0] for index in range(len(self.instances)))
        cells = tuple(slot.name for slot in self.space.model.identities)
        return ThreadGraph(
            tuple(self.nodes), edges, tuple(map(tuple, out)), tuple(self.instances.values()), enabled, universals,
            cells, least, tuple(name for name, _, _ in self.shared), truths,
        )  # fmt: skip

    # --- edges ------------------------------------------------------------------------------------------------------
    def others(self, key: Key, entry: Entry) -> Iterator[Entry]:
        """The records that another thread may have beside this one."""
        return beside(self.single, key, entry, self.bits)

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
        pairs = [step.name for step in self.protocol.steps if len(step.threads) == 2]
        if not pairs:
            return
        whole = ConfigurationSpace.of(self.protocol, 3, tuple(pairs))
        kept = tuple(item for item in whole.model.transitions if item.threads == (1, 2))
        numbers = {item.number: item for item in kept}
        whole.model = replace(whole.model, transitions=kept)
        whole.code = program(whole.model)
        for key in self.single:
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
        for first in self.single[key]:
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
        self, judging: NodeTruths
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
            for name in judging.own:
                holds[name].add(number)
        universals = []
        for index in self.order.values():
            waits = judging.universal(_guard(index))
            if waits:
                parts = tuple(frozenset(holds[name]) for name in waits)
                universals.append(Universal(index, frozenset(enough[_guard(index)]), parts))
        return {name: (frozenset(must[name]), frozenset(may[name])) for name in self.formulas}, tuple(universals)


def _guard(index: int) -> str:
    """The name of a fair instance's guard among the formulas."""
    return f"guard {index}"


def guard_of(item: Transition) -> Term:
    """The guard of a transition of thread t or of nobody."""
    step: StepTerm = item.step
    values: dict[str, Term] = {name: Bound("t", THREAD) for name in step.threads}
    values |= {name: Const(c, INT) for (name, _), c in zip(step.choices, item.choices, strict=True)}
    for let in step.lets:
        values[let.name] = substitute(let.value, values)
    return substitute(step.guard, values)
