"""The checker against arithmetic and against a solver: normal nodes have the values of what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from property.certificate_examples import sample, statement
from property.certificate_trials import trials
from unit.certificates.test_checker import DOES_NOT, FOLLOWS

from verify.certificates import normal, refute
from verify.certificates.evaluate import _result
from verify.certificates.normal import Table
from verify.certificates.refute import contradictory
from verify.certificates.statement import MEMORY, Node, Sort, Statement, read


def value_of(sort: Sort, random: Random) -> Any:
    if isinstance(sort, int):
        return random.choice((0, 1, (1 << sort) - 1, 1 << sort - 1, random.getrandbits(sort))) & (1 << sort) - 1
    return () if sort == MEMORY else tuple((i, 1 + random.randrange((1 << sort[1]) - 1)) for i in range(1 << sort[0]))


def evaluated(nodes: Sequence[Node], given: dict[object, Any], random: Random) -> list[Any]:
    """Values of nodes; variables and applications are drawn once, by their names and arguments."""
    values: list[Any] = []
    for node in nodes:
        args = [values[a] for a in node.args]
        sorts = [nodes[a].sort for a in node.args]
        if node.op in {"var", "app"}:
            values.append(given.setdefault((node.params, tuple(args)), value_of(node.sort, random)))
        elif node.op == "sum":
            total = sum(c * x for c, x in zip(node.params[1:], args, strict=True)) + node.params[0]
            values.append(total & (1 << node.sort) - 1)
        elif node.op == "xor" and node.params:
            total = node.params[0]
            for x in args:
                total ^= x
            values.append(total)
        elif node.op in {"and", "concat"}:
            total, width = args[0], sorts[0]
            for x, sort in zip(args[1:], sorts[1:], strict=True):
                total = total & x if node.op == "and" else total << sort | x
                width += sort
            values.append(total)
        else:
            values.append(_result(node, sorts, *args))
    return values


def mismatches(statement: Statement, random: Random) -> list[Node]:
    """Nodes whose normal form has another value somewhere."""
    table, place = Table(), list[int]()
    for node in statement.nodes:
        place.append(table.rebuilt(node, [place[a] for a in node.args]))
    found = []
    for _ in range(4):
        given: dict[object, Any] = {}
        plain = evaluated(statement.nodes, given, random)
        made = evaluated(table.nodes, given, random)
        found += [n for n, p, x in zip(statement.nodes, place, plain, strict=True) if made[p] != x]
    return found


def test_normal_nodes_have_the_values_of_what_they_stand_for() -> None:
    random = Random(2)
    for text in sample(120, 1):
        assert mismatches(read(text), random) == []


def _halved(self: Table, a: int, b: int) -> int:
    if a == b or not isinstance(self.nodes[a].sort, int) or self.width(a) == 1:
        return self.complement(self.xor((a, b))) if a != b and self.nodes[a].sort == 1 else self.const(a == b, 1)
    terms, width = self.total([(a, 1), (b, -1)]), self.width(a)
    difference = self.polynomial({t: c // 2 if all(k % 2 == 0 for k in terms.values()) else c
                                  for t, c in terms.items()}, width)  # fmt: skip
    return self.node("eq", 1, (), (difference, self.const(0, width)))


CONSTANTS = (statement("(_ BitVec 1) (ite (= #x5 #x2) #b1 #b0)"),)
FAULTS = {  # seeded into the rules: each must be seen by the values or by the solver
    "a product with a constant forgets it": ("product", lambda self, a, b: b if self.value(a) is not None else a),
    "a complement is a negation": (
        "complement", lambda self, x, old=Table.complement: old(self, x) if self.nodes[x].op in {"const", "sum", "xor"}
        else self.node("sum", self.width(x), (0, (1 << self.width(x)) - 1), (x,))),
    "a slice begins one lower": (
        "extract", lambda self, x, high, low, old=Table.extract: old(self, x, high - 1, low - 1) if low else old(
            self, x, high, low)),
    "a sign extension is a zero extension": (
        "extended", lambda self, x, wide: self.concat((self.const(0, wide - self.width(x)), x))
        if wide > self.width(x) else x),
    "arms swapped": ("choice", lambda self, c, t, e, old=Table.choice: old(self, c, e, t)),
    "select looks past a store": (
        "select", lambda self, a, i, old=Table.select: self.select(self.nodes[a].args[0], i)
        if self.nodes[a].op == "store" else old(self, a, i)),
    "and forgets an operand": ("conjunction", lambda self, w, xs, old=Table.conjunction: old(self, w, list(xs)[:1])),
    "xor forgets the constant": (
        "xor", lambda self, xs, old=Table.xor: old(self, [x for x in xs if self.value(x) is None] or xs)),
    "equal where the difference is odd": (
        "equal", lambda self, a, b, old=Table.equal: self.const(1, 1)
        if ((self.value(a) or 0) - (self.value(b) or 0)) & 1 else old(self, a, b)),
    "equal where the halves are": ("equal", _halved),
    "a slice of a concatenation keeps its lowest part": (
        "concat", lambda self, xs, old=Table.concat: old(self, list(xs)[::-1])),
    "a sum forgets its constant": (
        "polynomial", lambda self, terms, width, old=Table.polynomial: old(
            self, {t: c for t, c in terms.items() if t != normal.ONE}, width)),
    "a store in another order": (
        "store", lambda self, array, i, v, old=Table.store: array if self.nodes[array].op == "store"
        and self.value(self.equal(self.nodes[array].args[1], i)) != 0 else old(self, array, i, v)),
    "the first of two writes": (
        "write", lambda self, m, a, v, old=Table.write: m
        if self.nodes[m].op == "write" and self.nodes[m].args[1] == a else old(self, m, a, v)),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_rule_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, wrong = FAULTS[name]
    monkeypatch.setattr(Table, method, wrong)
    random = Random(3)
    texts = (*FOLLOWS.values(), *DOES_NOT.values(), *CONSTANTS, *sample(60, 1))
    assert any(mismatches(read(text), random) for text in texts)


def test_changed_statements_are_rejected_or_still_true() -> None:
    said = [found for found, _ in trials(60, 4)]
    assert "WRONG" not in said
    assert {"rejected", "still true"} <= set(said)


@pytest.mark.parametrize("name", ["facts apply to themselves", "one case is enough", "a range is narrower than it is"])
def test_a_wrong_step_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded into the search: a changed statement is then accepted that the solver refutes."""
    if name == "facts apply to themselves":
        monkeypatch.setattr(refute, "_rewritten", _with_own_facts)
    elif name == "one case is enough":
        monkeypatch.setattr(refute, "all", any, raising=False)
    else:
        monkeypatch.setattr(normal.Table, "range_of", lambda self, x: (0, 7))
    changed = any(found == "WRONG" for found, _ in trials(60, 4))
    assert changed or any(contradictory(read(text)) for text in DOES_NOT.values())


def _with_own_facts(table: Table, asserted: list[int]) -> list[int]:
    facts = dict(fact for x in asserted for fact in refute._facts(table, x))
    table.assume({k: (v if table.value(v) != 1 else table.const(0, 1)) for k, v in facts.items()})
    found = [refute._rebuilt(table, x) for x in asserted]
    table.assume({})
    return found
