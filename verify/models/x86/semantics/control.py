"""Exact semantics of near branches: jcc, loop, jrcxz, jmp, call and ret in 64-bit mode.

Decides where control goes, what the stack and the shadow stack get, and when a target is refused.  Far transfers are in
`far_control`, entries to the kernel in `kernel_entry`.  With a 66 prefix and without REX.W, AMD processors have 16-bit
near branches: a taken one clears bits 63..16 of rip, call and ret move 2 bytes (APM vol. 3, 1.2.2; measured on Zen 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.conditions import CODES, holds
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RCX, RSP, Run
from verify.terms import Term, const


def is_short(run: Run) -> bool:
    """Whether rip is cut to 16 bits and the stack moves by 2 bytes."""
    return run.insn.opcode.operand_size == 16


def narrowed(run: Run, target: Term) -> Term:
    """A target of 64 bits, cut to 16 for the 16-bit forms."""
    return terms.zext(terms.extract(target, 15, 0), 64) if is_short(run) else target


def relative_target(run: Run) -> Term:
    """The next instruction's address plus the displacement, 64 bits."""
    return narrowed(run, terms.add(run.next_ip, terms.sext(run.insn.fields.immediates[0], 64)))


def jcc(code: int) -> Semantics:
    """Jcc: one that is not taken leaves rip whole even in the 16-bit form."""
    return lambda run: run.jump(relative_target(run), holds(code, run.get))


def loop(wanted_zf: bool | None) -> Semantics:
    """LOOP, LOOPE (True), LOOPNE (False): rcx or ecx, by the address size, goes down by 1, flags stay.

    An AMD processor takes the sense of ZF from the last F2 or F3 prefix, if there is one (measured on Zen 4).
    """

    def semantics(run: Run) -> None:
        by_prefix = wanted_zf is not None and run.insn.cpu is Cpu.AMD and run.insn.rep is not None
        sense = run.insn.rep == "rep" if by_prefix else wanted_zf
        width = run.address_width
        count = terms.sub(run.gpr(RCX, width), const(1, width))
        run.set_gpr(RCX, count)
        taken = terms.not_(terms.eq(count, const(0, count.width)))
        if sense is not None:
            zf = run.get("zf")
            taken = terms.and_(taken, zf if sense else terms.not_(zf))
        run.jump(relative_target(run), taken)

    return semantics


def jrcxz(run: Run) -> None:
    """JRCXZ, JECXZ: taken where the count register is 0; nothing is written."""
    width = run.address_width
    run.jump(relative_target(run), terms.eq(run.gpr(RCX, width), const(0, width)))


def is_relative(run: Run) -> bool:
    """Whether operand 0 is a displacement."""
    return operands.kind(run, 0).startswith("br")


def near_target(run: Run) -> Term:
    """The target of a near jmp or call, 64 bits; a memory operand is read through the present rsp."""
    if is_relative(run):
        return relative_target(run)
    return terms.zext(operands.read(run, 0), 64)


def jmp(run: Run) -> None:
    """JMP near."""
    run.jump(near_target(run))


def call(run: Run) -> None:
    """CALL near: a bad target is refused before anything is pushed (SDM vol. 2, CALL).

    On AMD a fault of the push goes first (measured on Zen 4).
    """
    target, amd = near_target(run), run.insn.cpu is Cpu.AMD
    if not amd:
        run.jump(target)
    run.push(terms.extract(run.next_ip, 15 if is_short(run) else run.mode.stack_width - 1, 0))
    if amd:
        run.jump(target)
    if is_relative(run):
        shadow_push_unless_zero(run, run.insn.fields.immediates[0])
    else:
        run.shadow_push(run.next_ip)


def shadow_push_unless_zero(run: Run, displacement: Term) -> None:
    """A relative call with displacement 0 pushes nothing to the shadow stack (SDM vol. 2, CALL)."""
    pushed = terms.not_(terms.eq(displacement, const(0, displacement.width)))
    if pushed.value != 0:
        run.shadow_push(run.next_ip, pushed)


def ret(run: Run) -> None:
    """RET near: the popped target is checked, then compared with the shadow stack, then imm16 is released."""
    target = terms.zext(run.pop(2 if is_short(run) else run.mode.stack_bytes), 64)
    run.jump(target)
    run.shadow_pop(target)
    if run.insn.fields.immediates:
        run.set_gpr(RSP, terms.add(run.gpr(RSP), terms.zext(run.insn.fields.immediates[0], 64)))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    **{f"j{name}": jcc(code) for name, code in CODES.items()},
    "loop": loop(None), "loope": loop(True), "loopne": loop(False), "jrcxz": jrcxz, "jecxz": jrcxz, "ret": ret,
}  # fmt: skip
