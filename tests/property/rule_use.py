"""Which rewrite rules apply at which widths, while terms are built: the constructors told to say so, for a while."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rule_proofs import Widths

from verify.terms import GPRS, MASKS, MEMORY, RULES, VECTORS, Rule, Sort, Term, constructors
from verify.terms.constructors import _MADE, Constructors
from verify.terms.matching import OPERATIONS, shape

FILE = Path(__file__).with_name("rule_widths.json")
FILES = {s.name: s for s in (GPRS, MASKS, VECTORS, MEMORY)}
Use = tuple[str, tuple[tuple[str, Sort], ...]]  # rule, its names in order with sorts or integers
OF_SUMS = ("sum-order", "sum-associative", "sum-collect", "sum-product", "sum-products", "sum-minus")
RULE = {r.name: r for r in RULES}
COMMUTE = {o.op for o in OPERATIONS.values() if o.commutes}


@contextmanager
def recording(seen: set[Use]) -> Iterator[None]:
    """Every rule that applies within the block is added to `seen`; what constructors make stays the same."""
    traced = constructors(observe=lambda rule, names: seen.add((rule, names)))
    functions = {n: getattr(_MADE, n) for n in OPERATIONS}
    scope = functions["and_"].__globals__
    before, codes = dict(scope), {n: f.__code__ for n, f in functions.items()}
    scope.update(observe=lambda rule, names: seen.add((rule, names)), **_watched(scope, seen))
    for n, f in functions.items():
        f.__code__ = getattr(traced, n).__code__
    try:
        yield
    finally:
        scope.update(before)
        for n, f in functions.items():
            f.__code__ = codes[n]


def _watched(scope: dict[str, Any], seen: set[Use]) -> dict[str, Any]:
    """Nodes of commutative operations and sums, which no matching tells of."""
    node, combined, scaled, low_bits = (scope[n] for n in ("node", "combined", "scaled", "low_bits"))

    def see(names: Iterable[str], **sorts: Sort) -> None:
        for n in names:
            wanted = sorted(x for part in shape(RULE[n]) for x in part)
            seen.add((n, tuple((x, sorts.get(x, sorts["x"])) for x in wanted)))

    def seen_node(op: str, args: tuple[Term, ...], params: Any, sort: Sort) -> Term:
        if op in COMMUTE:
            see([f"{op}-order"], x=args[0].sort)
        return node(op, args, params, sort)

    def seen_combined(a: Term, b: Term, sign: int, made: Constructors) -> Term:
        see(OF_SUMS, x=a.sort)
        return combined(a, b, sign, made)

    def seen_scaled(factor: int, t: Term, made: Constructors) -> Term:
        see(OF_SUMS, x=t.sort)
        return scaled(factor, t, made)

    def seen_low(t: Term, high: int, made: Constructors) -> Term:
        see(("sum-low", "sum-low-product"), x=t.sort, h=high, l=0)
        return low_bits(t, high, made)

    return {"node": seen_node, "combined": seen_combined, "scaled": seen_scaled, "low_bits": seen_low}


def listed() -> dict[str, set[tuple[Any, ...]]]:
    """The stored list: rule -> what its names stand for, in the order of the names."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["widths"]
    return {rule: {tuple(FILES.get(x, x) for x in row) for row in found} for rule, found in rows.items()}


def names_of(rule: Rule) -> list[str]:
    """The rule's names in order."""
    return sorted({x for part in shape(rule) for x in part})


def widths_of(rule: Rule, row: Iterable[Any]) -> Widths:
    """A row of the list by name."""
    return dict(zip(names_of(rule), row, strict=True))


def rows_of(seen: Iterable[Use]) -> dict[str, list[list[Any]]]:
    """What was seen as the list stores it."""
    rows: dict[str, set[tuple[Any, ...]]] = {r.name: set() for r in RULES}
    for rule, names in seen:
        assert [n for n, _ in names] == names_of(RULE[rule])
        rows[rule].add(tuple(s if isinstance(s, int) else s.name for _, s in names))
    return {rule: [list(x) for x in sorted(found, key=str)] for rule, found in rows.items()}
