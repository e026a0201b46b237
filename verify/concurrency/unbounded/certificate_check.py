"""The independent check of a certificate of liveness: what it says of views by solvers, its rules on their graph.

Takes the certificate as it is stored and the protocol as it is declared; shares nothing with the search but the texts
of `smtlib`. Solvers must refute that an initial state, or a step of anybody, leaves the views that are listed; that a
guard or claim does not hold where the certificate says so, or a premise does where it says not. On what is left, the
rules of `fair_emptiness` are applied anew: a rule of the file counts only where it drops something by itself. A step
counts as strongly fair only where the protocol declares it so: fairness is in no condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import networkx as nx

from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import StepTerm
from verify.report.explorations import LivenessProof, LivenessRule, StoredLiveness

Nodes = frozenset[int]
Rules = tuple[LivenessRule, ...]


@dataclass(frozen=True, slots=True)
class Arc:
    """A step from view to view; `roles`: the part of thread t in it, empty where it has none."""

    source: int
    target: int
    step: str
    roles: tuple[int, ...]


def numbers(text: str) -> Nodes:
    """The set that ranges such as `0-3 7` say."""
    found: set[int] = set()
    for part in text.split():
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    return frozenset(found)


@dataclass(slots=True)
class Views:
    """The views of a certificate as a graph."""

    protocol: Protocol
    stored: StoredLiveness
    shared: list[int] = field(default_factory=list)  # of each view
    record: list[int] = field(default_factory=list)
    arcs: list[Arc] = field(default_factory=list)
    steps: dict[str, StepTerm] = field(default_factory=dict)

    @staticmethod
    def of(protocol: Protocol, stored: StoredLiveness) -> Views:
        """Reads the sets and edges of a certificate."""
        found = Views(protocol, stored, steps={step.name: step for step in protocol.steps})
        for shared, records in enumerate(stored.views):
            for record in sorted(numbers(records)):
                found.shared.append(shared)
                found.record.append(record)
        for label, text in stored.edges.items():
            step, roles = parted(label)
            for arc in filter(None, text.split("; ")):
                source, _, targets = arc.partition(">")
                found.arcs += [Arc(int(source), target, step, roles) for target in sorted(numbers(targets))]
        return found

    @property
    def every(self) -> Nodes:
        """All views."""
        return frozenset(range(len(self.shared)))


def parted(label: str) -> tuple[str, tuple[int, ...]]:
    """The step of a label of edges, and the roles of thread t in it."""
    step, _, part = label.partition(":")
    return step, tuple(int(word) for word in part.split() if word.isdecimal())


# --- the rules --------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class RuleCheck:
    """Applies rules to parts of the graph."""

    views: Views
    owners: Mapping[str, tuple[Nodes, Nodes]]  # of a shared cell: where it names t, where another thread

    def proof(self, proof: LivenessProof) -> bool:
        """Whether the rules of a proof drop all that is pending."""
        claimed, begin = numbers(proof.claimed), self.views.every - numbers(proof.unmet)
        found, work = set(begin - claimed), list(begin - claimed)
        onward: dict[int, list[int]] = {}
        for arc in self.views.arcs:
            onward.setdefault(arc.source, []).append(arc.target)
        while work:
            fresh = set(onward.get(work.pop(), ())) - claimed - found
            found |= fresh
            work += fresh
        return self.empty(frozenset(found), self.within(frozenset(found)), proof.rules)

    def within(self, nodes: Nodes) -> list[Arc]:
        """The arcs between some views."""
        return [arc for arc in self.views.arcs if arc.source in nodes and arc.target in nodes]

    def empty(self, nodes: Nodes, arcs: Iterable[Arc], rules: Rules) -> bool:
        """Whether rules drop every one of the views; a run may stay in one, since it may stop."""
        work = [(nodes, list(arcs))]
        while work:
            some, between = work.pop()
            for component, inner in _components(some, between):
                left = next(filter(None, (self.left(component, inner, rule) for rule in rules)), None)
                if left is None:
                    return False
                if left[0]:
                    work.append(left)
        return True

    def left(self, nodes: Nodes, arcs: list[Arc], rule: LivenessRule) -> tuple[Nodes, list[Arc]] | None:
        """What a rule leaves of a component; None where it does not apply."""
        match rule.rule:
            case "weak" | "strong":
                return self.by_fairness(nodes, arcs, rule)
            case "owner":
                return (frozenset(), []) if self.given_up(nodes, arcs, rule) else None
            case "all":
                return (frozenset(), []) if self.all_come(nodes, arcs, rule) else None
            case "finite":
                kept = self.recurring(nodes, arcs)
                return (nodes, kept) if len(kept) < len(arcs) else None

    def fair(self, name: str) -> str | None:
        """The declared fairness of a step of t or of nobody."""
        step = self.views.steps[name]
        return step.fair if len(step.threads) <= 1 and not step.choices and step.fair_over is None else None

    def taken(self, name: str, arcs: list[Arc]) -> bool:
        """Whether t, or nobody, takes the step in a component."""
        roles = (0,) if self.views.steps[name].threads else ()
        return any(arc.step == name and arc.roles == roles for arc in arcs)

    def by_fairness(self, nodes: Nodes, arcs: list[Arc], rule: LivenessRule) -> tuple[Nodes, list[Arc]] | None:
        """What the declared fairness of a step leaves, which is enabled throughout or somewhere and never taken."""
        enabled = numbers(self.views.stored.enabled[rule.helper]) & nodes
        declared = self.fair(rule.helper)
        if declared is None or self.taken(rule.helper, arcs) or not enabled:
            return None
        if enabled == nodes:
            return frozenset(), []
        if declared != "strong" or rule.rule != "strong":
            return None
        rest = nodes - enabled
        return rest, [arc for arc in arcs if arc.source in rest and arc.target in rest]

    def theirs(self, nodes: Nodes, arcs: list[Arc]) -> tuple[Nodes, list[Arc]]:
        """What any other thread sees of a component: its shared states, and the steps between them."""
        shared = self.views.shared
        keys = {shared[node] for node in nodes}
        moves = {(arc.step, shared[arc.source], shared[arc.target]) for arc in arcs}
        seen = frozenset(node for node in self.views.every if shared[node] in keys)
        return seen, [arc for arc in self.views.arcs if (arc.step, shared[arc.source], shared[arc.target]) in moves]

    def given_up(self, nodes: Nodes, arcs: list[Arc], rule: LivenessRule) -> bool:
        """Whether a cell that names another thread throughout cannot do so for ever."""
        mine, others = self.owners[rule.helper]
        if len(rule.parts) != 1 or not nodes <= others:
            return False
        seen, moves = self.theirs(nodes, arcs)
        having = seen & mine
        if any(arc.source in having and arc.target in others for arc in moves):
            return False
        return self.empty(having, [a for a in moves if a.source in having and a.target in having], rule.parts[0])

    def all_come(self, nodes: Nodes, arcs: list[Arc], rule: LivenessRule) -> bool:
        """Whether every thread comes for good to where a fair step waits for it, which is then enabled for ever."""
        stored = self.views.stored
        there = tuple(map(numbers, stored.there[rule.helper]))
        if self.fair(rule.helper) is None or self.taken(rule.helper, arcs) or len(rule.parts) != len(there):
            return False
        if not nodes <= numbers(stored.waits[rule.helper]):
            return False
        seen, moves = self.theirs(nodes, arcs)
        for place, below in zip(there, rule.parts, strict=True):
            away = seen - place
            if any(arc.source in place and arc.target not in place for arc in moves):
                return False
            if not self.empty(away, [a for a in moves if a.source in away and a.target in away], below):
                return False
        return True

    def recurring(self, nodes: Nodes, arcs: list[Arc]) -> list[Arc]:
        """The arcs whose every part of another thread is on a cycle of that thread's own."""
        seen, moves = self.theirs(nodes, arcs)
        shared = self.views.shared
        again = {
            (arc.step, shared[arc.source], shared[arc.target], role)
            for _, inner in _components(seen, moves) for arc in inner for role in arc.roles
        }  # fmt: skip

        def recurs(arc: Arc) -> bool:
            others = set(range(len(self.views.steps[arc.step].threads))) - set(arc.roles)
            return all((arc.step, shared[arc.source], shared[arc.target], role) in again for role in others)

        return list(filter(recurs, arcs))


def _components(nodes: Nodes, arcs: Iterable[Arc]) -> Iterator[tuple[Nodes, list[Arc]]]:
    """Strongly connected components with the arcs inside each."""
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    kept = [arc for arc in arcs if arc.source in nodes and arc.target in nodes]
    graph.add_edges_from((arc.source, arc.target) for arc in kept)
    found = [frozenset(part) for part in nx.strongly_connected_components(graph)]
    number = {node: index for index, part in enumerate(found) for node in part}
    inner: list[list[Arc]] = [[] for _ in found]
    for arc in kept:
        if number[arc.source] == number[arc.target]:
            inner[number[arc.source]].append(arc)
    yield from zip(found, inner, strict=True)
