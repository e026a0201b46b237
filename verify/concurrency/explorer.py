"""Exploration: picks an engine for a protocol and a number of threads, and turns what it saw into verdicts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

from verify.concurrency.bdd import engine as diagrams
from verify.concurrency.explicit import c_engine, numpy_engine, python_engine
from verify.concurrency.explicit.shortest import SearchSpace, counterexamples, space, trace
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.instance.vectors import WIDTH
from verify.concurrency.language.domains import TooLarge
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.liveness import emerson_lei, lasso
from verify.concurrency.liveness.orbit_graph import obligations
from verify.concurrency.results.exploration import (
    BoundHit,
    Discovery,
    Exploration,
    Limits,
    Refuted,
    Search,
    Trace,
    Unknown,
    Verdict,
    safety,
)

ENGINES = ("auto", "python", "numpy", "c", "bdd")
FIRST = 100_000  # states that numpy tries before a compiler or diagrams are worth their start
DIAGRAM_WORK = 120_000_000  # units that diagrams have before C is tried
BROKEN_WORK = 3_000_000  # that they have at first, where something is refuted already
LIST_WORK = 100_000_000  # that C has then, before diagrams go on
LIVENESS_STATES = 2_000_000  # up to so many, liveness is judged state by state where orbits do not decide, with lassos


def explore(
    protocol: Protocol,
    threads: int | None = None,
    engine: str = "auto",
    symmetric: bool | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    early: Callable[[Trace], None] = lambda _: None,
) -> Exploration:
    """Every interleaving of `threads` threads (default: the protocol's), within `limits`.

    `symmetric` None: threads are exchanged wherever that is exact. `early` gets the counterexamples that the engine
    "auto" finds at once, where deciding the other properties takes longer. Raises DomainOverflow, and ValueError for an
    engine that is unknown or cannot run here.
    """
    began = time.perf_counter()
    number = protocol.threads if threads is None else threads
    bounded = limits if limits.memory is not None else replace(limits, memory=memory_available() // 2)
    try:
        model = instantiate(protocol, number, limits.memory)
    except (TooLarge, KeyboardInterrupt) as reason:
        return _without_model(protocol, number, str(reason) or "interrupted", time.perf_counter() - began)
    found = search(model, engine, symmetric, bounded, early)
    closed = verdicts(model, found, bounded)
    return result(model, found, closed, time.perf_counter() - began)


def _without_model(protocol: Protocol, threads: int, reason: str, seconds: float) -> Exploration:
    """The record of a run that ended before its model was made."""
    undecided = tuple((prop.name, Unknown(f"incomplete: {reason}")) for prop in protocol.properties)
    return Exploration(
        protocol.name, protocol.variant, threads, protocol.parameters, "none", False, 0, 0, 0, 0, False, reason,
        undecided, seconds, 0,
    )  # fmt: skip


def search(
    model: Model,
    engine: str,
    symmetric: bool | None,
    limits: Limits,
    early: Callable[[Trace], None] = lambda _: None,
) -> Search:
    """Runs one engine, or for "auto" as many as it takes."""
    reduced = model.symmetric if symmetric is None else symmetric and model.symmetric
    match engine:
        case "auto":
            return automatic(model, reduced, limits, early)
        case "python":
            return python_engine.search(model, reduced, limits)
        case "numpy":
            return numpy_engine.search(model, reduced, limits)
        case "c":
            return c_engine.search(model, reduced, limits)
        case "bdd":
            return diagrams.search(model, limits)
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")


def automatic(model: Model, symmetric: bool, limits: Limits, early: Callable[[Trace], None]) -> Search:
    """numpy while that is enough, then diagrams for a while, then C (numpy or Python where it cannot run)."""
    few = min(FIRST if model.bits <= WIDTH else FIRST // 50, limits.states or FIRST)
    if model.bits <= WIDTH:
        found = numpy_engine.search(model, symmetric, replace(limits, states=few), keep=True)
    else:
        found = python_engine.search(model, symmetric, replace(limits, states=few))
    if found.complete or found.reason == "interrupted" or few == limits.states:
        return found
    try:
        first = _with_ways(model, found)
        _tell(model, first, early)
        more = _beyond(model, symmetric, limits, first)
    except KeyboardInterrupt:
        more = replace(found, reason="interrupted")
    return more if more.states > found.states or more.reason != "interrupted" else replace(found, reason=more.reason)


def _beyond(model: Model, symmetric: bool, limits: Limits, first: Search) -> Search:
    """The search for which `first`, incomplete, was not enough; what that has seen keeps its ways.

    Diagrams come first. A broken protocol has large ones more often, and what else is wrong with it wants its distance,
    which they measure slowly: where something is refuted, they soon make way for C.
    """
    listing = bool(violations(model, first)) and model.bits <= WIDTH and not c_engine.unavailable(model, symmetric)
    drawn = diagrams.search(model, limits.at_most(BROKEN_WORK if listing else DIAGRAM_WORK), first)
    if final(model, drawn):
        return drawn
    if listing:
        listed = _together(explicit(model, symmetric, limits.at_most(LIST_WORK)), first)
        if final(model, listed):
            listed.diagram = drawn.diagram if drawn.complete else None
            return listed
        drawn = diagrams.search(model, limits.at_most(DIAGRAM_WORK), first)
    return drawn if final(model, drawn) or drawn.complete else _together(explicit(model, symmetric, limits), first)


def final(model: Model, found: Search) -> bool:
    """Whether a search is over, and knows how far away what it refutes is."""
    if found.reason == "interrupted":
        return True
    return found.complete and all(seen.depth >= 0 for seen in violations(model, found))


def violations(model: Model, found: Search) -> list[Discovery]:
    """What a search has seen that refutes an invariant, or deadlock freedom."""
    bad = [found.seen[i] for i, item in enumerate(model.observations) if item.role == "bad" and i in found.seen]
    return bad if found.deadlock is None else [*bad, found.deadlock]


def _together(found: Search, first: Search) -> Search:
    """A search that keeps what `first` has seen, with its ways."""
    found.seen |= first.seen
    found.taken |= first.taken
    found.deadlock = first.deadlock or found.deadlock
    return found


def _with_ways(model: Model, found: Search) -> Search:
    """A search whose refutations carry their ways, so that they need its levels no longer."""
    known = space(model, found.symmetric, found.levels)

    def way(seen: Discovery) -> Discovery:
        path = trace(model, "", seen, found.symmetric, known).states
        return Discovery(seen.depth, path[-1], path)

    bad = {index for index, item in enumerate(model.observations) if item.role == "bad"}
    seen = {index: way(one) if index in bad else one for index, one in found.seen.items()}
    return replace(found, seen=seen, deadlock=found.deadlock and way(found.deadlock), levels=None)


def _tell(model: Model, found: Search, early: Callable[[Trace], None]) -> None:
    """Passes on the counterexamples of an incomplete search."""
    for name, verdict in safety(model, found).items():
        if isinstance(verdict, Discovery):
            early(trace(model, name, verdict, found.symmetric))


def explicit(model: Model, symmetric: bool, limits: Limits) -> Search:
    """A search state by state, by the fastest engine that can run here."""
    if not c_engine.unavailable(model, symmetric):
        with contextlib.suppress(c_engine.CompilerFailed):
            return c_engine.search(model, symmetric, limits)
    slower = numpy_engine.search if model.bits <= WIDTH else python_engine.search
    return slower(model, symmetric, limits)


def verdicts(model: Model, found: Search, limits: Limits) -> dict[str, Verdict]:
    """The verdict of each property, with traces; an interruption leaves what is missing undecided."""
    closed: dict[str, Verdict] = {}
    seen = safety(model, found)
    try:
        known = space(model, found.symmetric, found.levels)
        for name, verdict in seen.items():
            closed[name] = _refuted(model, name, verdict, found, known) if isinstance(verdict, Discovery) else verdict
        _liveness(model, found, limits, closed)
    except KeyboardInterrupt:
        found.complete, found.reason = False, "interrupted"
        closed = {name: Refuted() if isinstance(v, Discovery) else v for name, v in seen.items()} | closed
    undecided = Unknown(f"incomplete: {found.reason}")
    return {prop.name: closed.get(prop.name, undecided) for prop in model.protocol.properties}


def _refuted(model: Model, name: str, seen: Discovery, found: Search, known: SearchSpace) -> Verdict:
    """A refutation with its trace, where the engine knows how far away the state is."""
    return Refuted(trace(model, name, seen, found.symmetric, known)) if seen.depth >= 0 else Refuted()


def _liveness(model: Model, found: Search, limits: Limits, closed: dict[str, Verdict]) -> None:
    """Adds the verdicts of the `eventually` properties to `closed`, one by one."""
    if not found.complete:
        return
    listed = found.states <= LIVENESS_STATES and model.bits <= WIDTH
    for name in obligations(model):
        try:
            if listed:
                closed |= lasso.judge(model, limits, found.levels, (name,))
            else:
                found.diagram = found.diagram or emerson_lei.reached(model, limits)
                closed |= emerson_lei.judge(model, limits, found.diagram, (name,))
        except BoundHit as bound:
            closed[name] = Unknown(f"incomplete: {bound.reason}")


def distinct(protocol: Protocol, explored: Exploration, name: str, count: int) -> tuple[Trace, ...]:
    """Up to `count` different counterexamples to the named safety property, shortest first."""
    verdict = explored.verdict(name)
    if not isinstance(verdict, Refuted) or verdict.trace is None:
        return ()
    model = instantiate(protocol, explored.threads)
    if count == 1 or verdict.trace.loop is not None:
        return (verdict.trace,)
    return counterexamples(model, name, model.symmetric, count, len(verdict.trace.events) + 4)


def memory_available() -> int:
    """Bytes of memory that this machine has free (Linux: MemAvailable)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def result(model: Model, found: Search, closed: dict[str, Verdict], seconds: float) -> Exploration:
    """The record of a run."""
    protocol = model.protocol
    return Exploration(
        protocol.name,
        protocol.variant,
        model.threads,
        protocol.parameters,
        found.engine,
        found.symmetric,
        found.states,
        found.transitions,
        found.stored,
        found.depth,
        found.complete,
        found.reason,
        tuple((prop.name, closed[prop.name]) for prop in protocol.properties),
        seconds,
        found.bytes,
        _never(model, found) if found.complete else (),
    )


def _never(model: Model, found: Search) -> tuple[str, ...]:
    """The steps that no state takes."""
    return tuple(step.name for step in model.protocol.steps if step.name not in found.taken)
