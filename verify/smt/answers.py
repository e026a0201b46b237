"""A solver's model as a state that evaluation follows: what it says of uninterpreted functions is put into a witness.

A function's value is kept by its arguments as evaluation finds them, one node after the other, so that evaluation and
the solver agree as long as they read memory alike.  Memories that functions give stay what evaluation makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from verify.claim.verdicts import Witness
from verify.models.x86.environment import Environment, answer_key
from verify.models.x86.machine import NO_FAULT, PF
from verify.smt.canonical import Canonical
from verify.smt.z3terms import CounterModel
from verify.terms.evaluation import Value, stepwise


class Following:
    """Answers what a model answers, function after function in the order of a program's nodes, and keeps it."""

    def __init__(self, values: Iterator[Any], seed: int) -> None:
        self.values, self.answers = values, dict[str, Any]()
        self.faults: dict[tuple[int, int, int], int] = {}
        self.environment = Environment(self.faults, seed, self.answers)

    def function(self, name: str, sort: Any, args: tuple[Value, ...]) -> Value:
        """The model's value; an earlier one where evaluation asked the same before."""
        value = next(self.values)
        if name == "access_fault":
            self.faults.setdefault((args[0], args[1], args[2]), PF if value != NO_FAULT else NO_FAULT)
        elif value is not None:
            self.answers.setdefault(answer_key(name, sort, args), value)
        return self.environment.function(name, sort, args)


def answered(text: Canonical, model: CounterModel, state: Witness, env: dict[str, Any]) -> Witness:
    """The state with the model's answers; `env`: the values of the query's canonical variables in it."""
    functions = (t for t in text.node_terms() if t.op == "uf")
    following = Following((model.functions.get(t) for t in functions), state.seed)
    stepwise(text.program)(env, following)
    faults = tuple((*key, vector) for key, vector in following.faults.items())
    return replace(state, faults=faults, answers=tuple(following.answers.items()))
