"""Z3 for proofs about any number: the only module of this package that makes solvers."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import z3

Expr = Any
SEED = 1
MILLISECONDS = 10_000  # of a query
EARLY = 100  # milliseconds by which an interruption comes before the end of the time


def solver(milliseconds: int = MILLISECONDS) -> z3.Solver:
    """A solver for quantifier-free conditions, bounded in time a query."""
    made = z3.SimpleSolver()
    made.set("timeout", milliseconds)
    made.set("random_seed", SEED)
    return made


def horn(milliseconds: int = MILLISECONDS) -> z3.Fixedpoint:
    """Spacer, for Horn clauses over integers."""
    made = z3.Fixedpoint()
    made.set(engine="spacer", timeout=milliseconds)
    made.set("spacer.random_seed", SEED)
    return made


def asked(made: z3.Solver, assumed: Sequence[Expr], milliseconds: int = MILLISECONDS) -> z3.CheckSatResult:
    """The answer of a solver under assumptions. Raises KeyboardInterrupt where Ctrl-C ended it: Z3 takes the signal."""
    began = time.perf_counter()
    answer = z3.CheckSatResult(
        z3.Z3_solver_check_assumptions(made.ctx.ref(), made.solver, len(assumed), _array(assumed))
    )
    if answer == z3.unknown:
        _interrupted(made.reason_unknown(), began, milliseconds)
    return answer


def queried(made: z3.Fixedpoint, goal: Expr, milliseconds: int) -> z3.CheckSatResult:
    """The answer of Spacer. Raises KeyboardInterrupt where Ctrl-C ended it."""
    began = time.perf_counter()
    made.set(timeout=milliseconds)
    try:
        return made.query(goal)
    except z3.Z3Exception as reason:
        _interrupted(str(reason), began, milliseconds)
        return z3.unknown


def _interrupted(reason: str, began: float, milliseconds: int) -> None:
    """Tells a signal from a time that is over: Z3 calls both "canceled"."""
    if "canceled" in reason and (time.perf_counter() - began) * 1000 < milliseconds - EARLY:
        raise KeyboardInterrupt


def memory() -> int:
    """Bytes that Z3 has allocated in this process."""
    return int(z3.Z3_get_estimated_alloc_size())


def _array(terms: Sequence[Expr]) -> Any:
    return (z3.Ast * len(terms))(*(term.as_ast() for term in terms))


def junction(op: str, terms: Sequence[Expr]) -> Expr:
    """The conjunction ("and") or disjunction ("or") of truth values; z3.And and z3.Or look at each one's sort."""
    context = z3.main_ctx()
    if len(terms) == 1:
        return terms[0]
    make = z3.Z3_mk_and if op == "and" else z3.Z3_mk_or
    return z3.BoolRef(make(context.ref(), len(terms), _array(terms)), context)


def implication(premise: Expr, claim: Expr) -> Expr:
    """premise implies claim."""
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_implies(context.ref(), premise.as_ast(), claim.as_ast()), context)


def negation(term: Expr) -> Expr:
    """Not `term`."""
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_not(context.ref(), term.as_ast()), context)


def equality(left: Expr, right: Expr) -> Expr:
    """left == right, of one sort."""
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_eq(context.ref(), left.as_ast(), right.as_ast()), context)


def holds(milliseconds: int, text: str) -> str:
    """The answer to a problem in SMT-LIB 2: "sat", "unsat" or "unknown"."""
    made = z3.Solver()
    made.set("timeout", milliseconds)
    made.from_string(text)
    return str(made.check())


def second(milliseconds: int, text: str) -> str:
    """The answer of cvc5 to a problem in SMT-LIB 2."""
    import cvc5  # noqa: PLC0415 - an optional second opinion

    made = cvc5.Solver(cvc5.TermManager())
    made.setOption("tlimit-per", str(milliseconds))
    made.setOption("enum-inst", "true")
    parser = cvc5.InputParser(made)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "condition")
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(made, parser.getSymbolManager())
    return answer.strip()


@dataclass(frozen=True, slots=True)
class Answering:
    """A solver of SMT-LIB 2 texts."""

    module: str
    answer: Callable[[int, str], str]

    def available(self) -> bool:
        """Whether it is installed."""
        return importlib.util.find_spec(self.module) is not None


SOLVERS: Final[Mapping[str, Answering]] = {"z3": Answering("z3", holds), "cvc5": Answering("cvc5", second)}


def operation(op: str, args: list[Expr]) -> Expr:
    """An operation of the protocol language on Z3 expressions."""
    match op:
        case "and":
            return junction("and", args)
        case "or":
            return junction("or", args)
        case "not":
            return negation(args[0])
        case "==":
            return equality(args[0], args[1])
        case "!=":
            return negation(equality(args[0], args[1]))
        case "<":
            return args[0] < args[1]
        case "<=":
            return args[0] <= args[1]
        case ">":
            return args[0] > args[1]
        case ">=":
            return args[0] >= args[1]
        case "+":
            return args[0] + args[1]
        case "-":
            return args[0] - args[1]
        case "*":
            return args[0] * args[1]
    return z3.If(*args)
