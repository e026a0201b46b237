"""The decision-diagram engine: all reachable states at once, one thread exhausted before the next is tried.

It measures no depth; where a property is refuted, breadth-first rings give the shortest interleaving.
"""

from __future__ import annotations

import time

from verify.concurrency.bdd.symbolic import NODE_BYTES, Diagram, Encoding
from verify.concurrency.instance.dag import evaluate
from verify.concurrency.instance.instance import Model
from verify.concurrency.language.domains import DomainOverflow
from verify.concurrency.results.exploration import BoundHit, Discovery, Limits, Search

MEASURED = 64  # operations between two looks at the memory and at the work of the manager; fewer of costly ones
COSTLY = 50_000  # units between two looks that halve the way to the next
WORK = 500  # units an operation, with what goes on around it


class Reachability:
    """The reachable states of one model. Raises Bound where a limit is hit, by the encoding too."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits, self.began = model, limits, time.perf_counter()
        self.images = self.measured = self.before = self.done = 0
        self.interval = 1
        self.encoding = Encoding(model, self.check)
        self.relations = tuple(map(self.encoding.relation, model.transitions))
        self.states = self.encoding.bdd.false
        for state in model.initial:
            self.states |= self.encoding.cube(state)
        self.applied = [self.encoding.bdd.false] * len(self.relations)
        self.groups = self._groups()

    def _groups(self) -> list[list[int]]:
        """Numbers of transitions by the thread that acts, then those of nobody."""
        groups: dict[int, list[int]] = {}
        for number, one in enumerate(self.relations):
            threads = one.transition.threads
            groups.setdefault(threads[0] if threads else self.model.threads, []).append(number)
        return [groups[key] for key in sorted(groups)]

    def saturate(self) -> None:
        """All reachable states; raises Bound."""
        groups = self.groups
        current = 0
        while current < len(groups):
            before = self.states
            self.exhaust(groups[current])
            current = current + 1 if self.states == before else 0 if current else 1
        self.measured = -MEASURED  # a search that was over before its memory was looked at is bounded too
        self.check()

    def exhaust(self, group: list[int]) -> None:
        """Adds what a group of transitions can reach by itself; each is applied to what it has not yet seen."""
        before = None
        while before != self.states:
            before = self.states
            for number in group:
                if self.applied[number] != self.states:
                    fresh = self.states & ~self.applied[number]
                    self.applied[number] = self.states
                    self.states |= self.encoding.image(fresh, self.relations[number])
                    self.check()

    def bounded(self, limits: Limits) -> None:
        """Other limits from now on."""
        self.limits, self.began = limits, time.perf_counter()
        self.images, self.measured, self.interval = 0, 0, 1
        self.before = self.done = self.encoding.work()

    def check(self) -> None:
        """Raises Bound where a limit has been hit."""
        self.images += 1
        limits = self.limits
        if limits.seconds is not None and time.perf_counter() - self.began > limits.seconds:
            raise BoundHit(f"more than {limits.seconds} s")
        if limits.work is not None and WORK * self.images > limits.work:
            raise BoundHit(f"more than {limits.work} units of work")
        if self.images - self.measured < self.interval:
            return
        self.measured, last, self.done = self.images, self.done, self.encoding.work()
        self.interval = max(1, self.interval // 2) if self.done - last > COSTLY else min(MEASURED, 2 * self.interval)
        if limits.memory is not None and self.encoding.bytes() > limits.memory:
            raise BoundHit(f"more than {limits.memory} bytes of diagrams")
        if limits.work is not None and WORK * self.images + self.done - self.before > limits.work:
            raise BoundHit(f"more than {limits.work} units of work")

    def rings(self, target: Diagram) -> list[Diagram]:
        """States by distance, up to the first that meet `target`; raises Bound."""
        states = self.encoding.bdd.false
        for state in self.model.initial:
            states |= self.encoding.cube(state)
        reached, found = states, [states]
        while found[-1] & target == self.encoding.bdd.false:
            after = self.encoding.bdd.false
            for one in self.relations:
                after |= self.encoding.image(found[-1], one)
                self.check()
            found.append(after & ~reached)
            reached |= after
        return found

    def overflow(self) -> None:
        """Raises DomainOverflow where a reachable state has one."""
        for one in self.relations:
            broken = self.states & one.broken
            if broken != self.encoding.bdd.false:
                cells = self.model.cells(self.encoding.state(broken))
                check = next(check for check in one.transition.checks if not evaluate(check.holds, cells))
                raise DomainOverflow(one.transition.step.name, check.target, evaluate(check.value, cells))


def search(model: Model, limits: Limits = Limits(), first: Search | None = None) -> Search:  # noqa: B008 - frozen
    """Explores every state, without symmetry. What is refuted comes with a state at its shortest distance, which is
    that of `first` where that breadth-first search, though incomplete, has seen one."""
    began, found = time.perf_counter(), Search("bdd", False, depth=-1)
    try:
        reach = Reachability(model, limits)
        found.engine = reach.encoding.name
    except KeyboardInterrupt:
        found.reason = "interrupted"
        return found
    except BoundHit as bound:
        found.reason = bound.reason
        return found
    try:
        reach.saturate()
        found.complete = True
    except BoundHit as bound:
        found.reason = bound.reason
    except KeyboardInterrupt:
        found.reason = "interrupted"
    if not found.complete:
        reach.encoding.look = _onward  # what was found is told, beyond the limit too
    reach.overflow()
    found.states = found.stored = reach.encoding.count(reach.states)
    for one in reach.relations:
        many = reach.encoding.count(reach.states & one.guard)
        found.transitions += many
        found.taken |= {one.transition.step.name} if many else set()
    found.bytes = reach.states.dag_size * NODE_BYTES
    try:
        _observe(reach, found, first or Search("", False))
    except BoundHit as bound:
        found.complete, found.reason = False, bound.reason
    found.diagram = reach
    found.seconds = time.perf_counter() - began
    return found


def _onward() -> None:
    """Looks at no limit."""


def _observe(reach: Reachability, found: Search, first: Search) -> None:
    """What the reachable states satisfy; the depth of an observation that refutes is its shortest."""
    encoding = reach.encoding
    for index, item in enumerate(reach.model.observations):
        where = encoding.truth(item.node)
        if reach.states & where != encoding.bdd.false:
            nearest = first.seen.get(index) if item.role == "bad" else Discovery(-1, 0)
            found.seen[index] = nearest or _nearest(reach, where, found)
    if found.complete:
        stuck = reach.states & ~encoding.truth(reach.model.terminal)
        for one in reach.relations:
            stuck &= ~one.guard
        if stuck != encoding.bdd.false:
            found.deadlock = first.deadlock or _nearest(reach, stuck, found)


def _nearest(reach: Reachability, target: Diagram, found: Search) -> Discovery:
    """A state of `target` at the shortest distance, with the way there (without, where a bound is hit before, or the
    run has been interrupted)."""
    try:
        rings = [] if found.reason == "interrupted" else reach.rings(target)
    except BoundHit:
        rings = []
    except KeyboardInterrupt:
        found.reason, rings = "interrupted", []
    if not rings:
        return Discovery(-1, reach.encoding.state(reach.states & target))
    path = [reach.encoding.state(rings[-1] & target)]
    for ring in reversed(rings[:-1]):
        before = reach.encoding.bdd.false
        for one in reach.relations:
            before |= ring & reach.encoding.preimage(path[-1], one)
        path.append(reach.encoding.state(before))
    return Discovery(len(rings) - 1, path[0], tuple(reversed(path)))
