"""The canonical text of an expression of plans: equal ones have equal texts, in every process.

A constant has its width behind it unless that is 64; `old(x)` is x at the hit.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.models.schemes.vocabulary import COMPONENTS, FIRST, NOW
from verify.terms import Term

REGISTERS: Final = (  # by number: SDM vol. 2, table 2-1
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_SORTED: Final = frozenset({"uf", "load", "zext", "sext"})  # whose arguments do not say the result's sort
_COMMUTES: Final = frozenset({"and", "or", "xor", "eq", "mul"})  # arguments as they came are no order


@cache
def expression(term: Term) -> str:
    """A term over the variables of plans, in prefix form but for sums and registers."""
    if term.op == "const":
        return f"0x{term.value:x}" if term.sort == 64 else f"0x{term.value:x}:{term.sort}"
    if term.op == "var":
        return _variable(term)
    if term.op == "sum":
        return _sum(term)
    if term.op == "select" and term.args[1].value is not None and term.args[0] in {NOW.gprs, FIRST.gprs}:
        name = REGISTERS[term.args[1].value]
        return name if term.args[0] is NOW.gprs else f"old({name})"
    sort = f":{term.sort if isinstance(term.sort, int) else term.sort.name}" if term.op in _SORTED else ""
    arguments = [expression(a) for a in term.args]
    if term.op in _COMMUTES:
        arguments.sort()
    return f"({' '.join([term.op + sort, *(str(p) for p in term.params), *arguments])})"


def _variable(term: Term) -> str:
    name = str(term.params[0])
    when, _, rest = name.partition(".")
    if rest in COMPONENTS and when in {"now", "first"}:
        return rest if when == "now" else f"old({rest})"
    return f"{name}:{term.sort}" if when == "loaded" else name


def _sum(term: Term) -> str:
    constant, *factors = (int(p) for p in term.params)
    width = term.width
    parts = sorted(_scaled(a, c, width) for a, c in zip(term.args, factors, strict=True))  # + before -
    if constant:
        negative = constant >> (width - 1)
        parts.append(f"- 0x{(1 << width) - constant:x}" if negative else f"+ 0x{constant:x}")
    return "(" + " ".join(parts).removeprefix("+ ") + ")"


def _scaled(argument: Term, factor: int, width: int) -> str:
    if factor == 1:
        return f"+ {expression(argument)}"
    if factor == (1 << width) - 1:
        return f"- {expression(argument)}"
    return f"+ 0x{factor:x} * {expression(argument)}"
