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
    return () if sort == MEMORY else tuple(random.getrandbits(sort[1]) for _ in range(1 << sort[0]))


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


CONSTANTS = (statement("(_ BitVec 1) (ite (= #x5 #x2) #b1 #b0)"),)
FAULTS = {  # seeded into the rules: each must be seen by the values or by the solver
    "a product with a constant forgets it": ("product", lambda self, a, b: b if self.value(a) is not None else a),
    "a complement is a negation": ("complement", lambda self, x: self.combined([(x, -1)], self.width(x))),
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
        "xor", lambda self, w, xs, old=Table.xor: old(self, w, [x for x in xs if self.value(x) is None])),
    "equal where the difference is odd": (
        "_is_zero", lambda self, c, t, w, old=Table._is_zero: self.const(c & 1, 1) if not t else old(self, c, t, w)),
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
