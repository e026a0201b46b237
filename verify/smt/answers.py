"""A solver's model as a state that evaluation follows: what it says of functions and of memory is put into a witness.

Node after node of the query is evaluated; a function's value is kept by its arguments as evaluation finds them, and
what is read of a memory by the address that evaluation finds, so that both agree wherever no rule of evaluation (a
page that no program has, a byte that was written before) says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

from verify.claim.verdicts import Witness
from verify.models.x86.environment import Environment, answer_key
from verify.models.x86.machine import NO_FAULT, PF
from verify.models.x86.mode import ACCESS_FAULTS
from verify.smt.canonical import Canonical
from verify.smt.z3terms import CounterModel
from verify.terms import Opaque, Sort, Term
from verify.terms.evaluation import Memory, Node, Value, number, operation

MASK: Final = (1 << 64) - 1


def answered(text: Canonical, model: CounterModel, state: Witness, env: Mapping[str, Value]) -> Witness:
    """The state with the model's answers; `env`: the values of the query's canonical variables in it."""
    said = _Answers(model, env, Environment({}, state.seed))
    values: list[Value] = []
    for node, term in zip(text.program.nodes, text.node_terms(), strict=True):
        args = tuple(values[i] for i in node.args)
        values.append(said.value(node, term, args, text.program.sorts(node)))
    faults = tuple((*key, vector) for key, vector in said.faults.items())
    memory = tuple((address, 1, byte) for address, byte in said.memory.items())
    contents = ((key, tuple(n for pair in m.written.items() for n in pair)) for key, m in said.memories.items())
    return replace(state, faults=faults, memory=memory, answers=(*said.answers.items(), *contents))


def _memory(value: Value) -> Memory:
    assert isinstance(value, Memory)
    return value


@dataclass(slots=True)
class _Answers:
    """What the model has said so far."""

    model: CounterModel
    env: Mapping[str, Value]
    rules: Environment
    faults: dict[tuple[int, int, int], int] = field(default_factory=dict)
    answers: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)  # bytes of the memory before
    memories: dict[str, Memory] = field(default_factory=dict)  # that functions give

    def value(self, node: Node, term: Term, args: tuple[Value, ...], sorts: tuple[Sort, ...]) -> Value:
        """The value of one node; what the model says of it is kept where nothing was said before."""
        match node.op:
            case "const":
                return int(node.params[0])
            case "var":
                given = self.env[str(node.params[0])]
                return Memory(given.seed, self.memory) if isinstance(given, Memory) else given
            case "uf":
                return self._answer(str(node.params[0]), term, args)
            case "load":
                self._read(_memory(args[0]), number(args[1]), cast(int, node.params[0]), self.model.answers[term])
        return operation(node.op, node.params, node.sort, sorts)(*args)

    def _answer(self, name: str, term: Term, args: tuple[Value, ...]) -> Value:
        if name in ACCESS_FAULTS:
            vector = PF if self.model.answers[term] != NO_FAULT else NO_FAULT
            self.faults.setdefault((number(args[0]), number(args[1]), number(args[2])), vector)
            return Environment(self.faults, self.rules.seed).function(name, term.sort, args)
        key = answer_key(name, term.sort, args)
        if isinstance(term.sort, Opaque):
            fresh = _memory(self.rules.function(name, term.sort, args))
            return self.memories.setdefault(key, Memory(fresh.seed, {}))
        return self.answers.setdefault(key, self.model.answers[term])

    def _read(self, memory: Memory, address: int, size: int, value: int) -> None:
        """Puts what the model reads into a memory of which nothing is known there; one that was written stays."""
        own = [self.memory, *(m.written for m in self.memories.values())]
        known = next((w for w in own if w is memory.written), None)
        for k in range(size) if known is not None else ():
            known.setdefault(address + k & MASK, value >> 8 * k & 0xFF)  # type: ignore[union-attr]
