"""Exploration: picks an engine for a protocol and a number of threads, and turns what it saw into verdicts."""

from __future__ import annotations

from verify.concurrency import interpreter
from verify.concurrency.explored import Explored, Limits, Search, Seen, Unknown, Verdict, safety
from verify.concurrency.explored import Refuted as _Refuted
from verify.concurrency.ground import Model, ground
from verify.concurrency.language import Protocol
from verify.concurrency.shortest import trace


def explore(
    protocol: Protocol,
    threads: int | None = None,
    engine: str = "auto",
    symmetric: bool | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Explored:
    """Every interleaving of `threads` threads (default: the protocol's), within `limits`."""
    model = ground(protocol, threads or protocol.threads)
    reduced = model.symmetric if symmetric is None else symmetric and model.symmetric
    found = interpreter.search(model, reduced, limits)
    return result(model, found, verdicts(model, found))


def verdicts(model: Model, found: Search) -> dict[str, Verdict]:
    """The verdict of each property, with traces."""
    closed: dict[str, Verdict] = {}
    for name, verdict in safety(model, found).items():
        closed[name] = _Refuted(trace(model, name, verdict, found.symmetric)) if isinstance(verdict, Seen) else verdict
    for prop in model.protocol.properties:
        closed.setdefault(prop.name, Unknown("liveness is not judged by this engine"))
    return closed


def result(model: Model, found: Search, closed: dict[str, Verdict]) -> Explored:
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
        found.seconds,
        found.bytes,
    )
