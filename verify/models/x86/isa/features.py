"""The processor features without which an opcode is undefined, by the names that the opcode table has.

Decides what every x86-64 processor has, and what is no operation where it is absent; not what a machine has.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.models.x86.isa.rows import Opcode

EVERYWHERE: Final = frozenset({  # SDM vol. 1, 5; AMD64 vol. 2, 2.1: the architecture has them
    "INTEL8086", "INTEL186", "INTEL286", "INTEL386", "INTEL486", "X64", "FPU", "FPU287", "FPU387", "CMOV", "CX8",
    "FXSR", "MMX", "SSE", "SSE2", "TSC", "MSR", "CLFSH", "CPUID", "RDPMC", "SMM", "SYSCALL",
})  # fmt: skip
NO_OPERATION: Final = frozenset({  # encodings of reserved nops: SDM vol. 2, each instruction; APM vol. 3, NOP, PREFETCH
    "PAUSE", "MULTIBYTENOP", "PREFETCHW", "PREFETCHWT1", "PREFETCHITI", "CLDEMOTE", "CET_IBT", "CET_SS",
})  # fmt: skip


@cache
def needed(opcode: Opcode) -> tuple[str, ...]:
    """The features that the opcode needs and that a processor may lack, in the table's order."""
    return tuple(f for f in opcode.cpuid if f not in EVERYWHERE and f not in NO_OPERATION)
