"""The list of all forms of the 64-bit instruction space, and look-up by name.

Rows are built on demand; only `all_forms` and `all_opcodes` build every one.
"""

from __future__ import annotations

from functools import cache

from verify.models.x86.isa import metadata
from verify.models.x86.isa.rows import Addressing, Cpu, Flags, Form, ImplicitMemory, Opcode, addressings

__all__ = [
    "Addressing", "Cpu", "Flags", "Form", "ImplicitMemory", "Opcode",
    "all_forms", "all_opcodes", "form", "form_of", "forms_of", "opcode_named",
]  # fmt: skip


def opcode_named(name: str) -> Opcode:
    """The opcode with this name (ADD_RM32_R32).  Raises ValueError where there is none."""
    return metadata.row(metadata.code_of(name))


@cache
def form_of(code: int, addressing: Addressing) -> Form:
    """The form of a code; the same object at each call.  Raises ValueError where the opcode has no such addressing."""
    row = metadata.row(code)
    if addressing not in addressings(row):
        raise ValueError(f"{row.name} has no {addressing.value} form")
    return Form(row, addressing)


def forms_of(row: Opcode) -> tuple[Form, ...]:
    """The forms of one opcode."""
    return tuple(form_of(row.code, a) for a in addressings(row))


def form(name: str) -> Form:
    """The form with this name (ADD_RM32_R32/mem).  Raises ValueError where there is none."""
    head, _, tail = name.rpartition("/")
    if tail not in {a.value for a in Addressing}:
        raise ValueError(f"a form's name ends in /none, /reg, /mem or /rip, got {name!r}")
    return form_of(metadata.code_of(head), Addressing(tail))


@cache
def all_opcodes() -> tuple[Opcode, ...]:
    """Every opcode, by code."""
    return tuple(metadata.row(c) for c in metadata.codes())


@cache
def all_forms() -> tuple[Form, ...]:
    """Every form, by code and addressing."""
    return tuple(f for row in all_opcodes() for f in forms_of(row))
