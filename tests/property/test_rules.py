"""Every rewrite rule is a theorem: z3, cvc5 and bitwuzla prove it at a sample of the widths at which it is used.

`make rules` proves the whole list.  A rule that is not proved, a rule that is used at a width that the list does not
have, and a wrong rule are each told by name.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from random import Random

import pytest
from rule_proofs import SOLVERS, Widths, claims, failures, multiplies_unknowns, solvers
from rule_survey import built
from rule_use import COMMUTE, RULE, Use, listed, recording, rows_of, widths_of
from term_plans import Plan, folded, plans, rewritten
from wrong_rules import WRONG

from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import all_forms
from verify.terms import RULES, Rule, Term, as_written, constructors, precedes

SEED = 20
PLANS = 1500  # random terms, in which every rule is used


@cache
def used_by_plans() -> dict[str, list[Widths]]:
    """Widths at which rules are used in random terms."""
    seen: set[Use] = set()
    with recording(seen):
        for plan in plans("rules", PLANS):
            rewritten(plan)
    found = defaultdict(list)
    for name, names in sorted(seen, key=str):
        found[name].append(dict(names))
    return found


def cheap(rule: Rule, widths: Widths) -> bool:
    """Whether all three solvers prove it at once: the suite leaves the widest terms to `make rules`."""
    widest = 64 if rule.name == "eq-difference" else 512  # the former takes cvc5 four seconds at 512 bits
    return all(not isinstance(w, int) or w <= widest for w in widths.values())


def sampled(rule: Rule) -> Widths:
    """One of the widths at which the survey or, where it has none, a random term uses the rule."""
    rows = [widths_of(rule, row) for row in sorted(listed()[rule.name], key=str)]
    rows = rows or used_by_plans()[rule.name]
    return Random(f"{SEED} {rule.name}").choice([w for w in rows if cheap(rule, w)])


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_a_rule_is_proved_by_three_solvers(rule):
    assert failures(rule, sampled(rule), Random(rule.name)) == []


def test_every_rule_is_used_in_random_terms():
    used = used_by_plans()
    not_matched = {r.name for r in RULES if r.by != "match"}
    assert {r.name for r in RULES} - used.keys() <= not_matched


def test_names_are_told_apart():
    assert len(RULE) == len(RULES)
    assert listed().keys() == RULE.keys()


def test_products_of_unknowns_alone_are_left_to_one_solver():
    assert {r.name for r in RULES if multiplies_unknowns(r)} == {
        "sum-collect", "sum-product", "sum-products", "sum-minus", "sum-low-product", "mul-order",
    }  # fmt: skip
    for rule in RULES:
        assert solvers(rule, {"x": 16}) == list(SOLVERS)
        assert (len(solvers(rule, {"x": 32})) == 1) == multiplies_unknowns(rule)


@pytest.mark.parametrize("pattern", ["and_(const(a), const(a))", "not_(add(x, y))", "ult(zext(x, k), zext(y, k))"])
def test_a_pattern_that_cannot_be_matched_is_refused(pattern):
    with pytest.raises(ValueError, match="not matched within a pattern"):
        constructors((Rule("odd", pattern, "", "x"),))


def test_every_rule_has_a_wrong_variant_or_is_of_a_family_that_has():
    """By the operation of the pattern."""
    families = {r.pattern.partition("(")[0] for r in RULES if r.by == "match"}
    assert families == {r.pattern.partition("(")[0] for r in WRONG}
    assert len(WRONG) >= 20


def in_order_alone(plan: Plan) -> Term:
    """The plan as nodes, with operands of commutative operations sorted and nothing else."""

    def of(p: Plan, args: list[Term]) -> Term:
        if p.op.rstrip("_") in COMMUTE and precedes(args[1], args[0]):
            args.reverse()
        return as_written(p.op.rstrip("_"), tuple(args), p.params, p.sort)

    return folded(plan, of)


def test_constructors_without_rules_rewrite_nothing_but_order_and_sums():
    """So that no rewriting is anywhere but in the rows and in the normal form of sums."""
    compared = 0
    made = constructors(tuple(r for r in RULES if r.by != "match"))
    for plan in plans("no rules", 800):
        seen: set[str] = set()
        folded(plan, lambda p, _: seen.add(p.op))  # noqa: B023
        if not seen & {"add", "sub", "neg", "mul"}:
            compared += 1
            assert rewritten(plan, made) is in_order_alone(plan)
    assert compared > 150


def unlisted(seen: set[Use]) -> list[str]:
    """Rules at widths that the list does not have."""
    known = {(rule, tuple(map(str, row))) for rule, rows in rows_of_list().items() for row in rows}
    return [
        f"{rule} at {row}: run tests/property/rule_survey.py, then `make rules`"
        for rule, rows in rows_of(seen).items()
        for row in rows
        if (rule, tuple(map(str, row))) not in known
    ]


def rows_of_list() -> dict[str, list[list[object]]]:
    return {r: [[x if isinstance(x, int) else x.name for x in row] for row in rows] for r, rows in listed().items()}


@cache
def used_by_forms() -> frozenset[Use]:
    seen: set[Use] = set()
    forms = Random(SEED).sample(list(all_forms()), 24)
    with recording(seen):
        for scheme in SCHEMES.values():
            for f in forms:
                built(f, scheme, 2, set())
    return frozenset(seen)


def test_a_sample_of_the_forms_uses_rules_at_listed_widths_only():
    assert unlisted(set(used_by_forms())) == []


def test_a_use_at_an_unlisted_width_is_told():
    seen = set(used_by_forms()) | {("not-not", (("x", 77),))}
    assert unlisted(seen) == ["not-not at [77]: run tests/property/rule_survey.py, then `make rules`"]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda r: r.name)
def test_a_wrong_rule_is_told_by_its_proof(wrong):
    told = failures(wrong, WRONG[wrong], Random(1), ["z3"])
    assert [t.partition(" at ")[0] for t in told] == [wrong.name]
    assert told[0].endswith("z3 says sat")


def test_a_rule_that_says_nothing_is_not_proved():
    never = Rule("never", "and_(x, const(c))", "c == 256", "x")  # FALSE for each 8-bit number, so true of none
    assert next(claims(never, {"x": 8, "c": 8}, Random(1))).premises
    empty = Rule("fold-never", "and_(const(a), const(b))", "a > 255", "const(a, width)")
    assert failures(empty, {"a": 8, "b": 8}, Random(1)) == [
        "fold-never at {'a': 8, 'b': 8}: its condition never holds"
    ]
    unread = Rule("unread", "and_(x, const(c))", "c < 3", "x")
    assert "no statement" in failures(unread, {"x": 8, "c": 8}, Random(1))[0]


@pytest.mark.parametrize(("condition", "result"), [
    ("n >= width or n == 37", "const(0, width)"), ("not (n == 0)", "const(0, width)"),
    ("8 <= n != 37", "const(0, width)"), ("n >= width", "x if n == 37 else const(0, width)"),
])  # fmt: skip
def test_a_rule_that_asks_whether_an_unknown_is_true_has_no_statement(condition, result):
    """Python takes each object for true: what is proved would not be what the constructor, on numbers, does."""
    rule = Rule("shl-odd", "shl(x, const(n))", condition, result)
    widths = {"x": 64, "n": 64}
    assert failures(rule, widths, Random(1)) == [f"shl-odd at {widths}: no statement: asks whether an unknown is true"]
