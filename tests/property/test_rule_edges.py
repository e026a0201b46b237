"""Rewrite rules at and next to the edges of their conditions: all small widths and operands, and some wide ones.

`make rules` tries more of them (`rule_edges.WHOLE`).  Expected values are SMT-LIB's, on single bits.
"""

from __future__ import annotations

from random import Random

import pytest
from rule_edges import SUITE, Range, everything, faults, first_fault, instances, is_asked
from rule_use import RULE
from term_plans import Plan, divided, plain, value, variable
from truth_tables import Tables
from wrong_rules import UNTOLD, WRONG

from verify.terms import RULES, Rule, Term, as_written, const, var


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_a_rule_holds_wherever_its_condition_admits(rule):
    assert first_fault(rule, SUITE) is None


@pytest.mark.parametrize("wrong", WRONG, ids=lambda r: r.name)
def test_a_wrong_rule_is_told_by_instances(wrong):
    found = first_fault(wrong, SUITE)
    assert (found is None) == (wrong.name in UNTOLD)
    assert found is None or found.partition(" at ")[0] == wrong.name
    assert found is None or "no statement" not in found


ILL_SORTED = (  # results of another width, or of bits that are not there, at the edge alone
    Rule("concat-adjacent:with-a-gap-of-one", "concat(extract(x, h, n), extract(x, m, l))", "n == m + 2",
         "extract(x, h, l)"),
    Rule("extract-bottom:one-bit-more", "extract(concat(x, y), h, l)", "h <= y.width", "extract(y, h, l)"),
    Rule("extract-zext-low:one-bit-more", "extract(zext(x, k), h, l)", "h <= x.width", "extract(x, h, l)"),
    Rule("write-same:of-a-bit", "write(m, p, load(m, p, n))", "n == 3", "load(m, p, n)"),
)  # fmt: skip


@pytest.mark.parametrize("wrong", ILL_SORTED, ids=lambda r: r.name)
def test_a_result_of_another_sort_is_told(wrong):
    assert (first_fault(wrong, SUITE) or "").startswith(f"{wrong.name} at ")


def test_conditions_admit_some_instances_and_exclude_others():
    """So that both sides of the edge are among the instances; a condition that nothing meets would prove anything."""
    asked = {r.name: is_asked(r) for r in RULES}
    assert [name for name, (admitted, _) in asked.items() if not admitted] == []
    always = {"", "precedes(y, x)", "(d := difference(x, y)) is not None", "b != 0"}  # the last one of numbers
    assert {name for name, (_, excluded) in asked.items() if not excluded} == {
        r.name for r in RULES if r.when in always
    }


def test_instances_are_all_that_are_well_sorted():
    def places(w: int) -> int:  # pairs of a high and a low bit
        return w * (w + 1) // 2

    def found(name: str, top: int) -> list[dict[str, object]]:
        return [dict(g) for g in instances(RULE[name], Range(top, everything))]

    extended = found("extract-zext-low", 4)
    assert len(extended) == sum(places(k) for x in range(1, 5) for k in range(x, 8))
    joined = found("extract-both", 4)
    assert len(joined) == sum(places(x + y) for x in range(1, 5) for y in range(1, 5))
    assert len(found("concat-adjacent", 5)) == sum(places(x) ** 2 for x in range(1, 6))
    assert {(g["u"], g["v"]) for g in found("write-over", 24)} == {(u, v) for u in (8, 16, 24) for v in (8, 16, 24)}
    for instance in (extended, joined):
        assert len({str(g) for g in instance}) == len(instance)


def test_a_fault_at_one_edge_is_told_there():
    """At the last admitted bit alone, at each pair of widths."""
    (wrong,) = (r for r in WRONG if r.name == "extract-zext-high:last-bit-too")
    told = [g for g in instances(wrong, Range(4, everything)) if faults(wrong, g, Random(1), SUITE)]
    assert {(g["x"], g["l"]) for g in told} == {(x, x - 1) for x in range(1, 5)}


OPERATIONS = ("add", "sub", "mul", "and_", "or_", "xor", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem", "eq",
              "ult", "slt", "concat")  # fmt: skip


def equal_values(op: str, width: int, sampled: bool) -> bool:
    """Truth tables against integers: whether in each state the operation has the value that its definition gives."""
    sort = 1 if op in {"eq", "ult", "slt"} else 2 * width if op == "concat" else width
    plan = Plan(op, (variable("x", width), variable("y", width)), (), sort)
    term = plain(plan)
    tables = Tables((term,), 0 if sampled else 16, 200, Random(op))
    assert tables.whole != sampled
    x, y, found = (numbers(tables, t) for t in (*term.args, term))
    if not sampled:
        assert set(zip(x, y, strict=True)) == {(i, j) for i in range(1 << width) for j in range(1 << width)}
    return all(f == value(plan, {"x": i, "y": j}) for i, j, f in zip(x, y, found, strict=True))


def numbers(tables: Tables, term: Term) -> list[int]:
    """The term's value in each state."""
    bits = tables.found[term]
    return [sum((b >> state & 1) << i for i, b in enumerate(bits)) for state in range(tables.states)]


@pytest.mark.parametrize("op", OPERATIONS)
def test_truth_tables_have_the_values_of_the_definitions(op):
    assert all(equal_values(op, width, sampled=False) for width in (1, 2, 3, 4))
    assert all(equal_values(op, width, sampled=True) for width in (7, 33, 64))


@pytest.mark.parametrize("op", ["extract", "zext", "sext", "not_", "ite"])
def test_truth_tables_of_other_operations(op):
    x = variable("x", 5)
    plan = {
        "extract": Plan("extract", (x,), (3, 1), 3), "zext": Plan("zext", (x,), (), 8),
        "sext": Plan("sext", (x,), (), 8), "not_": Plan("not_", (x,), (), 5),
        "ite": Plan("ite", (variable("c", 1), x, variable("y", 5)), (), 5),
    }[op]  # fmt: skip
    term = plain(plan)
    tables = Tables((term,), 12, 0, Random(1))
    names = {t.params[0]: numbers(tables, t) for t in tables.terms if t.op == "var"}
    found = numbers(tables, term)
    expected = [value(plan, {n: v[i] for n, v in names.items()}) for i in range(tables.states)]
    assert found == expected


def test_a_term_that_is_not_well_sorted_has_no_table():
    x = var("x", 8)
    for op, args, params, sort in (
        ("extract", (x,), (8, 3), 6), ("zext", (x,), (), 7), ("and", (x, var("y", 7)), (), 8),
        ("concat", (x, x), (), 15),
    ):  # fmt: skip
        with pytest.raises((AssertionError, ValueError)):
            Tables((as_written(op, args, params, sort),), 16, 8, Random(1))


def test_division_by_zero_is_smt_libs():
    for op in ("udiv", "urem", "sdiv", "srem"):
        term = as_written(op, (var("x", 4), const(0, 4)), (), 4)
        tables = Tables((term,), 8, 0, Random(1))
        assert numbers(tables, term) == [divided(op, x, 0, 4) for x in range(16)]
