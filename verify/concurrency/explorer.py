"""Exploration: picks an engine for a protocol and a number of threads, and turns what it saw into verdicts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from verify.concurrency import compiled, diagrams, fair_diagrams, frontier, interpreter, lasso
from verify.concurrency.explored import Explored, Limits, Refuted, Search, Seen, Trace, Unknown, Verdict, safety
from verify.concurrency.ground import Model, ground
from verify.concurrency.language import Protocol
from verify.concurrency.shortest import counterexamples, trace
from verify.concurrency.vectors import WIDTH

ENGINES = ("auto", "python", "numpy", "c", "bdd")
FIRST = 200_000  # states that numpy tries before a compiler or diagrams are worth their start
DIAGRAM_SECONDS = 120.0
LIVENESS_STATES = 6_000_000  # states of the full graph up to which liveness is judged state by state, with lassos
Engine = Callable[[Model, bool, Limits], Search]


def explore(
    protocol: Protocol,
    threads: int | None = None,
    engine: str = "auto",
    symmetric: bool | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Explored:
    """Every interleaving of `threads` threads (default: the protocol's), within `limits`.

    `symmetric` None: threads are exchanged wherever that is exact. Raises DomainOverflow, and ValueError for an engine
    that is unknown or cannot run here.
    """
    began = time.perf_counter()
    model = ground(protocol, protocol.threads if threads is None else threads)
    bounded = limits if limits.memory is not None else replace(limits, memory=memory_available() // 2)
    found = search(model, engine, symmetric, bounded)
    closed = verdicts(model, found, bounded)
    return result(model, found, closed, time.perf_counter() - began)


def search(model: Model, engine: str, symmetric: bool | None, limits: Limits) -> Search:
    """Runs one engine, or for "auto" as many as it takes."""
    reduced = model.symmetric if symmetric is None else symmetric and model.symmetric
    match engine:
        case "auto":
            return automatic(model, reduced, limits)
        case "python":
            return interpreter.search(model, reduced, limits)
        case "numpy":
            return frontier.search(model, reduced, limits)
        case "c":
            return compiled.search(model, reduced, limits)
        case "bdd":
            return diagrams.search(model, limits)
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")


def automatic(model: Model, symmetric: bool, limits: Limits) -> Search:
    """numpy while that is enough, then diagrams for a while, then C (numpy or Python where it cannot run)."""
    explicit: Engine = frontier.search if model.bits <= WIDTH else interpreter.search
    few = min(FIRST if model.bits <= WIDTH else FIRST // 50, limits.states or FIRST)
    found = explicit(model, symmetric, replace(limits, states=few))
    if found.complete or found.reason == "interrupted" or few == limits.states:
        return found
    seconds = DIAGRAM_SECONDS if limits.seconds is None else min(DIAGRAM_SECONDS, limits.seconds)
    drawn = diagrams.search(model, replace(limits, seconds=seconds))
    if drawn.complete or drawn.reason == "interrupted":
        return _with_ways(drawn, found)
    if not compiled.unavailable(model, symmetric):
        return compiled.search(model, symmetric, limits)
    return explicit(model, symmetric, limits)


def _with_ways(drawn: Search, found: Search) -> Search:
    """Diagrams' result; where they have no way to a bad state, what the first search saw."""
    for index, seen in found.seen.items():
        if index in drawn.seen and drawn.seen[index].depth < 0:
            drawn.seen[index] = seen
    return drawn


def verdicts(model: Model, found: Search, limits: Limits) -> dict[str, Verdict]:
    """The verdict of each property, with traces."""
    closed: dict[str, Verdict] = {}
    safe = safety(model, found)
    try:
        for name, verdict in safe.items():
            closed[name] = _refuted(model, name, verdict, found) if isinstance(verdict, Seen) else verdict
        missing = [prop.name for prop in model.protocol.properties if prop.name not in closed]
        if missing:
            closed.update(_liveness(model, found, limits, missing))
    except KeyboardInterrupt:  # what the search saw stands, without the traces that are still to be found
        found.complete, found.reason = False, "interrupted"
        for prop in model.protocol.properties:
            seen = safe.get(prop.name, Unknown("incomplete: interrupted"))
            closed.setdefault(prop.name, Refuted() if isinstance(seen, Seen) else seen)
    return closed


def _refuted(model: Model, name: str, seen: Seen, found: Search) -> Verdict:
    """A refutation with its trace, where the engine knows how far away the state is."""
    return Refuted(trace(model, name, seen, found.symmetric)) if seen.depth >= 0 else Refuted()


def _liveness(model: Model, found: Search, limits: Limits, names: list[str]) -> dict[str, Verdict]:
    if not found.complete:
        return dict.fromkeys(names, Unknown(f"incomplete: {found.reason}"))
    if found.states > LIVENESS_STATES or model.bits > WIDTH:
        seconds = DIAGRAM_SECONDS if limits.seconds is None else min(DIAGRAM_SECONDS, limits.seconds)
        known = found.diagram if isinstance(found.diagram, diagrams.Reachability) else None
        return fair_diagrams.judge(model, replace(limits, seconds=seconds), known)
    return lasso.judge(model, limits)


def distinct(protocol: Protocol, explored: Explored, name: str, count: int) -> tuple[Trace, ...]:
    """Up to `count` different counterexamples to the named safety property, shortest first."""
    verdict = explored.verdict(name)
    if not isinstance(verdict, Refuted) or verdict.trace is None:
        return ()
    model = ground(protocol, explored.threads)
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


def result(model: Model, found: Search, closed: dict[str, Verdict], seconds: float) -> Explored:
    """The record of a run."""
    protocol = model.protocol
    return Explored(
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
    )
