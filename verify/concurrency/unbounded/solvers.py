"""Z3 for proofs about any number: the only module of this package that makes solvers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import z3

Expr = Any
SEED = 1


def solver(milliseconds: int = 10_000) -> z3.Solver:
    """A solver for quantifier-free conditions, bounded in time a query."""
    made = z3.SimpleSolver()
    made.set("timeout", milliseconds)
    made.set("random_seed", SEED)
    return made


def horn(milliseconds: int = 10_000) -> z3.Fixedpoint:
    """Spacer, for Horn clauses over integers."""
    made = z3.Fixedpoint()
    made.set(engine="spacer", timeout=milliseconds)
    made.set("spacer.random_seed", SEED)
    return made


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
