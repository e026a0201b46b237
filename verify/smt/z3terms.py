"""Terms translated to Z3, and the only place where solvers are made.

Hazards kept here: Python's `<` and `>>` on Z3 bit-vectors are signed (ULT and LShR are used), a Z3 `==` in a truth test
is syntactic, an oversized integer is silently cut (terms are valid when built).  One-bit terms stay bit-vectors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import z3

from verify.claim.verdicts import SEED
from verify.models.x86.environment import DATAPATH, UNMAPPED_CODE
from verify.models.x86.mode import ACCESS_FAULTS
from verify.terms import Array, Opaque, Sort, Term, postorder

sys.set_int_max_str_digits(0)  # Z3 passes numbers as decimals, and a state-save area has 65,536 bits
RESOURCE_LIMIT: Final = 3_000_000  # Z3 resource units a query: deterministic, unlike a time limit


def z3_sort(sort: Sort) -> Any:
    """The Z3 sort: bit-vector, array of bit-vectors, or uninterpreted."""
    if isinstance(sort, Opaque):
        return z3.DeclareSort(sort.name)
    if isinstance(sort, Array):
        return z3.ArraySort(z3.BitVecSort(sort.index_bits), z3.BitVecSort(sort.value_bits))
    return z3.BitVecSort(sort)


def _truth(condition: Any) -> Any:
    return z3.If(condition, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))


_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "lshr": z3.LShR,
    "ashr": lambda a, b: a >> b,
    "udiv": z3.UDiv,
    "urem": z3.URem,
    "sdiv": lambda a, b: a / b,
    "srem": z3.SRem,
    "concat": z3.Concat,
    "eq": lambda a, b: _truth(a == b),
    "ult": lambda a, b: _truth(z3.ULT(a, b)),
    "slt": lambda a, b: _truth(a < b),
    "select": z3.Select,
}


def _function(name: str, args: Sequence[Term], sort: Sort) -> Any:
    signature = "_".join(str(a.sort if isinstance(a.sort, int) else a.sort.name) for a in args)
    return z3.Function(f"{name}/{signature}", *(z3_sort(a.sort) for a in args), z3_sort(sort))


def _applied(name: str, t: Term, args: Sequence[Any]) -> Any:
    if not args:
        return z3.Const(name, z3_sort(t.sort))
    return _function(name, t.args, t.sort)(*args)


def _translated(t: Term, a: Sequence[Any]) -> Any:
    op, p = t.op, t.params
    if op in _BINARY:
        return _BINARY[op](*a)
    if op == "const":
        return z3.BitVecVal(p[0], t.width)
    if op == "var":
        return z3.Const(str(p[0]), z3_sort(t.sort))
    if op == "sum":
        total = z3.BitVecVal(p[0], t.width)
        for x, c in zip(a, p[1:], strict=True):
            total = total + (x if c == 1 else x * z3.BitVecVal(c, t.width))
        return total
    if op == "not":
        return ~a[0]
    if op == "extract":
        return z3.Extract(p[0], p[1], a[0])
    if op == "zext":
        return z3.ZeroExt(t.width - t.args[0].width, a[0])
    if op == "sext":
        return z3.SignExt(t.width - t.args[0].width, a[0])
    if op == "ite":
        return z3.If(a[0] == 1, a[1], a[2])
    if op == "store":
        return z3.Store(*a)
    if op == "load":
        return _applied(f"load{p[0]}", t, a)
    if op == "write":
        return _applied("write", t, a)
    if op == "uf":
        return _applied(str(p[0]), t, a)
    raise ValueError(f"no translation of operation {op}")


def translated(root: Term, done: dict[Term, Any]) -> Any:
    """The Z3 expression of a term; `done` is filled and reused."""
    for t in postorder([root]):
        if t not in done:
            done[t] = _translated(t, [done[x] for x in t.args])
    return done[root]


@dataclass(frozen=True, slots=True)
class CounterModel:
    """A satisfying assignment: free variables and page faults, as integers and tuples of integers."""

    values: dict[str, Any]
    faults: tuple[tuple[int, int, int, int], ...]  # address, size, write, vector
    loads: tuple[tuple[int, int, int], ...]  # address, size, value
    answers: dict[Term, Any]  # values of uninterpreted functions, but for those that give memories, and of loads


@dataclass(frozen=True, slots=True)
class Answer:
    """sat with a model, unsat, or unknown with the solver's reason."""

    status: str
    model: CounterModel | None = None
    reason: str = ""


def satisfiable(conditions: Iterable[Term], limit: int = RESOURCE_LIMIT) -> Answer:
    """Whether all one-bit terms can be 1 at once; the answer depends on them alone, not on what was asked before."""
    conditions, done = tuple(conditions), dict[Term, Any]()
    solver = _asserted(conditions, done, limit)
    status = solver.check()
    if status == z3.unsat:
        return Answer("unsat")
    if status == z3.unknown:
        return Answer("unknown", reason=solver.reason_unknown())
    return Answer("sat", _model(solver.model().translate(z3.main_ctx()), conditions, done))


def unsatisfiable(conditions: Iterable[Term], limit: int = RESOURCE_LIMIT) -> bool:
    """Whether `satisfiable` says unsat; no state is made where it does not."""
    return bool(_asserted(conditions, {}, limit).check() == z3.unsat)


def _asserted(conditions: Iterable[Term], done: dict[Term, Any], limit: int) -> Any:
    context = z3.Context()  # of its own: Z3 orders terms by what its context has seen
    solver = z3.Solver(ctx=context)
    solver.set("random_seed", SEED)
    solver.set("rlimit", limit)
    for c in conditions:
        solver.add((translated(c, done) == 1).translate(context))
    return solver


def _model(model: Any, roots: Sequence[Term], done: dict[Term, Any]) -> CounterModel:
    values: dict[str, Any] = {}
    faults: list[tuple[int, int, int, int]] = []
    loads: list[tuple[int, int, int]] = []
    answers: dict[Term, Any] = {}

    def number(t: Term) -> int:
        return int(model.eval(done[t], model_completion=True).as_long())

    for t in postorder(roots):
        if t.op == "var" and not isinstance(t.sort, Opaque):
            values[str(t.params[0])] = _value(model, t.sort, done[t])
        if t.op in {"uf", "load"} and not isinstance(t.sort, Opaque):
            answers[t] = _value(model, t.sort, done[t])
        if t.op == "uf" and t.params[0] in ACCESS_FAULTS:
            address, size, write = (number(a) for a in t.args[:3])
            faults.append((address, size, write, number(t)))
        elif t.op == "uf" and (key := _fault_key(str(t.params[0]))) is not None:
            faults.append((*key, number(t)))
        elif t.op == "load" and t.args[0].op == "var":
            loads.append((number(t.args[1]), int(t.params[0]), number(t)))
    return CounterModel(values, tuple(faults), tuple(loads), answers)


def _fault_key(name: str) -> tuple[int, int, int] | None:
    """By what evaluation knows a fault that is not of a data access."""
    if name == "fetch_fault":
        return UNMAPPED_CODE
    return DATAPATH if name.endswith(".datapath_fault") else None


def _value(model: Any, sort: Sort, expression: Any) -> Any:
    if isinstance(sort, int):
        return model.eval(expression, model_completion=True).as_long()
    assert isinstance(sort, Array)
    cells = (z3.Select(expression, z3.BitVecVal(i, sort.index_bits)) for i in range(1 << sort.index_bits))
    return tuple(model.eval(c, model_completion=True).as_long() for c in cells)
