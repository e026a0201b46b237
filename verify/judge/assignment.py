"""A witness as an assignment of a plain statement's symbols: what evaluation answers, written out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from verify.certificates.writing import Written, function_of
from verify.claim.obligation import Obligation
from verify.models.x86.environment import Environment
from verify.smt.canonical import Canonical
from verify.terms import Sort, Term, const, eq, postorder
from verify.terms.evaluation import Memory, Node, Value, number, operation, register_file

MARKED: Final = range(0x7FF0_0000, 0x7FF0_0008)  # bytes by which memories that nobody reads are told apart
ADDRESSES: Final = (1 << 64) - 1


def assignment(
    roots: Sequence[Term], text: Canonical, values: Mapping[str, Value], environment: Environment, statement: Written
) -> str:
    """The assignment as JSON (`verify.certificates.evaluate`), given the values of the canonical variables.

    `text` and `statement` are of these roots: their nodes are in one order.
    """
    terms, found = list(postorder(roots)), list[Value]()
    for node in text.program.nodes:
        found.append(_evaluated(node, [text.program.nodes[a].sort for a in node.args], found, values, environment))
    touched = sorted({a for t, n in zip(terms, text.program.nodes, strict=True) for a in _addresses(t, n, found)})
    given: dict[str, object] = {}
    rows: dict[str, dict[str, list[object]]] = {}
    for term, node, value in zip(terms, text.program.nodes, found, strict=True):
        signature = function_of(term)
        if term.op == "var":
            given[statement.variables[str(term.params[0])]] = _shown(value, touched)
        elif signature is not None and not term.args:
            given[statement.functions[signature]] = _shown(value, touched)
        elif signature is not None:
            row = [_shown(found[a], touched) for a in node.args]
            table = rows.setdefault(statement.functions[signature], {})
            table[json.dumps(row)] = [*row, _shown(value, touched)]
    given.update((name, list(table.values())) for name, table in rows.items())
    return json.dumps(given, separators=(",", ":"), sort_keys=True)


def with_values(o: Obligation, values: Mapping[str, int]) -> Obligation:
    """The obligation with one premise more a variable that has a value: it is that."""
    variables = [(str(t.params[0]), t) for t in postorder(o.roots) if t.op == "var"]
    more = tuple(eq(t, const(values[name], t.width)) for name, t in variables if name in values)
    return Obligation(o.observable, o.goal, (*o.premises, *more))


def _evaluated(
    node: Node, sorts: Sequence[Sort], found: Sequence[Value], values: Mapping[str, Value], environment: Environment
) -> Value:
    args = tuple(found[a] for a in node.args)
    if node.op == "const":
        return int(node.params[0])
    if node.op == "var":
        return values[str(node.params[0])]
    if node.op == "uf":
        return environment.function(str(node.params[0]), node.sort, args)
    return operation(node.op, node.params, node.sort, tuple(sorts))(*args)


def _addresses(term: Term, node: Node, found: Sequence[Value]) -> Sequence[int]:
    """Addresses of the bytes that the node reads or writes."""
    if term.op not in {"load", "write"}:
        return ()
    first = number(found[node.args[1]])
    size = int(term.params[0]) if term.op == "load" else term.args[2].width // 8
    return [first + i & ADDRESSES for i in range(size)]


def _shown(value: Value, touched: Sequence[int]) -> object:
    if isinstance(value, int):
        return f"{value:x}"
    if isinstance(value, Memory):
        cells = {a: value.byte(a) for a in (*MARKED, *touched)}
        return {f"{a:x}": f"{b:x}" for a, b in sorted(cells.items()) if b}
    return {f"{i:x}": f"{x:x}" for i, x in enumerate(register_file(value)) if x}
