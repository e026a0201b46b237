"""Counterexamples: the statement's nodes evaluated on integers in a given assignment.

An assignment is a JSON object: each variable's value, and for each function a list of rows, arguments and then the
value.  A bit-vector is a hexadecimal string; an array of at most 2**16 values a list of them; a memory an object from
addresses to bytes that are not 0, all others being 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from verify.certificates.statement import MEMORY, Node, Rejected, Sort, Statement

Value: TypeAlias = "int | tuple[int, ...] | tuple[tuple[int, int], ...]"
LONGEST: Final = 16 << 20  # characters of an assignment
LARGEST: Final = 16  # bits of the index of an array that is written out


def refutes(statement: Statement, text: str) -> bool:
    """Whether all assertions are 1 in the assignment.  Raises Rejected where it is none of the statement's symbols."""
    given = _object(text)
    values: list[Value] = []
    tables: dict[str, Mapping[tuple[Value, ...], Value]] = {}
    for node in statement.nodes:
        args = tuple(values[a] for a in node.args)
        sorts = [statement.nodes[a].sort for a in node.args]
        if node.op == "var":
            value = _value(given.get(str(node.params[0])), node.sort, node.params[0])
        elif node.op == "app":
            name = str(node.params[0])
            if name not in tables:
                tables[name] = _table(given.get(name), [*sorts, node.sort], name)
            if args not in tables[name]:
                raise Rejected(f"{name} has no row for arguments of the statement")
            value = tables[name][args]
        else:
            value = _OPERATIONS[node.op](node, sorts, args)  # type: ignore[arg-type]
        values.append(value)
    return all(values[x] == 1 for x in statement.asserted)


def _object(text: str) -> dict[str, object]:
    if len(text) > LONGEST:
        raise Rejected(f"an assignment of {len(text)} characters; {LONGEST} are the most")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise Rejected("the assignment is no JSON") from None
    if not isinstance(given, dict):
        raise Rejected("the assignment is no JSON object")
    return given


def _table(rows: object, sorts: Sequence[Sort], name: str) -> Mapping[tuple[Value, ...], Value]:
    found: dict[tuple[Value, ...], Value] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, list) or len(row) != len(sorts):
            raise Rejected(f"{name}: a row is as many values as the function has arguments, and its value")
        *args, value = (_value(x, s, name) for x, s in zip(row, sorts, strict=True))
        if found.setdefault(tuple(args), value) != value:
            raise Rejected(f"{name} has two values for the same arguments")
    return found


def _value(given: object, sort: Sort, name: object) -> Value:
    """Raises Rejected where it is no value of the sort."""
    if isinstance(sort, int) and isinstance(given, str):
        return _number(given, sort, name)
    if sort == MEMORY and isinstance(given, dict):
        cells = ((_number(a, 64, name), _number(v, 8, name)) for a, v in given.items())
        return tuple(sorted(c for c in dict(cells).items() if c[1]))
    if isinstance(sort, tuple) and sort[0] <= LARGEST and isinstance(given, list) and len(given) == 1 << sort[0]:
        return tuple(_number(v, sort[1], name) for v in given)
    raise Rejected(f"{name}: a value of sort {sort} is expected")


def _number(text: object, width: int, name: object) -> int:
    digits = isinstance(text, str) and 0 < len(text) <= -(-width // 4) and set(text) <= set("0123456789abcdef")
    if not digits or (value := int(str(text), 16)) >> width:
        raise Rejected(f"{name}: a hexadecimal number of {width} bits is expected")
    return value


def _signed(value: int, width: int) -> int:
    return value - (value >> (width - 1) << width)


def _divided(node: Node, a: int, b: int) -> int:
    width, op = _bits(node.sort), node.op
    if op[0] == "s":
        a, b = _signed(a, width), _signed(b, width)
    if b == 0:
        return (a if op.endswith("rem") else -1 if a >= 0 else 1) & (1 << width) - 1
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return (quotient if op.endswith("div") else a - quotient * b) & (1 << width) - 1


def _shifted(node: Node, value: int, count: int) -> int:
    width = _bits(node.sort)
    if node.op == "ashr":
        return _signed(value, width) >> min(count, width) & (1 << width) - 1
    return 0 if count >= width else value << count & (1 << width) - 1 if node.op == "shl" else value >> count


def _loaded(memory: Sequence[tuple[int, int]], address: int, size: int) -> int:
    cells = dict(memory)
    return sum(cells.get(address + i & (1 << 64) - 1, 0) << 8 * i for i in range(size))


def _written(memory: Sequence[tuple[int, int]], address: int, value: int, size: int) -> Value:
    cells = dict(memory) | {address + i & (1 << 64) - 1: value >> 8 * i & 255 for i in range(size)}
    return tuple(sorted(c for c in cells.items() if c[1]))


def _bits(sort: Sort) -> int:
    assert isinstance(sort, int)
    return sort


def _masked(operation: Callable[..., int]) -> Callable[[Node, Sequence[Sort], Sequence[int]], int]:
    return lambda node, sorts, args: operation(*args) & (1 << _bits(node.sort)) - 1


_OPERATIONS: Final[Mapping[str, Callable[[Node, Sequence[Sort], Sequence[int]], Value]]] = {
    "const": lambda node, sorts, args: int(node.params[0]),
    "add": _masked(lambda a, b: a + b), "sub": _masked(lambda a, b: a - b), "mul": _masked(lambda a, b: a * b),
    "neg": _masked(lambda a: -a), "not": _masked(lambda a: ~a), "and": _masked(lambda a, b: a & b),
    "or": _masked(lambda a, b: a | b), "xor": _masked(lambda a, b: a ^ b),
    **{op: lambda node, sorts, args: _divided(node, *args) for op in ("udiv", "urem", "sdiv", "srem")},
    **{op: lambda node, sorts, args: _shifted(node, *args) for op in ("shl", "lshr", "ashr")},
    "extract": lambda node, sorts, args: args[0] >> int(node.params[1]) & (1 << _bits(node.sort)) - 1,
    "concat": lambda node, sorts, args: args[0] << _bits(sorts[1]) | args[1],
    "zext": lambda node, sorts, args: args[0],
    "sext": lambda node, sorts, args: _signed(args[0], _bits(sorts[0])) & (1 << _bits(node.sort)) - 1,
    "eq": lambda node, sorts, args: int(args[0] == args[1]),
    "ult": lambda node, sorts, args: int(args[0] < args[1]),
    "slt": lambda node, sorts, args: int(_signed(args[0], _bits(sorts[0])) < _signed(args[1], _bits(sorts[0]))),
    "ite": lambda node, sorts, args: args[1] if args[0] else args[2],
    "select": lambda node, sorts, args: _selected(args, sorts[0]),
    "store": lambda node, sorts, args: _stored(args, sorts[0]),
    "load": lambda node, sorts, args: _loaded(args[0], args[1], _bits(node.sort) // 8),  # type: ignore[arg-type]
    "write": lambda node, sorts, args: _written(args[0], args[1], args[2], _bits(sorts[2]) // 8),  # type: ignore[arg-type]
}  # fmt: skip


def _selected(args: Sequence[object], sort: Sort) -> int:
    array, index = args
    assert isinstance(array, tuple) and isinstance(index, int)
    return _loaded(array, index, 1) if sort == MEMORY else int(array[index])


def _stored(args: Sequence[object], sort: Sort) -> Value:
    array, index, value = args
    assert isinstance(array, tuple) and isinstance(index, int) and isinstance(value, int)
    return _written(array, index, value, 1) if sort == MEMORY else (*array[:index], value, *array[index + 1 :])
