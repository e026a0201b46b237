"""What holds in a view: in every state that it stands for, or in some; quantifiers over threads are answered from the
records that other threads may have beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from verify.concurrency.explicit.python_engine import PythonProgram, program
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.transitions import Observation
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import Bound, Quantified, Term, walk
from verify.concurrency.unbounded.encoding import NotCovered, Sight, answers, check_terms, thread_quantifiers
from verify.concurrency.unbounded.views import ConfigurationSpace, Entry, Key, Reached

PossibleViews = Mapping[Key, Sequence[Entry]]
"""The views that threads may have: records by shared state."""
MANY = 8  # quantifiers over threads in one term


class Sighting:
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


class NodeTruths:
    """Truths of formulas in nodes: true in every state, in some, and in every one in which all threads satisfy what its
    universal quantifiers ask."""

    def __init__(self, sight: Sighting, space: ConfigurationSpace, formulas: Mapping[str, Term]) -> None:
        check_terms(formulas.values())
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
        self.own: list[str] = []
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

    def node(self, key: Key, entry: Entry, others: Iterable[Entry]) -> dict[str, tuple[bool, bool, bool]]:
        """(in every state, in some, in every one where all threads are as the universal quantifiers ask); afterwards
        `own` has the quantifiers whose body holds of the tracked thread."""
        looks = [self.code.observe(self.space.packed(key, (entry, more))) for more in others]
        self.own = []
        if not looks:  # no state of two threads or more has this view: nothing is claimed of it
            return dict.fromkeys(self.asked, (False, True, False))
        possible: dict[str, tuple[int, ...]] = {}
        for variable, (mine, its) in self.bodies.items():
            own = looks[0] >> mine & 1
            rest = [look >> its & 1 for look in looks]
            possible[variable] = _answers(self.quantified[variable].kind, own, rest)
            if all(look >> mine & 1 for look in looks):
                self.own.append(variable)
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


def beside(single: PossibleViews, key: Key, entry: Entry, bits: int) -> Iterator[Entry]:
    """The records that another thread may have beside this one; `bits`: the cells of which one names a thread."""
    return (more for more in single[key] if not entry & more & bits)


def possible_views(protocol: Protocol, reached: Reached, invariants: Sequence[Term]) -> PossibleViews:
    """The closed views of one thread t in which every invariant may hold. Raises NotCovered."""
    if reached.size != 1 or reached.reason:
        raise NotCovered(reached.reason or "views of more than one thread")
    single = {key: tuple(entries) for key, entries in reached.single.items()}
    if not invariants:
        return single
    space = ConfigurationSpace.of(protocol, 2, ())
    bits = (1 << len(space.model.identities)) - 1
    truths = NodeTruths(Sighting(protocol, space.model), space, {str(i): term for i, term in enumerate(invariants)})
    kept = {}
    for key, entries in single.items():
        inside = [
            e for e in entries if all(may for _, may, _ in truths.node(key, e, beside(single, key, e, bits)).values())
        ]
        if inside:
            kept[key] = tuple(inside)
    return kept
