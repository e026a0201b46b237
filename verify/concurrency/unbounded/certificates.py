"""Certificates of liveness for any number of threads, written from what the search found (`fair_views`).

A certificate says which views there are, as expressions of the protocol language about thread t; which views a step
leads to; where guards, claims and premises hold; and by which rules the obligations are dropped. `certificate_check`
judges it with solvers and rules of its own, and takes nothing from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from verify.concurrency.instance.transitions import Slot
from verify.concurrency.language.domains import BOOL, INT, THREAD, Array, Bounded, ThreadId
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import NO_THREAD, Bound, Cell, Const, Op, Term
from verify.concurrency.unbounded.clauses import shown
from verify.concurrency.unbounded.encoding import NotCovered, abstraction
from verify.concurrency.unbounded.fair_emptiness import Drop
from verify.concurrency.unbounded.fair_views import FairlyEmpty, FairViews
from verify.report.explorations import LivenessProof, LivenessRule, StoredLiveness

T = Bound("t", THREAD)


def certificate(protocol: Protocol, found: FairViews, uses_invariant: bool) -> StoredLiveness:
    """The certificate of the proofs. Raises NotCovered where fair steps have choices."""
    if any(step.fair is not None and step.choices for step in protocol.steps):
        raise NotCovered("no certificate where a fair step has choices")
    return _Writing(protocol, found).whole(uses_invariant)


class _Writing:
    """Writes one certificate; views are numbered by shared state, and there by record."""

    def __init__(self, protocol: Protocol, found: FairViews) -> None:
        self.protocol, self.found, self.graph = protocol, found, found.graph
        nodes = self.graph.nodes
        self.keys = list(dict.fromkeys(key for key, _ in nodes))
        self.records = list(dict.fromkeys(entry for _, entry in nodes))
        place = {entry: index for index, entry in enumerate(self.records)}
        order = {key: index for index, key in enumerate(self.keys)}
        sorted_ = sorted(range(len(nodes)), key=lambda node: (order[nodes[node][0]], place[nodes[node][1]]))
        self.number = {node: index for index, node in enumerate(sorted_)}
        self.views: list[list[int]] = [[] for _ in self.keys]
        for node in sorted_:
            self.views[order[nodes[node][0]]].append(place[nodes[node][1]])

    def set(self, nodes: Iterable[int]) -> str:
        """Views by their numbers."""
        return ranges(self.number[node] for node in nodes)

    def whole(self, uses_invariant: bool) -> StoredLiveness:
        """All of it."""
        protocol, graph, names = self.protocol, self.graph, _Names(self.protocol)
        used = {name for proof in self.found.proofs for name in _helpers(proof.drops)}
        steps = {one.step: index for index, one in enumerate(graph.instances) if one.step in used}
        waits = {graph.instances[one.instance].step: one for one in graph.universals}
        waits = {step: one for step, one in waits.items() if step in used}
        return StoredLiveness(
            protocol=protocol.name, variant=protocol.variant, covers=_covers(protocol, graph.least), least=graph.least,
            flags={name: value for name, value in protocol.parameters if isinstance(value, bool)},
            sizes={name: value for name, value in protocol.parameters if not isinstance(value, bool)},
            uses_invariant=uses_invariant, proves=tuple(map(self.proof, self.found.proofs)),
            shared=tuple(map(names.shared, self.keys)), records=tuple(map(names.record, self.records)),
            views=tuple(map(ranges, self.views)), edges=self.edges(),
            enabled={step: self.set(graph.enabled[index]) for step, index in steps.items()},
            waits={step: self.set(one.enough) for step, one in waits.items()},
            there={step: tuple(map(self.set, one.holds)) for step, one in waits.items()},
        )  # fmt: skip

    def proof(self, proof: FairlyEmpty) -> LivenessProof:
        """One property."""
        unmet = set(range(len(self.graph.nodes))) - self.graph.may(f"premise of {proof.name}")
        claimed = self.graph.must(f"claim of {proof.name}")
        return LivenessProof(
            property=proof.name, claimed=self.set(claimed), unmet=self.set(unmet), rules=_rules(proof.drops)
        )

    def edges(self) -> dict[str, str]:
        """For each step and part of thread t: from where to where."""
        targets: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for edge in self.graph.edges:
            part = "".join(f" t as {role}" for role in edge.own) or (" other" if edge.others else "")
            name = f"{self.graph.steps[edge.shared]}:{part}"
            targets[name][self.number[edge.source]].add(self.number[edge.target])
        return {
            name: "; ".join(f"{source}>{ranges(targets[name][source])}" for source in sorted(targets[name]))
            for name in sorted(targets)
        }


def _covers(protocol: Protocol, least: int) -> str:
    sizes = [f"{name} = {value}" for name, value in protocol.parameters if not isinstance(value, bool)]
    return f"{least} threads and more; {', '.join(sizes) or 'no sizes'}"


def ranges(numbers: Iterable[int]) -> str:
    """A set of numbers as ranges: `0-3 7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in found)


def _rules(drops: Iterable[Drop]) -> tuple[LivenessRule, ...]:
    """The rules of some drops, each once."""
    return tuple(dict.fromkeys(
        LivenessRule(
            rule=drop.rule, helper="" if drop.rule == "finite" else drop.step, parts=tuple(map(_rules, drop.parts))
        )
        for drop in drops
    ))  # fmt: skip


def _helpers(drops: Iterable[Drop]) -> set[str]:
    """The steps that proofs use."""
    found = set()
    for drop in drops:
        found |= {drop.step} | {name for part in drop.parts for name in _helpers(part)}
    return found


class _Names:
    """Views as expressions."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.model = abstraction(protocol, 1, ()).model
        self.low = self.model.record
        self.bits = len(self.model.identities)

    def shared(self, key: tuple[int, int]) -> str:
        """What a shared state is: the values of its cells, and which of those that name a thread name none."""
        state = key[0] << self.low
        cells = self.model.cells(state)
        parts: list[Term] = []
        for slot in self.model.slots:
            if slot.thread is None and not isinstance(slot.domain, ThreadId):
                parts.append(_equal(self.cell(slot), cells[slot.number]))
        for bit, slot in enumerate(self.model.identities):
            parts.append(Op("==" if key[1] >> bit & 1 else "!=", (self.cell(slot), NO_THREAD)))
        return shown(_all(parts))

    def record(self, entry: int) -> str:
        """What a thread's record is: its values, and which shared cells name it."""
        cells = self.model.cells(entry >> self.bits)
        parts = [_equal(self.cell(slot), cells[slot.number]) for slot in self.model.slots if slot.thread == 0]
        for bit, slot in enumerate(self.model.identities):
            parts.append(Op("==" if entry >> bit & 1 else "!=", (self.cell(slot), T)))
        return shown(_all(parts))

    def cell(self, slot: Slot) -> Cell:
        """The variable of a cell."""
        domain = dict(self.protocol.shared if slot.thread is None else self.protocol.local)[slot.variable]
        scalar = domain.element if isinstance(domain, Array) else domain
        kind = {Bounded: INT, ThreadId: THREAD}.get(type(scalar), scalar.type)
        index = None if slot.index is None else Const(slot.index, INT)
        return Cell(slot.variable, kind, "t" if slot.thread == 0 else None, index)


def _equal(cell: Cell, value: int) -> Term:
    if cell.type == BOOL:
        return cell if value else Op("not", (cell,))
    return Op("==", (cell, Const(value, cell.type)))


def _all(parts: list[Term]) -> Term:
    return Op("and", tuple(parts)) if parts else Const(1, BOOL)
