"""What a rewrite rule claims at given widths, as terms that nothing rewrites, and what solvers say of it.

A rule's pattern and result are read as Python over constructors that write nodes as they stand; constants of the
pattern are variables, so that a proof holds for all of them.  A rule whose name begins with `fold` computes on numbers:
there constants are numbers, all of them at narrow widths, corners and random ones at others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from types import CodeType
from typing import Any

from smtlib_terms import SOLVERS, script

from verify.terms import FALSE, TRUE, Rule, Sort, Term, as_written, bit, const, var
from verify.terms.matching import conjuncts, shape

Widths = Mapping[str, Sort]  # name in a rule -> sort of the term or constant, or the integer that it is
ALL_NUMBERS = 4  # bits up to which folding is tried on all numbers
PRODUCTS = 16  # bits from which a product of two unknowns is proved by one solver


class Number(int):
    """A constant of a folding rule."""

    sort: int


@dataclass(frozen=True)
class Numeral:
    """An unknown constant as conditions and results see it: a non-negative integer below 2**width.

    What is not defined here is a TypeError, and a rule without a statement is not proved.
    """

    term: Term

    def __and__(self, other: Any) -> Numeral:
        return self._with("and", other)

    def __xor__(self, other: Any) -> Numeral:
        return self._with("xor", other)

    __rxor__ = __xor__

    def __add__(self, other: Any) -> Numeral:
        return self._with("sum", other, 0, 1, 1)

    def __mul__(self, other: Any) -> Numeral:
        return self._with("mul", other)

    def _with(self, op: str, other: Any, *params: int) -> Numeral:
        return Numeral(as_written(op, (self.term, self._numeral(other)), params, self.term.sort))

    def _numeral(self, other: Any) -> Term:
        return other.term if isinstance(other, Numeral) else const(other, self.term.width)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, int) and other not in range(1 << self.term.width):
            return FALSE
        return as_written("eq", (self.term, self._numeral(other)), (), 1)

    def __ne__(self, other: object) -> Any:
        return complement(self == other)

    def __ge__(self, other: Any) -> Term:
        if isinstance(other, int) and other not in range(1 << self.term.width):
            return FALSE
        return as_written("not", (as_written("ult", (self.term, self._numeral(other)), (), 1),), (), 1)

    __hash__ = None  # type: ignore[assignment]


def complement(a: Term) -> Term:
    return as_written("not", (a,), (), a.sort)


def plain_const(value: Any, width: int | None = None) -> Term:
    """A constant; of a numeral its low bits, as Python's const takes a value modulo 2**width."""
    if isinstance(value, Numeral):
        wide = value.term.width
        if width is None or width == wide:
            return value.term
        assert width < wide
        return as_written("extract", (value.term,), (width - 1, 0), width)
    return const(value, value.sort if width is None else width)


def total(*signs: int) -> Any:
    return lambda *args: as_written("sum", args, (0, *(s % (1 << args[0].width) for s in signs)), args[0].sort)


def same_sort(op: str) -> Any:
    return lambda *args: as_written(op, args, (), args[0].sort)


def truth(op: str) -> Any:
    return lambda a, b: as_written(op, (a, b), (), 1)


def quotient(x: int, y: int, width: int) -> int:
    """By magnitudes, truncated."""
    a, b = signed(x, width), signed(y, width)
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def signed(value: int, width: int) -> int:
    return value - 2**width if value >= 2 ** (width - 1) else value


def plain_bit(condition: Any) -> Term:
    return condition if isinstance(condition, Term) else bit(condition)


PLAIN: dict[str, Any] = {
    **{n: same_sort(n.rstrip("_")) for n in (
        "and_", "or_", "xor", "not_", "mul", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem", "store", "write",
    )},
    **{n: truth(n) for n in ("eq", "ult", "slt")},
    "add": total(1, 1), "sub": total(1, -1),
    "extract": lambda a, h, l: as_written("extract", (a,), (h, l), h - l + 1),  # noqa: E741
    "concat": lambda a, b: as_written("concat", (a, b), (), a.width + b.width),
    "zext": lambda a, n: as_written("zext", (a,), (), n),
    "sext": lambda a, n: as_written("sext", (a,), (), n),
    "ite": lambda c, a, b: as_written("ite", (c, a, b), (), a.sort),
    "select": lambda a, i: as_written("select", (a, i), (), a.sort.value_bits),
    "load": lambda m, p, n: as_written("load", (m, p), (n,), 8 * n),
    "const": plain_const, "bit": plain_bit, "TRUE": TRUE, "FALSE": FALSE, "min": min,
    "signed": signed, "quotient": quotient,
    "differ": lambda i, j: complement(truth("eq")(i, j)),
    "same": truth("eq"),
    "precedes": lambda a, b: True,
    "difference": lambda a, b: Numeral(total(1, -1)(a, b)),
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """Under the premises pattern and result are equal, and of one sort."""

    pattern: Term
    result: Term
    premises: tuple[Term, ...]

    @property
    def fails(self) -> Term:
        """One bit: the premises hold and the two differ."""
        wrong = complement(as_written("eq", (self.pattern, self.result), (), 1))
        for p in self.premises:
            wrong = as_written("and", (p, wrong), (), 1)
        return wrong


def statement(found: list[Claim]) -> str:
    """SMT-LIB: unsatisfiable where all the claims hold."""
    wrong = FALSE
    for c in found:
        wrong = as_written("or", (wrong, c.fails), (), 1)
    return script((wrong,))


def claims(rule: Rule, widths: Widths, rng: Random) -> Iterator[Claim]:
    """What the rule says at these widths; nothing where its condition excludes them."""
    terms, constants, integers = shape(rule)
    given: dict[str, Any] = {n: widths[n] for n in integers} | {n: var(n, widths[n]) for n in terms}
    if not rule.name.startswith("fold"):
        given |= {n: Numeral(var(n, widths[n])) for n in constants}
        yield from claim(rule, given)
        return
    for values in numbers([widths[n] for n in constants], rng):
        yield from claim(rule, given | dict(zip(constants, values, strict=True)))


def numbers(sorts: list[int], rng: Random) -> Iterator[tuple[Number, ...]]:
    """All numbers of narrow constants; corners and random numbers of wide ones."""
    choices = []
    for w in sorts:
        corners = [0, 1, 2, w - 1, w, w + 1, 1 << (w - 1), (1 << (w - 1)) - 1, (1 << w) - 1, (1 << w) - 2]
        some = [*corners, *(rng.getrandbits(w) >> rng.randrange(w) for _ in range(6))]
        found = range(1 << w) if w <= ALL_NUMBERS else {n % (1 << w) for n in some}
        choices.append([numbered(n, w) for n in found])
    return product(*choices)


def numbered(value: int, width: int) -> Number:
    found = Number(value)
    found.sort = width
    return found


def known(value: Any) -> Any:
    """A value that is true or false; that of an unknown is no statement, though Python takes each object for true."""
    if isinstance(value, Term | Numeral):
        raise TypeError("asks whether an unknown is true")
    return value


class Asking(ast.NodeTransformer):
    """Has every truth that Python asks for (or, not, if, a chain of comparisons) pass through `known`."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return ast.BoolOp(node.op, [_asked(v) for v in node.values])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.UnaryOp(node.op, _asked(node.operand)) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.IfExp(_asked(node.test), node.body, node.orelse)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        links: list[ast.expr] = [_asked(ast.Compare(a, [op], [b])) for a, op, b in pairs]
        return node if len(links) == 1 else ast.BoolOp(ast.And(), links)


def _asked(node: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("known", ast.Load()), [node], [])


def evaluated(text: str, scope: dict[str, Any]) -> Any:
    """The value of a condition or a result; TypeError where it asks whether an unknown is true."""
    return eval(_code(text), scope)


@cache
def _code(text: str) -> CodeType:
    tree = Asking().visit(ast.parse(f"({text})", mode="eval"))
    return compile(ast.fix_missing_locations(tree), "rule", "eval")


_conditions = cache(conjuncts)


def claim(rule: Rule, given: dict[str, Any]) -> Iterator[Claim]:
    scope = PLAIN | given | {"known": known}
    pattern = evaluated(rule.pattern, scope)
    if isinstance(pattern.sort, int):
        scope |= {"width": pattern.sort, "mask": (1 << pattern.sort) - 1}
    premises: list[Term] = []
    for condition in _conditions(rule.when):
        holds = evaluated(condition, scope)
        if isinstance(holds, Term):
            premises.append(holds)
        elif not holds:
            return
    result = evaluated(rule.result, scope)
    assert result.sort == pattern.sort, f"{rule.name}: {pattern.sort} is not {result.sort}"
    yield Claim(pattern, result, tuple(premises))


def multiplies_unknowns(rule: Rule) -> bool:
    return "mul(" in rule.pattern + rule.result


def solvers(rule: Rule, widths: Widths) -> list[str]:
    """Who proves it: of a product of two unknowns one solver from 32 bits on (the other two give up on some)."""
    widest = max((w for w in widths.values() if isinstance(w, int)), default=0)
    return ["z3"] if multiplies_unknowns(rule) and widest > PRODUCTS else list(SOLVERS)


def failures(rule: Rule, widths: Widths, rng: Random, among: list[str] | None = None) -> list[str]:
    """What is wrong with the rule at these widths: solvers that did not prove it; [] where it is proved."""
    try:
        found = list(claims(rule, widths, rng))
    except (AssertionError, AttributeError, NameError, TypeError, ValueError) as error:
        return [f"{rule.name} at {dict(widths)}: no statement: {error}"]
    if not found:
        return [f"{rule.name} at {dict(widths)}: its condition never holds"]
    text = statement(found)
    answers = {solver: SOLVERS[solver](text) for solver in among or solvers(rule, widths)}
    return [f"{rule.name} at {dict(widths)}: {solver} says {a}" for solver, a in answers.items() if a != "unsat"]
