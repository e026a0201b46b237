"""The canonical text of a program: equal programs have equal texts, different ones different texts, in every process.

Keys, obligations and explanations read a program through it alone.  One line an action; what continues a failure or a
fault is indented below it.  A constant has its width behind it unless that is 64; `old(x)` is x at the hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, assert_never

from verify.models.schemes.plan import Refuse
from verify.models.schemes.program import (
    COMPONENTS,
    FIRST,
    NOW,
    Action,
    Actions,
    Agent,
    Breakpoints,
    Byte,
    Check,
    Code,
    Context,
    End,
    Leaves,
    Load,
    Program,
    Run,
    Set,
    Signal,
    Store,
    TrapFlag,
    Word,
)
from verify.terms import Term

REGISTERS: Final = (  # by number: SDM vol. 2, table 2-1
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
INDENT: Final = "  "
_SORTED: Final = frozenset({"uf", "load", "zext", "sext"})  # whose arguments do not say the result's sort


@cache
def text(plan: Program | Refuse) -> str:
    """The whole plan; no line end behind the last line."""
    if isinstance(plan, Refuse):
        return f"refused: {plan.reason} (errno {plan.errno})"
    lines = [f"entered by {plan.entry.value}", *_lines(plan.actions)]
    if plan.later is not None:
        lines += [f"later hits, entered by {plan.later.entry.value}", *_lines(plan.later.actions)]
    return "\n".join(lines)


def _lines(actions: Actions | None) -> Iterator[str]:
    for action in actions or ():
        yield _line(action)
        yield from _below(action)


def _line(action: Action) -> str:
    match action:
        case Set(target, value):
            return f"{REGISTERS[target] if isinstance(target, int) else target} := {expression(value)}"
        case Load(name, address, size):
            return f"{name} := {size} bytes at {expression(address)}{_by(action)}"
        case Store(address, value, size):
            return f"{size} bytes at {expression(address)} := {expression(value)}{_by(action)}"
        case Check(condition):
            return f"check {expression(condition)}"
        case Signal(number, code, address, vector, error):
            return f"signal {number}, si_code {code}, si_addr {expression(address)}{_frame(vector, error)}"
        case Run(code, at, context):
            return f"run {_code(code)} at {expression(at)}, {_context(context)}"
        case _:
            assert_never(action)


def _frame(vector: Term | None, error: Term | None) -> str:
    parts = [f", {n} {expression(t)}" for n, t in (("vector", vector), ("error", error)) if t is not None]
    return "".join(parts)


def _below(action: Action) -> Iterator[str]:
    match action:
        case Load() | Store() if action.otherwise is None:
            yield f"{INDENT}taken to succeed"
        case Load() | Store() | Check():
            yield f"{INDENT}otherwise" if action.otherwise else f"{INDENT}otherwise done"
            yield from (2 * INDENT + line for line in _lines(action.otherwise))
        case Run() if action.on_fault:
            yield f"{INDENT}on a fault"
            yield from (2 * INDENT + line for line in _lines(action.on_fault))
        case _:
            pass


def _by(action: Load | Store) -> str:
    return ", on the stack" * action.stack + ", by the program" * (action.by is Agent.PROGRAM)


def _context(context: Context) -> str:
    parts = [_end(context.end), f"cpl {context.cpl}"]
    parts += [f"{n} base of the host" for n in ("fs", "gs") if getattr(context, f"{n}_base") is Agent.HOST]
    if context.instructions > 1:
        parts.append(f"{context.instructions} instructions")
    return ", ".join(parts)


def _end(end: End) -> str:
    match end:
        case TrapFlag():
            return "under TF"
        case Breakpoints(at, armed):
            return f"{'debug registers' if armed else 'breakpoints'} at {' '.join(map(expression, at))}"
        case Leaves():
            return "until it leaves"
        case _:
            assert_never(end)


def _code(code: Code) -> str:
    """Copied bytes as ranges [first..last], changed and constant bytes and words one by one."""
    shown: list[str] = []
    pieces = list(code.pieces)
    while pieces:
        run = _plain(pieces)
        if run:
            start = pieces[0].source if isinstance(pieces[0], Byte) else None
            shown.append(f"[{start}..{(start or 0) + run - 1}]")
            del pieces[:run]
        else:
            shown.append(_piece(pieces.pop(0)))
    pairs = " ".join(f"{a}={b}" for a, b in code.locations)
    return " ".join(shown) + ("" if pairs == "0=0" else f" alike {pairs}")


def _plain(pieces: list[Byte | Word]) -> int:
    """How many pieces from the first on are unchanged bytes in a row."""
    head = pieces[0]
    if not isinstance(head, Byte) or head.source is None:
        return 0
    n = 0
    while n < len(pieces) and pieces[n] == Byte(head.source + n):
        n += 1
    return n


def _piece(piece: Byte | Word) -> str:
    if isinstance(piece, Word):
        return f"{{{expression(piece.value)}}}:{piece.size}"
    if piece.source is None:
        return f"{piece.bits:02x}"
    return f"[{piece.source}]&{piece.keep:02x}|{piece.bits:02x}"


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
    head = " ".join([term.op + sort, *(str(p) for p in term.params), *(expression(a) for a in term.args)])
    return f"({head})"


def _variable(term: Term) -> str:
    name = str(term.params[0])
    when, _, rest = name.partition(".")
    if rest in COMPONENTS and when in {"now", "first"}:
        return rest if when == "now" else f"old({rest})"
    return f"{name}:{term.sort}" if when == "loaded" else name


def _sum(term: Term) -> str:
    constant, *factors = (int(p) for p in term.params)
    width = term.width
    parts = [_scaled(a, c, width) for a, c in zip(term.args, factors, strict=True)]
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
