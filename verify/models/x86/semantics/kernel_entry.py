"""Semantics of what enters the kernel on purpose: syscall, sysenter, int n, int3, int1, ud0 to ud2, #GP and #UD.

Decides what a 64-bit program sees of it under Linux: rcx and r11, which vectors of the IDT it may call, where ip
stands in a signal.  What a system call does is the environment's: a function of registers and memory, never of ip.
Not decided: registers and ip after execve and clone, and what rt_sigreturn restores besides ip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import BP, DB, GP, NO_FAULT, OF, UD, flags_word
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RCX, Run
from verify.terms import MEMORY, TRUE, Term, const

R11: Final = const(11, 4)
RT_SIGRETURN: Final = 15  # arch/x86/entry/syscalls/syscall_64.tbl
USER_VECTORS: Final = (BP, OF)  # gates of DPL 3 besides 0x80: arch/x86/kernel/idt.c, Linux 6.18
IA32_SYSCALL: Final = 0x80


def undefined(run: Run) -> None:
    """#UD, reported with si_addr at the instruction (SDM vol. 3, 6.15; exc_invalid_op, Linux 6.18)."""
    run.fault(TRUE, UD, at_ip=True)


def privileged(run: Run) -> None:
    """#GP(0): the instruction needs CPL 0, or IOPL 3 (SDM vol. 3, 5.9)."""
    run.fault(TRUE, GP)


def unless(run: Run, condition: Term) -> None:
    """#UD where the one-bit condition is 0."""
    run.fault(terms.not_(condition), UD, at_ip=True)


def system_call(run: Run, name: str, made: Term = TRUE) -> None:
    """Where `made`, rax and memory become what the kernel makes of registers and memory; the trap comes late."""
    gprs, memory = run.before.gprs, run.before.memory
    result = terms.uf(f"{name}_result", 64, gprs, memory)
    run.set_gpr(RAX, terms.ite(made, result, run.gpr(RAX)))
    run.set("memory", terms.ite(made, terms.uf(f"{name}_memory", MEMORY, gprs, memory), memory))
    for base in ("fs_base", "gs_base"):  # arch_prctl
        old = run.get(base)
        run.set(base, terms.ite(made, terms.uf(f"{name}_{base}", 64, gprs, old), old))
    run.kernel_completes = True


def syscall(run: Run) -> None:
    """SYSCALL: rcx := next ip, r11 := rflags with the TF of this moment; the kernel returns both (SDM vol. 2, SYSCALL).

    rt_sigreturn alone goes on where its frame says.
    """
    number = run.gpr(RAX, 32)
    system_call(run, "syscall")
    run.set_gpr(RCX, run.next_ip)
    run.tf_seen.append(run.get("tf"))
    run.set_gpr(R11, flags_word(run.before, run.get("tf"), run.mode))
    restored = terms.uf("sigreturn_ip", 64, run.before.gprs, run.before.memory)
    run.set("ip", terms.ite(terms.eq(number, const(RT_SIGRETURN, 32)), restored, run.next_ip))


def sysenter(run: Run) -> None:
    """SYSENTER: #UD on AMD in long mode (APM vol. 3); on Intel a 32-bit call that goes on in the 32-bit vDSO."""
    if run.insn.cpu is Cpu.AMD:
        undefined(run)
        return
    gprs, memory = run.before.gprs, run.before.memory
    run.set("gprs", terms.uf("sysenter_gprs", terms.GPRS, gprs, memory))
    run.set("memory", terms.uf("sysenter_memory", MEMORY, gprs, memory))
    run.set("ip", terms.uf("sysenter_ip", 64, gprs))
    run.kernel_completes = True


def gate(run: Run, number: Term) -> None:
    """INT n at CPL 3: vectors 3 and 4 are delivered with ip behind the instruction, 0x80 is a system call, else #GP.

    The error code is n * 8 + 2, the IDT flag (SDM vol. 3, 6.13).  A kernel without 32-bit emulation has no gate 0x80.
    """
    delivered = terms.any_of(terms.eq(number, const(n, 8)) for n in USER_VECTORS)
    call = terms.eq(number, const(IA32_SYSCALL, 8))
    closed = terms.and_(call, terms.uf("int80.refuses", 1))
    vector = terms.ite(terms.and_(call, terms.not_(closed)), const(NO_FAULT, 8), const(GP, 8))
    error = terms.add(terms.shl(terms.zext(number, 32), const(3, 32)), const(2, 32))
    run.faults.append((
        terms.ite(delivered, number, vector), terms.ite(delivered, const(0, 32), error), const(0, 64), terms.FALSE,
    ))  # fmt: skip
    run.fault_state = replace(run.before, ip=terms.ite(delivered, run.next_ip, run.before.ip))
    run.interrupts = True
    if call.value != 0:
        system_call(run, "int80", call)


def int_n(run: Run) -> None:
    """INT imm8."""
    gate(run, run.insn.fields.immediates[0])


def int3(run: Run) -> None:
    """INT3: vector 3, ip behind the instruction, no address (SDM vol. 2, INT3; exc_int3, Linux 6.18)."""
    gate(run, const(BP, 8))


def int1(run: Run) -> None:
    """INT1: vector 1, ip behind the instruction, DPL not checked (SDM vol. 2, INT1)."""
    run.fault(TRUE, DB)
    run.fault_state = replace(run.before, ip=run.next_ip)
    run.interrupts = True


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "syscall": syscall, "sysenter": sysenter, "int": int_n, "int3": int3, "int1": int1,
    "ud0": undefined, "ud1": undefined, "ud2": undefined,
    "sysexit": privileged, "sysexitq": privileged, "sysret": privileged, "sysretq": privileged,
}  # fmt: skip
