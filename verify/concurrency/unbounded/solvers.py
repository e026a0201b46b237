"""Z3 for proofs about any number: the only module of this package that makes solvers.

Every question is bounded by the solver's own resource units, which count its operations: the same question in a fresh
context takes the same units on every machine. Each method has contexts of its own, since terms made before change what
a solver does first.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import z3

Expr = Any
SEED = 1
EARLY = 100  # milliseconds by which an interruption comes before the end of a user's time


@dataclass(frozen=True, slots=True)
class SolverAnswer:
    """sat, unsat or unknown, and the resource units that it took."""

    status: z3.CheckSatResult
    units: int

    @property
    def unsat(self) -> bool:
        """Whether there is no model; false where the solver gave up."""
        return bool(self.status == z3.unsat)


class Constants:
    """Sorts, values and constants of one context, in which nothing else is made."""

    def __init__(self) -> None:
        self.context = z3.Context()
        self.integers, self.truths = z3.IntSort(self.context), z3.BoolSort(self.context)

    def number(self, value: int) -> Expr:
        """The integer."""
        return z3.IntVal(value, self.context)

    def boolean(self, value: bool) -> Expr:
        """True or false."""
        return z3.BoolVal(value, self.context)

    def integer(self, name: str) -> Expr:
        """An integer that may have any value."""
        return z3.Int(name, self.context)

    def truth(self, name: str) -> Expr:
        """A truth value that may be either."""
        return z3.Bool(name, self.context)


def solver(made_in: z3.Context) -> z3.Solver:
    """A solver for quantifier-free conditions."""
    made = z3.SimpleSolver(made_in)
    made.set("random_seed", SEED)
    return made


def horn(made_in: z3.Context) -> z3.Fixedpoint:
    """Spacer, for Horn clauses over integers."""
    made = z3.Fixedpoint(ctx=made_in)
    made.set(engine="spacer")
    made.set("spacer.random_seed", SEED)
    return made


def asked(made: Any, assumed: Any, units: int, milliseconds: int | None = None) -> SolverAnswer:
    """The answer of a solver under a sequence of assumptions, or of Spacer to a goal, within so many resource units (at
    least 1), and a user's time. Raises KeyboardInterrupt where Ctrl-C ended it: Z3 takes the signal."""
    began, before = time.perf_counter(), _taken(made)
    made.set(rlimit=max(1, units), **({} if milliseconds is None else {"timeout": max(1, milliseconds)}))
    status, reason = _queried(made, assumed) if isinstance(made, z3.Fixedpoint) else _checked(made, assumed)
    taken = _taken(made) - before
    late = milliseconds is not None and (time.perf_counter() - began) * 1000 >= milliseconds - EARLY
    if status == z3.unknown and "canceled" in reason and taken <= units and not late:
        raise KeyboardInterrupt  # Z3 calls a signal, and what is used up, "canceled"
    return SolverAnswer(status, taken)


def _checked(made: z3.Solver, assumed: Sequence[Expr]) -> tuple[z3.CheckSatResult, str]:
    status = z3.CheckSatResult(
        z3.Z3_solver_check_assumptions(made.ctx.ref(), made.solver, len(assumed), _array(assumed))
    )
    return status, made.reason_unknown() if status == z3.unknown else ""


def _queried(made: z3.Fixedpoint, goal: Expr) -> tuple[z3.CheckSatResult, str]:
    try:
        return made.query(goal), ""
    except z3.Z3Exception as reason:
        return z3.unknown, str(reason)


def _taken(made: Any) -> int:
    """The resource units that the context of a solver has taken since it was made."""
    return int(z3.SimpleSolver(ctx=made.ctx).statistics().get_key_value("rlimit count"))


def memory() -> int:
    """Bytes that Z3 has allocated in this process."""
    return int(z3.Z3_get_estimated_alloc_size())


def _array(terms: Sequence[Expr]) -> Any:
    return (z3.Ast * len(terms))(*(term.as_ast() for term in terms))


def junction(op: str, terms: Sequence[Expr]) -> Expr:
    """The conjunction ("and") or disjunction ("or") of one truth value or more; z3.And and z3.Or look at every sort."""
    if len(terms) == 1:
        return terms[0]
    context = terms[0].ctx
    make = z3.Z3_mk_and if op == "and" else z3.Z3_mk_or
    return z3.BoolRef(make(context.ref(), len(terms), _array(terms)), context)


def implication(premise: Expr, claim: Expr) -> Expr:
    """premise implies claim."""
    context = claim.ctx
    return z3.BoolRef(z3.Z3_mk_implies(context.ref(), premise.as_ast(), claim.as_ast()), context)


def negation(term: Expr) -> Expr:
    """Not `term`."""
    context = term.ctx
    return z3.BoolRef(z3.Z3_mk_not(context.ref(), term.as_ast()), context)


def equality(left: Expr, right: Expr) -> Expr:
    """left == right, of one sort."""
    context = left.ctx
    return z3.BoolRef(z3.Z3_mk_eq(context.ref(), left.as_ast(), right.as_ast()), context)


def holds(units: int, text: str) -> str:
    """The answer to a problem in SMT-LIB 2: "sat", "unsat" or "unknown"."""
    made = z3.SimpleSolver(ctx=z3.Context())  # no tactic, since some are bounded in time
    made.set("rlimit", units)
    made.from_string(text)
    return str(made.check())


def second(units: int, text: str) -> str:
    """The answer of cvc5 to a problem in SMT-LIB 2."""
    import cvc5  # noqa: PLC0415 - an optional second opinion

    made = cvc5.Solver(cvc5.TermManager())
    made.setOption("rlimit-per", str(units))
    made.setOption("enum-inst", "true")
    parser = cvc5.InputParser(made)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "condition")
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(made, parser.getSymbolManager())
    return answer.strip()


@dataclass(frozen=True, slots=True)
class Answering:
    """A solver of SMT-LIB 2 texts; `units` of its resources are three times what any stored condition takes."""

    module: str
    answer: Callable[[int, str], str]
    units: int

    def available(self) -> bool:
        """Whether it is installed."""
        return importlib.util.find_spec(self.module) is not None


SOLVERS: Final[Mapping[str, Answering]] = {
    "z3": Answering("z3", holds, 400_000),
    "cvc5": Answering("cvc5", second, 200_000),
}


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
        case "//":  # by a positive divisor: rounded down
            return args[0] / args[1]
        case "%":
            return args[0] % args[1]
    return z3.If(*args)
