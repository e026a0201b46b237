"""View abstraction: what can be seen of any k threads, whatever the number of threads.

A view is the shared state with the records of k threads, each with the shared cells that name it. The set of reachable
views is computed by taking every configuration of a few more threads all of whose views are in the set, and adding the
views of its successors, until nothing is new. Covers every number of threads from `Views.least` on, for the given
parameters; never misses a reachable view, and may contain others: it proves, and never refutes.
After Abdulla, Haziza, Holik: All for the price of few (VMCAI 2013).
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from verify.concurrency.explicit.python_engine import PythonProgram, exceeded, program
from verify.concurrency.instance.instance import Model
from verify.concurrency.language.domains import DomainOverflow
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.encoding import NotCovered, abstraction, initial_records

Entry = int
"""The record of a thread, and below it one bit for each shared cell that names it."""
Key = tuple[int, int]
"""The shared cells that name no thread (packed), and a mask of the shared cells that hold None."""
Entries = tuple[Entry, ...]
COST = 400.0  # bytes a stored view or configuration
WORK = 20_000_000  # units, where the limits do not say
VISIT = 20  # units of a configuration; a thread that is tried beside some views takes one


@dataclass(frozen=True, slots=True)
class Views:
    """The result: `proved` properties hold for every number of threads from `least` on; `open` may not.

    `reason` is empty where the set is complete.
    """

    size: int
    least: int
    proved: tuple[str, ...]
    open: tuple[str, ...]
    views: int
    configurations: int
    seconds: float
    reason: str = ""


def views(protocol: Protocol, size: int = 1, limits: Limits = Limits()) -> Views:  # noqa: B008 - frozen
    """The views of `size` threads. Raises NotCovered where the protocol is outside the method."""
    return closed(protocol, size, limits).proofs()


def closed(protocol: Protocol, size: int = 1, limits: Limits = Limits()) -> Reached:  # noqa: B008 - frozen
    """The views of `size` threads, closed under steps unless they have a `reason`. Raises NotCovered."""
    reached = Reached(protocol, size, limits, time.perf_counter())
    try:
        reached.close()
    except DomainOverflow as error:
        raise NotCovered(f"an unreachable view overflows: {error}") from error
    return reached


@dataclass(slots=True)
class ConfigurationSpace:
    """Configurations of some number of tracked threads and the steps that are taken from them."""

    model: Model
    code: PythonProgram
    threads: int
    seen: set[tuple[Key, Entries]] = field(default_factory=set)

    @staticmethod
    def of(protocol: Protocol, threads: int, steps: tuple[str, ...]) -> ConfigurationSpace:
        """The space of a protocol's steps with so many tracked threads."""
        chosen = [step for step in protocol.steps if step.name in steps]
        model = abstraction(protocol, threads, chosen).model
        return ConfigurationSpace(model, program(model), threads)

    def packed(self, key: Key, entries: Entries) -> int:
        """The state of a configuration; a cell that is not None and no tracked thread's names another."""
        ids = self.model.identities
        state = key[0] << self.model.record * self.threads
        for position, entry in enumerate(entries):
            state |= (entry >> len(ids)) << position * self.model.record
        for bit, slot in enumerate(ids):
            if not key[1] >> bit & 1:
                holder = next((i + 1 for i, entry in enumerate(entries) if entry >> bit & 1), self.threads + 1)
                state |= holder << slot.offset
        return state

    def unpacked(self, state: int) -> tuple[Key, Entries]:
        """The configuration of a state; threads are not sorted."""
        ids, width = self.model.identities, self.model.record
        shared = state >> width * self.threads << width * self.threads
        none, masks = 0, [0] * (self.threads + 2)
        for bit, slot in enumerate(ids):
            ones = (1 << slot.width) - 1
            masks[state >> slot.offset & ones] |= 1 << bit
            shared &= ~(ones << slot.offset)
        none = masks[0]
        records = (state >> width * i & (1 << width) - 1 for i in range(self.threads))
        entries = tuple(record << len(ids) | masks[i + 1] for i, record in enumerate(records))
        return (shared >> width * self.threads, none), entries


class Reached:
    """The least set of views that is closed under steps."""

    def __init__(self, protocol: Protocol, size: int, limits: Limits, began: float) -> None:
        self.protocol, self.size, self.began, self.work = protocol, size, began, 0
        self.limits = limits if limits.work is not None else replace(limits, work=WORK)
        self.views: dict[Key, set[Entries]] = defaultdict(set)
        self.single: dict[Key, dict[Entry, None]] = defaultdict(dict)
        self.fresh: list[tuple[Key, Entries]] = []
        self.bad: set[str] = set()
        self.reason = ""
        self.spaces = _spaces(protocol, size)
        self.judged = {item.property for space in self.spaces for item in space.model.observations}
        self.layout = self.spaces[0].model

    @property
    def least(self) -> int:
        """The fewest threads that it covers."""
        return max(space.threads for space in self.spaces)

    def proofs(self) -> Views:
        """What it proves."""
        names = [prop.name for prop in self.protocol.properties if prop.kind == "always"]
        known = not self.reason
        proved = tuple(name for name in names if known and name in self.judged and name not in self.bad)
        return Views(
            self.size,
            self.least,
            proved,
            tuple(name for name in names if name not in proved),
            sum(map(len, self.views.values())),
            sum(len(space.seen) for space in self.spaces),
            time.perf_counter() - self.began,
            self.reason,
        )

    def close(self) -> None:
        """Starts with the initial views and adds successors until nothing is new."""
        for key, entries in self.initial():
            self.add(key, entries)
        while self.fresh and not self.reason:
            key, entries = self.fresh.pop()
            for space in self.spaces:
                for whole in self.extensions(key, entries, space.threads):
                    self.visit(space, key, whole)
            stored = sum(len(space.seen) for space in self.spaces)
            self.reason = exceeded(self.limits, stored, COST, self.began, self.work)

    def initial(self) -> Iterator[tuple[Key, Entries]]:
        """The views of the initial configurations."""
        for key, entries in self.starting():
            for chosen in itertools.combinations(sorted(entries), self.size):
                yield key, chosen

    def starting(self) -> Iterator[tuple[Key, Entries]]:
        """The initial configurations: all threads usual, or the first one special."""
        usual, special, _ = initial_records(self.protocol, self.layout)
        space = self.spaces[0]
        for first in {usual, special}:
            state = initial_records(self.protocol, space.model)[2]
            for thread in range(space.threads):
                state |= (first if thread == 0 else usual) << thread * space.model.record
            yield space.unpacked(state)

    def add(self, key: Key, entries: Entries) -> None:
        """Takes in a view."""
        known = self.views[key]
        if entries not in known:
            known.add(entries)
            self.fresh.append((key, entries))
            for entry in entries:
                self.single[key].setdefault(entry)

    def extensions(self, key: Key, entries: Entries, threads: int) -> list[Entries]:
        """The configurations of `threads` threads with these, all of whose views are known."""
        found = {entries}
        low = (1 << len(self.layout.identities)) - 1
        for _ in range(threads - len(entries)):
            self.work += len(found) * len(self.single[key])
            found = {
                tuple(sorted((*whole, more)))
                for whole in found
                for more in self.single[key]
                if all(not entry & more & low for entry in whole) and self.known(key, whole, more)
            }
        return list(found)

    def known(self, key: Key, whole: Entries, more: Entry) -> bool:
        """Whether every view that holds `more` is known."""
        if self.size == 1:
            return True
        others = itertools.combinations(whole, self.size - 1)
        return all(tuple(sorted((*other, more))) in self.views[key] for other in others)

    def visit(self, space: ConfigurationSpace, key: Key, entries: Entries) -> None:
        """Observes a configuration and adds the views of its successors."""
        if (key, entries) in space.seen:
            return
        space.seen.add((key, entries))
        self.work += VISIT
        state = space.packed(key, entries)
        for index, item in enumerate(space.model.observations):
            if space.code.observe(state) >> index & 1:
                self.bad.add(item.property)
        out: list[int] = []
        space.code.expand(state, out)
        for after in out:
            new, threads = space.unpacked(after)
            for chosen in itertools.combinations(sorted(threads), self.size):
                self.add(new, chosen)


def _spaces(protocol: Protocol, size: int) -> list[ConfigurationSpace]:
    """One space for the steps of no or one thread, one for those of two, and so on; each judges the properties of
    which it tracks enough threads, and the last ones those that ask for more."""
    groups: dict[int, list[str]] = {size + 1: []}
    for step in protocol.steps:
        groups.setdefault(size + max(1, len(step.threads)), []).append(step.name)
    for prop in protocol.properties:
        if prop.kind == "always":
            groups.setdefault(max(size + 1, len(prop.threads)), [])
    spaces = [ConfigurationSpace.of(protocol, threads, tuple(names)) for threads, names in sorted(groups.items())]
    return _judging(spaces)


def _judging(spaces: list[ConfigurationSpace]) -> list[ConfigurationSpace]:
    """Each property is observed in the first space that can: the smallest."""
    done: set[str] = set()
    for space in spaces:
        kept = tuple(item for item in space.model.observations if item.property not in done)
        done |= {item.property for item in kept}
        space.model = replace(space.model, observations=kept)
        space.code = program(space.model)
    return spaces
