"""Exact semantics of push, pop, pushf, popf, enter and leave in 64-bit mode.

Decides which bytes of the stack are touched, in which order, and what becomes of rsp, rbp and the flags.  The stack
address size is 64 bits throughout (SDM vol. 1, 6.2.3); call and return are `verify.models.x86.semantics.control`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.machine import FLAG_BITS, GP, SYSTEM_FLAGS, flags_word
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RBP, RSP, Run
from verify.terms import MEMORY, TRUE, Term, const

SELECTOR: Final = {"es": 0, "cs": 16, "ss": 32, "ds": 48, "fs": 64, "gs": 80}  # lowest bit in State.selectors
IMAGE_16: Final = ("cf", "pf", "af", "zf", "sf", "tf", "df", "of", "nt")  # SDM vol. 2, POPF, table 4-16
IMAGE_32: Final = (*IMAGE_16, "ac", "id")


def selector(run: Run, name: str) -> Term:
    """The 16-bit selector in segment register `name`."""
    low = SELECTOR[name]
    return terms.extract(run.get("selectors"), low + 15, low)


def set_selector(run: Run, name: str, value: Term) -> None:
    """Replaces the 16-bit selector in segment register `name`; bases are the caller's."""
    low, old = SELECTOR[name], run.get("selectors")
    parts = [value]
    if low:
        parts.append(terms.extract(old, low - 1, 0))
    if low + 16 < 96:
        parts.insert(0, terms.extract(old, 95, low + 16))
    run.set("selectors", terms.concat(*parts))


def selector_error(value: Term) -> Term:
    """The error code of a fault that a selector causes: its index and table, 32 bits (SDM vol. 3, 6.13)."""
    return terms.zext(terms.and_(value, const(0xFFFC, 16)), 32)


def load_segment(run: Run, name: str, value: Term) -> None:
    """Loads fs or gs: what the descriptor tables say of the selector decides on fault and base (SDM vol. 3, 3.4.4)."""
    run.fault(terms.uf("data_selector.refuses", 1, value), GP, selector_error(value))
    set_selector(run, name, value)
    run.set(f"{name}_base", terms.uf("segment_load_base", 64, value, run.get(f"{name}_base")))


def operand_size(run: Run) -> int:
    """Bytes that one push or pop of this instruction moves: 2 or 8 (SDM vol. 2, PUSH: 64-bit mode has no 4)."""
    return 2 if run.insn.opcode.operand_size == 16 else run.mode.stack_bytes


def push(run: Run) -> None:
    """PUSH: the operand is read before rsp moves; a segment register is zero-extended (SDM vol. 2, PUSH)."""
    size = operand_size(run)
    name = operands.kind(run, 0)
    value = terms.zext(selector(run, name), 8 * size) if name in SELECTOR else operands.read(run, 0, size)
    run.push(value)


def pop(run: Run) -> None:
    """POP: rsp moves before a destination address is computed and before rsp is written (SDM vol. 2, POP)."""
    value = run.pop(operand_size(run))
    name = operands.kind(run, 0)
    if name in SELECTOR:
        load_segment(run, name, terms.extract(value, 15, 0))
    else:
        operands.write(run, 0, value)


def pushf(run: Run) -> None:
    """PUSHF, PUSHFQ: the image has the TF of this moment (SDM vol. 2, PUSHF)."""
    run.tf_seen.append(run.get("tf"))
    run.push(terms.extract(flags_word(run.before, run.get("tf"), run.mode), 8 * operand_size(run) - 1, 0))


def load_flags(run: Run, image: Term) -> None:
    """Loads the flags that this CPL may change from an image of 16, 32 or 64 bits (SDM vol. 2, POPF, table 4-16).

    CPL 1 to 3 with IOPL 0 leave IF and IOPL alone; CPL 0 loads both.
    """
    for name in IMAGE_16 if image.width == 16 else IMAGE_32:
        run.set(name, terms.extract(image, FLAG_BITS[name], FLAG_BITS[name]))
    for name, (low, width) in SYSTEM_FLAGS.items() if run.mode.is_privileged else ():
        run.set(name, terms.extract(image, low + width - 1, low))


def popf(run: Run) -> None:
    """POPF, POPFQ (SDM vol. 2, POPF)."""
    load_flags(run, run.pop(operand_size(run)))


def enter(run: Run) -> None:
    """ENTER with a constant nesting level (SDM vol. 2, ENTER); the 16-bit form writes only bp.

    The last step is a check that the final stack top can be written; nothing is stored there (APM vol. 3, ENTER).
    """
    allocated, nesting = run.insn.fields.immediates
    partial = terms.uf("enter_partial", MEMORY, run.before.memory, run.before.gprs, allocated, nesting)
    run.fault_state = replace(run.before, memory=partial)  # pushes before the one that faults stay
    if nesting.value is None:
        raise ValueError("the nesting level of ENTER must be a constant")
    size = operand_size(run)
    run.push(run.gpr(RBP, 8 * size))
    frame = run.gpr(RSP)
    display(run, nesting.value % 32, size, frame)
    run.set_gpr(RBP, terms.extract(frame, 8 * size - 1, 0))
    run.set_gpr(RSP, terms.sub(run.gpr(RSP), terms.zext(allocated, 64)))
    run.touch("w", run.gpr(RSP), size, TRUE)


def display(run: Run, level: int, size: int, frame: Term) -> None:
    """Copies level - 1 frame pointers and then pushes `frame`; nothing where the level is 0 (SDM vol. 2, ENTER)."""
    for n in range(1, level):
        run.push(run.load(terms.sub(run.gpr(RBP), const(n * size, 64)), size, stack=TRUE))
    if level:
        run.push(terms.extract(frame, 8 * size - 1, 0))


def leave(run: Run) -> None:
    """LEAVE: rsp := rbp, then rbp or bp is popped (SDM vol. 2, LEAVE)."""
    run.set_gpr(RSP, run.gpr(RBP))
    run.set_gpr(RBP, run.pop(operand_size(run)))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "push": push, "pop": pop, "pushf": pushf, "pushfq": pushf, "popf": popf, "popfq": popf,
    "enter": enter, "leave": leave,
}  # fmt: skip
