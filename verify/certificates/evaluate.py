"""Counterexamples: the statement's nodes evaluated on integers in a given assignment.

An assignment is a JSON object: each variable's value, and for each function a list of rows, arguments and then the
value.  A bit-vector is a hexadecimal string; an array of at most 2**16 values a list of them; a memory an object from
addresses to bytes that are not 0, all others being 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from verify.certificates.statement import LONGEST, MEMORY, Node, Rejected, Sort, Statement

Value: TypeAlias = "int | tuple[int, ...] | tuple[tuple[int, int], ...]"  # a memory: its bytes by address, sorted
LARGEST: Final = 16  # bits of the index of an array that is written out
ADDRESS: Final = (1 << 64) - 1


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
    if sort == MEMORY and isinstance(given, dict):
        return _memory({_number(a, 64, name): _number(v, 8, name) for a, v in given.items()})
    if sort[0] <= LARGEST and isinstance(given, list) and len(given) == 1 << sort[0]:
        return tuple(_number(v, sort[1], name) for v in given)
    raise Rejected(f"{name}: a value of sort {sort} is expected")


def _number(text: object, width: int, name: str) -> int:
    digits = isinstance(text, str) and 0 < len(text) <= -(-width // 4) and set(text) <= set("0123456789abcdef")
    if not digits or (value := int(str(text), 16)) >> width:
        raise Rejected(f"{name}: a hexadecimal number of {width} bits is expected")
    return value


def _memory(cells: Mapping[int, int]) -> Value:
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
    op, width = node.op, node.sort if isinstance(node.sort, int) else 0
    a, b, c = (*args, 0, 0, 0)[:3]
    match op:
        case "ite":
            chosen: Value = b if a else c
            return chosen
        case "store" | "write" if sorts[0] == MEMORY:
            size = sorts[2] // 8 if isinstance(sorts[2], int) else 0
            return _memory(dict(a) | {b + i & ADDRESS: c >> 8 * i & 255 for i in range(size)})
        case "store":
            stored: Value = (*a[:b], c, *a[b + 1 :])
            return stored
        case "load" | "select" if sorts[0] == MEMORY:
            cells = dict(a)
            return int(sum(cells.get(b + i & ADDRESS, 0) << 8 * i for i in range(width // 8)))
        case "udiv" | "urem" | "sdiv" | "srem":
            return _divided(op, a, b, width) & (1 << width) - 1
    inner = sorts[0] if sorts and isinstance(sorts[0], int) else 0
    operand = sorts[1] if len(sorts) > 1 and isinstance(sorts[1], int) else 0
    results: dict[str, Callable[[], Any]] = {
        "const": lambda: node.params[0], "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b,
        "neg": lambda: -a, "not": lambda: ~a, "and": lambda: a & b, "or": lambda: a | b, "xor": lambda: a ^ b,
        "shl": lambda: a << min(b, width), "lshr": lambda: a >> min(b, width),
        "ashr": lambda: _signed(a, width) >> min(b, width),
        "extract": lambda: a >> int(node.params[1]), "concat": lambda: a << operand | b, "zext": lambda: a,
        "sext": lambda: _signed(a, inner), "eq": lambda: a == b, "ult": lambda: a < b,
        "slt": lambda: _signed(a, inner) < _signed(b, inner), "select": lambda: a[b],
    }  # fmt: skip
    return int(results[op]()) & (1 << width) - 1
