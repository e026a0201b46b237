"""Encodings compiled to functions on integers, for properties that run many states."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from verify.models.x86.environment import Environment
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import STATUS, symbolic_state
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction
from verify.terms import const, evaluation, var
from verify.terms.evaluation import Evaluator, Memory, compiled

REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
FLAGS = (*STATUS, "df")
OTHERS = ("tf", "nt", "ac", "id", "fs_base", "gs_base", "selectors", "ip", "opaque")


class Answers(Environment):
    """Undefined values are all zeros or all ones, so that what depends on them shows."""

    ones: bool

    def __init__(self, ones: bool) -> None:
        super().__init__()
        object.__setattr__(self, "ones", ones)

    def function(self, name: str, sort: Any, args: tuple[Any, ...]) -> Any:
        if name.startswith("undefined_"):
            return (1 << sort) - 1 if self.ones else 0
        return super().function(name, sort, args)


@cache
def program(text: str, cpu: Cpu = Cpu.AMD) -> Evaluator:
    """The bytes as a function to registers, flags, memory and fault vector."""
    d = decode(bytes.fromhex(text), cpu)
    assert isinstance(d, Decoded), text
    insn = Instruction(
        d.form.opcode, d.form.addressing, d.cpu, const(d.layout.length, 64), d.layout.address_size, d.layout.segment,
        d.layout.rep, d.layout.lock, None, fields(d), d.faults_ud,
    )  # fmt: skip
    out = execute(insn, symbolic_state(var("ip", 64)))
    roots = [out.state.gprs, out.state.memory, out.fault_vector, *(getattr(out.state, f) for f in FLAGS)]
    return compiled(evaluation.program(roots))


def ran(
    text: str, registers: Mapping[str, int], flags: Mapping[str, int], memory: Memory | None = None, ones: bool = False
) -> dict[str, Any]:
    """Registers and flags by name, `memory` and `fault` after the bytes ran; what is not given is 0."""
    env = dict.fromkeys((*FLAGS, "tf", "nt", "ac", "id", "fs_base", "gs_base", "selectors", "ip", "opaque"), 0) | dict(
        flags
    )
    env |= {"gprs": tuple(registers.get(r, 0) for r in REGISTERS), "memory": memory or Memory()}
    gprs, after, fault, *found = program(text)(env, Answers(ones))
    return (
        dict(zip(REGISTERS, gprs, strict=True))
        | dict(zip(FLAGS, found, strict=True))
        | {"memory": after, "fault": fault}
    )
