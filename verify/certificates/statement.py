"""Statements read: a subset of SMT-LIB 2.6 (QF_AUFBV), a command a line, as nodes in order, arguments first.

    (set-logic QF_AUFBV)
    (define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))
    (declare-fun v0 () (_ BitVec 64))
    (declare-fun f0 ((_ BitVec 64)) (_ BitVec 8))
    (define-fun n0 () (_ BitVec 64) (bvadd v0 #x0000000000000001))
    (define-fun n1 () (_ BitVec 8) (f0 n0))
    (define-fun n2 () (_ BitVec 1) (ite (= n1 #x00) #b1 #b0))
    (assert (= n2 #b1))
    (check-sat)

What is stated is that the assertions cannot hold together.  A definition is one operation on names and constants; truth
is a bit, by `(ite (= a b) #b1 #b0)` or with bvult or bvslt there, and a choice is `(ite (= a #b1) b c)`.  `load<n>` and
`write<n>`, n bytes from 1 to 64, little-endian, may be defined as `access` does and in no other way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

LONGEST: Final = 16 << 20  # characters of a statement
MOST: Final = 200_000  # nodes
WIDEST: Final = 1 << 17  # bits: a state-save area has 65,536
WHOLE: Final = 64  # bytes of the widest access that has a definition
MEMORY: Final = (64, 8)
Array = tuple[int, int]  # bits of an index, of a value
Sort = int | Array  # a bit-vector's width, or an array
LOGIC: Final = "(set-logic QF_AUFBV)"
MEMORY_SORT: Final = "(define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))"
_TOKEN: Final = re.compile(r"[()]|[^\s()]+")
_ONE: Final = r"(?:Memory|\(_ BitVec \d{1,6}\)|\(Array \(_ BitVec \d\d?\) \(_ BitVec \d{1,6}\)\))"
_LINE: Final = re.compile(
    rf"\((?:declare-fun (?P<declared>[vf]\d+) \((?P<given>(?:{_ONE} ?)*)\) (?P<of>{_ONE})"
    rf"|assert \(= (?P<asserted>n\d+) #b1\)|define-fun (?P<name>n\d+) \(\) (?P<sort>{_ONE}) \((?P<body>.*)\))\)"
)
BINARY: Final = {
    "bvadd": "add", "bvsub": "sub", "bvmul": "mul", "bvand": "and", "bvor": "or", "bvxor": "xor", "bvshl": "shl",
    "bvlshr": "lshr", "bvashr": "ashr", "bvudiv": "udiv", "bvurem": "urem", "bvsdiv": "sdiv", "bvsrem": "srem",
}  # fmt: skip
TRUTH: Final = {"=": "eq", "bvult": "ult", "bvslt": "slt"}


class Rejected(Exception):
    """What is given is no statement or no evidence; the message says where and why."""


class Node(NamedTuple):
    """An operation with its parameters on earlier nodes."""

    op: str
    sort: Sort
    params: tuple[int | str, ...]
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """Nodes in order, and those that are asserted to be 1."""

    nodes: list[Node]
    asserted: list[int]


def read(text: str) -> Statement:
    """The statement.  Raises Rejected with the line that is wrong."""
    if len(text) > LONGEST:
        raise Rejected(f"a statement of more than {LONGEST} characters")
    reader, lines = _Reader(), text.splitlines()
    if lines[:1] != [LOGIC] or lines[-1:] != ["(check-sat)"]:
        raise Rejected(f"a statement begins with {LOGIC} and ends with (check-sat)")
    for number, line in enumerate(lines[1:-1], 2):
        try:
            reader.line(line)
        except (Rejected, KeyError, ValueError) as wrong:
            raise Rejected(f"line {number}: {wrong}: {line[:80]}") from None
    return Statement(reader.nodes, reader.asserted)


@cache
def access(name: str) -> str:
    """The definition of `load<n>` or `write<n>`; "" where the name is none of these."""
    match = re.fullmatch("(load|write)([1-9][0-9]?)", name)
    size = int(match[2]) if match else 0
    if match is None or size > WHOLE:
        return ""
    places = ["p", *(f"(bvadd p #x{i:016x})" for i in range(1, size))]
    if match[1] == "load":
        body = f"(select m {places[0]})"
        for p in places[1:]:
            body = f"(concat (select m {p}) {body})"
        return f"(define-fun {name} ((m Memory) (p (_ BitVec 64))) (_ BitVec {8 * size}) {body})"
    body = "m"
    for i, p in enumerate(places):
        body = f"(store {body} {p} ((_ extract {8 * i + 7} {8 * i}) v))"
    return f"(define-fun {name} ((m Memory) (p (_ BitVec 64)) (v (_ BitVec {8 * size}))) Memory {body})"


@cache
def _sort(text: str) -> Sort:
    bits = [int(b) for b in re.findall(r"\d+", text)]
    if any(not 1 <= b <= WIDEST for b in bits):
        raise Rejected(f"a width is from 1 to {WIDEST}")
    return MEMORY if not bits else bits[0] if len(bits) == 1 else (bits[0], bits[1])


class _Reader:
    """What has been declared, defined and asserted so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.asserted: list[int] = []
        self.functions: dict[str, tuple[list[Sort], Sort, bool]] = {}  # sorts of arguments, of the value; any function
        self.named: dict[str, int] = {}

    def line(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            return self._access(line)
        if match["asserted"]:
            return self.asserted.append(self._bit(self.named[match["asserted"]]))
        name = match["declared"] or match["name"]
        if name in self.named or name in self.functions:
            raise Rejected(f"{name} is there already")
        if match["name"]:
            self.named[name] = self._defined(_TOKEN.findall(match["body"]))
            if self.nodes[self.named[name]].sort != _sort(match["sort"]):
                raise Rejected("the definition is of another sort")
        elif match["given"]:
            self.functions[name] = [_sort(x) for x in re.findall(_ONE, match["given"])], _sort(match["of"]), True
        else:
            self.named[name] = self._node("var", _sort(match["of"]), (name,), ())
        return None

    def _access(self, line: str) -> None:
        if line == MEMORY_SORT:
            return
        name = line.split(" ", 2)[1] if line.count(" ") > 1 else ""
        if not access(name) or line != access(name) or name in self.functions:
            raise Rejected("not understood")
        bits = 8 * int(name.lstrip("loadwrite"))
        sorts: list[Sort] = [MEMORY, 64, bits]
        self.functions[name] = (sorts[:2], bits, False) if name[0] == "l" else (sorts, MEMORY, False)

    def _node(self, op: str, sort: Sort, params: tuple[int | str, ...], args: tuple[int, ...]) -> int:
        if len(self.nodes) >= MOST:
            raise Rejected(f"more than {MOST} nodes")
        self.nodes.append(Node(op, sort, params, args))
        return len(self.nodes) - 1

    def _argument(self, text: str) -> int:
        if text[0] != "#":
            return self.named[text]
        bits = (len(text) - 2) * {"#b": 1, "#x": 4}[text[:2]]
        if not 1 <= bits <= WIDEST or "_" in text:
            raise Rejected(f"a constant of {bits} bits")
        return self._node("const", bits, (int(text[2:], 2 if text[1] == "b" else 16),), ())

    def _bit(self, x: int) -> int:
        if self.nodes[x].sort != 1:
            raise Rejected("not one bit")
        return x

    def _defined(self, body: list[str]) -> int:
        match body:
            case ["ite", "(", op, a, b, ")", "#b1", "#b0"]:
                return self._operation(op, [a, b], TRUTH[op], 1)
            case ["ite", "(", "=", c, "#b1", ")", a, b]:
                args = self._bit(self._argument(c)), *self._same(a, b)
                return self._node("ite", self.nodes[args[1]].sort, (), args)
            case ["(", "_", "extract", high, low, ")", a]:
                x, top, bottom = self._argument(a), int(high), int(low)
                if not 0 <= bottom <= top < self._width(x):
                    raise Rejected("no such bits")
                return self._node("extract", top - bottom + 1, (top, bottom), (x,))
            case ["(", "_", "zero_extend" | "sign_extend" as op, more, ")", a]:
                x = self._argument(a)
                wide = self._width(x) + int(more)
                if not self._width(x) <= wide <= WIDEST:
                    raise Rejected("no such width")
                return self._node("zext" if op[0] == "z" else "sext", wide, (), (x,))
            case [op, *given] if "(" not in given:
                return self._applied(op, given)
        raise Rejected("not understood")

    def _same(self, a: str, b: str) -> tuple[int, int]:
        x, y = self._argument(a), self._argument(b)
        if self.nodes[x].sort != self.nodes[y].sort:
            raise Rejected("operands of two sorts")
        return x, y

    def _width(self, x: int) -> int:
        sort = self.nodes[x].sort
        if not isinstance(sort, int):
            raise Rejected("an array")
        return sort

    def _operation(self, op: str, given: list[str], name: str, bits: int = 0) -> int:
        a, b = given
        args = self._same(a, b)
        wide = self._width(args[0]) if op != "=" else 0
        return self._node(name, bits or wide, (), args)

    def _applied(self, op: str, given: list[str]) -> int:
        if op in BINARY:
            return self._operation(op, given, BINARY[op])
        args = tuple(map(self._argument, given))
        sorts = [self.nodes[a].sort for a in args]
        if op in self.functions:
            wanted, sort, is_any = self.functions[op]
            if sorts != wanted:
                raise Rejected("arguments of other sorts")
            return self._node("app" if is_any else op.rstrip("0123456789"), sort, (op,) if is_any else (), args)
        match op, sorts:
            case "concat", [int(a), int(b)] if a + b <= WIDEST:
                return self._node("concat", a + b, (), args)
            case ("bvnot" | "bvneg"), [int(a)]:
                return self._node(op[2:], a, (), args)
            case "select", [(i, v), int(j)] if i == j:
                return self._node("select", v, (), args)
            case "store", [(i, v), int(j), int(w)] if (i, v) == (j, w):
                return self._node("store", (i, v), (), args)
        raise Rejected("not understood")
