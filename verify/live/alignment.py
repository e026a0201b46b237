"""Which 16-byte operands of legacy SSE the processor at hand wants aligned, by the functions that ask it."""

from __future__ import annotations

from typing import Final

from verify.live.capabilities import VENDORS, visible
from verify.models.x86.isa.forms import Cpu

MISALIGNED: Final = ".misaligned"  # ends the function's name; its argument are the low four bits of the address
#: whose operands need no alignment: SDM vol. 2, PCMPxSTRx; on AMD SHA's neither (seen on Zen 3)
UNALIGNED: Final = {Cpu.INTEL: ("PCMPESTR", "PCMPISTR"), Cpu.AMD: ("PCMPESTR", "PCMPISTR", "SHA1", "SHA256")}


def refuses_alignment(name: str, low: int) -> bool:
    """Whether an operand with these low bits is refused; `name`: of the function, which begins with the opcode's."""
    return low != 0 and not name.startswith(UNALIGNED[VENDORS.get(visible().vendor, Cpu.INTEL)])
