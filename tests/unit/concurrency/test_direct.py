"""The generated engines agree with running each step's own Python function on plain objects.

This oracle shares nothing with the compiled path: no syntax tree, no dag, no packed state.
"""

from __future__ import annotations
import __future__

import ast
import dis
import importlib
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from sampling import sampled

from verify.concurrency.explicit import python_engine
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.domains import (
    Array,
    Bool,
    Bounded,
    Domain,
    Enum,
    Offset,
    Parameter,
    ThreadId,
    size,
    starts,
)
from verify.concurrency.language.protocol import Protocol, implies, threads
from verify.concurrency.protocols import _breakpoint, names, protocol
from verify.concurrency.results.exploration import Limits

LARGEST = 1_200
Frozen = tuple[Any, ...]


class Cells(list[Any]):
    """An array that notes writes."""

    def __init__(self, items: list[Any], touched: list[bool]) -> None:
        super().__init__(items)
        self.touched = touched

    def __setitem__(self, index: Any, value: Any) -> None:
        self.touched.append(True)
        super().__setitem__(index, value)

    def find(self, value: Any) -> int:
        return next((i for i, item in enumerate(self) if item == value), len(self))


class Record:
    """Shared variables, or one thread's; notes writes."""

    def __init__(self, touched: list[bool]) -> None:
        self.__dict__["touched"] = touched

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["touched"].append(True)
        self.__dict__[name] = value


class World:
    """One state as objects."""

    def __init__(self, chosen: Protocol, count: int, state: Frozen) -> None:
        self.touched: list[bool] = []
        self.shared = Record(self.touched)
        self.threads = [Record(self.touched) for _ in range(count)]
        records = [*((thread, chosen.local) for thread in self.threads), (self.shared, chosen.shared)]
        for (record, variables), values in zip(records, state, strict=True):
            for (name, _), value in zip(variables, values, strict=True):
                record.__dict__[name] = self.thawed(value)

    def thawed(self, value: Any) -> Any:
        if isinstance(value, list | tuple) and value and value[0] == "array":
            return Cells([self.thawed(item) for item in value[1:]], self.touched)
        if isinstance(value, tuple) and value and value[0] == "thread":
            return self.threads[value[1]]
        return value

    def frozen(self, chosen: Protocol) -> Frozen:
        records = [*((thread, chosen.local) for thread in self.threads), (self.shared, chosen.shared)]
        return tuple(tuple(self.solid(r.__dict__[name]) for name, _ in variables) for r, variables in records)

    def solid(self, value: Any) -> Any:
        if isinstance(value, Cells):
            return ("array", *(self.solid(item) for item in value))
        return ("thread", self.threads.index(value)) if isinstance(value, Record) else value


@cache
def globals_of(code: types.CodeType) -> frozenset[str]:
    """The names that a function and its inner generators load from its module."""
    named = {str(item.argval) for item in dis.get_instructions(code) if item.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (globals_of(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(named.union(*inner))


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The step, noting that its guard holds even where its effect writes nothing: that is a transition too."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    mark = ast.parse(f"{definition.args.args[0].arg}.touched.append(True)").body[0]
    for statement in definition.body:
        if isinstance(statement, ast.If):
            statement.body.insert(0, mark)
    scope: dict[str, Any] = {"Shared": Any, "Thread": Any}
    exec(compile(ast.fix_missing_locations(tree), "<step>", "exec", flags=__future__.annotations.compiler_flag), scope)
    return types.FunctionType(scope[definition.name].__code__, function.__globals__)


def bound(function: Callable[..., Any], values: dict[str, int | bool], everyone: list[Record]) -> Callable[..., Any]:
    """The function with parameters, `threads` and helpers of the language replaced by their meaning."""
    names_ = globals_of(function.__code__)
    scope: dict[str, Any] = {"__builtins__": __builtins__}
    for name in names_ & set(function.__globals__):
        value = function.__globals__[name]
        if isinstance(value, Parameter | Offset):
            value = values[value.name] if isinstance(value, Parameter) else value.at(values)
        elif value is threads:
            value = everyone
        elif value is implies:
            value = lambda premise, claim: not premise or claim  # noqa: E731
        elif isinstance(value, types.FunctionType):
            value = bound(value, values, everyone)
        scope[name] = value
    return types.FunctionType(function.__code__, scope)


def first_value(domain: Domain, chosen: Protocol, special: bool) -> Any:
    if isinstance(domain, Array):
        count = size(domain.length, chosen.values)
        return ("array", *(first_value(domain.element, chosen, special) for _ in range(count)))
    code = starts(domain, chosen.values)[1 if special else 0]
    match domain:
        case Enum():
            return domain.labels[code]
        case Bool():
            return bool(code)
        case ThreadId():
            return None
        case Bounded():
            return code


def initial(chosen: Protocol, count: int) -> set[Frozen]:
    shared = tuple(first_value(domain, chosen, False) for _, domain in chosen.shared)
    return {
        (*(tuple(first_value(d, chosen, t == first) for _, d in chosen.local) for t in range(count)), shared)
        for first in range(count)
    }


def successors(
    chosen: Protocol, functions: dict[str, Callable[..., Any]], count: int, state: Frozen
) -> list[tuple[str, Frozen]]:
    parameters = dict(chosen.parameters)
    found = []
    for step in chosen.steps:
        bounds = [over.hi for _, over in step.choices]
        sizes = [chosen.values[b.name] if hasattr(b, "name") else b.value for b in bounds]  # type: ignore[union-attr]
        for way in itertools.permutations(range(count), len(step.threads)):
            for picked in itertools.product(*map(range, sizes)):
                environment = World(chosen, count, state)
                run = bound(functions[step.name], parameters, environment.threads)
                named = dict(zip(step.threads, [environment.threads[i] for i in way], strict=True))
                named |= dict(zip([name for name, _ in step.choices], picked, strict=True))
                order = functions[step.name].__code__.co_varnames[: functions[step.name].__code__.co_argcount]
                run(environment.shared, *(named[name] for name in order[1:]))
                if environment.touched:
                    found.append((step.name, environment.frozen(chosen)))
    return found


def counted(chosen: Protocol, functions: dict[str, Callable[..., Any]], count: int) -> tuple[int, int]:
    visited = initial(chosen, count)
    frontier, transitions = list(visited), 0
    while frontier:
        after = successors(chosen, functions, count, frontier.pop())
        transitions += len(after)
        for _, state in after:
            if state not in visited:
                visited.add(state)
                frontier.append(state)
    return len(visited), transitions


@pytest.mark.parametrize("name", sampled(names(), 2, ("xol-step", "inline-step-hwbp")))
def test_engines_count_as_the_functions_themselves_run(name: str) -> None:
    chosen = protocol(name)
    module = importlib.import_module(f"verify.concurrency.protocols.{name.replace('-', '_')}")
    own = {step.name: getattr(module, step.name, None) or getattr(_breakpoint, step.name) for step in chosen.steps}
    functions = {step: noted(function) for step, function in own.items()}
    for count in (2, 1):
        found = python_engine.search(instantiate(chosen, count), False, Limits(states=LARGEST))
        if found.complete:
            assert counted(chosen, functions, count) == (found.states, found.transitions)
            return
    pytest.skip(f"{name} has more than {LARGEST} states with one thread")
