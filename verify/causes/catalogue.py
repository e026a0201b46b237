"""The causes of refutations and refusals, a row each: what happens, by which rule, what is lost, what to do instead.

`verify.causes.derivation` says which cause a deviation has.  A row says what any implementation with such a plan does;
`rules` name the function and the file of those that are modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Harm(Enum):
    """What a deviation costs the program, the worst first; a refusal harms nobody."""

    WRONG_DATA = "silent wrong data"
    LOST_CONTROL = "lost control"
    MISSING_FAULT = "missing fault"
    DEBUGGERS = "visible only to debuggers"
    REFUSED = "refused"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Harm).index(self)


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.  `rules`: by the beginning of a scheme's name, the function and file that does it."""

    name: str
    harm: Harm
    happens: str  # one sentence
    loses: str  # what the program loses
    instead: str  # what to do
    rules: tuple[tuple[str, str], ...] = ()

    def rule(self, scheme: str, source: str) -> str:
        """Which rule of the scheme does it; its source where no function is known."""
        return next((text for begin, text in self.rules if scheme.startswith(begin)), source)


UPROBES: Final = "linux-uprobes"
_C: Final = "arch/x86/kernel/uprobes.c"
NEXT_ONE: Final = "probe the next or the previous instruction"


def _uprobes(text: str) -> tuple[tuple[str, str], ...]:
    return ((UPROBES, text),)


def _old_and_new(old: str, new: str) -> tuple[tuple[str, str], ...]:
    return (("linux-uprobes-3.15", old), (UPROBES, new))


SKIPPED: Final = Cause(
    "vex-opcode-taken-for-legacy", Harm.WRONG_DATA,
    "the opcode byte behind a VEX, EVEX or XOP prefix is taken for the one-byte instruction of that number (a nop, a "
    "push, a jump), whose effect is applied; the vector instruction never runs",
    "the result of the instruction: registers and memory keep their old values, and nothing says so",
    "probe no such instruction; " + NEXT_ONE,
    _uprobes(f"{_C}, branch_setup_xol_ops and push_setup_xol_ops: OPCODE1(insn) is looked at without "
             "insn->vex_prefix.nbytes"),
)  # fmt: skip
JUMPED: Final = Cause(
    "vex-taken-for-jump", Harm.LOST_CONTROL,
    "the opcode byte behind a VEX, EVEX or XOP prefix is taken for a jump or call, and its operands for a displacement",
    "control: the program goes on at an address that the instruction's immediate or nothing at all decides, and the "
    "instruction has not run",
    "probe no such instruction; " + NEXT_ONE, SKIPPED.rules,
)  # fmt: skip
LEFT_IN_SLOT: Final = Cause(
    "vex-taken-for-return", Harm.LOST_CONTROL,
    "the opcode byte behind a VEX, EVEX or XOP prefix is taken for one that sets ip itself (a return, an indirect "
    "branch): ip is not moved back from the slot, and a rip-relative operand is not rewritten",
    "control: the program runs on in the page of slots", "probe no such instruction; " + NEXT_ONE,
    _uprobes(f"{_C}, arch_uprobe_analyze_insn: the switch over OPCODE1(&insn) decides the fixups"),
)  # fmt: skip
KEEPS_TF: Final = Cause(
    "vex-taken-for-popf", Harm.DEBUGGERS,
    "the opcode byte behind a VEX, EVEX or XOP prefix is taken for popf: the trap flag of the step is left set",
    "the trap flag: the program gets a SIGTRAP that it did not ask for", "probe no such instruction; " + NEXT_ONE,
    _uprobes(f"{_C}, arch_uprobe_analyze_insn, case 0x9d: UPROBE_FIX_SETF"),
)  # fmt: skip
XCHG: Final = Cause(
    "exchange-taken-for-nop", Harm.WRONG_DATA,
    "opcode 90 is taken for a nop whatever REX says: with REX.B it exchanges r8 and rax",
    "the exchange: rax and r8 keep their values", NEXT_ONE,
    (("linux-uprobes-3.15", f"{_C}, __skip_sstep"), (UPROBES, f"{_C}, branch_setup_xol_ops, case 0x90")),
)
RED_ZONE: Final = Cause(
    "red-zone-overwritten", Harm.WRONG_DATA,
    "the probed nop becomes a call of a trampoline, which pushes the return address and three registers below rsp",
    "32 bytes below rsp, where a leaf function keeps its variables (the red zone)",
    "probe a nop only at a function's entry, or an instruction that is no 5-byte nop",
    _uprobes(f"{_C}, can_optimize, arch_uprobe_optimize and uprobe_trampoline_entry"),
)  # fmt: skip
BELOW: Final = Cause(
    "stack-written-below-rsp", Harm.DEBUGGERS,
    "the probed nop becomes a call of a trampoline, which stores below the red zone",
    "at the end of its stack the program faults where a nop does not; one that sets TF itself loses a trap",
    "probe an instruction that is no nop where stacks are small",
    _uprobes(f"{_C}, can_optimize and arch_uprobe_optimize"),
)
NOT_REWRITTEN: Final = Cause(
    "rip-relative-not-rewritten", Harm.WRONG_DATA,
    "the implementation does not see the rip-relative operand: the copy addresses memory from the slot",
    "the operand: something else is read or written, or the access faults", NEXT_ONE,
    _old_and_new(
        f"{_C}, handle_riprel_insn: acts where arch/x86/lib/insn.c, insn_get_modrm found a ModRM byte",
        f"{_C}, riprel_analyze: acts where insn_rip_relative; arch/x86/lib/insn.c, insn_get_modrm takes the opcode's "
        "attribute by the last prefix alone",
    ),
)  # fmt: skip
REX: Final = Cause(
    "prefix-misread", Harm.LOST_CONTROL,
    "the implementation's decoder takes a repeated or misplaced REX byte, which the processor ignores, or a fifth "
    "legacy prefix for something else, and what follows it for another instruction",
    "the operand or control: what is mended behind the step is another instruction's", NEXT_ONE,
    _uprobes("arch/x86/lib/insn.c, insn_get_prefixes: four legacy prefixes and one REX byte"),
)
WRONG_COPY: Final = Cause(
    "copy-is-another-instruction", Harm.WRONG_DATA,
    "what is changed in the copy for its rip-relative operand makes another instruction or another operand of it",
    "the operand: another register or other memory is used", NEXT_ONE,
    _old_and_new(f"{_C}, handle_riprel_insn", f"{_C}, riprel_analyze"),
)
SCRATCH: Final = Cause(
    "scratch-register-in-use", Harm.WRONG_DATA,
    "the register that holds the address during the step is one that the instruction reads or writes",
    "the value that the instruction reads from it or writes into it", NEXT_ONE,
    _old_and_new(f"{_C}, handle_riprel_insn: RCX or RAX by modrm.reg alone", f"{_C}, riprel_analyze"),
)
MISREAD_LENGTH: Final = Cause(
    "length-misread", Harm.LOST_CONTROL,
    "the implementation's decoder takes the instruction for a longer or shorter one",
    "control: the program goes on within an instruction or behind one that has not run", NEXT_ONE,
    _uprobes("arch/x86/lib/insn.c, insn_get_length and the attributes in arch/x86/lib/x86-opcode-map.txt"),
)
EMULATE_PREFIX: Final = Cause(
    "undefined-taken-for-prefix", Harm.MISSING_FAULT,
    "ud2 and the bytes behind it are taken for the prefix by which a hypervisor's emulator is called",
    "the fault: where SIGILL is due the program runs on", "probe no ud2",
    _uprobes("arch/x86/lib/insn.c, insn_get_emulate_prefix"),
)
CALL_SIZE: Final = Cause(
    "return-address-size", Harm.WRONG_DATA,
    "the return address is written again with 8 bytes where the call pushed another number of them",
    "the stack: rsp and the return frame are not what the callee expects", "probe the callee's entry",
    _old_and_new(f"{_C}, adjust_ret_addr", f"{_C}, default_post_xol_op, UPROBE_FIX_CALL: sizeof_long()"),
)
TRUNCATED: Final = Cause(
    "branch-target-of-the-slot", Harm.LOST_CONTROL,
    "the branch runs in the slot with a 66 prefix, which cuts ip to 16 bits: of the slot, not of the original",
    "control: the target is another one", "probe no branch with a 66 prefix",
    _uprobes(f"{_C}, default_post_xol_op, UPROBE_FIX_IP: ip += origin - slot"),
)
ABSOLUTE: Final = Cause(
    "absolute-target-moved", Harm.LOST_CONTROL,
    "the instruction sets ip to an absolute address, and ip is moved from slot to original all the same",
    "control: the program goes on at an address that is wrong by the distance of slot and original", NEXT_ONE,
    _uprobes(f"{_C}, default_post_xol_op, UPROBE_FIX_IP: ip += origin - slot for every opcode that is not listed"),
)
TF_PUSHED: Final = Cause(
    "tf-in-pushed-flags", Harm.DEBUGGERS,
    "the flags are pushed while the step's trap flag is set: the program finds TF in the image",
    "a clear TF: a later popf or iret sets it, and the program traps; a program that looks for debuggers finds one",
    "probe the instruction before or behind pushf",
    _uprobes(f"{_C}, arch_uprobe_pre_xol: regs->flags |= X86_EFLAGS_TF"),
)  # fmt: skip
TF_IN_REGISTER: Final = Cause(
    "tf-in-saved-flags", Harm.DEBUGGERS,
    "the flags are saved to a register while the step's trap flag is set",
    "a clear TF in that register", NEXT_ONE, TF_PUSHED.rules,
)
SYSCALL: Final = Cause(
    "syscall-trap-late", Harm.LOST_CONTROL,
    "the debug trap of a stepped system call arrives one instruction late: what stands behind it in the slot runs too, "
    "or the call does not come back to the slot at all",
    "the next instruction's place: it runs in the slot, and a relative branch or a signal there shows the slot",
    "probe the instruction before the system call",
    _uprobes(f"{_C}, arch_uprobe_pre_xol: TF is the only end of a step"),
)  # fmt: skip
COMPLETED: Final = Cause(
    "completed-by-the-kernel", Harm.LOST_CONTROL,
    "the kernel itself completes the instruction where the processor refuses it (UMIP) and advances ip: the step's "
    "trap comes only behind the next instruction",
    "the next instruction's place: it runs in the slot too", NEXT_ONE,
    _uprobes("arch/x86/kernel/umip.c, fixup_umip_exception: no trap is raised where TF is set"),
)  # fmt: skip
REPEATED: Final = Cause(
    "interruptible-hit-each-part", Harm.DEBUGGERS,
    "the trap flag stops an instruction of many parts (a repeated string instruction, a gather, a scatter) after each "
    "of them, and it begins again at the breakpoint",
    "nothing in the program but time; the probe's handler runs once a part, so that counts are wrong",
    "count at the instruction before it; do not rely on the number of hits",
    _uprobes(f"{_C}, arch_uprobe_post_xol: ip is moved to the original, where the breakpoint stands"),
)  # fmt: skip
X87_POINTER: Final = Cause(
    "x87-pointer-of-the-slot", Harm.DEBUGGERS,
    "the x87 instruction pointer is left as the slot's address",
    "FIP as fstenv, fsave and fxsave show them: an x87 exception handler looks at the wrong place",
    "probe the instruction behind it", _uprobes(f"{_C}, default_post_xol_op mends no x87 state"),
)  # fmt: skip
SLOT_IN_REGISTER: Final = Cause(
    "slot-address-in-register", Harm.WRONG_DATA,
    "the instruction puts its own address into a register: the slot's",
    "the address: the program sees the slot", NEXT_ONE, _uprobes(f"{_C}, default_post_xol_op mends ip alone"),
)
SLOT_IN_RCX: Final = Cause(
    "slot-address-in-rcx", Harm.DEBUGGERS,
    "a system call leaves the address behind it in rcx: the slot's", "rcx, which the ABI gives up anyway",
    "probe the instruction before the system call", SLOT_IN_REGISTER.rules,
)
SLOT_ON_STACK: Final = Cause(
    "slot-address-in-memory", Harm.WRONG_DATA,
    "the instruction stores its own address: the slot's", "the address: what returns by it ends in the slot",
    "probe the callee's entry", SLOT_IN_REGISTER.rules,
)
TRANSACTION: Final = Cause(
    "transaction-ended-by-step", Harm.LOST_CONTROL,
    "the step's trap aborts the transaction that the instruction begins",
    "the transaction: it never succeeds", "probe outside the transaction", TF_PUSHED.rules,
)
ENCLAVE: Final = Cause(
    "enclave-left-for-the-slot", Harm.LOST_CONTROL,
    "the enclave instruction leaves the slot for a place that is not moved", "control", NEXT_ONE, ABSOLUTE.rules,
)
NO_FAULT: Final = Cause(
    "fault-not-raised", Harm.MISSING_FAULT,
    "where the processor faults, the implementation goes on, or shows another fault",
    "the fault, or what its handler needs to mend it", NEXT_ONE,
)
FAULT_ADDRESS: Final = Cause(
    "fault-address-of-the-slot", Harm.MISSING_FAULT,
    "where the copy faults, the program's handler is told the slot's address",
    "the fault's place: a handler that looks at the instruction, or goes on behind it, looks at the slot", NEXT_ONE,
)
FAULT_SHOWN: Final = Cause(
    "state-at-fault-of-the-copy", Harm.WRONG_DATA,
    "where the copy faults, the program's handler finds state that the displaced run has changed",
    "registers or memory as the handler is to find them", NEXT_ONE,
)
TRAP: Final = Cause(
    "trap-not-delivered", Harm.DEBUGGERS,
    "a program that set TF itself gets its trap not, or elsewhere", "its own single-stepping",
    "probe no program that sets TF itself",
)
SHADOW: Final = Cause(
    "shadow-stack-out-of-step", Harm.LOST_CONTROL,
    "the shadow stack does not follow the call or return", "the return: #CP is raised",
    "probe no call in a process with shadow stacks",
)
RUNS_PRIVILEGED: Final = Cause(
    "privileged-instruction-runs", Harm.MISSING_FAULT,
    "the copy runs at a level of the kernel, where an instruction that a program may not run is not refused",
    "the fault; and with it whatever keeps programs from halting, masking interrupts and writing control registers",
    "refuse instructions whose faults depend on CPL, IOPL or a control register",
)
UNCHECKED: Final = Cause(
    "supervisor-page-reached", Harm.MISSING_FAULT,
    "the copy runs at a level for which supervisor pages are open, and accesses bytes that no check has covered",
    "the page fault; a program reads or writes the kernel's memory", "check every byte that the instruction can access",
)
LEVEL_SHOWN: Final = Cause(
    "kernel-level-shown", Harm.WRONG_DATA,
    "the copy runs at a level of the kernel and shows what is other there: IF, AC, cs, ss, descriptors",
    "the program's own value", "refuse instructions that show or load what the kernel needs for the run",
)
NOT_STOPPED: Final = Cause(
    "run-not-ended", Harm.DEBUGGERS,
    "the instruction goes on where no breakpoint stands, so that the run does not end behind it",
    "nothing of its own; the probe is not put back, and the hits that follow are lost",
    "end the run by a single step for instructions that go anywhere, or refuse them",
)
OTHER: Final = Cause(
    "other", Harm.WRONG_DATA, "a deviation for which there is no rule yet", "see the counterexample", NEXT_ONE,
)

PREFIX: Final = Cause(
    "prefix-refused", Harm.REFUSED, "an instruction with an ES, CS, SS, DS or LOCK prefix is refused",
    "the probe", "probe the next instruction", _uprobes(f"{_C}, is_prefix_bad"),
)
OPCODE: Final = Cause(
    "opcode-refused", Harm.REFUSED, "the opcode is in no table of good instructions",
    "the probe", "probe the next instruction",
    _uprobes(f"{_C}, uprobe_init_insn: good_insns_64 and good_2byte_insns"),
)
UNDECODABLE: Final = Cause(
    "not-decoded", Harm.REFUSED, "the implementation's decoder does not know the bytes",
    "the probe", "probe the next instruction, or use a kernel whose decoder knows it",
    _uprobes("arch/x86/lib/insn.c, insn_decode; arch/x86/lib/x86-opcode-map.txt"),
)  # fmt: skip
MASKING: Final = Cause(
    "exceptions-masked", Harm.REFUSED, "the instruction is taken for one that holds exceptions back (pop ss, mov ss)",
    "the probe", "probe the next instruction", _uprobes(f"{_C}, insn_masking_exception (asm/insn.h)"),
)
OPERAND_SIZE: Final = Cause(
    "operand-size-refused", Harm.REFUSED,
    "a relative branch or call with a 66 prefix is refused: vendors disagree about it",
    "the probe", "probe the instruction before it", _uprobes(f"{_C}, branch_setup_xol_ops: a 66 among the prefixes"),
)
BREAKPOINT: Final = Cause(
    "breakpoint-refused", Harm.REFUSED, "the instruction is a breakpoint itself", "the probe",
    "probe the next instruction", (("linux-uprobes", "kernel/events/uprobes.c, prepare_uprobe: is_trap_insn"),),
)
TABLE: Final = Cause(
    "not-in-the-table", Harm.REFUSED, "the implementation's table has no such instruction",
    "the probe", "probe the next instruction, or use another scheme",
)
UNSAFE: Final = Cause(
    "refused-as-unsafe", Harm.REFUSED, "the implementation refuses what it could not run unnoticed",
    "the probe", "probe the next instruction, or use another scheme",
)
REFUSED: Final = Cause(
    "refused", Harm.REFUSED, "the implementation declines for a reason of its own", "the probe",
    "probe the next instruction, or use another scheme",
)

CAUSES: Final = {c.name: c for c in (
    SKIPPED, JUMPED, LEFT_IN_SLOT, KEEPS_TF, XCHG, RED_ZONE, BELOW, NOT_REWRITTEN, REX, WRONG_COPY,
    SCRATCH, MISREAD_LENGTH,
    EMULATE_PREFIX, CALL_SIZE, TRUNCATED, ABSOLUTE, TF_PUSHED, TF_IN_REGISTER, SYSCALL, COMPLETED, REPEATED,
    X87_POINTER, SLOT_IN_REGISTER, SLOT_IN_RCX, SLOT_ON_STACK, TRANSACTION, ENCLAVE, NO_FAULT, FAULT_ADDRESS,
    FAULT_SHOWN, TRAP, SHADOW, RUNS_PRIVILEGED, UNCHECKED, LEVEL_SHOWN, NOT_STOPPED, OTHER,
    PREFIX, OPCODE, UNDECODABLE, MASKING, OPERAND_SIZE, BREAKPOINT, TABLE, UNSAFE, REFUSED,
)}  # fmt: skip
