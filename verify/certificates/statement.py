"""Statements read: a subset of SMT-LIB 2.6 (QF_AUFBV with free sorts), as nodes in order, arguments first.

    (set-logic QF_AUFBV)
    (define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))
    (declare-fun v0 () (_ BitVec 64))
    (declare-fun f0 ((_ BitVec 64)) (_ BitVec 8))
    (define-fun n0 () (_ BitVec 64) (bvadd v0 #x0000000000000001))
    (assert (= (f0 n0) #x00))
    (check-sat)

What is stated is that the assertions cannot hold together.  Bool and (_ BitVec 1) are kept apart when read and are one
sort afterwards.  `(ite (= x #b1) a b)` is therefore a choice by the bit x.  The functions `load<n>` and `write<n>`, n
bytes from 1 to 64, little-endian, may be defined as `access` does, and in no other way; other definitions have no
parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

LONGEST: Final = 16 << 20  # characters of a statement
DEEPEST: Final = 200  # brackets within each other
MOST: Final = 200_000  # nodes
WHOLE: Final = 64  # bytes of the widest access that has a definition
WIDEST: Final = 1 << 17  # bits: a state-save area has 65,536
BOOL: Final = "Bool"
Array = tuple[int, int]  # bits of an index, of a value
MEMORY: Final = (64, 8)
Sort = int | Array | str  # a bit-vector's width, an array (or BOOL while a statement is read)
Expression: TypeAlias = "str | list[Expression]"
_TOKEN: Final = re.compile(r"\s*(?:(;[^\n]*)|([()])|([^\s()|\";]+))")


class Rejected(Exception):
    """What is given is no statement or no evidence; the message says where and why."""


class Node(NamedTuple):
    """An operation with its parameters on earlier nodes."""

    op: str
    sort: Sort  # a width of 1 stands for Bool as well
    params: tuple[int | str, ...]
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """Nodes in order, and those that are asserted to be 1."""

    nodes: tuple[Node, ...]
    asserted: tuple[int, ...]


def read(text: str) -> Statement:
    """The statement.  Raises Rejected with the command or the place that is wrong."""
    if len(text) > LONGEST:
        raise Rejected(f"a statement of {len(text)} characters; {LONGEST} are the most")
    reader = _Reader()
    for number, command in enumerate(_expressions(text), 1):
        try:
            reader.command(command)
        except Rejected as wrong:
            raise Rejected(f"command {number}: {wrong}") from None
    if not reader.ended:
        raise Rejected("(check-sat) is missing")
    return Statement(tuple(reader.nodes), tuple(reader.asserted))


def _expressions(text: str) -> Iterator[Expression]:
    """The bracketed expressions of the text, one after another."""
    stack: list[list[Expression]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise Rejected(f"character {at}: {text[at : at + 10]!r} is not understood")
        at = match.end()
        _, bracket, atom = match.groups()
        if bracket == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise Rejected(f"character {at}: more than {DEEPEST} brackets within each other")
        elif bracket and not stack:
            raise Rejected(f"character {at}: a closing bracket without an opening one")
        elif bracket and len(stack) > 1:
            done = stack.pop()
            stack[-1].append(done)
        elif bracket:
            yield stack.pop()
        elif atom and not stack:
            raise Rejected(f"character {at}: {atom[:20]!r} stands outside of brackets")
        elif atom:
            stack[-1].append(atom)
    if stack:
        raise Rejected("the text ends within brackets")


Typed = tuple[int, Sort]  # a node with its sort, BOOL kept apart
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_NUMERAL: Final = re.compile(r"(0|[1-9][0-9]{0,6})\Z")
_BINARY: Final = {
    "bvadd": "add", "bvsub": "sub", "bvmul": "mul", "bvand": "and", "bvor": "or", "bvxor": "xor", "bvshl": "shl",
    "bvlshr": "lshr", "bvashr": "ashr", "bvudiv": "udiv", "bvurem": "urem", "bvsdiv": "sdiv", "bvsrem": "srem",
}  # fmt: skip
_TRUTH: Final = {"bvult": "ult", "bvslt": "slt"}
RESERVED: Final = frozenset({
    *_BINARY, *_TRUTH, "bvneg", "bvnot", "concat", "select", "store", "ite", "_", "BitVec", "Array", "Bool",
    "extract", "zero_extend", "sign_extend", "let", "true", "false", "and", "or", "not", "xor",
})  # fmt: skip


def access(name: str) -> str:
    """The definition of `load<n>` or `write<n>`; "()" where the name is none of these."""
    match = re.fullmatch("(load|write)([1-9][0-9]?)", name)
    size = int(match[2]) if match else 0
    if match is None or size > WHOLE:
        return "()"
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


def numeral(text: Expression) -> int:
    """A decimal number of at most seven digits.  Raises Rejected."""
    if not isinstance(text, str) or not _NUMERAL.match(text):
        raise Rejected(f"a number is expected, not {shown(text)}")
    return int(text)


def shown(what: Expression) -> str:
    """The beginning of an expression, for a message."""
    text = what if isinstance(what, str) else f"({' '.join(x if isinstance(x, str) else '(...)' for x in what[:4])} ...)"
    return text[:60]


class _Reader:
    """What has been declared, defined and asserted so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.asserted: list[int] = []
        self.sorts: dict[str, Sort] = {}
        self.functions: dict[str, tuple[tuple[Sort, ...], Sort]] = {}
        self.memory: set[str] = set()  # functions that have the definition of an access
        self.named: dict[str, Typed] = {}
        self.interned: dict[Node, int] = {}
        self.ended = False

    def command(self, c: Expression) -> None:
        if self.ended:
            raise Rejected("nothing may follow (check-sat)")
        match c:
            case ["set-logic", "QF_AUFBV"] if not self.nodes:
                pass
            case ["define-sort", str(name), [], sort]:
                self._new(name)
                self.sorts[name] = self._sort(sort)
            case ["declare-fun", str(name), list(sorts), sort]:
                self._declare(name, tuple(map(self._sort, sorts)), self._sort(sort))
            case ["define-fun", str(name), [_, *_], *_] if c == next(_expressions(access(name)), None):
                self._new(name)
                bits = 8 * int(name.lstrip("loadwrite"))
                load = name.startswith("load")
                self.functions[name] = ((MEMORY, 64), bits) if load else ((MEMORY, 64, bits), MEMORY)
                self.memory.add(name)
            case ["define-fun", str(name), [], sort, body]:
                self._new(name)
                self.named[name] = self._of_sort(body, self._sort(sort))
            case ["assert", body]:
                self.asserted.append(self._of_sort(body, BOOL)[0])
            case ["check-sat"]:
                self.ended = True
            case _:
                raise Rejected(f"{shown(c)} is not understood")

    def _new(self, name: str) -> None:
        taken = name in RESERVED or name in self.sorts or name in self.named or name in self.functions
        if taken or not _NAME.match(name):
            raise Rejected(f"{shown(name)} is taken, or no name")

    def _declare(self, name: str, sorts: tuple[Sort, ...], sort: Sort) -> None:
        self._new(name)
        if sorts:
            self.functions[name] = sorts, sort
        else:
            self.named[name] = self._node("var", sort, (name,), ())

    def _sort(self, s: Expression) -> Sort:
        match s:
            case str() if s in self.sorts:
                return self.sorts[s]
            case ["_", "BitVec", bits] if 1 <= numeral(bits) <= WIDEST:
                return numeral(bits)
            case ["Array", ["_", "BitVec", index], ["_", "BitVec", value]]:
                return numeral(index), numeral(value)
        raise Rejected(f"{shown(s)} is no sort of this subset")

    def _node(self, op: str, sort: Sort, params: tuple[int | str, ...], args: tuple[int, ...]) -> Typed:
        node = Node(op, 1 if sort == BOOL else sort, params, args)
        found = self.interned.get(node)
        if found is None:
            if len(self.nodes) >= MOST:
                raise Rejected(f"more than {MOST} nodes")
            found = self.interned[node] = len(self.nodes)
            self.nodes.append(node)
        return found, sort

    def _of_sort(self, e: Expression, sort: Sort) -> Typed:
        found = self._term(e)
        if found[1] != sort:
            raise Rejected(f"{shown(e)} is of sort {found[1]}, not {sort}")
        return found

    def _term(self, e: Expression) -> Typed:
        if isinstance(e, str):
            return self._atom(e)
        if not e:
            raise Rejected("() is no term")
        head, *rest = e
        args = [self._term(x) for x in rest]
        if isinstance(head, str):
            return self._applied(head, args)
        match head:
            case ["_", "extract", high, low] if len(args) == 1:
                return self._slice(args[0], numeral(high), numeral(low))
            case ["_", "zero_extend" | "sign_extend" as op, more] if len(args) == 1:
                wide = _width(args[0]) + numeral(more)
                if wide <= WIDEST:
                    return self._node("zext" if op == "zero_extend" else "sext", wide, (), (args[0][0],))
        raise Rejected(f"{shown(e)} is not understood")

    def _atom(self, text: str) -> Typed:
        if text in self.named:
            return self.named[text]
        base = {"#b": 2, "#x": 16}.get(text[:2])
        digits = text[2:]
        if base is None or not re.fullmatch("[01]+" if base == 2 else "[0-9a-f]+", digits):
            raise Rejected(f"{shown(text)} is not declared")
        bits = len(digits) * (1 if base == 2 else 4)
        if bits > WIDEST:
            raise Rejected(f"a constant of {bits} bits")
        return self._node("const", bits, (int(digits, base),), ())

    def _slice(self, x: Typed, high: int, low: int) -> Typed:
        if not low <= high < _width(x):
            raise Rejected(f"bits {high}..{low} are not within {_width(x)}")
        return self._node("extract", high - low + 1, (high, low), (x[0],))

    def _applied(self, op: str, args: list[Typed]) -> Typed:
        given, sorts = tuple(a for a, _ in args), tuple(s for _, s in args)
        if op in self.functions and self.functions[op][0] == sorts:
            kind = op.rstrip("0123456789") if op in self.memory else "app"
            return self._node(kind, self.functions[op][1], (op,) if kind == "app" else (), given)
        match op, sorts:
            case "=", (a, b) if a == b:
                return self._node("eq", BOOL, (), given)
            case "ite", (c, a, b) if c == BOOL and a == b != BOOL:
                return self._choice(given, a)
            case "concat", (int(a), int(b)) if a + b <= WIDEST:
                return self._node("concat", a + b, (), given)
            case ("bvnot" | "bvneg"), (int(a),):
                return self._node(op[2:], a, (), given)
            case _, (int(a), int(b)) if a == b and op in _BINARY:
                return self._node(_BINARY[op], a, (), given)
            case _, (int(a), int(b)) if a == b and op in _TRUTH:
                return self._node(_TRUTH[op], BOOL, (), given)
            case "select", ((i, v), int(j)) if i == j:
                return self._node("select", v, (), given)
            case "store", ((i, v), int(j), int(w)) if (i, v) == (j, w):
                return self._node("store", (i, v), (), given)
        raise Rejected(f"({op[:40]} ...) of {', '.join(map(str, sorts))} is not understood")

    def _choice(self, given: tuple[int, ...], sort: Sort) -> Typed:
        """`(ite c #b1 #b0)` is the truth of c as a bit."""
        condition, then, otherwise = given
        if [self.nodes[x][:3] for x in (then, otherwise)] == [("const", 1, (1,)), ("const", 1, (0,))]:
            return condition, sort
        return self._node("ite", sort, (), given)


def _width(x: Typed) -> int:
    if not isinstance(x[1], int):
        raise Rejected(f"a bit-vector is expected, not {x[1]}")
    return x[1]
