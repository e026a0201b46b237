"""Verdicts for any number of threads: each property proved, refuted, vacuous or unknown, by several methods.

Small numbers are explored first: they refute, with the shortest trace, and reach goals. What is left is proved by view
abstraction (any number of threads, the given sizes), by a quantified invariant (any number of threads, any sizes), and
by counters (any number of threads, the given sizes of what a thread holds). That a goal or a premise is never reached,
freedom from deadlock, and that every assignment stays in its domain, are proved as invariants are (`claims`,
`kept_domains`); what else is proved holds as long as none has left its domain. Liveness is proved on the views of one
thread (`fair_views`), which prove freedom from deadlock too, for the given sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from verify.concurrency.explorer import explore
from verify.concurrency.language.domains import DomainOverflow, ProtocolError
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.language.terms import TRUE, PropertyTerm
from verify.concurrency.results.exploration import Exploration, Limits, Proved, Refuted, Unknown, Vacuous
from verify.concurrency.unbounded import counter_abstraction, fair_views, houdini, kept_domains, views
from verify.concurrency.unbounded.answers import (
    AnyNumber,
    AnyVerdict,
    Method,
    ProvedAny,
    RefutedAny,
    scope,
    threads_text,
)
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.claims import NEVER, never
from verify.concurrency.unbounded.cutoffs import at_given_sizes
from verify.concurrency.unbounded.encoding import NotCovered, UsedUp
from verify.concurrency.unbounded.kept_domains import KEPT

EXPLORED = 20_000_000  # units of work of each exploration, where the limits do not say
BEYOND = 2_000_000  # units of each exploration that looks for an assignment out of its domain
FURTHER = 2  # more threads than are explored for the properties, in which it looks
LEAST = 3  # every number of threads up to here is explored
AGAIN = 16_000_000  # units for the costlier methods where every invariant has been proved once
ENOUGH = 2  # methods that prove a property independently
MANY = 9  # more methods than there are
INVARIANT = ("always", "deadlock")


def prove_any(
    protocol: Protocol,
    variant: str | None = None,
    limits: Limits | None = None,
    known: Iterable[tuple[str, Method]] = (),
) -> AnyNumber:
    """Verdicts for any number of threads, of the protocol or of one of its variants.

    `limits` bound each method, not the whole (default: the work that its module says). `known`: properties that stored
    proofs prove (`recorded`); no other proof of these is looked for, unless views give it. Raises DomainOverflow where
    a small instance has one.
    """
    began = time.perf_counter()
    chosen = protocol if variant is None else protocol.with_variant(variant)
    run = _Run(chosen, limits or Limits(), tuple(known))
    try:
        run.explore(max(LEAST, chosen.threads))
        run.prove()
    except KeyboardInterrupt:
        run.interrupted = True
    closed = (*((prop.name, run.verdict(prop)) for prop in chosen.properties), (KEPT, run.domains()))
    seconds = time.perf_counter() - began
    return AnyNumber(
        chosen.name, chosen.variant, chosen.parameters, closed, tuple(run.explored), tuple(run.notes), seconds,
        run.interrupted,
    )  # fmt: skip


class _Run:
    """What has been found of one protocol."""

    def __init__(self, protocol: Protocol, limits: Limits, known: tuple[tuple[str, Method], ...]) -> None:
        self.protocol, self.limits, self.stored = protocol, limits, known
        self.asked = protocol  # with what else is to be proved
        self.explored: list[Exploration] = []
        self.notes: list[tuple[str, str]] = []
        self.interrupted = False
        self.methods: dict[str, list[Method]] = {}
        self.covered, self.kept = False, tuple[str, ...]()  # the obligations of assignments, where there are such
        self.overflow: tuple[int, DomainOverflow] | None = None  # with how many threads, and what
        self.single: views.Reached | None = None  # the closed views of one thread

    @property
    def sizeless(self) -> bool:
        """Whether the protocol has no integer parameters: what holds for the given sizes then holds for all."""
        return all(isinstance(value, bool) for _, value in self.protocol.parameters)

    @property
    def complete(self) -> int:
        """How many numbers of threads, from 1 on, have been explored completely."""
        return sum(found.complete for found in self.explored)

    def explore(self, threads: int) -> None:
        """Explores every number of threads up to the given one, while that can be completed."""
        limits = self.limits if self.limits.work is not None else self.limits.at_most(EXPLORED)
        for number in range(1, threads + 1):
            self.explored.append(found := explore(self.protocol, number, limits=limits))
            if not found.complete:
                self.notes.append((f"exploration of {number} threads", f"incomplete: {found.reason}"))
                if found.reason == "interrupted":
                    raise KeyboardInterrupt
                return

    def prove(self) -> None:
        """Applies each method to what no small number decides, a costlier one only where something is left open."""
        rest = [never(prop) for prop in self.protocol.properties if prop.kind != "deadlock" and self.unmet(prop)]
        kept = kept_domains.obligations(self.protocol)
        self.covered, self.kept = kept is not None, tuple(prop.name for prop in kept or ())
        properties = (*self.protocol.properties, *rest, *(kept or ()))
        self.asked = replace(self.protocol, properties=properties, expected=())
        self.methods = {**{prop.name: [] for prop in self.asked.properties}, KEPT: []}
        self.granted(self.stored, "a stored proof")
        if kept == ():
            self.methods[KEPT].append(Method("declarations and guards", True))
        self.beyond()
        if not (self.open(1, (*INVARIANT, "eventually")) or self.stored):
            return
        seen = self.attempt("view abstraction, k=1", lambda: self.by_views(1))
        if seen and self.open(1, ("always",)):
            self.attempt("view abstraction, k=2", lambda: self.by_views(2))
        if seen and self.open(1, ("deadlock",)):
            self.attempt("deadlock in views", self.by_stuck_views)
        if self.open(ENOUGH) or self.open(MANY, ("deadlock",)):
            self.invariants(seen)
        if seen and self.open(1, ("eventually",)):
            self.attempt("fair views", self.by_fair_views)

    def invariants(self, seen: bool) -> None:
        """The methods for invariants and freedom from deadlock, after views, which apply where `seen`. Where there are
        stored proofs, only for what is still open: the rest was looked for when they were made."""
        if self.stored and not self.open(1):
            return
        self.attempt("quantified invariant", lambda: self.by_invariant(False))
        if seen and self.open(ENOUGH):
            self.attempt("counters", self.by_counters)
        if any(not any(method.sizes for method in self.methods[name]) for name in self.open(MANY)):
            self.attempt("quantified invariant of three literals", lambda: self.by_invariant(True))

    def beyond(self) -> None:
        """Looks for an assignment that leaves its domain with some threads more."""
        if self.complete < len(self.explored) or not self.counting:
            return
        for threads in range(self.complete + 1, self.complete + 1 + FURTHER):
            try:
                found = explore(self.protocol, threads, limits=self.limits.at_most(BEYOND))
            except DomainOverflow as error:
                self.overflow = threads, error
                return
            if found.reason == "interrupted":
                raise KeyboardInterrupt
            if not found.complete:
                return

    @property
    def counting(self) -> bool:
        """Whether some assignment may leave its domain, as far as declarations and guards say."""
        return bool(self.kept) or not self.covered

    def open(self, methods: int, kinds: tuple[str, ...] = INVARIANT) -> list[str]:
        """What no small number refutes and fewer than so many methods prove."""
        names = [prop.name for prop in self.asked.properties if prop.kind in kinds]
        return [name for name in names if not self.refuted(name) and len(self.methods[name]) < methods]

    def unmet(self, prop: PropertyTerm) -> bool:
        """Whether no exploration has reached the goal, or has met the premise."""
        if prop.kind in ("always", "deadlock") and prop.premise == TRUE:
            return False
        return not any(isinstance(found.verdict(prop.name), Proved | Refuted) for found in self.explored) or (
            prop.kind == "sometimes" and not self.reached(prop.name)
        )

    def reached(self, name: str) -> int:
        """The least number of threads with which a goal is reached; 0: none."""
        return next((found.threads for found in self.explored if isinstance(found.verdict(name), Proved)), 0)

    def attempt(self, name: str, method: Callable[[], tuple[Method, tuple[str, ...], str]]) -> bool:
        """Notes what a method proved, or why it did not apply; whether it applied."""
        try:
            found, proved, note = method()
        except DomainOverflow as error:
            self.notes.append((name, f"not covered: an unreachable view overflows: {error}"))
            return False
        except ProtocolError as reason:
            self.notes.append((name, f"not covered: {reason}"))
            return False
        self.notes.append((name, note))
        self.granted(((each, found) for each in proved), name)
        kept = set(proved) & set(self.kept) and all(self.methods[name] for name in self.kept)
        if (kept or found.name.startswith("views")) and found not in self.methods[KEPT]:
            self.methods[KEPT].append(found)  # views try every assignment
        return True

    def granted(self, proved: Iterable[tuple[str, Method]], by: str) -> None:
        """Takes in what is proved. Raises AssertionError where an exploration refutes it."""
        for name, method in proved:
            if self.refuted(name):
                raise AssertionError(f"{by} proves {name}, which {self.refuted(name)} refutes")
            if method not in self.methods[name]:
                self.methods[name].append(method)

    def by_views(self, size: int) -> tuple[Method, tuple[str, ...], str]:
        reached = views.closed(self.asked, size, self.limits)
        found = reached.proofs()
        if found.reason:
            raise NotCovered(found.reason)
        self.enough(found.least)
        self.single = self.single or reached
        note = f"{found.views} views, {found.configurations} configurations, {found.seconds:.2f} s"
        return Method(f"views of {size}", self.sizeless), found.proved, note

    def by_invariant(self, triples: bool) -> tuple[Method, tuple[str, ...], str]:
        small = [name for name, value in self.protocol.parameters if not isinstance(value, bool) and value < 1]
        if small:
            raise NotCovered(f"invariants are for sizes of at least 1: {', '.join(small)}")
        found, any_size = self.invariant(triples)
        note = f"{found.candidates} candidates, {len(found.clauses)} clauses, {found.seconds:.2f} s"
        return Method("invariant", any_size), found.proved, note

    @property
    def left(self) -> Limits:
        """The limits of the costlier methods: less work where every invariant has been proved once."""
        return self.limits if self.open(1, ("always",)) else self.limits.at_most(AGAIN)

    def invariant(self, triples: bool) -> tuple[houdini.Invariant, bool]:
        """An invariant for any sizes, or where these are not covered for the given ones; whether it is for any."""
        wanted, limits = self.open(MANY), self.left if triples else self.limits
        try:
            return houdini.invariant(self.asked, limits, triples, wanted, small=False), True
        except UsedUp:
            raise
        except NotCovered:
            if self.sizeless:
                raise
            return houdini.invariant(at_given_sizes(self.asked), limits, triples, wanted, small=False), False

    def by_counters(self) -> tuple[Method, tuple[str, ...], str]:
        found = counter_abstraction.counted(self.asked, self.open(ENOUGH), self.limits if self.open(1) else self.left)
        self.enough(found.least)
        return Method("counters", self.sizeless), found.proved, found.note

    def known(self) -> tuple[views.Reached, fair_views.PossibleViews]:
        """The views that threads may have, by the invariants that are proved."""
        assert self.single is not None
        proved = [prop.name for prop in self.protocol.properties if prop.kind == "always" and self.methods[prop.name]]
        return self.single, fair_views.known_views(self.protocol, self.single, proved)

    def by_stuck_views(self) -> tuple[Method, tuple[str, ...], str]:
        _, single = self.known()
        found = fair_views.stuck(self.protocol, single)
        note = f"{len(found)} shared states may have a deadlock"
        return Method("views of 1", self.sizeless), () if found else (DEADLOCK,), note

    def by_fair_views(self) -> tuple[Method, tuple[str, ...], str]:
        """Proofs of liveness; each property has a method of its own, since the rules are its own."""
        reached, single = self.known()
        wanted = [name for name in self.open(1, ("eventually",)) if self.explored_below(reached.least, name)]
        if not wanted:
            raise NotCovered("no property is decided for every smaller number")
        budget, plain = Budget(self.limits, fair_views.WORK), fair_views.known_views(self.protocol, reached, ())
        found = fair_views.leads_to(self.protocol, reached.least, plain, wanted, budget)
        if found.open:
            found = fair_views.leads_to(self.protocol, reached.least, single, wanted, budget)
        for proof in found.proofs:
            self.methods[proof.name].append(Method(self.fair_views, self.sizeless, proof.rules))
        note = f"{len(found.graph.nodes)} nodes, {len(found.graph.edges)} edges"
        return Method("fair views", self.sizeless), (), note + f"; open: {', '.join(found.open) or 'none'}"

    @property
    def fair_views(self) -> str:
        """The name of the method, with the sizes that its proofs are for."""
        sizes = [f"{name} = {value}" for name, value in self.protocol.parameters if not isinstance(value, bool)]
        return "fair views" + (f" with {', '.join(sizes)}" if sizes else "")

    def explored_below(self, least: int, name: str) -> bool:
        """Whether explorations prove a property, or never meet its premise, for every number below `least`."""
        found = [one.verdict(name) for one in self.explored[: least - 1] if one.complete]
        return len(found) == least - 1 and all(isinstance(verdict, Proved | Vacuous) for verdict in found)

    def enough(self, least: int) -> None:
        """Refuses a method for `least` threads and more where fewer have not been explored."""
        if least - 1 > self.complete:
            raise NotCovered(f"covers {least} threads and more, and fewer could not be explored")

    def refuted(self, name: str) -> RefutedAny | None:
        """The refutation with the fewest threads."""
        kinds = {prop.name: prop.kind for prop in self.protocol.properties}
        if kinds.get(name, "sometimes") == "sometimes":
            return None
        for found in self.explored:
            verdict = found.verdict(name)
            if isinstance(verdict, Refuted):
                return RefutedAny(found.threads, verdict.trace)
        return None

    def domains(self) -> AnyVerdict:
        """Whether every assignment stays in its domain."""
        if self.overflow is not None:
            threads, error = self.overflow
            return RefutedAny(threads, None, note=f"step {error.step} assigns {error.value} to {error.variable}")
        if self.methods.get(KEPT):
            return ProvedAny(tuple(self.methods[KEPT]))
        upto = f"with up to {threads_text(self.complete)}" if self.complete else "as far as explored"
        return Unknown(f"holds {upto}; {self.left_open()}")

    def left_open(self) -> str:
        """Why it is not known that every assignment stays in its domain."""
        if self.interrupted:
            return "interrupted"
        if not self.covered:
            return "no method proves it for more: a step is outside the proofs"
        found = [name.split(" ")[1:3] for name in self.kept if not self.methods[name]]
        names = dict.fromkeys(f"{step} assigns {variable}" for step, variable in found)
        return f"no method proves it for more: {', '.join(names)}"

    def verdict(self, prop: PropertyTerm) -> AnyVerdict:
        """The verdict of one property."""
        refuted = self.refuted(prop.name)
        upto = f"with up to {threads_text(self.complete)}" if self.complete else "as far as explored"
        proved, absent = (tuple(self.methods.get(name, ())) for name in (prop.name, NEVER + prop.name))
        match prop.kind:
            case "sometimes" if self.reached(prop.name):
                return ProvedAny((), self.reached(prop.name))
            case "sometimes":
                return RefutedAny(None, None, absent) if absent else Unknown(f"not reached {upto}")
            case _ if refuted is not None:
                return refuted
            case _ if absent:
                return Vacuous(f"premise never met, {scope(absent)}")
            case "always" | "deadlock" | "eventually" if proved:
                unmet = Unknown(f"not violated, {scope(proved)}; whether its premise is ever met is not known")
                return unmet if self.unmet(prop) else ProvedAny(proved)
            case "always" | "deadlock":
                return Unknown(f"holds {upto}; no method proves it for more")
        return Unknown(f"{self.so_far(prop.name)}; no fair run that violates it is excluded for more")

    def so_far(self, name: str) -> str:
        """How far explorations decide a property of liveness."""
        proved = [found.threads for found in self.explored if isinstance(found.verdict(name), Proved | Vacuous)]
        return f"holds with up to {threads_text(max(proved))}" if proved else "not decided by exploration"
