"""Statements proved: the assertions rewritten with each other as facts, and by cases, until one of them is 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from verify.certificates.normal import LIMIT, ONE, Table
from verify.certificates.statement import Rejected, Statement

SPLITS: Final = 9  # cases within each other
ROUNDS: Final = 40  # of rewriting


def contradictory(statement: Statement, limit: int = LIMIT) -> bool:
    """Whether the assertions are found to contradict each other; a function of the statement alone."""
    table, done = Table(limit), list[int]()
    try:
        for node in statement.nodes:
            done.append(table.rebuilt(node, [done[a] for a in node.args]))
        return _closes(table, [done[r] for r in statement.asserted], SPLITS)
    except (Rejected, RecursionError):
        return False


def _closes(table: Table, asserted: list[int], splits: int) -> bool:
    asserted = _rewritten(table, asserted)
    if any(table.value(x) == 0 for x in asserted):
        return True
    condition = _condition(table, asserted)
    if condition is None or splits == 0:
        return False
    cases = (condition, table.complement(condition))
    return all(_closes(table, [case, *asserted], splits - 1) for case in cases)


def _rewritten(table: Table, asserted: list[int]) -> list[int]:
    """Assertions rewritten by all others, one after another, until nothing changes: together they say the same."""
    open_ = _conjuncts(table, asserted)
    for _ in range(ROUNDS):
        before = list(open_)
        for x in before:
            others = [y for y in open_ if y != x]
            table.assume(dict(fact for y in others for fact in _facts(table, y)))
            new = _rebuilt(table, x)
            table.assume({})
            if new != x:
                open_ = list(dict.fromkeys(others + _conjuncts(table, [new])))
        if open_ == before or any(table.value(x) == 0 for x in open_):
            break
    return open_


def _conjuncts(table: Table, xs: Iterable[int]) -> list[int]:
    found = [y for x in xs for y in (table.nodes[x].args if table.nodes[x].op == "and" else (x,))]
    return [x for x in dict.fromkeys(found) if table.value(x) != 1]


def _rebuilt(table: Table, root: int) -> int:
    """The node made again from its parts, by which the facts apply."""
    done: dict[int, int] = {}
    for x in _below(table, root):
        node = table.nodes[x]
        done[x] = table.facts[x] if x in table.facts else table.rebuilt(node, [done[a] for a in node.args])
    return done[root]


def _below(table: Table, root: int) -> list[int]:
    """The node and all that it is made of, arguments first."""
    seen, stack = {root}, [root]
    while stack:
        new = set(table.nodes[stack.pop()].args) - seen
        seen |= new
        stack += new
    table.worked(len(seen))
    return sorted(seen)


def _facts(table: Table, x: int) -> Iterable[tuple[int, int]]:
    """What x = 1 says of nodes."""
    yield x, table.const(1, 1)
    yield table.complement(x), table.const(0, 1)
    if table.nodes[x].op == "eq":
        yield from _oriented(table, *table.nodes[x].args)


def _oriented(table: Table, a: int, b: int) -> Iterable[tuple[int, int]]:
    """a = b as the replacement of a node that does not occur in what replaces it; none where there is none."""
    if table.value(b) != 0:  # arrays
        yield (b, a) if a in _below(table, b) else (a, b)
        return
    width, terms = table.width(a), table.parts(a)
    for t in sorted((t for t, c in terms.items() if c & 1 and t != ONE), reverse=True):
        inverse = -pow(terms[t], -1, 1 << width)
        value = table.polynomial({u: inverse * c for u, c in terms.items() if u != t}, width)
        if t not in _below(table, value):
            yield t, value
            return


def _condition(table: Table, asserted: Iterable[int]) -> int | None:
    """The first condition of a choice that has no choice within it."""
    everything = sorted({y for x in asserted for y in _below(table, x)})
    choices = {x for x in everything if table.nodes[x].op == "ite"}
    conditions = sorted({table.nodes[x].args[0] for x in choices})
    return next((c for c in conditions if not choices & set(_below(table, c))), None)
