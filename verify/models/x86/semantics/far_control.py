"""Semantics of far jmp, call, ret and of iret in 64-bit mode at CPL 3.

Decides operand sizes, the order of stack accesses, rip, cs, ss, rsp and flags.  What the descriptor tables say of a
selector is the environment's (functions named `.refuses`): a fault, or a segment of CPL 3.  Not decided:
call gates, and what a 64-bit program becomes in a compatibility-mode segment beyond rip, cs and rsp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import GP
from verify.models.x86.semantics import control, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RSP, Run
from verify.models.x86.semantics.stack import load_flags, selector, selector_error, set_selector
from verify.terms import TRUE, Term, const


def resized(value: Term, size: int) -> Term:
    """The value cut or zero-extended to `size` bytes."""
    width = 8 * size
    return terms.extract(value, width - 1, 0) if width <= value.width else terms.zext(value, width)


def far_pointer(run: Run) -> tuple[Term, Term]:
    """Selector (16 bits) and offset (64 bits) of an m16:16, m16:32 or m16:64 operand."""
    new, offset = operands.far_pointer(run)
    return new, terms.zext(offset, 64)


def enter_code_segment(run: Run, new: Term, target: Term) -> None:
    """Checks and loads cs, with RPL := CPL, and rip (SDM vol. 2, JMP, far; vol. 3, 5.8.1).

    A target beyond the limit of a segment that is taken is #GP(0) (SDM vol. 2, RET; measured on an EPYC).
    """
    beyond = terms.uf("code_selector.is_beyond", 1, new, target)
    error = terms.ite(beyond, const(0, 32), selector_error(new))
    run.fault(terms.uf("code_selector.refuses", 1, new, target), GP, error)
    run.jump(target)
    set_selector(run, "cs", terms.or_(new, const(run.mode.cpl, 16)))
    run.set_gpr(RSP, stack_pointer(new, run.gpr(RSP)))


def stack_pointer(new: Term, rsp: Term) -> Term:
    """rsp as a compatibility-mode segment leaves it: 32 bits (measured on Zen 4); the descriptor tells the mode."""
    return terms.ite(terms.uf("code_selector.is_32_bit", 1, new), terms.zext(terms.extract(rsp, 31, 0), 64), rsp)


def jmp_far(run: Run) -> None:
    """JMP m16:16, m16:32, m16:64."""
    enter_code_segment(run, *far_pointer(run))


def stack_size(run: Run) -> int:
    """Bytes of each push of a far call.

    AMD has no m16:64, but a REX.W prefix before m16:32 widens the pushes to 8 bytes (measured on Zen 4).
    """
    wide = run.insn.cpu is Cpu.AMD and run.insn.opcode.operand_size == 32 and run.insn.fields.w.value == 1
    return 8 if wide else run.insn.opcode.operand_size // 8


def call_far(run: Run) -> None:
    """CALL m16:16, m16:32, m16:64: cs, then the return offset, each of operand size."""
    new, target = far_pointer(run)
    size, old = stack_size(run), selector(run, "cs")
    enter_code_segment(run, new, target)
    run.push(resized(old, size))
    run.push(resized(run.next_ip, size))
    shadow = run.get("ssp")
    for entry in (terms.zext(old, 64), run.next_ip, shadow):  # SDM vol. 1, 17.2.1: cs, lip, ssp
        run.shadow_push(entry)


def shadow_return(run: Run, cs: Term, target: Term) -> None:
    """Pops ssp, lip and cs of a far call from the shadow stack; ssp becomes the saved one (SDM vol. 2, RET, far)."""
    saved = terms.uf("shadow_entry", 64, run.get("ssp"))
    for entry in (saved, target, terms.zext(cs, 64)):
        run.shadow_pop(entry)
    run.set("ssp", terms.ite(run.get("cet"), saved, run.before.ssp))


def is_of_another_level(run: Run, cs: Term) -> Term:
    """One bit: the RPL of a code selector is not the CPL."""
    return terms.not_(terms.eq(terms.extract(cs, 1, 0), const(run.mode.cpl, 2)))


def retf(run: Run) -> None:
    """RET far, to the same privilege level: rip, cs, then imm16 bytes are released."""
    size = run.insn.opcode.operand_size // 8
    target = terms.zext(run.pop(size), 64)
    cs = terms.extract(run.pop(size), 15, 0)
    released = run.gpr(RSP)
    if run.insn.fields.immediates:
        released = terms.add(released, terms.zext(run.insn.fields.immediates[0], 64))
    other_level = is_of_another_level(run, cs)
    if run.insn.cpu is Cpu.AMD:
        read_outer_stack(run, released, size, other_level)
    run.fault(other_level, GP, selector_error(cs))
    enter_code_segment(run, cs, target)
    shadow_return(run, cs, target)
    run.set_gpr(RSP, stack_pointer(cs, released))


def read_outer_stack(run: Run, top: Term, size: int, condition: Term) -> None:
    """The ss and rsp that a return to another level would pop, read before it is refused (measured on Zen 4)."""
    for slot in (1, 0):
        run.load(terms.add(top, const(slot * size, 64)), size, TRUE, condition)


def iret(run: Run) -> None:
    """IRET, IRETD, IRETQ at CPL 3: pops rip, cs, flags, rsp and ss, whatever the size; #GP(0) with NT set.

    SDM vol. 2, IRET, IA-32e mode; rsp is zero-extended from the operand size (measured on Zen 4).
    """
    size = run.insn.opcode.operand_size // 8
    run.fault(run.get("nt"), GP)
    target, cs, image, rsp, ss = (run.pop(size) for _ in range(5))
    new_cs, new_ss = terms.extract(cs, 15, 0), terms.extract(ss, 15, 0)
    run.fault(is_of_another_level(run, new_cs), GP, selector_error(new_cs))
    enter_code_segment(run, new_cs, terms.zext(target, 64))
    run.fault(terms.uf("stack_selector.refuses", 1, new_ss), GP, selector_error(new_ss))
    shadow_return(run, new_cs, terms.zext(target, 64))
    load_flags(run, image)
    run.set_gpr(RSP, stack_pointer(new_cs, terms.zext(rsp, 64)))
    set_selector(run, "ss", new_ss)


def jmp(run: Run) -> None:
    """JMP, near or far by its operand."""
    (jmp_far if is_far(run) else control.jmp)(run)


def call(run: Run) -> None:
    """CALL, near or far by its operand."""
    (call_far if is_far(run) else control.call)(run)


def is_far(run: Run) -> bool:
    """Whether operand 0 is a far pointer in memory; near operands are displacements or register-or-memory."""
    return operands.kind(run, 0) == "mem"


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "jmp": jmp, "call": call, "retf": retf, "iret": iret, "iretd": iret, "iretq": iret,
}  # fmt: skip
