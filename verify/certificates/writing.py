"""Plain statements written: the roots of an obligation as SMT-LIB 2.6, the text by which it is known.

What must not hold together is asserted.  Variables, functions and steps are numbered in order of first use, so that
equal texts are equal up to renaming.  A memory is an array of bytes; accesses of more than 64 bytes are any functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from verify.certificates.statement import WHOLE, access
from verify.terms import Array, Opaque, Sort, Term, postorder

DIGEST: Final = 64  # hex digits of SHA-256: the whole
_BINARY: Final = {
    "mul": "bvmul", "and": "bvand", "or": "bvor", "xor": "bvxor", "shl": "bvshl", "lshr": "bvlshr", "ashr": "bvashr",
    "udiv": "bvudiv", "urem": "bvurem", "sdiv": "bvsdiv", "srem": "bvsrem", "concat": "concat", "select": "select",
    "store": "store", "not": "bvnot",
}  # fmt: skip
_MEMORY: Final = "(define-sort Memory () (Array (_ BitVec 64) (_ BitVec 8)))"
_TRUTH: Final = {"eq": "=", "ult": "bvult", "slt": "bvslt"}


@dataclass(frozen=True, slots=True)
class Written:
    """A statement's text and what its symbols stand for."""

    text: str
    symbols: dict[str, str]  # v0, f0 -> the variable's or function's own name

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return sha256(self.text.encode()).hexdigest()


def written(roots: Sequence[Term]) -> Written:
    """The statement that the one-bit roots cannot all be 1."""
    writer = _Writer()
    for t in postorder(roots):
        writer.add(t)
    lines = ["(set-logic QF_AUFBV)", *([_MEMORY] if writer.has_memory else []), *map(access, sorted(writer.accesses))]
    lines += [*writer.declared, *writer.defined, *(f"(assert (= {writer.name[r]} #b1))" for r in roots), "(check-sat)"]
    return Written("\n".join(lines) + "\n", writer.symbols)


@dataclass(slots=True)
class _Writer:
    name: dict[Term, str] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    functions: dict[tuple[str, tuple[Sort, ...]], str] = field(default_factory=dict)  # by own name and signature
    has_memory: bool = False
    accesses: set[str] = field(default_factory=set)
    declared: list[str] = field(default_factory=list)
    defined: list[str] = field(default_factory=list)

    def add(self, t: Term) -> None:
        if t.op == "const":
            self.name[t] = constant(int(t.params[0]), t.width)
        elif t.op == "var":
            self.name[t] = self._declared("v", str(t.params[0]), (), t.sort)
        elif t.op == "uf" and not t.args:
            self.name[t] = self._declared("f", str(t.params[0]), (), t.sort)
        else:
            self.name[t] = f"n{len(self.defined)}"
            body = self._body(t, [self.name[a] for a in t.args])
            self.defined.append(f"(define-fun {self.name[t]} () {self._sort(t.sort)} {body})")

    def _sort(self, sort: Sort) -> str:
        if isinstance(sort, Opaque):
            self.has_memory = True
            return sort.name
        if isinstance(sort, Array):
            return f"(Array (_ BitVec {sort.index_bits}) (_ BitVec {sort.value_bits}))"
        return f"(_ BitVec {sort})"

    def _declared(self, letter: str, own: str, sorts: tuple[Sort, ...], sort: Sort) -> str:
        symbol = f"{letter}{sum(s[0] == letter for s in self.symbols)}"
        self.symbols[symbol] = own
        given = " ".join(self._sort(s) for s in sorts)
        self.declared.append(f"(declare-fun {symbol} ({given}) {self._sort(sort)})")
        return symbol

    def _function(self, own: str, t: Term) -> str:
        sorts = tuple(a.sort for a in t.args)
        if (own, sorts) not in self.functions:
            self.functions[own, sorts] = self._declared("f", own, sorts, t.sort)
        return self.functions[own, sorts]

    def _access(self, name: str, size: int, t: Term) -> str:
        if size > WHOLE:
            return self._function(name, t)
        self.accesses.add(name)
        return name

    def _body(self, t: Term, a: list[str]) -> str:
        op, p = t.op, t.params
        if op in _BINARY:
            return f"({_BINARY[op]} {' '.join(a)})"
        if op in _TRUTH:
            return f"(ite ({_TRUTH[op]} {' '.join(a)}) #b1 #b0)"
        match op:
            case "sum":
                return _sum(t.width, [int(x) for x in p], a)
            case "extract":
                return f"((_ extract {p[0]} {p[1]}) {a[0]})"
            case "zext" | "sext":
                kind = "zero_extend" if op == "zext" else "sign_extend"
                return f"((_ {kind} {t.width - t.args[0].width}) {a[0]})"
            case "ite":
                return f"(ite (= {a[0]} #b1) {a[1]} {a[2]})"
            case "uf":
                return f"({self._function(str(p[0]), t)} {' '.join(a)})"
            case "load" | "write":
                size = int(p[0]) if op == "load" else t.args[2].width // 8
                return f"({self._access(f'{op}{size}', size, t)} {' '.join(a)})"
        raise ValueError(f"no SMT-LIB text for operation {op}")


def constant(value: int, width: int) -> str:
    """The constant as SMT-LIB writes it: hexadecimal where the width allows it."""
    return f"#x{value:0{width // 4}x}" if width % 4 == 0 else f"#b{value:0{width}b}"


def _sum(width: int, numbers: list[int], a: list[str]) -> str:
    """A sum: constant, then a coefficient a term."""
    minus = (1 << width) - 1
    text = constant(numbers[0], width) if numbers[0] else ""
    for c, x in zip(numbers[1:], a, strict=True):
        if c == minus and width > 1:
            text = f"(bvsub {text} {x})" if text else f"(bvneg {x})"
            continue
        term = x if c == 1 else f"(bvmul {constant(c, width)} {x})"
        text = f"(bvadd {text} {term})" if text else term
    return text or constant(0, width)
