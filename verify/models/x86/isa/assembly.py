"""An instruction as assemblers write it, in Intel or AT&T syntax; rip-relative operands stay relative."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from typing import Any, Final

import iced_x86

from verify.models.x86.isa.decode import LOCK_FAULT, Decoded
from verify.models.x86.isa.rows import Cpu
from verify.models.x86.mode import USER_64

iced: Any = iced_x86  # its stubs type plain integers as enumerations
_TARGET: Final = re.compile(r"0x([0-9a-f]+)$")
_UNUSED: Final = {"xchg": b"\xf2\xf3"}  # prefixes that the library takes for another instruction


class Syntax(Enum):
    """Whose assembler reads it."""

    INTEL = "intel"
    ATT = "att"


@cache
def _formatter(syntax: Syntax) -> Any:
    kind = iced.FormatterSyntax.INTEL if syntax is Syntax.INTEL else iced.FormatterSyntax.GAS
    made = iced.Formatter(kind)
    made.rip_relative_addresses = True
    made.hex_prefix, made.hex_suffix = "0x", ""
    made.small_hex_numbers_in_decimal = False
    made.space_after_operand_separator = syntax is Syntax.ATT
    made.uppercase_hex = made.branch_leading_zeros = made.show_branch_size = False
    made.signed_immediate_operands = True
    return made


def assembly(decoded: Decoded, syntax: Syntax = Syntax.INTEL, origin: int | None = None) -> str:
    """The instruction as it stands at an address; without one a branch leads to `.+0x10`, from its own first byte.

    LOCK where it is not allowed is shown too.
    """
    bare, lock = decoded.data, ""
    unused = _UNUSED.get(decoded.form.opcode.mnemonic, b"")
    if decoded.faults_ud == LOCK_FAULT:
        unused, lock = unused + b"\xf0", "lock "
    start = len(bare) - len(bare.lstrip(bytes(decoded.layout.prefixes) + bytes(range(0x40, 0x50))))
    bare = bytes(0x3E if i < start and b in unused else b for i, b in enumerate(bare))
    options = iced.DecoderOptions.AMD if decoded.cpu is Cpu.AMD else 0
    instruction = iced.Decoder(USER_64.bits, bare, options, ip=origin or 0).decode()
    found = lock + str(_formatter(syntax).format(instruction))
    relative = any(k.startswith(("br", "xbegin")) for k in decoded.form.opcode.op_kinds)
    return _TARGET.sub(_from_here, found) if relative and origin is None else found


def _from_here(target: re.Match[str]) -> str:
    value = int(target[1], 16)
    signed = value - (value >> 63 << 64)
    return f".{'-' if signed < 0 else '+'}{abs(signed):#x}"
