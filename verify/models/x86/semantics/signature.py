"""What semantics can see of an opcode: opcodes with equal signatures do the same but for their datapaths.

An opcode whose datapath is modelled is its own signature.  Of a routed one, its bytes and its names are left out: they
show in the names of its uninterpreted functions, which a proof does not depend on.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Final

from verify.models.x86.isa.corrections import corrections
from verify.models.x86.isa.rows import Opcode
from verify.models.x86.semantics.dispatch import is_exact
from verify.models.x86.semantics.routed import NAMED

IDENTITY: Final = frozenset({  # what an opcode is called and how it is encoded; the decoded fields are given apart
    "code", "name", "mnemonic", "table", "op_code", "mandatory_prefix", "group_index", "rm_group_index", "w", "l",
    "is_wig", "is_lig", "tuple_type", "cpuid",
})  # fmt: skip
_VISIBLE: Final = tuple(f.name for f in fields(Opcode) if f.name not in IDENTITY)


# Read of a memory operand alone, and of one that EVEX.b repeats; what an operand in a register leaves free.
OF_MEMORY: Final = frozenset({"memory_size"})
OF_BROADCASTS: Final = frozenset({"can_broadcast", "broadcast_size"})


@cache
def signature(opcode: Opcode, in_register: bool = False, broadcasts: bool = True) -> tuple[object, ...]:
    """Equal for two opcodes only where routed semantics treats them alike, or where they are the same opcode.

    `in_register`: the ModRM operand is a register; `broadcasts`: EVEX.b is set.
    """
    if is_exact(opcode.mnemonic):
        return (opcode.code,)
    named = opcode.mnemonic if opcode.mnemonic in NAMED else None
    unread = (OF_MEMORY if in_register else frozenset[str]()) | (frozenset[str]() if broadcasts else OF_BROADCASTS)
    return named, corrections(opcode), *(None if name in unread else getattr(opcode, name) for name in _VISIBLE)
