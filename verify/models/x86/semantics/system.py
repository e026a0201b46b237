"""Semantics of system instructions that a program can run, or that the kernel finishes for it.

Decides operands, faults and which state changes.  What a processor answers (cpuid, rdtsc, descriptor attributes) is an
uninterpreted function of the inputs: both runs ask the same processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import GP, STATUS, UD
from verify.models.x86.mode import is_canonical
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.kernel_entry import privileged, undefined
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RBX, RCX, RDX, Run
from verify.terms import Term, const

R8: Final = const(8, 4)
AT_EVERY_LEVEL: Final = frozenset({"pkru", "rdpmc"})  # CR4.PKE; no such counter: SDM vol. 2, RDPKRU, RDPMC
PKRU: Final = 31  # State.other, bits 31..0: the protection keys' rights


def nothing(run: Run) -> None:
    """No operation: fences, hints, nops, prefetches; a memory operand is not accessed and never faults."""


def answered(name: str, inputs: tuple[Term, ...], outputs: tuple[Term, ...]) -> Semantics:
    """32-bit outputs that are functions of 32-bit inputs and of processor state no program writes."""

    def semantics(run: Run) -> None:
        seen = tuple(run.gpr(r, 32) for r in inputs)
        for number in outputs:
            run.set_gpr(number, terms.uf(f"{name}_{number.value}", 32, *seen, run.before.opaque))

    return semantics


def guarded(name: str, vector: int, semantics: Semantics) -> Semantics:
    """The semantics, behind a fault where the kernel has not opened the instruction to programs.

    CPUID faulting, CR4.TSD and CR4.PCE concern programs alone (SDM vol. 2, CPUID, RDTSC, RDPMC; APM vol. 3, RDPRU).
    """

    def checked(run: Run) -> None:
        if run.mode.is_privileged and name not in AT_EVERY_LEVEL:
            semantics(run)
            return
        run.fault(terms.uf(f"{name}.refuses", 1), vector, at_ip=vector == UD)
        semantics(run)

    return checked


def fault_unless_zero(run: Run, reserved: Term) -> None:
    """#GP(0) where a bit is set."""
    run.fault(terms.not_(flags.is_zero(reserved)), GP)


def xgetbv(run: Run) -> None:
    """XGETBV: #GP(0) for an ecx that names no register; 0 and 1 are the ones there are (SDM vol. 2, XGETBV)."""
    ecx = run.gpr(RCX, 32)
    run.fault(terms.ult(const(1, 32), ecx), GP)
    for number in (RAX, RDX):
        run.set_gpr(number, terms.uf(f"xgetbv_{number.value}", 32, ecx, run.before.opaque))


def read_base(name: str) -> Semantics:
    """RDFSBASE, RDGSBASE: the 32-bit form zero-extends (SDM vol. 2)."""

    def semantics(run: Run) -> None:
        width = run.insn.opcode.operand_size or 32
        operands.write(run, 0, terms.extract(run.get(name), width - 1, 0))

    return semantics


def write_base(name: str) -> Semantics:
    """WRFSBASE, WRGSBASE: #GP(0) for a non-canonical base; the 32-bit form zero-extends (SDM vol. 2)."""

    def semantics(run: Run) -> None:
        value = terms.zext(operands.read(run, 0), 64)
        run.fault(terms.not_(is_canonical(value, run.mode)), GP)
        run.set(name, value)

    return semantics


def rdpid(run: Run) -> None:
    """RDPID: TSC_AUX, which Linux gives the number of the processor (SDM vol. 2, RDPID)."""
    operands.write(run, 0, terms.zext(terms.uf("tsc_aux", 32, run.before.opaque), 64))


def rdpru(run: Run) -> None:
    """RDPRU: eax and edx by ecx; what becomes of the status flags is left open, no processor that has it was asked."""
    seen = (run.gpr(RCX, 32), run.before.opaque)
    for number in (RAX, RDX):
        run.set_gpr(number, terms.uf(f"rdpru_{number.value}", 32, *seen))
    for name in STATUS:
        run.set(name, terms.uf(f"rdpru_{name}", 1, *seen, run.get(name)))


def rdpkru(run: Run) -> None:
    """RDPKRU: #GP(0) unless ecx is 0; eax := PKRU, edx := 0 (SDM vol. 2, RDPKRU)."""
    fault_unless_zero(run, run.gpr(RCX, 32))
    run.set_gpr(RAX, terms.extract(run.before.opaque, PKRU, 0))
    run.set_gpr(RDX, const(0, 32))


def wrpkru(run: Run) -> None:
    """WRPKRU: #GP(0) unless ecx and edx are 0; PKRU := eax (SDM vol. 2, WRPKRU)."""
    fault_unless_zero(run, terms.or_(run.gpr(RCX, 32), run.gpr(RDX, 32)))
    rest = terms.extract(run.before.opaque, 63, PKRU + 1)
    run.set("opaque", terms.concat(rest, run.gpr(RAX, 32)))


def touch(run: Run) -> None:
    """CLFLUSH, CLFLUSHOPT, CLWB: faults like a read of one byte, accesses nothing (SDM vol. 2, CLFLUSH)."""
    run.touch("r", run.operand_address(), 1, run.uses_stack_segment())


def clzero(run: Run) -> None:
    """CLZERO: 64 zero bytes at rax, the linear address rounded down to the line (APM vol. 3, CLZERO; Zen 4)."""
    line = terms.and_(run.linear(run.truncated(run.gpr(RAX)), run.insn.segment), const(-64, 64))
    run.store(line, const(0, 512))


def reserved_nop(run: Run) -> None:
    """NOP r/m: AMD refuses the register form of 0F 0D (measured on Zen 4)."""
    if run.insn.cpu is Cpu.AMD and run.insn.opcode.name.endswith("_0F0D"):
        undefined(run)


def pause(run: Run) -> None:
    """PAUSE; with REX.B the bytes F3 90 exchange rax and r8, by operand size (measured on Zen 4)."""
    if run.insn.fields.b.value != 1:
        return
    width = 64 if run.insn.fields.w.value == 1 else 16 if 0x66 in run.insn.fields.layout.prefixes else 32
    first, second = run.gpr(RAX, width), run.gpr(R8, width)
    run.set_gpr(RAX, second)
    run.set_gpr(R8, first)


def verify_segment(name: str) -> Semantics:
    """VERR, VERW: ZF alone says what the descriptor tables say of the selector (SDM vol. 2, VERR)."""

    def semantics(run: Run) -> None:
        chosen = terms.extract(operands.read(run, 0, 2), 15, 0)
        run.set("zf", terms.uf(run.asked(f"{name}_zf"), 1, chosen))

    return semantics


def load_attributes(name: str) -> Semantics:
    """LAR, LSL: ZF says whether the selector is good; where not, the destination stays whole (SDM vol. 2, LAR)."""

    def semantics(run: Run) -> None:
        chosen = terms.extract(operands.read(run, 1, 2), 15, 0)
        good, before = terms.uf(run.asked(f"{name}_zf"), 1, chosen), run.get("gprs")
        width = run.insn.opcode.operand_size or 32
        answer = terms.uf(f"{name}_answer", 32, chosen)
        operands.write(run, 0, terms.extract(terms.zext(answer, 64), width - 1, 0))
        run.set("gprs", terms.ite(good, run.get("gprs"), before))
        run.set("zf", good)

    return semantics


def hypercall(name: str) -> Semantics:
    """VMCALL, VMMCALL, VMFUNC: a hypervisor's answer, or a fault; no program's interface (SDM vol. 3, 27.1)."""

    def semantics(run: Run) -> None:
        gprs = run.before.gprs
        run.fault(terms.uf(f"{name}_opcode.refuses", 1), UD, at_ip=True)
        run.fault(terms.uf(f"{name}.refuses", 1, gprs), GP)
        run.set_gpr(RAX, terms.uf(f"{name}_result", 64, gprs))

    return semantics


def ldmxcsr(run: Run) -> None:
    """LDMXCSR: #GP(0) for a reserved bit; AMD has bit 17 (SDM vol. 1, 10.2.3; APM vol. 1, 4.2.2; measured)."""
    value = operands.read(run, 0, 4)
    reserved = 0xFFFD0000 if run.insn.cpu is Cpu.AMD else 0xFFFF0000
    fault_unless_zero(run, terms.and_(value, const(reserved, 32)))
    run.set("mxcsr", value)


def stmxcsr(run: Run) -> None:
    """STMXCSR."""
    operands.write(run, 0, run.get("mxcsr"))


def umonitor(run: Run) -> None:
    """UMONITOR: its address register may fault like a read of one byte (SDM vol. 2, UMONITOR)."""
    value = operands.read(run, 0)
    address = run.linear(run.truncated(terms.zext(value, 64)), run.insn.segment)
    run.touch("r", address, 1)


def user_wait(run: Run) -> None:
    """UMWAIT, TPAUSE: CF says whether the time limit ended it, other status flags are 0; #GP(0) for reserved bits."""
    control = operands.read(run, 0)
    fault_unless_zero(run, terms.and_(terms.extract(control, 31, 0), const(0xFFFFFFFE, 32)))
    flags.clear(run, "pf", "af", "zf", "sf", "of")
    deadline = terms.concat(run.gpr(RDX, 32), run.gpr(RAX, 32))
    run.set("cf", terms.uf("wait_limit_reached", 1, deadline, run.before.opaque))


def ptwrite(run: Run) -> None:
    """PTWRITE: reads its operand; the packet is out of scope (SDM vol. 2, PTWRITE)."""
    operands.read(run, 0)


def armed_monitor(run: Run) -> None:
    """MONITORX: rax may fault like a read of one byte; ecx must be 0 (APM vol. 3, MONITORX).

    Under a hypervisor that intercepts it no address faults (measured on a virtual Zen 4).
    """
    fault_unless_zero(run, run.gpr(RCX, 32))
    address = run.linear(run.truncated(run.gpr(RAX)), run.insn.segment)
    run.touch("r", address, 1, condition=terms.uf("monitorx_checks", 1))


def armed_wait(run: Run) -> None:
    """MWAITX: #GP(0) for a reserved bit, all but 0 and 1 (APM vol. 3, MWAITX); of the whole rcx, measured on Zen 4."""
    fault_unless_zero(run, terms.and_(run.gpr(RCX), const(~3, 64)))


def enclu(run: Run) -> None:
    """ENCLU: #UD without SGX; EENTER leaves the next ip in rcx and goes on inside (SDM vol. 3, EENTER, ERESUME)."""
    run.fault(terms.uf("enclaves.refuses", 1), UD, at_ip=True)
    gprs, leaf = run.before.gprs, run.gpr(RAX, 32)
    run.fault(terms.uf("enclu.refuses", 1, gprs), GP)
    run.set("gprs", terms.uf("enclu_gprs", terms.GPRS, gprs))
    for name in STATUS:  # a leaf's own: SDM vol. 3, EACCEPT, EGETKEY, EENTER
        run.set(name, terms.uf(f"enclu_{name}", 1, gprs, run.get(name)))
    enters = terms.eq(leaf, const(2, 32))
    run.set_gpr(RCX, terms.ite(enters, run.next_ip, run.gpr(RCX)))
    moves = terms.and_(terms.not_(terms.ult(leaf, const(2, 32))), terms.ult(leaf, const(5, 32)))
    inside = terms.uf("enclu_ip", run.mode.canonical_bits - 2, gprs)
    run.set("ip", terms.ite(moves, terms.zext(inside, 64), run.next_ip))


NO_OPERATION: Final = (
    "nop", "endbr32", "endbr64", "lfence", "mfence", "sfence", "serialize", "cldemote",
    "prefetch", "prefetchw", "prefetchwt1", "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2",
    "prefetchit0", "prefetchit1",
)  # fmt: skip
UNDEFINED: Final = (  # #UD at CPL 3 under Linux 6.18: it turns the feature on for itself only, or not at all
    "monitor", "mwait", "clac", "stac", "getsec", "getsecq", "enclv", "vmlaunch", "vmresume", "vmxoff", "vmread",
    "vmwrite", "vmptrld", "vmptrst", "vmclear", "vmxon", "rsm", "stgi", "clgi", "skinit", "vmrun", "vmload", "vmsave",
    "invlpga",
    "seamcall", "seamops", "seamret", "tdcall", "mcommit", "uiret", "testui", "clui", "stui", "senduipi",
    "llwpcb", "slwpcb", "lwpins", "lwpval",  # XCR0[62] is never set: XFEATURE_MASK_USER_SUPPORTED, asm/fpu/xstate.h
)  # fmt: skip
PRIVILEGED: Final = (
    "hlt", "cli", "sti", "in", "out", "clts", "invd", "wbinvd", "wbnoinvd", "invlpg", "invpcid", "rdmsr", "wrmsr",
    "xsetbv", "swapgs", "lgdt", "lidt", "lldt", "ltr", "lmsw", "wrmsrns", "rdmsrlist", "wrmsrlist", "lkgs",
)  # fmt: skip

SEMANTICS: Final[Mapping[str, Semantics]] = {
    **dict.fromkeys(NO_OPERATION, nothing),
    **dict.fromkeys(PRIVILEGED, privileged),
    **dict.fromkeys(UNDEFINED, undefined),
    "reservednop": reserved_nop, "pause": pause,
    "cpuid": guarded("cpuid", GP, answered("cpuid", (RAX, RCX), (RAX, RBX, RCX, RDX))),
    "rdtsc": guarded("rdtsc", GP, answered("tsc", (), (RAX, RDX))),
    "rdtscp": guarded("rdtsc", GP, answered("tsc", (), (RAX, RDX, RCX))),
    "rdpmc": guarded("rdpmc", GP, answered("pmc", (RCX,), (RAX, RDX))),
    "rdpru": guarded("rdpru", UD, rdpru),
    "xgetbv": xgetbv,
    "rdfsbase": read_base("fs_base"), "rdgsbase": read_base("gs_base"),
    "wrfsbase": write_base("fs_base"), "wrgsbase": write_base("gs_base"),
    "rdpid": rdpid,
    "rdpkru": guarded("pkru", UD, rdpkru), "wrpkru": guarded("pkru", UD, wrpkru),
    "clflush": touch, "clflushopt": touch, "clwb": touch, "clzero": clzero,
    "verr": verify_segment("verr"), "verw": verify_segment("verw"),
    "lar": load_attributes("lar"), "lsl": load_attributes("lsl"),
    "vmcall": hypercall("vmcall"), "vmmcall": hypercall("vmmcall"), "vmfunc": hypercall("vmfunc"),
    "ldmxcsr": ldmxcsr, "vldmxcsr": ldmxcsr, "stmxcsr": stmxcsr, "vstmxcsr": stmxcsr,
    "umonitor": umonitor, "umwait": user_wait, "tpause": user_wait, "ptwrite": ptwrite,
    "monitorx": armed_monitor, "mwaitx": armed_wait,
    "enclu": enclu, "vmgexit": hypercall("vmmcall"),
}  # fmt: skip
