"""The canonical text of a plan: equal plans have equal texts, different ones different texts, in every process.

Class keys, what an assumption can reach, and explanations read a plan through it and its `Shape`.  One line an action;
what continues a failure or a fault is indented below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from verify.models.schemes.code import Code
from verify.models.schemes.program import Actions, Program, Run, Set, Shadow, Store, actions_of
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.vocabulary import LENGTH, Spot, field_of, spot_of, variables
from verify.terms import Term, postorder, var

INDENT: Final = "  "
OPERAND: Final = re.compile(r"\b(offset|segment|number\.\w+)\.\d+\.-?\d+\.-?\d+")
FIELD: Final = re.compile(r"\bfield\.(\d+)\.(\d+)")
MOST: Final = 8192  # shapes that are kept


def _own_text(code: Code) -> str:
    return code.text


def text(plan: Plan, shown: Callable[[Code], str] = _own_text) -> str:
    """The whole plan, code as it is shown; no line end behind the last line."""
    if isinstance(plan, Refuse):
        return f"refused: {plan.reason} (errno {plan.errno})"
    length = f", length {plan.length}" if plan.length else ""
    head = f"entered by {plan.entry.value}{length}{_addresses(plan)}"
    return head + "".join(f"\n{line}" for line in _body(plan, shown))


def _addresses(plan: Program) -> str:
    """What a plan says of origin and slot."""
    near = [f"slot nearer than 0x{plan.reach:x}"] if plan.reach else []
    at = [] if plan.addresses is None else ["at 0x{:x}, slot at 0x{:x}".format(*plan.addresses)]
    return "".join(f", {c}" for c in [*near, *at])


def _body(plan: Program, shown: Callable[[Code], str]) -> Iterator[str]:
    yield from _lines(plan.actions, shown)
    if plan.later is not None:
        yield f"later hits, entered by {plan.later.entry.value}"
        yield from _lines(plan.later.actions, shown)


def _lines(actions: Actions, shown: Callable[[Code], str]) -> Iterator[str]:
    for action in actions:
        yield action.line(shown)
        for title, branch in action.branches:
            yield f"{INDENT}{title}"
            yield from (2 * INDENT + line for line in _lines(branch, shown))


@dataclass(frozen=True, slots=True)
class Shape:
    """A program but for the places of bytes: code and fields of the original are numbered where they occur first.

    So are operands.  `codes` and `fields` (offset and size in bytes) are what the numbers stand for.
    """

    text: str
    codes: tuple[Code, ...]
    fields: tuple[tuple[int, int], ...]
    operands: tuple[Spot, ...]  # what the numbers of operands stand for
    levels: frozenset[int]  # CPL of its runs
    uses_length: bool  # what it does depends on the length that the implementation's decoder saw
    names_registers: bool  # general registers by number
    stores: bool  # the host itself stores to the program's memory
    shadows: bool  # or to its shadow stack
    branches: bool  # the host sends the program to where a field of the original says
    applies: bool  # the first hit runs no code but where something fails: the host applies the effect itself


_SHAPES: dict[int, tuple[Program, Shape]] = {}  # by identity of the program, which is kept; schemes share programs


def shape(program: Program) -> Shape:
    """The program's shape; found once a program."""
    found = _SHAPES.get(id(program))
    if found is None or found[0] is not program:
        if len(_SHAPES) >= MOST:
            _SHAPES.clear()
        found = _SHAPES[id(program)] = program, _shape(program)
    return found[1]


def _shape(program: Program) -> Shape:
    codes: dict[Code, int] = {}
    fields: dict[str, int] = {}
    lines = "\n".join(_body(program, lambda c: f"code {codes.setdefault(c, len(codes))}"))
    numbered = FIELD.sub(lambda m: f"field {fields.setdefault(m[0], len(fields))}", lines)
    operands: dict[str, int] = {}
    numbered = OPERAND.sub(lambda m: f"{m[1]} {operands.setdefault(m[0], len(operands))}", numbered)
    actions = tuple(actions_of(program))
    named = frozenset(t for a in actions for e in a.expressions for t in variables(e))
    spots = (FIELD.fullmatch(name) for name in fields)
    return Shape(
        f"entered by {program.entry.value}{_addresses(program)}\n{numbered}", tuple(codes),
        tuple((int(m[1]), int(m[2])) for m in spots if m is not None),
        tuple(filter(None, (spot_of(var(name, 1)) for name in operands))),
        frozenset(a.context.cpl for a in actions if isinstance(a, Run)), LENGTH in named,
        any(_names_register(e) for a in actions for e in a.expressions),
        any(isinstance(a, Store) for a in actions), any(isinstance(a, Shadow) for a in actions),
        any(isinstance(a, Set) and a.target == "ip" and any(map(field_of, variables(a.value))) for a in actions),
        not any(isinstance(a, Run) for a in program.actions),
    )  # fmt: skip


@cache
def _names_register(expression: Term) -> bool:
    return any(t.op == "select" and t.args[1].value is not None for t in postorder((expression,)))
