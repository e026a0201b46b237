"""What semantics can see of an opcode: opcodes with equal signatures do the same but for their datapaths.

An opcode whose datapath is modelled is its own signature.  Of a routed one, its bytes and its names are left out: they
show in the names of its uninterpreted functions, which a proof does not depend on.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Final

from verify.models.isa.overlay import overlay
from verify.models.isa.rows import Opcode
from verify.models.semantics.dispatch import is_exact
from verify.models.semantics.routed import NAMED

IDENTITY: Final = frozenset({  # what an opcode is called and how it is encoded; the decoded fields are given apart
    "code", "name", "mnemonic", "table", "op_code", "mandatory_prefix", "group_index", "rm_group_index", "w", "l",
    "is_wig", "is_lig", "tuple_type", "cpuid",
})  # fmt: skip
_VISIBLE: Final = tuple(f.name for f in fields(Opcode) if f.name not in IDENTITY)


@cache
def signature(opcode: Opcode) -> tuple[object, ...]:
    """Equal for two opcodes only where routed semantics treats them alike, or where they are the same opcode."""
    if is_exact(opcode.mnemonic):
        return (opcode.code,)
    named = opcode.mnemonic if opcode.mnemonic in NAMED else None
    return named, overlay(opcode), *(getattr(opcode, name) for name in _VISIBLE)
