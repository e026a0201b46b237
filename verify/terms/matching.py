"""Rules made into Python: for each operation a function that tries its rows in order and else makes the node."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from verify.terms.rules import Rule


@dataclass(frozen=True, slots=True)
class Operation:
    """How a constructor's node looks, what it checks and what it makes where no rule applies."""

    op: str  # of the node
    terms: int  # operands that are terms
    integers: tuple[str, ...] = ()  # where a node keeps its integer operands
    check: str = ""  # statement that sets `width`, the result's
    otherwise: str = ""  # in normal form: operands sorted, sums as polynomials
    commutes: bool = False
    plain: str = ""  # as it is written


_SORTED: Final = "(t0, t1) if t0.key < t1.key or t0.key == t1.key and precedes(t0, t1) else (t1, t0)"


def _binary(op: str, commutes: bool = False) -> Operation:
    pair = _SORTED if commutes else "(t0, t1)"
    plain = f"node({op!r}, (t0, t1), (), width)"
    return Operation(op, 2, (), "width = same_width(t0, t1)", f"node({op!r}, {pair}, (), width)", commutes, plain)


def _extension(op: str) -> Operation:
    check = "if p0 < t0.width: raise ValueError(f'cannot extend {t0.width} bits to {p0}')"
    return Operation(op, 1, ("sort",), check, f"node({op!r}, (t0,), (), p0)")


_BITS = "if not 0 <= p1 <= p0 < t0.width: raise ValueError(f'bits {p0}..{p1} are not within a width of {t0.width}')"
_SLICE = "node('extract', (t0,), (p0, p1), p0 - p1 + 1)"
_LOW = f"low_bits(t0, p0, made) if p1 == 0 and t0.op == 'sum' else {_SLICE}"
_PRODUCT = (
    "scaled(t0.params[0], t1, made) if t0.op == 'const' else scaled(t1.params[0], t0, made) if t1.op == 'const' else "
)
OPERATIONS: Final[Mapping[str, Operation]] = {
    "and_": _binary("and", commutes=True),
    "or_": _binary("or", commutes=True),
    "xor": _binary("xor", commutes=True),
    "mul": replace(
        _binary("mul", commutes=True), otherwise=_PRODUCT + _binary("mul", commutes=True).otherwise,
        plain="const(t0.params[0] * t1.params[0], width) if t0.op == t1.op == 'const' else " + _binary("mul").plain,
    ),
    "add": Operation("sum", 2, otherwise="combined(t0, t1, 1, made)", plain="written((t0, t1), (1, 1))"),
    "sub": Operation("sum", 2, otherwise="combined(t0, t1, -1, made)", plain="written((t0, t1), (1, -1))"),
    "neg": Operation("sum", 1, otherwise="combined(const(0, t0.width), t0, -1, made)", plain="written((t0,), (-1,))"),
    "not_": Operation("not", 1, (), "width = t0.width", "node('not', (t0,), (), width)"),
    "shl": _binary("shl"),
    "lshr": _binary("lshr"),
    "ashr": _binary("ashr"),
    "udiv": _binary("udiv"),
    "urem": _binary("urem"),
    "sdiv": _binary("sdiv"),
    "srem": _binary("srem"),
    "choice": Operation("sum", 2, (), "width = same_width(t0, t1)", "None"),
    "extract": Operation("extract", 1, ("params[0]", "params[1]"), _BITS, _LOW, plain=_SLICE),
    "concat": Operation("concat", 2, (), "width = t0.width + t1.width", "node('concat', (t0, t1), (), width)"),
    "zext": _extension("zext"),
    "sext": _extension("sext"),
    "eq": Operation("eq", 2, (), "check_sorts(t0.sort, t1.sort)", f"node('eq', {_SORTED}, (), 1)", True,
                    "node('eq', (t0, t1), (), 1)"),
    "ult": Operation("ult", 2, (), "same_width(t0, t1)", "node('ult', (t0, t1), (), 1)"),
    "slt": Operation("slt", 2, (), "same_width(t0, t1)", "node('slt', (t0, t1), (), 1)"),
    "ite": Operation("ite", 3, (), "check_choice(t0, t1, t2)", "node('ite', (t0, t1, t2), (), t1.sort)"),
    "select": Operation("select", 2, (), "check_select(t0, t1)", "node('select', (t0, t1), (), t0.sort.value_bits)"),
    "store": Operation("store", 3, (), "check_store(t0, t1, t2)", "node('store', (t0, t1, t2), (), t0.sort)"),
    "load": Operation("load", 2, ("params[0]",), "check_load(t0, t1, p0)", "node('load', (t0, t1), (p0,), 8 * p0)"),
    "write": Operation("write", 3, (), "check_write(t0, t1, t2)", "node('write', (t0, t1, t2), (), MEMORY)"),
}  # fmt: skip
NAMED: Final = {"add": "choice"}  # the constructor of a sum tries rows at one place only
Names = dict[str, str]  # a rule's name -> the Python expression that it stands for
_CONST: Final = Operation("const", 0, ("params[0]", "sort"))


@dataclass(frozen=True, slots=True)
class _Match:
    """Statements that must be passed one after another, a test being `if ...:`, and what the rule's names are then."""

    lines: tuple[str, ...]
    names: Names

    def then(self, *lines: str, **names: str) -> _Match:
        """The match continued."""
        return _Match((*self.lines, *lines), self.names | names)


def source(name: str, rules: Sequence[Rule], traced: bool = False) -> str:
    """Python source of a constructor; `traced` calls `observe(rule, values of its names)` where a rule applies.

    Where no rule applies, operands are sorted and sums are polynomials only if the rules have rows that say so.
    """
    operation = OPERATIONS[name]
    normal = any(r.by != "match" for r in rules) or not operation.plain
    operands = [f"t{i}" for i in range(operation.terms)] + [f"p{i}" for i in range(len(operation.integers))]
    own = [r for r in rules if r.by == "match" and _called(_pattern(r)) == name]
    blocks = [b for rule in own for b in _blocks(rule, traced)]
    body = [operation.check or "pass", *_nested(blocks), f"return {operation.otherwise if normal else operation.plain}"]
    return "\n    ".join([f"def {name}({', '.join(operands)}):", *body])


@cache
def _pattern(rule: Rule) -> ast.Call:
    call = ast.parse(rule.pattern, mode="eval").body
    assert isinstance(call, ast.Call)
    return call


def _called(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return NAMED.get(call.func.id, call.func.id)


def _nested(blocks: Sequence[tuple[str, ...]]) -> list[str]:
    """The blocks one after another; neighbours with the same first line share it."""
    lines: list[str] = []
    at = 0
    while at < len(blocks):
        first, end = blocks[at][0], at + 1
        while end < len(blocks) and blocks[end][0] == first:
            end += 1
        rest = [b[1:] for b in blocks[at:end] if len(b) > 1]
        lines.append(first)
        lines += [f"    {x}" if first.endswith(":") else x for x in _nested(rest)]
        at = end
    return lines


def _blocks(rule: Rule, traced: bool) -> Iterator[tuple[str, ...]]:
    """The ways in which the rule's pattern matches, each ending with the result."""
    call = _pattern(rule)
    operation = OPERATIONS[_called(call)]
    done: set[tuple[str, ...]] = set()
    only_names = all(isinstance(a, ast.Name) for a in call.args)  # one order says it all
    for order in _orders(operation)[: 1 if only_names else 2]:
        pairs = [(call.args[i], f"t{k}") for k, i in enumerate(order)]
        names = {_name(a): f"p{i}" for i, a in enumerate(call.args[operation.terms :])}
        for match in _matches(pairs, _Match((), names)):
            tests = [f"if {_written(c, match.names)}:" for c in conjuncts(rule.when)]
            seen = [f"observe({rule.name!r}, {_values(rule, match.names)})"] if traced else []
            block = (*match.lines, *tests, *seen, f"return {_written(rule.result, match.names)}")
            if block not in done:
                done.add(block)
                yield block


def shape(rule: Rule) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names in the rule's pattern: of terms, of constants, of integer operands and widths."""
    terms, constants, integers = dict[str, None](), dict[str, None](), dict[str, None]()
    for call in ast.walk(_pattern(rule)):
        if isinstance(call, ast.Call):
            operation = _operation(call)
            places = [terms] * operation.terms + [constants if operation is _CONST else integers, integers]
            for name, place in zip(call.args, places, strict=False):
                if isinstance(name, ast.Name):
                    place[name.id] = None
    return tuple(terms), tuple(constants), tuple(integers)


def conjuncts(when: str) -> list[str]:
    """The parts of a condition that must all hold."""
    if not when:
        return []
    condition = ast.parse(when, mode="eval").body
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And):
        return [ast.unparse(v) for v in condition.values]
    return [when]


def _orders(operation: Operation) -> tuple[tuple[int, ...], ...]:
    straight = tuple(range(operation.terms))
    return (straight, (1, 0)) if operation.commutes else (straight,)


def _matches(pairs: list[tuple[ast.expr, str]], match: _Match) -> Iterator[_Match]:
    """Every way to match patterns with terms, the expressions beside them."""
    calls: list[tuple[ast.Call, str]] = []
    for pattern, term in pairs:
        if isinstance(pattern, ast.Call):
            calls.append((pattern, term))
            match = match.then(f"if {term}.op == {_operation(pattern).op!r}:")
        elif _name(pattern) in match.names:
            match = match.then(f"if {term} is {match.names[_name(pattern)]}:")
        else:
            match = match.then(**{_name(pattern): term})
    yield from _inside(calls, match)


def _inside(calls: list[tuple[ast.Call, str]], match: _Match) -> Iterator[_Match]:
    if not calls:
        yield match
        return
    (call, term), *rest = calls
    operation = _operation(call)
    children = [f"{term}_{i}" for i in range(operation.terms)]
    if children:
        match = match.then(f"{', '.join(children)}, = {term}.args")
    integers = zip(call.args[operation.terms :], operation.integers, strict=False)
    values = {_name(a): f"{term}.{where}" for a, where in integers}
    if operation.op == "sum" or values.keys() & match.names.keys():
        raise ValueError(f"{ast.unparse(call)}: sums are not matched within a pattern, and no number is named twice")
    match = match.then(**values)
    for order in _orders(operation):
        for found in _matches([(call.args[i], children[k]) for k, i in enumerate(order)], match):
            yield from _inside(rest, found)


def _operation(call: ast.Call) -> Operation:
    name = _called(call)
    return _CONST if name == "const" else OPERATIONS[name]


def _name(pattern: ast.expr) -> str:
    assert isinstance(pattern, ast.Name), ast.dump(pattern)
    return pattern.id


def _values(rule: Rule, names: Names) -> str:
    """Each name with the integer that it is, or with the sort of the term or constant."""
    integers = shape(rule)[2]
    given = [(n, e if n in integers else f"{e.removesuffix('.params[0]')}.sort") for n, e in sorted(names.items())]
    return f"({' '.join(f'({n!r}, {e}),' for n, e in given)})"


class _Written(ast.NodeTransformer):
    """A condition or a result in terms of the constructor's operands."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "mask":
            return ast.parse("(1 << width) - 1", mode="eval").body
        found = self.names.get(node.id)
        return ast.parse(found, mode="eval").body if found is not None else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        assert node.attr in {"width", "sort"}
        return ast.Attribute(self.visit(node.value), "sort", ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        given = [self.visit(a) for a in node.args]
        if isinstance(node.func, ast.Name) and node.func.id == "same":
            return ast.Compare(given[0], [ast.Is()], [given[1]])
        return ast.Call(node.func, given, [])


def _written(text: str, names: Names) -> str:
    return ast.unparse(_Written(names).visit(ast.parse(text, mode="eval").body))
