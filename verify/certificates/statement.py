"""Statements read: a subset of SMT-LIB 2.6 (QF_AUFBV), a command a line, as nodes in order, arguments first.

RULES.md has an example.  What is stated is that the assertions cannot hold together.  A definition is one operation on
names and constants; truth is a bit, by `(ite (= a b) #b1 #b0)` or with bvult or bvslt there, and a choice is
`(ite (= a #b1) b c)`.  `load<n>` and `write<n>`, n bytes from 1 to 64, little-endian, are defined as `access` does.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

LONGEST: Final = 16 << 20  # characters of a statement
MOST: Final = 200_000  # nodes
LARGEST: Final = 1 << 29  # bits of all nodes
WIDEST: Final = 1 << 17  # bits: a state-save area has 65,536
WHOLE: Final = 64  # bytes of the widest access that has a definition
MEMORY: Final = (64, 8)
Array = tuple[int, int]  # bits of an index, of a value
Sort = int | Array  # a bit-vector's width, or an array
LOGIC: Final = "(set-logic QF_AUFBV)"
MEMORY_SORT: Final = "(define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))"
_TOKEN: Final = re.compile(r"[()]|[^\s()]+")
_CONSTANT: Final = re.compile(r"#b[01]+|#x[0-9a-f]+")
_ONE: Final = r"(?:Memory|\(_ BitVec [1-9]\d{0,5}\)|\(Array \(_ BitVec [1-9]\d?\) \(_ BitVec [1-9]\d{0,5}\)\))"
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


class Statement(NamedTuple):
    """Nodes in order, and those that are asserted to be 1."""

    nodes: list[Node]
    asserted: list[int]


def read(text: str) -> Statement:
    """The statement.  Raises Rejected with the line that is wrong."""
    if len(text) > LONGEST or not text.isascii() or re.search(r"[-+_]\d|\d_", text):
        raise Rejected(f"more than {LONGEST} characters, or no characters of a statement")
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
    return MEMORY if not bits else bits[0] if len(bits) == 1 else (bits[0], bits[1])


class _Reader:
    """What has been declared, defined and asserted so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.bits = 0  # of all nodes
        self.asserted: list[int] = []
        self.functions: dict[str, tuple[list[Sort], Sort]] = {}  # sorts of arguments, of the value
        self.named: dict[str, int] = {}

    def line(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            self._access(line)
            return
        if match["asserted"]:
            self.asserted.append(self.named[match["asserted"]])
            if self.nodes[self.asserted[-1]].sort != 1:
                raise Rejected("not one bit")
            return
        name = match["declared"] or match["name"]
        if name in self.named or name in self.functions:
            raise Rejected(f"{name} is there already")
        if match["name"]:
            self.named[name] = self._defined(_TOKEN.findall(match["body"]))
            if self.nodes[self.named[name]].sort != _sort(match["sort"]):
                raise Rejected("the definition is of another sort")
        elif match["given"]:
            self.functions[name] = [_sort(x) for x in re.findall(_ONE, match["given"])], _sort(match["of"])
        else:
            self.named[name] = self._node("var", _sort(match["of"]), (name,), ())

    def _access(self, line: str) -> None:
        if line == MEMORY_SORT:
            return
        name = line.split(" ", 2)[1] if line.count(" ") > 1 else ""
        if not access(name) or line != access(name) or name in self.functions:
            raise Rejected("not understood")
        bits = 8 * int(name.lstrip("loadwrite"))
        self.functions[name] = ([MEMORY, 64], bits) if name[0] == "l" else ([MEMORY, 64, bits], MEMORY)

    def _node(self, op: str, sort: Sort, params: tuple[int | str, ...], args: tuple[int, ...]) -> int:
        bits = sort if isinstance(sort, int) else sort[1]
        self.bits += bits
        if bits > WIDEST or self.bits > LARGEST or len(self.nodes) >= MOST:
            raise Rejected(f"a width above {WIDEST}, more than {MOST} nodes or {LARGEST} bits")
        self.nodes.append(Node(op, sort, params, args))
        return len(self.nodes) - 1

    def _argument(self, text: str) -> int:
        if text[0] != "#":
            return self.named[text]
        if not _CONSTANT.fullmatch(text):
            raise Rejected("no constant")
        bits, base = (len(text) - 2, 2) if text[1] == "b" else (4 * len(text) - 8, 16)
        return self._node("const", bits, (int(text[2:], base),), ())

    def _defined(self, body: list[str]) -> int:
        match body:
            case ["ite", "(", op, a, b, ")", "#b1", "#b0"] if op in TRUTH:
                return self._applied(f"({op}", [a, b])
            case ["ite", "(", "=", c, "#b1", ")", a, b]:
                return self._applied("(ite", [c, a, b])
            case ["(", "_", op, *numbers, ")", a]:
                return self._applied(f"({op}", [a], *map(int, numbers))
            case [op, *given] if "(" not in op and "(" not in given:
                return self._applied(op, given)
        raise Rejected("not understood")

    def _applied(self, op: str, given: list[str], *params: int) -> int:
        """The node; where an operation is written with a parenthesis, its name here has one, too."""
        args = tuple(map(self._argument, given))
        sorts = [self.nodes[a].sort for a in args]
        if op in self.functions:
            wanted, sort = self.functions[op]
            if sorts != wanted:
                raise Rejected("arguments of other sorts")
            if op[0] in "lw":
                return self._node(op.rstrip("0123456789"), sort, (), args)
            return self._node("app", sort, (op,), args)
        match op, sorts, params:
            case _, [int(a), int(b)], () if op in BINARY and a == b:
                return self._node(BINARY[op], a, (), args)
            case ("(bvult" | "(bvslt"), [int(a), int(b)], () if a == b:
                return self._node(TRUTH[op[1:]], 1, (), args)
            case "(=", [x, y], () if x == y:
                return self._node("eq", 1, (), args)
            case "(ite", [1, x, y], () if x == y:
                return self._node("ite", x, (), args)
            case "(extract", [int(a)], (high, low) if 0 <= low <= high < a:
                return self._node("extract", high - low + 1, (high, low), args)
            case ("(sign_extend" | "(zero_extend"), [int(_)], (0,):
                return args[0]
            case "(sign_extend", [int(a)], (more,):
                return self._node("sext", a + more, (), args)
            case "(zero_extend", [int(a)], (more,):
                return self._node("concat", a + more, (), (self._node("const", more, (0,), ()), *args))
            case "concat", [int(a), int(b)], ():
                return self._node("concat", a + b, (), args)
            case "bvnot", [int(a)], ():
                return self._node("xor", a, (), (self._node("const", a, ((1 << a) - 1,), ()), *args))
            case "bvneg", [int(a)], ():
                return self._node("sub", a, (), (self._node("const", a, (0,), ()), *args))
            case "select", [(i, v), int(j)], () if i == j:
                return self._node("select", v, (), args)
            case "store", [(i, v), int(j), int(w)], () if (i, v) == (j, w):
                return self._node("store", (i, v), (), args)
        raise Rejected("not understood, or operands of other sorts")
