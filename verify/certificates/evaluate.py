"""Counterexamples: the statement's nodes evaluated on integers in a given assignment.

An assignment is a JSON object: each variable's value, and for each function a list of rows, arguments and then the
value.  A bit-vector is a hexadecimal string, an array an object from indices to elements that are not 0, all others
being 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from verify.certificates.statement import LONGEST, Node, Rejected, Sort, Statement

Value: TypeAlias = "int | tuple[tuple[int, int], ...]"  # an array: its elements that are not 0, by index
ADDRESS: Final = (1 << 64) - 1
MOST_CELLS: Final = 20_000_000  # elements of all arrays that are computed


def refutes(statement: Statement, text: str) -> bool:
    """Whether all assertions are 1 in the assignment.  Raises Rejected where it is none of the statement's symbols."""
    try:
        given = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Rejected("the assignment is no JSON object, or too long")
    values: list[Value] = []
    tables: dict[str, Mapping[tuple[Value, ...], Value]] = {}
    cells = 0
    for node in statement.nodes:
        args, sorts = tuple(values[a] for a in node.args), [statement.nodes[a].sort for a in node.args]
        name = str(node.params[0]) if node.params else ""
        if node.op == "var":
            values.append(_value(given.get(name), node.sort, name))
        elif node.op == "app":
            if name not in tables:
                tables[name] = _table(given.get(name), [*sorts, node.sort], name)
            if args not in tables[name]:
                raise Rejected(f"{name} has no row for arguments of the statement")
            values.append(tables[name][args])
        else:
            values.append(_result(node, sorts, *args))
        cells += len(made) if isinstance(made := values[-1], tuple) else 0
        if cells > MOST_CELLS:
            raise Rejected(f"arrays of more than {MOST_CELLS} elements together")
    return all(values[x] == 1 for x in statement.asserted)


def _table(rows: object, sorts: Sequence[Sort], name: str) -> Mapping[tuple[Value, ...], Value]:
    found: dict[tuple[Value, ...], Value] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, list) or len(row) != len(sorts):
            raise Rejected(f"{name}: a row is as many values as the function has arguments, and its value")
        *args, value = (_value(x, s, name) for x, s in zip(row, sorts, strict=True))
        if found.setdefault(tuple(args), value) != value:
            raise Rejected(f"{name} has two values for the same arguments")
    return found


def _value(given: object, sort: Sort, name: str) -> Value:
    """Raises Rejected where it is no value of the sort."""
    if isinstance(sort, int):
        return _number(given, sort, name)
    if not isinstance(given, dict):
        raise Rejected(f"{name}: an array is an object from indices to elements")
    return _array({_number(i, sort[0], name): _number(v, sort[1], name) for i, v in given.items()})


def _number(text: object, width: int, name: str) -> int:
    digits = isinstance(text, str) and 0 < len(text) <= -(-width // 4) and set(text) <= set("0123456789abcdef")
    if not digits or (value := int(str(text), 16)) >> width:
        raise Rejected(f"{name}: a hexadecimal number of {width} bits is expected")
    return value


def _array(cells: Mapping[int, int]) -> Value:
    return tuple(sorted(c for c in cells.items() if c[1]))


def _signed(value: int, width: int) -> int:
    return value - (value >> (width - 1) << width)


def _divided(op: str, a: int, b: int, width: int) -> int:
    """SMT-LIB: by 0 the remainder is the dividend, the quotient all ones, of a negative signed dividend 1."""
    if op[0] == "s":
        a, b = _signed(a, width), _signed(b, width)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else -1 if a >= 0 else 1
    return quotient if op.endswith("div") else a - quotient * b


def _result(node: Node, sorts: Sequence[Sort], *args: Any) -> Value:
    """The operation's value; the arguments are of its sorts."""
    op, last = node.op, sorts[-1] if sorts and isinstance(sorts[-1], int) else 0
    a, b, c = (*args, 0, 0, 0)[:3]
    if op.endswith(("div", "rem")):
        found: Value = _divided(op, a, b, last)
    elif op == "load":
        cells, size = dict(a), node.sort // 8 if isinstance(node.sort, int) else 0
        found = sum(cells.get(b + i & ADDRESS, 0) << 8 * i for i in range(size))
    elif op in {"const", "extract"}:
        found = int(node.params[0]) if op == "const" else a >> int(node.params[1])
    else:
        found = _RESULTS[op](a, b, c, last)
    return int(found) & (1 << node.sort) - 1 if isinstance(node.sort, int) and isinstance(found, int) else found


_RESULTS: Final[dict[str, Callable[[Any, Any, Any, int], Value]]] = {  # operands a, b, c; w bits of the last one
    "add": lambda a, b, c, w: a + b, "sub": lambda a, b, c, w: a - b, "mul": lambda a, b, c, w: a * b,
    "and": lambda a, b, c, w: a & b, "or": lambda a, b, c, w: a | b, "xor": lambda a, b, c, w: a ^ b,
    "shl": lambda a, b, c, w: a << min(b, w), "lshr": lambda a, b, c, w: a >> min(b, w),
    "ashr": lambda a, b, c, w: _signed(a, w) >> min(b, w), "sext": lambda a, b, c, w: _signed(a, w),
    "eq": lambda a, b, c, w: a == b, "ult": lambda a, b, c, w: a < b, "concat": lambda a, b, c, w: a << w | b,
    "slt": lambda a, b, c, w: _signed(a, w) < _signed(b, w), "ite": lambda a, b, c, w: b if a else c,
    "select": lambda a, b, c, w: dict(a).get(b, 0), "store": lambda a, b, c, w: _array(dict(a) | {b: c}),
    "write": lambda a, b, c, w: _array(dict(a) | {b + i & ADDRESS: c >> 8 * i & 255 for i in range(w // 8)}),
}  # fmt: skip
