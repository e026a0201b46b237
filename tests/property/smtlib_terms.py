"""Terms as SMT-LIB text, and three solvers that read it.  Shares no code with `verify.smt`.

A memory is an array of bytes by 64-bit address: a load is a concatenation of selects, a write a chain of stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from verify.terms import Array, Opaque, Sort, Term, postorder

BINARY = {
    "mul": "bvmul", "and": "bvand", "or": "bvor", "xor": "bvxor", "shl": "bvshl", "lshr": "bvlshr", "ashr": "bvashr",
    "udiv": "bvudiv", "urem": "bvurem", "sdiv": "bvsdiv", "srem": "bvsrem", "concat": "concat", "not": "bvnot",
    "select": "select", "store": "store",
}  # fmt: skip
TRUTHS = {"eq": "=", "ult": "bvult", "slt": "bvslt"}


def sort_text(sort: Sort) -> str:
    if isinstance(sort, Opaque):
        return "(Array (_ BitVec 64) (_ BitVec 8))"
    if isinstance(sort, Array):
        return f"(Array (_ BitVec {sort.index_bits}) (_ BitVec {sort.value_bits}))"
    return f"(_ BitVec {sort})"


def number(value: int, width: int) -> str:
    return f"#x{value:0{width // 4}x}" if width % 4 == 0 else f"#b{value:0{width}b}"


def expression(t: Term, a: list[str]) -> str:
    """One operation on the names of its arguments."""
    p = t.params
    if t.op in BINARY:
        return f"({BINARY[t.op]} {' '.join(a)})"
    if t.op in TRUTHS:
        return f"(ite ({TRUTHS[t.op]} {a[0]} {a[1]}) #b1 #b0)"
    match t.op:
        case "const":
            return number(p[0], t.width)
        case "sum":
            products = [f"(bvmul {number(c, t.width)} {x})" for c, x in zip(p[1:], a, strict=True)]
            return f"(bvadd {number(p[0], t.width)} {' '.join(products)})"
        case "extract":
            return f"((_ extract {p[0]} {p[1]}) {a[0]})"
        case "zext" | "sext":
            extend = "zero_extend" if t.op == "zext" else "sign_extend"
            return f"((_ {extend} {t.width - t.args[0].width}) {a[0]})"
        case "ite":
            return f"(ite (= {a[0]} #b1) {a[1]} {a[2]})"
        case "load":
            cells = [f"(select {a[0]} (bvadd {a[1]} {number(i, 64)}))" for i in reversed(range(p[0]))]
            return cells[0] if len(cells) == 1 else f"(concat {' '.join(cells)})"
        case "write":
            memory = a[0]
            for i in range(t.args[2].width // 8):
                byte = f"((_ extract {8 * i + 7} {8 * i}) {a[2]})"
                memory = f"(store {memory} (bvadd {a[1]} {number(i, 64)}) {byte})"
            return memory
        case "uf":
            return f"(|{signature(t)}| {' '.join(a)})" if a else f"|{signature(t)}|"
    raise AssertionError(t.op)


def signature(t: Term) -> str:
    return f"{t.params[0]}/{'/'.join(sort_text(x.sort) for x in t.args)}"


def literal(value: Any, sort: Sort) -> str:
    """A number, a register file as a tuple of numbers, or a memory as a dictionary of bytes, 0 elsewhere."""
    if isinstance(sort, int):
        return number(value, sort)
    index, cell = (64, 8) if isinstance(sort, Opaque) else (sort.index_bits, sort.value_bits)
    found = f"((as const {sort_text(sort)}) {number(0, cell)})"
    for i, x in value.items() if isinstance(value, dict) else enumerate(value):
        found = f"(store {found} {number(i, index)} {number(x, cell)})"
    return found


def script(conditions: Iterable[Term], fixed: Mapping[str, Any] = MappingProxyType({})) -> str:
    """SMT-LIB text that asks whether all one-bit conditions can be 1 at once; variables may have fixed values."""
    conditions = tuple(conditions)
    names: dict[Term, str] = {}
    lines = ["(set-logic ALL)"]
    declared: set[str] = set()
    for t in postorder(conditions):
        if t.op == "var":
            names[t] = f"|{t.params[0]}|"
            if t.params[0] in fixed:
                lines.append(f"(define-fun {names[t]} () {sort_text(t.sort)} {literal(fixed[t.params[0]], t.sort)})")
                continue
            lines.append(f"(declare-const {names[t]} {sort_text(t.sort)})")
            continue
        if t.op == "uf" and signature(t) not in declared:
            declared.add(signature(t))
            given = " ".join(sort_text(x.sort) for x in t.args)
            lines.append(f"(declare-fun |{signature(t)}| ({given}) {sort_text(t.sort)})")
        names[t] = f"node!{len(names)}"
        lines.append(f"(define-fun {names[t]} () {sort_text(t.sort)} {expression(t, [names[x] for x in t.args])})")
    lines += [f"(assert (= {names[c]} #b1))" for c in conditions]
    return "\n".join([*lines, "(check-sat)"])


def z3_answer(text: str, limit: int = 0) -> str:
    """sat, unsat or unknown; `limit` is Z3's own unit of work, 0 for none."""
    import z3

    solver = z3.Solver()
    if limit:
        solver.set("rlimit", limit)
    solver.from_string(text.removesuffix("(check-sat)"))
    return str(solver.check())


def cvc5_answer(text: str, limit: int = 0) -> str:
    cvc5 = pytest.importorskip("cvc5", reason="cvc5 is not installed")
    solver = cvc5.Solver()
    solver.setOption("arrays-exp", "true")  # constant arrays
    if limit:
        solver.setOption("rlimit", str(limit // 100))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text.removesuffix("(check-sat)"), "terms")
    while not (command := parser.nextCommand()).isNull():
        command.invoke(solver, parser.getSymbolManager())
    found = solver.checkSat()
    return "sat" if found.isSat() else "unsat" if found.isUnsat() else "unknown"


def bitwuzla_answer(text: str, limit: int = 0) -> str:
    bitwuzla = pytest.importorskip("bitwuzla", reason="bitwuzla is not installed")
    calls = 0

    def tired() -> bool:
        nonlocal calls
        calls += 1
        return bool(limit) and calls > limit

    parser = bitwuzla.Parser(bitwuzla.TermManager(), bitwuzla.Options())
    parser.configure_terminator(tired)
    parser.parse(text.removesuffix("(check-sat)"), True, False)
    found = parser.bitwuzla().check_sat()
    return {"SAT": "sat", "UNSAT": "unsat"}.get(str(found).rpartition(".")[2].upper(), "unknown")


SOLVERS: dict[str, Callable[..., str]] = {"z3": z3_answer, "cvc5": cvc5_answer, "bitwuzla": bitwuzla_answer}
