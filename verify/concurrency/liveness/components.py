"""Strongly connected components of a graph in arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
FEW = 20_000  # edges up to which plain Python is done before scipy is imported


def strong_components(count: int, source: Indices, target: Indices) -> Indices:
    """A number below `count` for each state, equal where two states reach each other."""
    if len(source) <= FEW:
        return _plain(count, source, target)
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import, and only large graphs need it
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    matrix = csr_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(count, count))
    label: Indices = connected_components(matrix, directed=True, connection="strong")[1].astype(np.int64)
    return label


def _plain(count: int, source: Indices, target: Indices) -> Indices:
    """Tarjan 1972, without recursion: a state's label is the last state of its component to be left."""
    after: dict[int, list[int]] = {}
    for a, b in zip(source.tolist(), target.tolist(), strict=True):
        after.setdefault(a, []).append(b)
    label = np.arange(count, dtype=np.int64)
    number, low = dict[int, int](), dict[int, int]()
    open_, closed = list[int](), set[int]()
    for root, onward in after.items():
        if root in number:
            continue
        number[root] = low[root] = len(number)
        open_.append(root)
        work = [(root, iter(onward))]
        while work:
            state, rest = work[-1]
            for child in rest:
                if child not in number:
                    number[child] = low[child] = len(number)
                    open_.append(child)
                    work.append((child, iter(after.get(child, ()))))
                    break
                if child not in closed:
                    low[state] = min(low[state], number[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[state])
                if low[state] == number[state]:
                    _close(state, open_, closed, label)
    return label


def _close(state: int, open_: list[int], closed: set[int], label: Indices) -> None:
    """Takes the component of `state` off the open states."""
    while True:
        member = open_.pop()
        closed.add(member)
        label[member] = state
        if member == state:
            return
