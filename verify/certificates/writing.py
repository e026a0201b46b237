"""Plain statements written: the roots of an obligation as SMT-LIB 2.6, the text by which it is known.

What must not hold together is asserted.  Variables, functions and steps are numbered in order of first use, so that
equal texts are equal up to renaming.  A memory is an array of bytes; accesses of more than 64 bytes are any functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from verify.certificates.statement import LOGIC, MEMORY_SORT, WHOLE, access
from verify.terms import Array, Opaque, Sort, Term, postorder

DIGEST: Final = 32  # hex digits of SHA-256
_BINARY: Final = {
    "mul": "bvmul", "and": "bvand", "or": "bvor", "xor": "bvxor", "shl": "bvshl", "lshr": "bvlshr", "ashr": "bvashr",
    "udiv": "bvudiv", "urem": "bvurem", "sdiv": "bvsdiv", "srem": "bvsrem", "concat": "concat", "select": "select",
    "store": "store", "not": "bvnot",
}  # fmt: skip
_TRUTH: Final = {"eq": "=", "ult": "bvult", "slt": "bvslt"}


Signature = tuple[str, tuple[Sort, ...]]  # a function's own name, sorts of its arguments


@dataclass(frozen=True, slots=True)
class Written:
    """A statement's text and what its symbols stand for."""

    text: str
    variables: Mapping[str, str]  # own name -> v0
    functions: Mapping[Signature, str]  # -> f0

    @property
    def digest(self) -> str:
        """The digest by which the text is known."""
        return digest_of(self.text)


def digest_of(text: str) -> str:
    """SHA-256 of a text, as many hex digits as ledgers have."""
    return sha256(text.encode()).hexdigest()[:DIGEST]


def function_of(t: Term) -> Signature | None:
    """The function that a term applies; None for an operation that has a meaning in a statement."""
    sorts = tuple(a.sort for a in t.args)
    if t.op == "uf":
        return str(t.params[0]), sorts
    size = int(t.params[0]) if t.op == "load" else t.args[2].width // 8 if t.op == "write" else 0
    return (f"{t.op}{size}", sorts) if size > WHOLE else None


def written(roots: Sequence[Term]) -> Written:
    """The statement that the one-bit roots cannot all be 1."""
    writer = _Writer()
    for t in postorder(roots):
        writer.add(t)
    asserted = [n if (n := writer.name[r])[0] == "n" else writer.define(1, f"(bvand {n} {n})") for r in roots]
    lines = [LOGIC, *([MEMORY_SORT] if writer.has_memory else []), *map(access, sorted(writer.accesses))]
    lines += [*writer.declared, *writer.defined, *(f"(assert (= {n} #b1))" for n in asserted), "(check-sat)"]
    return Written("\n".join(lines) + "\n", writer.variables, writer.functions)


@dataclass(slots=True)
class _Writer:
    name: dict[Term, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    functions: dict[Signature, str] = field(default_factory=dict)
    has_memory: bool = False
    accesses: set[str] = field(default_factory=set)
    declared: list[str] = field(default_factory=list)
    defined: list[str] = field(default_factory=list)

    def define(self, sort: Sort, body: str) -> str:
        """The name of a new step."""
        name = f"n{len(self.defined)}"
        self.defined.append(f"(define-fun {name} () {self._sort(sort)} {body})")
        return name

    def add(self, t: Term) -> None:
        """Declares or defines the term; its arguments have been added."""
        if t.op == "const":
            self.name[t] = constant(int(t.params[0]), t.width)
        elif t.op == "var":
            self.name[t] = self.variables[str(t.params[0])] = self._declared(f"v{len(self.variables)}", (), t.sort)
        elif function_of(t) is not None:
            self.name[t] = self._applied(t)
        else:
            self.name[t] = self.define(t.sort, self._body(t, [self.name[a] for a in t.args]))

    def _sort(self, sort: Sort) -> str:
        if isinstance(sort, Opaque):
            self.has_memory = True
            return "Memory"
        if isinstance(sort, Array):
            return f"(Array (_ BitVec {sort.index_bits}) (_ BitVec {sort.value_bits}))"
        return f"(_ BitVec {sort})"

    def _declared(self, symbol: str, sorts: tuple[Sort, ...], sort: Sort) -> str:
        given = " ".join(map(self._sort, sorts))
        self.declared.append(f"(declare-fun {symbol} ({given}) {self._sort(sort)})")
        return symbol

    def _applied(self, t: Term) -> str:
        signature = function_of(t)
        assert signature is not None
        if signature not in self.functions:
            self.functions[signature] = self._declared(f"f{len(self.functions)}", signature[1], t.sort)
        symbol = self.functions[signature]
        return self.define(t.sort, f"({symbol} {' '.join(self.name[a] for a in t.args)})") if t.args else symbol

    def _body(self, t: Term, a: list[str]) -> str:
        op, p = t.op, t.params
        if op in _BINARY:
            return f"({_BINARY[op]} {' '.join(a)})"
        if op in _TRUTH:
            return f"(ite ({_TRUTH[op]} {' '.join(a)}) #b1 #b0)"
        match op:
            case "sum":
                return self._sum(t.width, [int(x) for x in p], a)
            case "extract":
                return f"((_ extract {p[0]} {p[1]}) {a[0]})"
            case "zext" | "sext":
                kind = "zero_extend" if op == "zext" else "sign_extend"
                return f"((_ {kind} {t.width - t.args[0].width}) {a[0]})"
            case "ite":
                return f"(ite (= {a[0]} #b1) {a[1]} {a[2]})"
            case "load" | "write":
                name = f"{op}{p[0] if op == 'load' else t.args[2].width // 8}"
                self.accesses.add(name)
                return f"({name} {' '.join(a)})"
        raise ValueError(f"no SMT-LIB text for operation {op}")

    def _sum(self, width: int, numbers: list[int], a: list[str]) -> str:
        """The last step of a sum: constant, then a coefficient a term."""
        terms = [constant(numbers[0], width)] if numbers[0] else []
        signs = ["bvadd"] * len(terms)
        for c, x in zip(numbers[1:], a, strict=True):
            is_minus = c == (1 << width) - 1 and width > 1
            plain = c == 1 or is_minus
            terms.append(x if plain else self.define(width, f"(bvmul {constant(c, width)} {x})"))
            signs.append("bvsub" if is_minus else "bvadd")
        if len(terms) == 1:
            return f"(bvneg {terms[0]})" if signs == ["bvsub"] else f"(bvadd {terms[0]} {constant(0, width)})"
        first = terms[0] if signs[0] == "bvadd" else self.define(width, f"(bvneg {terms[0]})")
        for sign, x in zip(signs[1:-1], terms[1:-1], strict=True):
            first = self.define(width, f"({sign} {first} {x})")
        return f"({signs[-1]} {first} {terms[-1]})"


def constant(value: int, width: int) -> str:
    """The constant as SMT-LIB writes it: hexadecimal where the width allows it."""
    return f"#x{value:0{width // 4}x}" if width % 4 == 0 else f"#b{value:0{width}b}"
