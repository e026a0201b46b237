"""Whether a fair run with any number of threads can stay for ever where an obligation is pending: fair emptiness.

What a run passes again and again, seen by one thread, is a strongly connected part of the thread graph
(`thread_graph`); a run that stops stays in one node. The pending part is decomposed into components; one that cannot
hold what a fair run passes for ever is dropped (Streett's condition; Emerson and Lei 1987), by rules:

    weak       a weakly fair instance is enabled in every node of the component and taken nowhere in it
    strong     a strongly fair one is enabled in some nodes and taken nowhere: these nodes are dropped, the rest again
    owner      a shared cell names another thread throughout, is never handed over, and no fair run stays where a thread
               is that owner: it gives the cell up, which this component does not see
    all        a fair instance is taken nowhere, and its guard holds wherever "all(A(u) for u in threads)" does; no
               thread leaves A, and no fair run stays where a thread is not in A: finitely many come to A for good
    finite     another thread's step recurs only if one thread takes it again and again: where no cycle of a thread's
               own graph has it (in each role that another thread has), the edge is dropped

Fairness to the other threads cannot be read from what one thread sees. `owner`, `all` and `finite` judge an arbitrary
other thread u in the same graph, since every thread's view of the run is a way in it: in the part whose shared states,
and steps between them, are those of the component, because from some point on the run passes nothing else. Sub-proofs
are nested to `DEPTH`. Enabled is under-approximated and edges are over-approximated, so dropping is sound; what is left
is not refuted. Stands for `ThreadGraph.least` threads and more, for the sizes that the graph is made with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from verify.concurrency.liveness.components import strong_components
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.thread_graph import ThreadGraph, Universal

DEPTH = 3


@dataclass(frozen=True, slots=True)
class Drop:
    """Nodes that no fair run passes for ever, beside what was dropped before. `rule`: which; `helper`: the name of the
    fair instance, of `owner` the cell's, of `finite` the steps'; `parts`: the sub-proofs about other threads; `edges`:
    those that `finite` drops."""

    rule: Literal["weak", "strong", "owner", "all", "finite"]
    helper: str
    nodes: frozenset[int]
    parts: tuple[tuple[Drop, ...], ...] = ()
    edges: frozenset[int] = frozenset()

    @property
    def step(self) -> str:
        """The helper without its fairness."""
        return self.helper.removesuffix(" (strong)")

    @property
    def text(self) -> str:
        """The rule with its helper and what its sub-proofs use: `owner of slot[0] (step, fixup)`."""
        inner = sorted({drop.text for part in self.parts for drop in part})
        below = f" [{'; '.join(inner)}]" if inner else ""
        return {"owner": "owner of ", "all": "all: ", "finite": "finite: "}.get(self.rule, "") + self.helper + below


@dataclass(slots=True)
class Emptiness:
    """Drops from one graph, within a budget of edges that are looked at."""

    graph: ThreadGraph
    budget: Budget

    def drops(self, nodes: Iterable[int], edges: Iterable[int], depth: int = DEPTH) -> tuple[Drop, ...] | None:
        """What drops every node of a part, in order; None where something is left."""
        found: list[Drop] = []
        work = [(frozenset(nodes), tuple(edges))]
        while work:
            region, inside = work.pop()
            for component, inner in self.components(region, inside):
                drop = self.rule(component, inner, depth)
                if drop is None:
                    return None
                found.append(drop)
                left = component - drop.nodes
                if left:
                    work.append((left, tuple(e for e in inner if e not in drop.edges)))
        return tuple(found)

    def components(
        self, nodes: frozenset[int], edges: tuple[int, ...]
    ) -> Iterator[tuple[frozenset[int], tuple[int, ...]]]:
        """Strongly connected components with their edges; a run can stay in each, since it may stop."""
        self.budget.spend(1 + len(nodes) + len(edges))
        ordered = sorted(nodes)
        place = {node: index for index, node in enumerate(ordered)}
        graph = self.graph.edges
        inside = [e for e in edges if graph[e].source in nodes and graph[e].target in nodes]
        source = np.array([place[graph[e].source] for e in inside], dtype=np.int64)
        target = np.array([place[graph[e].target] for e in inside], dtype=np.int64)
        label = strong_components(len(ordered), source, target)
        members, within = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for index, node in enumerate(ordered):
            members[int(label[index])].append(node)
        for e, a, b in zip(inside, source, target, strict=True):
            if label[a] == label[b]:
                within[int(label[a])].append(e)
        for number, found in members.items():
            yield frozenset(found), tuple(within[number])

    def rule(self, nodes: frozenset[int], edges: tuple[int, ...], depth: int) -> Drop | None:
        """The first rule that drops something of a component."""
        taken = {self.graph.edges[e].instance for e in edges}
        drop = self.weak(nodes, taken) or self.strong(nodes, taken)
        if drop is not None or depth == 0:
            return drop
        drop = self.owner(nodes, edges, depth) or self.universal(nodes, edges, taken, depth)
        return drop or self.finite(nodes, edges)

    # --- the fairness of the tracked thread and of actors -----------------------------------------------------------
    def weak(self, nodes: frozenset[int], taken: set[int]) -> Drop | None:
        """By a fair instance that is enabled throughout."""
        for index, instance in enumerate(self.graph.instances):
            if index not in taken and nodes <= self.graph.enabled[index]:
                return Drop("strong" if instance.strong else "weak", instance.text, nodes)
        return None

    def strong(self, nodes: frozenset[int], taken: set[int]) -> Drop | None:
        """By a strongly fair instance that is enabled somewhere."""
        for index, instance in enumerate(self.graph.instances):
            if instance.strong and index not in taken and nodes & self.graph.enabled[index]:
                return Drop("strong", instance.text, nodes & self.graph.enabled[index])
        return None

    # --- of the others ----------------------------------------------------------------------------------------------
    def seen(self, edges: tuple[int, ...], nodes: frozenset[int]) -> tuple[set[object], set[int]]:
        """The shared states of a component, and its steps between them."""
        keys: set[object] = {self.graph.nodes[node][0] for node in nodes}
        return keys, {self.graph.edges[e].shared for e in edges}

    def part(self, keys: set[object], shared: set[int]) -> tuple[list[int], list[int]]:
        """What another thread sees of a component: nodes and edges of its graph."""
        self.budget.spend(1 + len(self.graph.edges))
        nodes = [number for number, (key, _) in enumerate(self.graph.nodes) if key in keys]
        return nodes, [number for number, edge in enumerate(self.graph.edges) if edge.shared in shared]

    def owner(self, nodes: frozenset[int], edges: tuple[int, ...], depth: int) -> Drop | None:
        """By a cell that another thread has for ever."""
        cells = [bit for bit in range(len(self.graph.cells)) if all(self.names_another(node, bit) for node in nodes)]
        if not cells:
            return None
        theirs, steps = self.part(*self.seen(edges, nodes))
        for bit in cells:
            having = frozenset(node for node in theirs if self.graph.nodes[node][1] >> bit & 1)
            if any(self.handed_over(e, bit, having) for e in steps):
                continue
            within = [e for e in steps if self.graph.edges[e].source in having and self.graph.edges[e].target in having]
            below = self.drops(having, within, depth - 1)
            if below is not None:
                return Drop("owner", self.graph.cells[bit], nodes, (below,))
        return None

    def names_another(self, node: int, bit: int) -> bool:
        """Whether a cell names a thread that is not the tracked one."""
        (_, none), entry = self.graph.nodes[node]
        return not none >> bit & 1 and not entry >> bit & 1

    def handed_over(self, e: int, bit: int, having: frozenset[int]) -> bool:
        """Whether an edge takes the cell from the tracked thread to another one."""
        edge = self.graph.edges[e]
        return edge.source in having and self.names_another(edge.target, bit)

    def universal(self, nodes: frozenset[int], edges: tuple[int, ...], taken: set[int], depth: int) -> Drop | None:
        """By a fair instance that waits until all threads are somewhere."""
        for one in self.graph.universals:
            if one.instance in taken or not nodes <= one.enough:
                continue
            below = self.everyone(one, nodes, edges, depth)
            if below is not None:
                return Drop("all", self.graph.instances[one.instance].text, nodes, below)
        return None

    def everyone(
        self, one: Universal, nodes: frozenset[int], edges: tuple[int, ...], depth: int
    ) -> tuple[tuple[Drop, ...], ...] | None:
        """Sub-proofs that every thread comes to where the guard waits for it, and stays; None where there are none."""
        theirs, steps = self.part(*self.seen(edges, nodes))
        found = []
        for there in one.holds:
            ends = [(self.graph.edges[e].source, self.graph.edges[e].target, e) for e in steps]
            if any(source in there and target not in there for source, target, _ in ends):
                return None
            away = frozenset(theirs) - there
            below = self.drops(away, [e for source, target, e in ends if {source, target} <= away], depth - 1)
            if below is None:
                return None
            found.append(below)
        return tuple(found)

    def finite(self, nodes: frozenset[int], edges: tuple[int, ...]) -> Drop | None:
        """By the steps that no other thread can take again and again; the nodes stay, without their edges."""
        theirs, steps = self.part(*self.seen(edges, nodes))
        again: set[tuple[int, int]] = set()
        for _, inner in self.components(frozenset(theirs), tuple(steps)):
            again |= {(self.graph.edges[e].shared, role) for e in inner for role in self.graph.edges[e].own}
        gone = frozenset(
            e for e in edges
            if any((self.graph.edges[e].shared, role) not in again for role in self.graph.edges[e].others)
        )  # fmt: skip
        names = sorted({self.graph.steps[self.graph.edges[e].shared] for e in gone})
        return Drop("finite", ", ".join(names), frozenset(), edges=gone) if gone else None
