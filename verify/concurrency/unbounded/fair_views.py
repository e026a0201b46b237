"""Liveness and deadlock freedom for any number of threads, from the closed views of one thread.

`leads_to` proves an `eventually` property of at most one thread: what the tracked thread sees while the obligation is
pending has no part in which a fair run can stay for ever (`fair_emptiness`). `stuck` proves that there is no deadlock:
in a state without a step no thread's view is one that must be able to take one, beside the others that are left; a
shared cell that names a thread needs a view that owns it among them; and whoever is left must be in a state that may be
final. Both hold for `least` threads and more, of the sizes that the protocol has, and as long as no assignment leaves
its domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verify.concurrency.language.domains import THREAD
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import Bound, Op, PropertyTerm, Term, negation, substitute
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.fair_emptiness import Drop, Emptiness
from verify.concurrency.unbounded.thread_graph import ThreadGraph, guard_of, thread_graph
from verify.concurrency.unbounded.view_truths import NodeTruths, PossibleViews, Sighting, possible_views
from verify.concurrency.unbounded.views import ConfigurationSpace, Entry, Key, Reached

__all__ = ["PossibleViews", "known_views", "leads_to", "stuck"]
WORK = 200_000_000  # edges and nodes that are looked at, where the limits do not say


@dataclass(frozen=True, slots=True)
class FairlyEmpty:
    """What proves an `eventually` property: `nodes` are pending, and `drops` leave none of them."""

    name: str
    nodes: frozenset[int]
    drops: tuple[Drop, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """Every rule and sub-proof, each once."""
        return tuple(dict.fromkeys(drop.text for drop in self.drops))


@dataclass(frozen=True, slots=True)
class FairViews:
    """The proofs of a protocol's liveness, from one graph."""

    graph: ThreadGraph
    proofs: tuple[FairlyEmpty, ...]
    open: tuple[str, ...]


def known_views(protocol: Protocol, reached: Reached, invariants: Iterable[str]) -> PossibleViews:
    """The views that threads may have; `invariants` names properties that are known to hold for any number of threads.
    Raises NotCovered."""
    found = [prop for prop in protocol.properties if prop.name in set(invariants) and len(prop.threads) <= 1]
    return possible_views(protocol, reached, [_of_t(prop, _invariant(prop)) for prop in found])


def leads_to(protocol: Protocol, least: int, single: PossibleViews, wanted: Iterable[str], budget: Budget) -> FairViews:
    """Proofs of the `wanted` properties. Raises NotCovered, DomainOverflow, and UsedUp."""
    properties = {prop.name: prop for prop in protocol.properties}
    asked = [properties[name] for name in wanted]
    if any(len(prop.threads) > 1 for prop in asked):
        raise NotCovered("liveness of two threads together")
    formulas: dict[str, Term] = {}
    for prop in asked:
        formulas |= {_premise(prop): _of_t(prop, prop.premise), _claim(prop): _of_t(prop, prop.claim)}
    graph = thread_graph(protocol, least, single, formulas)
    found = {prop.name: _proof(graph, prop, budget) for prop in asked}
    proofs = tuple(proof for proof in found.values() if proof is not None)
    return FairViews(graph, proofs, tuple(name for name, proof in found.items() if proof is None))


def _premise(prop: PropertyTerm) -> str:
    return f"premise of {prop.name}"


def _claim(prop: PropertyTerm) -> str:
    return f"claim of {prop.name}"


def _invariant(prop: PropertyTerm) -> Term:
    return Op("or", (negation(prop.premise), prop.claim))


def _of_t(prop: PropertyTerm, term: Term) -> Term:
    return substitute(term, {name: Bound("t", THREAD) for name in prop.threads})


def _proof(graph: ThreadGraph, prop: PropertyTerm, budget: Budget) -> FairlyEmpty | None:
    nodes, edges = pending(graph, prop)
    drops = Emptiness(graph, budget).drops(nodes, edges)
    return None if drops is None else FairlyEmpty(prop.name, nodes, drops)


def pending(graph: ThreadGraph, prop: PropertyTerm) -> tuple[frozenset[int], tuple[int, ...]]:
    """The nodes in which the obligation may be pending, and the edges between them."""
    claimed = graph.must(_claim(prop))
    found = set(graph.may(_premise(prop)) - claimed)
    work = list(found)
    while work:
        for e in graph.out[work.pop()]:
            target = graph.edges[e].target
            if target not in found and target not in claimed:
                found.add(target)
                work.append(target)
    return frozenset(found), tuple(e for node in found for e in graph.out[node] if graph.edges[e].target in found)


# --- deadlock ---------------------------------------------------------------------------------------------------------
def stuck(protocol: Protocol, single: PossibleViews) -> tuple[Key, ...]:
    """The shared states in which there may be a deadlock; none: there is none. Raises NotCovered, DomainOverflow."""
    space = ConfigurationSpace.of(protocol, 2, tuple(step.name for step in protocol.steps))
    formulas = {f"step {item.number}": guard_of(item) for item in space.model.transitions if item.threads in ((), (0,))}
    end = next(prop for prop in protocol.properties if prop.kind == "deadlock")
    truths = NodeTruths(Sighting(protocol, space.model), space, {**formulas, "end": end.claim})
    bits = len(space.model.identities)
    return tuple(key for key, entries in single.items() if not _goes_on(truths, key, entries, bits))


def _goes_on(truths: NodeTruths, key: Key, entries: Sequence[Entry], bits: int) -> bool:
    """Whether a shared state with threads of these records is final, or some step can be taken."""
    owned, left, ended = (1 << bits) - 1, list(entries), False
    while True:
        kept = [(entry, _stays(truths, key, entry, left, owned)) for entry in left]
        resting = [entry for entry, stays in kept if stays is not None]
        ended = all(stays for _, stays in kept if stays is not None)
        if len(resting) == len(left):
            break
        left = resting
    owners = 0
    for entry in left:
        owners |= entry & owned
    return not left or ended or bool(owned & ~key[1] & ~owners)


def _stays(truths: NodeTruths, key: Key, entry: Entry, left: Sequence[Entry], owned: int) -> bool | None:
    """Whether the state must be final, where a thread with this record need not have a step beside these others; None
    where it has one, or where no such thread can be."""
    others = [more for more in left if not entry & more & owned]
    if not others:
        return None
    found = truths.node(key, entry, others)
    if any(must for name, (must, _, _) in found.items() if name != "end"):
        return None
    return found["end"][0]
