"""Condition codes, and the instructions that only ask them: cmovcc and setcc.

The table is the one that jcc and whatever evaluates a condition on its own shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import Term

Flags = Callable[[str], Term]  # the one-bit value of a status flag by its name

_EVEN: Final[Mapping[int, Callable[[Flags], Term]]] = {  # SDM vol. 1, table B-1; odd codes are the negations
    0x0: lambda f: f("of"),  # O
    0x2: lambda f: f("cf"),  # B, C, NAE
    0x4: lambda f: f("zf"),  # E, Z
    0x6: lambda f: terms.or_(f("cf"), f("zf")),  # BE, NA
    0x8: lambda f: f("sf"),  # S
    0xA: lambda f: f("pf"),  # P, PE
    0xC: lambda f: terms.xor(f("sf"), f("of")),  # L, NGE
    0xE: lambda f: terms.or_(terms.xor(f("sf"), f("of")), f("zf")),  # LE, NG
}
CODES: Final[Mapping[str, int]] = {  # the suffix that iced gives to jcc, cmovcc and setcc
    "o": 0x0, "no": 0x1, "b": 0x2, "ae": 0x3, "e": 0x4, "ne": 0x5, "be": 0x6, "a": 0x7,
    "s": 0x8, "ns": 0x9, "p": 0xA, "np": 0xB, "l": 0xC, "ge": 0xD, "le": 0xE, "g": 0xF,
}  # fmt: skip


def holds(code: int, flags: Flags) -> Term:
    """One bit: condition `code` (0..15) holds of the flags; ValueError for another code."""
    if not 0 <= code <= 15:
        raise ValueError(f"condition code must be 0..15, got {code:#x}")
    even = _EVEN[code & 0xE](flags)
    return terms.not_(even) if code & 1 else even


def _cmov(code: int) -> Semantics:
    def cmov(run: Run) -> None:
        """The source is read, and a 32-bit destination zero-extended, whatever the condition (SDM vol. 2, CMOVcc)."""
        source = operands.read(run, 1)
        old = operands.read(run, 0)
        operands.write(run, 0, terms.ite(holds(code, run.get), source, old))

    return cmov


def _set(code: int) -> Semantics:
    def setcc(run: Run) -> None:
        operands.write(run, 0, terms.zext(holds(code, run.get), 8))

    return setcc


SEMANTICS: Final[Mapping[str, Semantics]] = {
    **{f"cmov{name}": _cmov(code) for name, code in CODES.items()},
    **{f"set{name}": _set(code) for name, code in CODES.items()},
}
