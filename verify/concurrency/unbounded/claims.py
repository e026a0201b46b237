"""Claims: what is asked for any number of threads, beside the invariants of a protocol, as invariants of their own.

That a goal, or a premise, is reached in no state; and that no state is a deadlock: it is final, or some step can be
taken in it. Every method judges these as it judges invariants. Nothing is decided here.
"""

from __future__ import annotations

import itertools

from verify.concurrency.language.domains import THREAD
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    FALSE,
    TRUE,
    AllThreads,
    Bound,
    Op,
    PropertyTerm,
    Quantified,
    StepTerm,
    Term,
    enabled,
    negation,
)

NEVER = "never "


def never(prop: PropertyTerm) -> PropertyTerm:
    """That no state satisfies the goal of a `sometimes`, or the premise of another property."""
    reached = prop.claim if prop.kind == "sometimes" else prop.premise
    return PropertyTerm(NEVER + prop.name, "always", prop.threads, TRUE, negation(reached))


def finals(protocol: Protocol) -> tuple[Term, ...]:
    """What says that a state may be final; nothing where none may."""
    end = _end(protocol).claim
    return () if end == FALSE else (end,)


def live(protocol: Protocol) -> Term:
    """That the state is final, or that some step can be taken in it."""
    return Op("or", (*finals(protocol), *map(_possible, protocol.steps)))


def _end(protocol: Protocol) -> PropertyTerm:
    return next(prop for prop in protocol.properties if prop.kind == "deadlock")


def _possible(step: StepTerm) -> Term:
    """That some threads can take the step."""
    names = tuple(f"{step.name}'{name}" for name in step.threads)
    apart = [Op("!=", (Bound(a, THREAD), Bound(b, THREAD))) for a, b in itertools.combinations(names, 2)]
    body: Term = Op("and", (*apart, enabled(step, names)))
    for name in reversed(names):
        body = Quantified("any", name, AllThreads(), body)
    return body
