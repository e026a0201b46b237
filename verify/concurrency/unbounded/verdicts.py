"""Verdicts for any number of threads: each property proved, refuted or unknown, by several methods.

Small numbers are explored first: they refute, with the shortest trace, and reach goals. What is left is proved by view
abstraction (any number of threads, the given sizes), by a quantified invariant (any number of threads, any sizes), and
by counters (any number of threads, the given sizes of what a thread holds). Liveness and deadlock are decided for the
explored numbers only: they are refuted or unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from verify.concurrency.domains import DomainOverflow
from verify.concurrency.explored import Explored, Limits, Proved, Refuted, Trace, Unknown, Vacuous
from verify.concurrency.explorer import explore
from verify.concurrency.language import Protocol
from verify.concurrency.unbounded import counters, houdini, views
from verify.concurrency.unbounded.tracked import NotCovered

SECONDS = 30.0  # for each method
LEAST = 3  # every number of threads up to here is explored
VIEW_SIZES = (1, 2)
ENOUGH = 2  # methods that prove a property independently


@dataclass(frozen=True, slots=True)
class Method:
    """A method that proved a property; `sizes`: also for every value of the integer parameters from 1 on."""

    name: str
    sizes: bool


@dataclass(frozen=True, slots=True)
class ProvedAny:
    """Holds for every number of threads; for `sometimes`: reached with `threads` threads."""

    methods: tuple[Method, ...]
    threads: int | None = None
    name = "proved"

    @property
    def sizes(self) -> bool:
        """Whether it also holds for any values of the integer parameters."""
        return any(method.sizes for method in self.methods)

    @property
    def reason(self) -> str:
        """What it was proved for, and by what."""
        if self.threads is not None:
            return f"reached with {self.threads} threads"
        scope = "any number of threads and any sizes" if self.sizes else "any number of threads, the given sizes"
        return f"{scope}: {', '.join(method.name for method in self.methods)}"


@dataclass(frozen=True, slots=True)
class RefutedAny:
    """Does not hold with `threads` threads; the trace is the shortest."""

    threads: int
    trace: Trace | None
    name = "refuted"

    @property
    def reason(self) -> str:
        return f"with {self.threads} thread{'s' if self.threads != 1 else ''}"


AnyVerdict = ProvedAny | RefutedAny | Vacuous | Unknown


@dataclass(frozen=True, slots=True)
class AnyNumber:
    """The result for one protocol and variant.

    `explored` are the complete explorations of small numbers; `notes` says of each method what it did or why not.
    """

    protocol: str
    variant: str
    parameters: tuple[tuple[str, int | bool], ...]
    properties: tuple[tuple[str, AnyVerdict], ...]
    explored: tuple[Explored, ...]
    notes: tuple[tuple[str, str], ...]
    seconds: float
    interrupted: bool = False

    @property
    def traces(self) -> tuple[tuple[int, Trace], ...]:
        """Number of threads and trace of each refutation that has one."""
        found = (verdict for _, verdict in self.properties if isinstance(verdict, RefutedAny))
        return tuple((verdict.threads, verdict.trace) for verdict in found if verdict.trace is not None)

    def verdict(self, name: str) -> AnyVerdict:
        """The verdict of the named property."""
        return dict(self.properties)[name]

    @property
    def decided(self) -> bool:
        """Whether nothing is left open."""
        return not any(isinstance(found, Unknown | Vacuous) for _, found in self.properties)


def prove_any(protocol: Protocol, variant: str | None = None, limits: Limits | None = None) -> AnyNumber:
    """Verdicts for any number of threads, of the protocol or of one of its variants.

    `limits` bound each method, not the whole (default: 30 s). Raises DomainOverflow where a small instance has one.
    """
    began = time.perf_counter()
    chosen = protocol if variant is None else protocol.with_variant(variant)
    run = _Run(chosen, limits or Limits(seconds=SECONDS))
    try:
        run.explore(max(LEAST, chosen.threads))
        run.prove()
    except KeyboardInterrupt:
        run.interrupted = True
    closed = tuple((prop.name, run.verdict(prop.name, prop.kind)) for prop in chosen.properties)
    seconds = time.perf_counter() - began
    return AnyNumber(
        chosen.name, chosen.variant, chosen.parameters, closed, tuple(run.explored), tuple(run.notes), seconds,
        run.interrupted,
    )  # fmt: skip


class _Run:
    """What has been found of one protocol."""

    def __init__(self, protocol: Protocol, limits: Limits) -> None:
        self.protocol, self.limits = protocol, limits
        self.explored: list[Explored] = []
        self.notes: list[tuple[str, str]] = []
        self.interrupted = False
        self.methods: dict[str, list[Method]] = {prop.name: [] for prop in protocol.properties}

    @property
    def sizeless(self) -> bool:
        """Whether the protocol has no integer parameters: what holds for the given sizes then holds for all."""
        return all(isinstance(value, bool) for _, value in self.protocol.parameters)

    def explore(self, threads: int) -> None:
        """Explores every number of threads up to the given one, while that can be completed."""
        for number in range(1, threads + 1):
            found = explore(self.protocol, number, limits=self.limits)
            if not found.complete:
                self.notes.append((f"exploration of {number} threads", f"incomplete: {found.reason}"))
                if found.reason == "interrupted":
                    raise KeyboardInterrupt
                return
            self.explored.append(found)

    def prove(self) -> None:
        """Applies each method; view abstraction of the next size only where something is left open."""
        wanted = self.open()
        if not wanted:
            return
        for size in VIEW_SIZES:
            if size == VIEW_SIZES[0] or not all(self.methods[name] for name in wanted):
                self.attempt(f"view abstraction, k={size}", lambda size=size: self.by_views(size))  # type: ignore[misc]
        self.attempt("quantified invariant", self.by_invariant)
        if any(len(self.methods[name]) < ENOUGH for name in wanted):
            self.attempt("counters", self.by_counters)

    def open(self) -> list[str]:
        """The invariants that no small number refutes."""
        names = [prop.name for prop in self.protocol.properties if prop.kind == "always"]
        return [name for name in names if not self.refuted(name)]

    def attempt(self, name: str, method: Callable[[], tuple[Method, tuple[str, ...], str]]) -> None:
        """Notes what a method proved, or why it did not apply."""
        try:
            found, proved, note = method()
        except NotCovered as reason:
            self.notes.append((name, f"not covered: {reason}"))
            return
        except DomainOverflow as reason:
            self.notes.append((name, str(reason)))
            return
        self.notes.append((name, note))
        for each in proved:
            if self.refuted(each):
                raise AssertionError(f"{name} proves {each}, which {self.refuted(each)} refutes")
            self.methods[each].append(found)

    def by_views(self, size: int) -> tuple[Method, tuple[str, ...], str]:
        found = views.views(self.protocol, size, self.limits)
        if found.reason:
            raise NotCovered(found.reason)
        if found.least - 1 > len(self.explored):
            raise NotCovered(f"covers {found.least} threads and more, and fewer could not be explored")
        note = f"{found.views} views, {found.configurations} configurations, {found.seconds:.2f} s"
        return Method(f"views of {size}", self.sizeless), found.proved, note

    def by_invariant(self) -> tuple[Method, tuple[str, ...], str]:
        found = houdini.invariant(self.protocol, self.limits.seconds or SECONDS)
        note = f"{found.candidates} candidates, {len(found.clauses)} clauses, {found.seconds:.2f} s"
        return Method("invariant", True), found.proved, note

    def by_counters(self) -> tuple[Method, tuple[str, ...], str]:
        names = [name for name in self.open() if len(self.methods[name]) < ENOUGH]
        found = counters.counted(self.protocol, names, self.limits.seconds or SECONDS)
        if found.least - 1 > len(self.explored):
            raise NotCovered(f"covers {found.least} threads and more, and fewer could not be explored")
        return Method("counters", self.sizeless), found.proved, found.note

    def refuted(self, name: str) -> RefutedAny | None:
        """The refutation with the fewest threads."""
        kind = self.protocol.property_named(name).kind
        if kind == "sometimes":
            return None
        for found in self.explored:
            verdict = found.verdict(name)
            if isinstance(verdict, Refuted):
                return RefutedAny(found.threads, verdict.trace)
        return None

    def verdict(self, name: str, kind: str) -> AnyVerdict:
        """The verdict of one property."""
        refuted = self.refuted(name)
        if refuted is not None:
            return refuted
        known = [found for found in self.explored if isinstance(found.verdict(name), Proved)]
        upto = f"with up to {len(self.explored)} threads"
        match kind:
            case "sometimes":
                return ProvedAny((), known[0].threads) if known else Unknown(f"not reached {upto}")
            case "always" if self.methods[name]:
                return ProvedAny(tuple(self.methods[name])) if known else Vacuous(f"premise reached in no state {upto}")
            case "always":
                return Unknown(f"holds {upto}; no method proves it for more")
        return Unknown(f"holds {upto}; liveness and deadlock are not proved for any number")
