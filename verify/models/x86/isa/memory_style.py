"""The style of each memory access of a form: how the bytes that it may touch follow from operands and state.

With its size a style gives the exact set of bytes an instruction may touch; the address itself is the semantics'
business, and so are the order of accesses and their faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from verify.models.x86.isa.rows import VSIB_KINDS, Addressing, Form, ImplicitMemory, Opcode


class Style(Enum):
    """How an access follows from operands and state."""

    MODRM = "ModRM"  # the operand that ModRM names, from its first byte on
    BIT_OP = "BitOp"  # the operand's address plus a bit offset from a register, up to 2**60 bytes away
    MEM_ABS = "MemAbs"  # the absolute offset in the instruction
    STRING = "String"  # at rsi or rdi, repeated in the direction of DF
    STACK = "Stack"  # relative to rsp, or through rbp in leave and enter
    VSIB = "VSIB"  # one element for each selected index of a vector
    MASKED = "Masked"  # the ModRM operand, of which only selected elements are touched
    IMPLICIT = "Implicit"  # at an address or of a size that no operand shows: xlat, maskmov, xsave areas, tile rows


@dataclass(frozen=True, slots=True)
class StyleAccess:
    """One access: its style, what it does, and how much it touches."""

    style: Style
    access: str  # as in Opcode.op_access
    size: int  # bytes; of one element in VSIB, of one iteration in String; 0 where state decides
    operand: int | None  # position of the operand, or None
    base: str  # implicit accesses: the base register, "op0" for an address in register operand 0; else ""


# The image's size is in XCR0 and the requested-feature bitmap.  SDM vol. 1, 13.7 to 13.12
_STATE_IMAGES: Final = frozenset(
    ["xsave", "xsave64", "xsavec", "xsavec64", "xsaveopt", "xsaveopt64", "xsaves", "xsaves64", "xrstor", "xrstor64",
     "xrstors", "xrstors64"]
)  # fmt: skip
_BIT_OPS: Final = frozenset(["bt", "bts", "btr", "btc"])
# VEX instructions whose mask is a vector register.  SDM vol. 2C, VMASKMOV, VPMASKMOV
VECTOR_MASKED: Final = frozenset(["vmaskmovps", "vmaskmovpd", "vpmaskmovd", "vpmaskmovq"])
# What is selected by a mask may be nothing at all.
_CONDITIONAL: Final = {"READ": "COND_READ", "WRITE": "COND_WRITE", "READ_WRITE": "READ_COND_WRITE"}


@cache
def accesses(form: Form) -> tuple[StyleAccess, ...]:
    """Every access to memory that a form may make, the ModRM operand first; () where it makes none.

    Instruction fetch, descriptor tables, I/O permission bitmap and shadow stack are not accesses of a form.
    """
    found = []
    for position, kind in enumerate(form.opcode.op_kinds):
        if _in_memory(kind, form.addressing) and form.opcode.op_access[position] not in {"NO_MEM_ACCESS", "NONE"}:
            found.append(_operand(form.opcode, position, kind))
    found += [_implicit(form.opcode, m) for m in form.opcode.implicit_memory if m.access != "NO_MEM_ACCESS"]
    return tuple(found)


def _in_memory(kind: str, addressing: Addressing) -> bool:
    if "_or_mem" in kind:
        return addressing in {Addressing.MEM, Addressing.RIP}
    return kind.startswith("mem") or kind == "sibmem"


def _operand(row: Opcode, position: int, kind: str) -> StyleAccess:
    style, size = Style.MODRM, row.memory_size
    if kind == "mem_offs":
        style = Style.MEM_ABS
    elif kind in VSIB_KINDS:
        style = Style.VSIB
    elif kind == "sibmem" or row.mnemonic in _STATE_IMAGES:
        style, size = Style.IMPLICIT, 0
    elif row.mnemonic in _BIT_OPS and row.op_kinds[1].endswith("_reg"):
        style = Style.BIT_OP
    elif row.can_mask or row.mnemonic in VECTOR_MASKED:
        style = Style.MASKED
    access = row.op_access[position]
    if style in {Style.VSIB, Style.MASKED}:
        access = _CONDITIONAL.get(access, access)
    return StyleAccess(style, access, size, position, "")


def _implicit(row: Opcode, memory: ImplicitMemory) -> StyleAccess:
    if memory.segment == "ss" or memory.base in {"rsp", "esp"}:
        style = Style.STACK
    elif row.is_string:
        style = Style.STRING
    else:
        style = Style.IMPLICIT
    access = _CONDITIONAL[memory.access] if "maskmov" in row.mnemonic else memory.access
    return StyleAccess(style, access, memory.size, None, memory.base)


def styles(form: Form) -> tuple[Style, ...]:
    """The distinct styles of a form's accesses, in their order."""
    return tuple(dict.fromkeys(a.style for a in accesses(form)))
