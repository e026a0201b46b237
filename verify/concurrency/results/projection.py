"""Graphs for people: the reachable states folded onto two program counters, and one trace, for networkx."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from verify.concurrency.explicit import numpy_engine
from verify.concurrency.instance.instance import Model, Slot
from verify.concurrency.instance.vectors import States
from verify.concurrency.language.domains import Enum
from verify.concurrency.results.exploration import Limits, Trace

if TYPE_CHECKING:
    import networkx as nx

ENDINGS = (".graphml", ".dot", ".gv")
EDGES = 5_000_000  # transitions up to which a quotient is drawn


def counters(model: Model) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """The shared enumeration with the most labels, and thread 0's: what is usually called their program counters."""

    def largest(slots: list[Slot]) -> tuple[Slot, ...]:
        return (max(slots, key=lambda slot: (slot.hi - slot.lo, -slot.number)),) if slots else ()

    enums = [slot for slot in model.slots if isinstance(slot.domain, Enum)]
    shared = largest([slot for slot in enums if slot.thread is None])
    return shared, largest([slot for slot in enums if slot.thread == 0])


def projection(model: Model, memory: int | None = None) -> nx.DiGraph:
    """Reachable pairs (shared counter, a thread's counter), and the steps between them.

    Threads are exchangeable, so every thread is folded onto the same pairs. Raises ValueError beyond `EDGES`, or where
    the states need more bytes of memory.
    """
    import networkx as nx  # noqa: PLC0415 - slow to import, and only a graph that is asked for needs it

    explorer = numpy_engine.Explorer.of(model, model.symmetric, keep=True)
    explorer.run(Limits(states=EDGES, memory=memory), 0.0)
    if not explorer.found.complete or explorer.keep is None:
        raise ValueError(f"the graph has {explorer.found.reason}: explore fewer threads")
    shared, local = counters(model)
    graph = nx.DiGraph(protocol=model.protocol.name, variant=model.protocol.variant, threads=model.threads)
    for state in model.initial:
        for thread in range(model.threads):
            graph.add_node(_name(model, shared, local, _fold(model, np.array([state]), thread)[0]), initial=True)
    steps: dict[tuple[str, str], set[str]] = {}
    for level in explorer.keep:
        for transition, where, after in explorer.expansion.moves(level):
            for thread in range(model.threads):
                pairs = np.stack((_fold(model, level[where], thread), _fold(model, after, thread)), axis=1)
                for before, then in np.unique(pairs, axis=0):
                    ends = (_name(model, shared, local, before), _name(model, shared, local, then))
                    steps.setdefault(ends, set()).add(transition.step.name)
    for (source, target), names in sorted(steps.items()):
        graph.add_node(source)
        graph.add_node(target)
        if source != target:
            graph.add_edge(source, target, label=", ".join(sorted(names)))
    return graph


def _fold(model: Model, states: States, thread: int) -> States:
    """The shared counter above the counter of a thread."""
    shared, local = counters(model)
    result = np.zeros(len(states), dtype=np.int64)
    for slot in shared:
        result = (states >> slot.offset) & ((1 << slot.width) - 1)
    for slot in local:
        offset = slot.offset + thread * model.record
        result = (result << slot.width) | ((states >> offset) & ((1 << slot.width) - 1))
    return result


def _name(model: Model, shared: tuple[Slot, ...], local: tuple[Slot, ...], folded: int) -> str:
    value, parts = int(folded), list[str]()
    for slot in (*local, *shared):
        parts.append(f"{slot.variable}={slot.text((value & ((1 << slot.width) - 1)) + slot.lo)}")
        value >>= slot.width
    return " ".join(reversed(parts)) or model.protocol.name


def trace_graph(trace: Trace) -> nx.DiGraph:
    """A counterexample as a path, or a lasso."""
    import networkx as nx  # noqa: PLC0415 - slow to import, and only a graph that is asked for needs it

    graph = nx.DiGraph(property=trace.property)
    last = len(trace.events)
    for number in range(last + 1):
        graph.add_node(f"{trace.property} {number}", step=number, bad=number == last)
    for number, event in enumerate(trace.events):
        loops = trace.loop is not None and number == last - 1 and trace.states[last] == trace.states[trace.loop]
        end = trace.loop if loops else number + 1
        graph.add_edge(f"{trace.property} {number}", f"{trace.property} {end}", label=f"{event.actor}: {event.action}")
    return graph


def writable(path: Path) -> None:
    """Raises ValueError for an ending that is no format of graphs, OSError where no file can be made."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"a graph is written as {', '.join(ENDINGS)}, got {path.name}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written")


def write(graph: nx.DiGraph, path: Path) -> None:
    """Writes GraphML (.graphml) or DOT (.dot, .gv). Raises as `writable`."""
    import networkx as nx  # noqa: PLC0415 - slow to import, and only a graph that is asked for needs it

    writable(path)
    if path.suffix == ".graphml":
        nx.write_graphml(graph, path)
    else:
        path.write_text(dot(graph), encoding="utf-8")


def dot(graph: nx.DiGraph) -> str:
    """The graph for Graphviz."""
    lines = ["digraph {", "  node [shape=box, fontname=sans];"]
    for name, attributes in graph.nodes(data=True):
        style = ' [style=filled, fillcolor="#fdd"]' if attributes.get("bad") else ""
        style = " [penwidth=2]" if attributes.get("initial") else style
        lines.append(f'  "{name}"{style};')
    for source, target, attributes in graph.edges(data=True):
        lines.append(f'  "{source}" -> "{target}" [label="{attributes.get("label", "")}"];')
    return "\n".join([*lines, "}"]) + "\n"
