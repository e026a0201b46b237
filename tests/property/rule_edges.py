"""Every way to give the names of a rewrite rule small sorts and numbers, and what is wrong with the rule there.

All widths up to a bound and all integer operands that make the pattern well-sorted are tried, so those at and next to
the edges of every condition are among them; where the condition admits, pattern and result are compared in all states
(truth tables), register files and memories by Z3.  At large widths names take a few values: random ones and those next
to what the other names have; states are sampled there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, islice
from random import Random

from rule_proofs import ALL_NUMBERS, Widths, claims, complement, failures, multiplies_unknowns
from smtlib_terms import script, z3_answer
from truth_tables import Tables

from verify.terms import GPRS, MASKS, MEMORY, VECTORS, Array, Opaque, Rule, Sort, Term, as_written, postorder

TOPS = (3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 32, 48, 65, 96, 128, 192, 256, 512)  # widths up to which all are tried
NUMBERS = 65  # bits up to which numbers are computed with, and unknowns multiplied
WRITTEN = 128  # bits of a value that is written
FILES = (Array("Two", 1, 1), GPRS, MASKS, VECTORS)
ERRORS = (AssertionError, AttributeError, NameError, TypeError, ValueError)
BITS, BYTES, FILE, STORE, ANY = "bits", "bytes", "file", "memory", "any"
OPERANDS = {  # kinds of operands that are terms; all others have two or one of one width
    "eq": (ANY, ANY), "select": (FILE, BITS), "store": (FILE, BITS, BITS),
    "load": (STORE, BITS), "write": (STORE, BITS, BYTES), "not_": (BITS,), "extract": (BITS,), "zext": (BITS,),
    "sext": (BITS,),
}  # fmt: skip
Given = Mapping[str, Sort]
Kept = Callable[[Sequence[int], Given], Iterable[int]]  # of integers that fit: those that are tried


@dataclass(frozen=True)
class Effort:
    """How much is tried of a rule."""

    instances: int  # of small widths: all up to a width, as long as they are not more
    least: int  # that width, at least
    widest: int  # at most
    wide: int  # instances of any width up to 512
    bits: int  # of all variables up to which all states are compared
    states: int  # otherwise
    numbers: int  # of a rule that computes on numbers, beside the widths where all are tried
    computed: int  # width up to which such a rule is tried at all widths


SUITE = Effort(instances=250, least=3, widest=24, wide=5, bits=9, states=64, numbers=5, computed=5)
WHOLE = Effort(instances=10_000, least=9, widest=512, wide=100, bits=16, states=256, numbers=40, computed=33)


@dataclass(frozen=True)
class Range:
    """Widths from 1 to `top`, of which `kept` says which are tried beside what is given already."""

    top: int
    kept: Kept

    def of(self, kind: str, given: Given) -> Iterator[Sort]:
        if kind in {BITS, ANY}:
            yield from self.kept(range(1, self.top + 1), given)
        if kind in {FILE, ANY}:
            yield from FILES
        if kind == BYTES:
            yield from self.kept(range(8, self.top + 1, 8), given)
        if kind == STORE:
            yield MEMORY


def instances(rule: Rule, among: Range) -> Iterator[Widths]:
    """What the rule's names may stand for so that the pattern is well-sorted."""
    for sort, given in _sorted(ast.parse(rule.pattern, mode="eval").body, None, ANY, {}, among):
        if not ("difference(" in rule.when and isinstance(given["x"], Array)):  # a file has no difference
            assert sort is not None
            yield given


Found = Iterator[tuple[Sort, Given]]


def _sorted(node: ast.expr, wanted: Sort | None, kind: str, given: Given, among: Range) -> Found:
    """Sorts of a part of a pattern, with what its names then stand for."""
    if isinstance(node, ast.Name):
        here = [given[node.id]] if node.id in given else among.of(kind, given) if wanted is None else [wanted]
        yield from ((s, {**given, node.id: s}) for s in here if wanted in (None, s) and _fits(s, kind))
        return
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    name = node.func.id
    if name == "const":
        yield from _constants(node, wanted, given, among)
        return
    kinds = (BITS, kind, kind) if name == "ite" else OPERANDS.get(name, (BITS, BITS))
    integers = [a.id for a in node.args[len(kinds) :] if isinstance(a, ast.Name)]
    for sorts, found in _operands(name, list(zip(node.args, kinds, strict=False)), wanted, (), given, among):
        for sort, numbers in _results(name, sorts, found, among):
            if wanted in (None, sort):
                yield sort, {**found, **dict(zip(integers, numbers, strict=True))}


def _fits(sort: Sort, kind: str) -> bool:
    of = FILE if isinstance(sort, Array) else STORE if isinstance(sort, Opaque) else BITS
    return kind in {of, ANY} or (kind == BYTES and isinstance(sort, int) and sort % 8 == 0)


def _constants(node: ast.Call, wanted: Sort | None, given: Given, among: Range) -> Found:
    value, *width = (a.id for a in node.args if isinstance(a, ast.Name))
    for w in among.of(BITS, given) if wanted is None else [wanted]:
        if isinstance(w, int):
            yield w, {**given, value: w, **dict.fromkeys(width, w)}


def _operands(
    name: str, left: list[tuple[ast.expr, str]], wanted: Sort | None, sorts: tuple[Sort, ...], given: Given,
    among: Range,
) -> Iterator[tuple[tuple[Sort, ...], Given]]:  # fmt: skip
    if not left:
        yield sorts, given
        return
    (node, kind), *rest = left
    for sort, found in _sorted(node, _expected(name, sorts, wanted), kind, given, among):
        yield from _operands(name, rest, wanted, (*sorts, sort), found, among)


def _expected(name: str, before: tuple[Sort, ...], wanted: Sort | None) -> Sort | None:
    """The sort that the next operand must have, None where it may have several."""
    match name, len(before):
        case "ite", 0:
            return 1
        case ("ite", 1) | ("store", 0):
            return wanted
        case "ite", 2:
            return before[1]
        case ("load" | "write", 1):
            return 64
        case ("select" | "store", 1) if isinstance(before[0], Array):
            return before[0].index_bits
        case "store", 2 if isinstance(before[0], Array):
            return before[0].value_bits
        case ("extract" | "zext" | "sext" | "concat" | "select" | "load" | "write" | "eq" | "ult" | "slt"), 0:
            return None
        case ("concat", 1) | ("write", 2):
            return None
        case _, 0:
            return wanted
        case _:
            return before[0]


def _results(name: str, sorts: tuple[Sort, ...], given: Given, among: Range) -> Iterator[tuple[Sort, tuple[int, ...]]]:
    """The sorts of an operation's result with its integer operands."""
    first = sorts[0]
    if name == "extract":
        assert isinstance(first, int)
        for low in among.kept(range(first), given):
            for high in among.kept(range(low, first), {**given, " low": low}):
                yield high - low + 1, (high, low)
    elif name in {"zext", "sext"}:
        assert isinstance(first, int)
        yield from ((n, (n,)) for n in among.kept(range(first, among.top + 4), given))
    elif name == "load":
        yield from ((8 * n, (n,)) for n in among.kept(range(1, among.top // 8 + 1), given))
    elif name == "concat":
        yield sum(s for s in sorts if isinstance(s, int)), ()
    elif name == "select":
        assert isinstance(first, Array)
        yield first.value_bits, ()
    else:
        yield (1 if name in {"eq", "ult", "slt"} else sorts[1] if name == "ite" else first), ()


def everything(fitting: Sequence[int], _: Given) -> Sequence[int]:
    return fitting


def widest(rule: Rule) -> int:
    """The widest terms at which the rule is tried: of products and of numbers less, of memories what Z3 is quick at."""
    if any(f"{n}(" in rule.pattern for n in ("load", "write")):
        return WRITTEN
    return NUMBERS if multiplies_unknowns(rule) or rule.name.startswith("fold") else TOPS[-1]


def small(rule: Rule, effort: Effort) -> list[Widths]:
    """All of them up to the largest width at which they are not too many."""
    top = min(widest(rule), effort.computed if rule.name.startswith("fold") else effort.widest)
    scale = 8 if any(f"{n}(" in rule.pattern for n in ("load", "write")) else 1
    found: list[Widths] = []
    for bits in (b for b in TOPS if b >= effort.least and scale * b <= top):
        most = effort.instances + 1 if found else None
        more = list(islice(instances(rule, Range(scale * bits, everything)), most))
        if found and len(more) > effort.instances:
            break
        found = more
    return found


def wide(rule: Rule, rng: Random, count: int) -> Iterator[Widths]:
    """Some at any width, operands next to each other and to widths."""

    def kept(fitting: Sequence[int], given: Given) -> list[int]:
        near = {n for s in given.values() if isinstance(s, int) for n in (s - 8, s - 1, s, s + 1, s + 8, s // 8)}
        inside = sorted(n for n in near if n in fitting)
        if inside and rng.random() < 0.7:
            return [rng.choice(inside)]
        return [rng.choice((rng.choice(fitting), fitting[0], fitting[-1], fitting[min(64, len(fitting) - 1)]))]

    tried = (w for _ in range(40 * count) for w in instances(rule, Range(widest(rule), kept)))
    yield from islice((w for w in tried if not has_files(w) and is_admitted(rule, w)), count)


def has_files(widths: Widths) -> bool:
    """Of those all sorts that there are are among the small instances."""
    return any(isinstance(s, Array) for s in widths.values())


def is_admitted(rule: Rule, widths: Widths) -> bool:
    """Whether the condition's part on integers holds; where there is no statement, that is told as a fault."""
    try:
        return next(claims(rule, widths, Random(0)), None) is not None
    except ERRORS:
        return True


def faults(rule: Rule, widths: Widths, rng: Random, effort: Effort) -> list[str]:
    """What is wrong with the rule there; [] where it holds or where its condition does not."""
    at = f"{rule.name} at {dict(widths)}"
    try:
        found = list(claims(rule, widths, rng))
        if not found:
            return []
        if not all(isinstance(s, int) for s in widths.values()):
            return failures(rule, widths, rng, ["z3"])
        if len(found) > effort.numbers and any(isinstance(w, int) and w > ALL_NUMBERS for w in widths.values()):
            found = rng.sample(found, effort.numbers)
        wrong = [c for c in found if Tables((c.fails,), effort.bits, effort.states, rng).holds(c.fails)]
    except ERRORS as error:
        return [f"{at}: no statement: {error}"]
    return [f"{at}: {c.pattern} is not {c.result}" for c in wrong[:1]]


def first_fault(rule: Rule, effort: Effort) -> str | None:
    """The first fault that is found, at small widths and then at any; of a wrong rule where its original is tried."""
    rng = Random(rule.name.partition(":")[0])
    tried = chain(small(rule, effort), wide(rule, rng, effort.wide))
    return next((f for widths in tried for f in faults(rule, widths, rng, effort)), None)


def is_asked(rule: Rule) -> tuple[bool, bool]:
    """Whether in some state of some instance the condition holds, and whether in some it does not."""
    yes = no = False
    for widths in small(rule, SUITE):
        found = next(claims(rule, widths, Random(0)), None)
        if found is None or not found.premises:
            yes, no = yes or found is not None, no or found is None
        else:
            holds = conjunction(found.premises)
            yes, no = yes or is_possible(holds), no or is_possible(complement(holds))
        if yes and no:
            break
    return yes, no


def conjunction(bits: Sequence[Term]) -> Term:
    return reduce(lambda a, b: as_written("and", (a, b), (), 1), bits)


def is_possible(condition: Term) -> bool:
    """Whether a one-bit term is 1 in some state."""
    if all(isinstance(t.sort, int) for t in postorder((condition,))):
        return Tables((condition,), SUITE.bits, SUITE.states, Random(0)).holds(condition)
    return z3_answer(script((condition,))) == "sat"
