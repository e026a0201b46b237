"""Semantics of what differs at CPL 0 from a program's view: interrupt flag, system flags, ports, descriptor tables.

Decides IF, AC, what the processor itself answers, and which instructions have no model at CPL 0: those are named, never
run as at CPL 3.  Not decided: what control, debug and model-specific registers do, entries to and returns from other
privilege levels, and the descriptor tables' content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.fields import operand_register
from verify.models.x86.isa.forms import Opcode
from verify.models.x86.machine import GP, UD, component_sort
from verify.models.x86.mode import Mode
from verify.models.x86.semantics import far_control, kernel_entry, operands, shadow_stack, string, system
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RCX, RDX, Run
from verify.terms import FALSE, TRUE, Term, const

LEAST_TABLE: Final = 80  # bits that sgdt and sidt store: a limit of 16, a base of 64
SELECTOR: Final = 16  # bits


def setting(flag: str, value: Term) -> Semantics:
    """CLI, STI: CPL 0 is never above IOPL (SDM vol. 2, CLI, table 3-6; STI).  CLAC, STAC: SDM vol. 2.

    STI holds interrupts back for one instruction, debug traps not (SDM vol. 2, STI).
    """
    return lambda run: run.set(flag, value)


def _port(run: Run, index: int) -> Term:
    """The port number in operand `index`, 16 bits: dx, or an immediate of 8."""
    return terms.zext(operands.read(run, index), 16)


def _after_port(run: Run, name: str, *seen: Term) -> Term:
    """The opaque component behind an access to a device, which the access may change; PKRU stays."""
    opaque = run.before.opaque
    rest = terms.uf(f"{name}_device", 63 - system.PKRU, *seen, opaque)
    return terms.concat(rest, terms.extract(opaque, system.PKRU, 0))


def port_in(run: Run) -> None:
    """IN: the device's answer; at CPL 0 neither IOPL nor the permission bitmap is looked at (SDM vol. 1, 19.5.1)."""
    _, width = operands.FIXED_GPR[operands.kind(run, 0)]
    number = _port(run, 1)
    run.set("opaque", _after_port(run, "port_in", number, const(width, 16)))
    operands.write(run, 0, terms.uf(f"port_in_{width}", width, number, run.before.opaque))


def port_out(run: Run) -> None:
    """OUT: the value goes to the device (SDM vol. 2, OUT)."""
    value = operands.read(run, 1)
    run.set("opaque", _after_port(run, f"port_out_{value.width}", _port(run, 0), value))


def table_register(run: Run) -> None:
    """SGDT, SIDT: 10 bytes of the table register; UMIP concerns CPL 1 to 3 alone (SDM vol. 2, SGDT; vol. 3, 2.5)."""
    name = run.insn.opcode.mnemonic
    run.store(run.operand_address(), terms.uf(name, LEAST_TABLE, run.before.opaque), run.uses_stack_segment())


def selector_register(run: Run) -> None:
    """SLDT, STR: 16 bits to memory, zero-extended to a register's operand size (SDM vol. 2, SLDT, STR)."""
    _write(run, terms.uf(run.insn.opcode.mnemonic, SELECTOR, run.before.opaque))


def smsw(run: Run) -> None:
    """SMSW: the low 16 bits of CR0 to memory, as many as the operand has to a register (SDM vol. 2, SMSW)."""
    _write(run, terms.uf("smsw", 64, run.before.opaque))


def _write(run: Run, value: Term) -> None:
    if operands.is_memory(run, 0):
        run.store(run.operand_address(), terms.extract(value, SELECTOR - 1, 0), run.uses_stack_segment())
        return
    _, number = operand_register(run.insn.opcode, 0, run.insn.fields)
    width = run.insn.opcode.operand_size or 32
    run.set_gpr(number, far_control.resized(value, width // 8))


def rdmsr(run: Run) -> None:
    """RDMSR: edx and eax by ecx; #GP(0) for a register that there is not (SDM vol. 2, RDMSR)."""
    seen = (run.gpr(RCX, 32), run.before.opaque, run.before.fs_base, run.before.gs_base)
    run.fault(terms.uf("rdmsr.refuses", 1, *seen[:2]), GP)
    for number in (RAX, RDX):
        run.set_gpr(number, terms.uf(f"rdmsr_{number.value}", 32, *seen))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "cli": setting("interrupts", FALSE), "sti": setting("interrupts", TRUE),
    "clac": setting("ac", FALSE), "stac": setting("ac", TRUE),
    "in": port_in, "out": port_out,
    "sgdt": table_register, "sidt": table_register, "sldt": selector_register, "str": selector_register, "smsw": smsw,
    "rdmsr": rdmsr,
    "wbinvd": system.nothing, "wbnoinvd": system.nothing,  # caches are no component of the state
    "enclu": kernel_entry.undefined,  # SDM vol. 3, ENCLU: #UD where CPL < 3
}  # fmt: skip
ELSEWHERE: Final = frozenset({  # what leads to another privilege level or to a hypervisor, or is the kernel's own entry
    "syscall", "sysenter", "int", "vmcall", "vmmcall", "vmfunc", "vmgexit",
    *(far_control.SEMANTICS.keys() - {"jmp", "call"}),
})  # fmt: skip
UNDEFINED: Final = frozenset({"ud0", "ud1", "ud2"})  # at every level
_SYSTEM: Final = {**system.SEMANTICS, **string.SEMANTICS, **shadow_stack.SEMANTICS, **kernel_entry.SEMANTICS}
NOT_OPEN: Final = frozenset(  # what CPL 3 has only a fault for: another answer is due at CPL 0
    m for m, s in _SYSTEM.items() if s in {kernel_entry.privileged, kernel_entry.undefined} and m not in UNDEFINED
)


def unconstrained(run: Run) -> None:
    """An instruction for CPL 0 alone is not refused there; what it does to the state is left open.

    It may refuse its operands with #GP, and need a mode of the processor, without which it is #UD (SDM vol. 3, 5.9).
    """
    name, before = run.insn.opcode.name, run.before
    seen = (before.gprs, before.opaque)
    run.fault(terms.uf(f"{name}.mode.refuses", 1, before.opaque), UD, at_ip=True)
    run.fault(terms.uf(f"{name}.refuses", 1, *seen), GP)
    for component in ("gprs", "opaque", "fs_base", "gs_base"):
        sort = component_sort(component)
        run.set(component, terms.uf(f"{name}_{component}", sort, *seen))


def for_a_program(opcode: Opcode, mode: Mode) -> Semantics | None:
    """What a program's instruction does at another level where the families' semantics are of its own; None: nothing.

    At CPL 1 and 2 UMIP raises #GP, which the kernel does not complete for its own code.
    """
    name = opcode.mnemonic
    if not mode.is_privileged:
        return kernel_entry.privileged if name in UMIP else None
    if name not in SEMANTICS and (opcode.must_be_cpl0 or name in NOT_OPEN):
        return unconstrained
    return None


UMIP: Final = frozenset({"sgdt", "sidt", "sldt", "str", "smsw"})


def gap(opcode: Opcode, mode: Mode) -> str | None:
    """Why nothing is said of an opcode in a mode, or None: at CPL 3 all are modelled."""
    name = opcode.mnemonic
    if mode.is_user or (mode.is_privileged and name in SEMANTICS):
        return None
    is_far = name in {"jmp", "call"} and opcode.op_kinds[0] == "mem"
    is_closed = opcode.must_be_cpl0 or name in NOT_OPEN
    if name in ELSEWHERE or is_far or (is_closed and not mode.on_behalf):
        return f"{name} in {mode.name}"
    return None
