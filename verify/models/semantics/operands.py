"""Operands of an instruction, by iced's operand kinds: reading and writing them under the architecture's rules."""

from __future__ import annotations

from verify.models import bits
from verify.models.bits import Term, const
from verify.models.isa.fields import operand_register
from verify.models.semantics.run import Run

GPR_WIDTH = {"gpr8": 8, "gpr8h": 8, "gpr16": 16, "gpr32": 32, "gpr64": 64}
VECTOR_WIDTH = {"xmm": 128, "ymm": 256, "zmm": 512}


def is_memory(run: Run, index: int) -> bool:
    """Whether operand `index` is in memory in this form."""
    kind = run.insn.opcode.op_kinds[index]
    return kind.startswith("mem") or (kind.endswith("_or_mem") and run.insn.addressing.value in {"mem", "rip"})
