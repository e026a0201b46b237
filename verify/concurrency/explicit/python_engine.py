"""The Python engine: successors and observations of one packed state, as generated Python, and plain breadth-first
search over them. It is the oracle of the faster engines, and needs nothing that they need.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import factorial
from typing import Any

from verify.concurrency.instance.dag import Node, evaluate
from verify.concurrency.instance.instance import Model, Transition
from verify.concurrency.instance.program_text import PYTHON, Writer, grouped, outcomes, shared, step_numbers
from verify.concurrency.language.domains import DomainOverflow
from verify.concurrency.results.exploration import Discovery, Limits, Search

Successors = list[tuple[int, int]]
WORK = 40  # units a stored state
EXPANDED, NUMBERED = "out.append({0}); taken[{2}] = 1", "out.append(({1}, {0}))"  # successor, transition, step


@dataclass(frozen=True, slots=True)
class PythonProgram:
    """Generated functions of one model.

    expand(state, out) appends successor states, and marks their steps in `taken` (`step_numbers`); steps(state, out)
    appends (transition number, successor); observe(state) is a bit mask of the observations; terminal(state) says
    whether a state may be final.
    """

    expand: Callable[[int, list[int]], None]
    steps: Callable[[int, Successors], None]
    observe: Callable[[int], int]
    terminal: Callable[[int], bool]
    taken: bytearray


@functools.lru_cache(maxsize=4)
def program(model: Model) -> PythonProgram:
    """Compiles a model to Python."""
    taken = bytearray(len(step_numbers(model)))
    names: dict[str, Any] = {"overflow": lambda state, number: _overflow(model, state, number), "taken": taken}
    text = "\n".join(
        [_expansion(model, "expand", EXPANDED), _expansion(model, "steps", NUMBERED), *_observations(model)]
    )
    exec(compile(text, f"<{model.protocol.name}>", "exec"), names)
    return PythonProgram(names["expand"], names["steps"], names["observe"], names["terminal"], taken)


def _expansion(model: Model, name: str, item: str) -> str:
    writer = Writer(model, PYTHON)
    lines = [f"def {name}(n, out):"]
    groups, rest = grouped(model)
    guards = [part for group in groups for _, items in group.cases for _, left in items for part in left]
    guards += [transition.guard for transition in rest]
    used: dict[int, str] = {}
    lines += _variables(writer, [node for node in shared(guards) if node.op == "read"], used, 1)
    for group in groups:
        lines.append(f"    p = {writer.read(group.slot)}")
        for number, (value, items) in enumerate(group.cases):
            lines.append(f"    {'el' if number else ''}if p == {value}:")
            for pair in items:
                lines += _transition(writer, pair, used, item, 2)
    for transition in rest:
        lines += _transition(writer, (transition, (transition.guard,)), used, item, 1)
    return "\n".join([*lines, "    return"])


def _variables(writer: Writer, nodes: Iterable[Node], used: dict[int, str], indent: int) -> list[str]:
    """Assignments of shared nodes to variables, recorded in `used`."""
    lines = []
    for node in nodes:
        if node.number not in used:
            lines.append(f"{'    ' * indent}v{node.number} = {writer.expression(node, used)}")
            used[node.number] = f"v{node.number}"
    return lines


def _transition(
    writer: Writer, found: tuple[Transition, tuple[Node, ...]], used: dict[int, str], item: str, indent: int
) -> list[str]:
    transition, left = found
    lines, pad, inner = [], "    " * indent, dict(used)
    if left:
        lines.append(pad + "if " + " and ".join(writer.expression(part, inner) for part in left) + ":")
        indent, pad = indent + 1, pad + "    "
    lines += _variables(writer, shared(outcomes(transition)), inner, indent)
    step = step_numbers(writer.model)[transition.step.name]
    for check in transition.checks:
        lines.append(f"{pad}if not {writer.expression(check.holds, inner)}: overflow(n, {transition.number})")
    lines.append(pad + item.format(writer.successor(transition, inner), transition.number, step))
    return lines


def _observations(model: Model) -> list[str]:
    writer = Writer(model, PYTHON)
    nodes = [item.node for item in model.observations]
    used: dict[int, str] = {}
    lines = ["def observe(n):", *_variables(writer, shared(nodes), used, 1), "    found = 0"]
    for index, node in enumerate(nodes):
        lines.append(f"    if {writer.expression(node, used)}: found |= {1 << index}")
    lines.append("    return found")
    return [*lines, "def terminal(n):", f"    return bool({writer.expression(model.terminal, {})})"]


def _overflow(model: Model, state: int, number: int) -> None:
    """Raises the domain overflow of a transition in a state."""
    transition, cells = model.transitions[number], model.cells(state)
    for check in transition.checks:
        if not evaluate(check.holds, cells):
            raise DomainOverflow(transition.step.name, check.target, evaluate(check.value, cells))
    raise AssertionError("a check failed in generated code and holds in the dag")


def canonical(model: Model) -> Callable[[int], int]:
    """The representative of a state's orbit under renaming of threads.

    Threads are sorted by (record, the shared cells that name the thread); a tie in both is a thread that may be
    exchanged without a change, so the representative is exact.
    """
    width, count = model.record, model.threads
    mask, low = (1 << width) - 1, (1 << (width * model.threads)) - 1
    ids = model.identities  # the first is the highest bit, as in `vectors.Orbits`: one orbit, one representative
    places = [(slot.offset, (1 << slot.width) - 1, 1 << (len(ids) - 1 - i)) for i, slot in enumerate(ids)]

    def representative(state: int) -> int:
        owned = [0] * (count + 1)
        for offset, ones, bit in places:
            owned[(state >> offset) & ones] |= bit
        keys = sorted((state >> (width * i) & mask, owned[i + 1], i) for i in range(count))
        result = state & ~low
        for position, (record, mine, _) in enumerate(keys):
            result |= record << (width * position)
            if mine:
                for offset, ones, bit in places:
                    if mine & bit:
                        result = result & ~(ones << offset) | (position + 1) << offset
        return result

    return representative


def orbit_size(model: Model) -> Callable[[int], int]:
    """The number of states in the orbit of a representative."""
    width, count = model.record, model.threads
    mask, total = (1 << width) - 1, factorial(model.threads)
    places = [(slot.offset, (1 << slot.width) - 1) for slot in model.identities]

    def measure(state: int) -> int:
        named = {(state >> offset) & ones for offset, ones in places}
        result, run = total, 1
        records = [(state >> (width * i) & mask, i + 1 in named) for i in range(count)]
        for before, after in pairwise(records):
            run = run + 1 if before == after and not after[1] else 1
            result //= run
        return result

    return measure


def search(model: Model, symmetric: bool = False, limits: Limits = Limits()) -> Search:  # noqa: B008 - frozen
    """Explores every state, breadth first."""
    found = Search("python", symmetric)
    began, code = time.perf_counter(), program(model)
    code.taken[:] = bytes(len(code.taken))
    try:
        _levels(model, code, found, limits, began)
    except KeyboardInterrupt:
        found.reason = "interrupted"
    found.taken = {name for name, number in step_numbers(model).items() if code.taken[number]}
    found.seconds = time.perf_counter() - began
    return found


def _levels(model: Model, code: PythonProgram, found: Search, limits: Limits, began: float) -> None:
    rename = canonical(model) if found.symmetric else None
    weigh = orbit_size(model) if found.symmetric else None
    frontier = sorted({rename(state) if rename else state for state in model.initial})
    visited = set(frontier)
    depth = 0
    while frontier:
        found.depth, found.stored = depth, len(visited)
        found.bytes = len(visited) * 100
        following: list[int] = []
        for state in frontier:
            out: list[int] = []
            code.expand(state, out)
            weight = weigh(state) if weigh else 1
            found.states += weight
            found.transitions += weight * len(out)
            _observe(code, found, state, depth, bool(out))
            for after in map(rename, out) if rename else out:
                if after not in visited:
                    visited.add(after)
                    following.append(after)
        found.reason = exceeded(limits, len(visited), 100, began, WORK * len(visited))
        if found.reason:
            return
        frontier, depth = following, depth + 1
    found.complete = True


def _observe(code: PythonProgram, found: Search, state: int, depth: int, moves: bool) -> None:
    mask = code.observe(state)
    while mask:
        bit = mask & -mask
        found.seen.setdefault(bit.bit_length() - 1, Discovery(depth, state))
        mask ^= bit
    if not moves and found.deadlock is None and not code.terminal(state):
        found.deadlock = Discovery(depth, state)


def exceeded(limits: Limits, stored: int, cost: float, began: float, work: int) -> str:
    """Which bound has been hit, or nothing; `cost` is bytes a stored state, `work` the units done so far."""
    if limits.states is not None and stored > limits.states:
        return f"more than {limits.states} states"
    if limits.memory is not None and stored * cost > limits.memory:
        return f"more than {limits.memory} bytes of states"
    if limits.work is not None and work > limits.work:
        return f"more than {limits.work} units of work"
    if limits.seconds is not None and time.perf_counter() - began > limits.seconds:
        return f"more than {limits.seconds} s"
    return ""
