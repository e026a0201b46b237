"""What verdicts rest on, one row an assumption, and what a scheme shows to every program, one entry a deviation.

Every place that names an assumption (options, reports, CAVEATS) derives from these rows.  What an assumption restricts
is not decided here: `verify.models.schemes.meaning` (states, behaviours) and `verify.claim.premises` do that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Assumption:
    """One assumption: what it says, and what falls without it."""

    name: str
    says: str
    without: str
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A deviation that forms of a scheme share, reported once, at the scheme."""

    name: str  # the assumption that leaves it out of the forms' verdicts, or the deviation's own name
    sees: str  # what the program sees, in one sentence
    rule: str  # of the implementation, with file and version
    witness: str  # bytes and state, and on which kernel it was seen
    loses: str  # which program loses what
    instead: str  # what to do


ROWS: Final = (
    Assumption(
        "code-not-read",
        "the program neither reads, writes, discards nor unmaps the probed bytes or the slot",
        "every form that reads memory is refuted",
    ),
    Assumption(
        "code-as-in-file",
        "the instruction's bytes in memory are those that the file has from its first byte on",
        "what is run when probed is the file's instruction: relocated, patched and generated code is another one",
    ),
    Assumption(
        "code-mapped",
        "the whole instruction is mapped and executable",
        "a fetch fault in place is not seen displaced",
    ),
    Assumption(
        "breakpoint-in-place",
        "wherever the program runs the instruction the breakpoint is there: the mapping is private, was not writable "
        "when it was made or probed, and was made by mmap",
        "the instruction runs as if it were not probed: the hit is lost in silence",
    ),
    Assumption(
        "slot-available",
        "the page of slots can be mapped into the program, and other threads do not hold all slots for ever",
        "a stepped instruction is never run: it is hit again and again, or waits",
    ),
    Assumption(
        "no-signal-awaited",
        "the instruction needs no signal handler to go on, such as one that fills the page that it waits for",
        "signals are held back during a step: such an instruction never ends",
    ),
    Assumption(
        "kernel-may-store",
        "a store that the kernel makes for the program succeeds where the program's own does, and leaves nothing where "
        "that faults",
        "where it fails, as on a page that only the program's faults fill, the instruction is restarted and hit twice; "
        "where the end of a mapping cuts it, its first bytes are written",
    ),
    Assumption(
        "sigtrap-not-held",
        "a program that sets TF neither blocks nor ignores SIGTRAP",
        "the trap of a debug exception kills such a program, that of a probed instruction is ignored or left pending",
    ),
    Assumption(
        "no-alignment-check",
        "EFLAGS.AC is 0",
        "kernel stores of emulated pushes and calls do not raise #AC",
    ),
    Assumption(
        "canonical-targets",
        "an emulated relative branch leads to a canonical address",
        "the kernel jumps where the processor raises #GP; only code within 2 GiB of the end of user space is concerned",
    ),
    Assumption(
        "user-half",
        "an access that the program makes at an address with bit 63 set faults",
        "a store of the kernel there is refused where the processor's succeeds, and a #GP beyond the canonical "
        "addresses comes before or after such an access",
    ),
    Assumption(
        "user-pages",
        "every page in the half of the addresses that programs have is a user page",
        "an access at CPL 0 to 2 for a program succeeds there where the program's own faults",
    ),
    Assumption(
        "frames-elsewhere",
        "an exception at CPL 0 for a program's instruction, the breakpoint behind it included, is taken on a stack of "
        "the host",
        "its frame of 40 or 48 bytes is pushed below the program's rsp, into the red zone",
    ),
    Assumption(
        "no-shadow-stack",
        "CET shadow stacks are off",
        "every emulated call leaves no entry on the shadow stack, every stepped one the slot's address",
    ),
    Assumption(
        "no-transaction",
        "the instruction does not run inside a transaction (RTM)",
        "a breakpoint aborts the transaction: the program goes on at the fallback address, the hit is lost",
    ),
    Assumption(
        "not-restartable",
        "the instruction lies in no restartable sequence (rseq)",
        "a thread that is preempted in a hit is not sent to its abort handler: it goes on in the sequence",
    ),
    Assumption(
        "no-fault-in-slot",
        "of a fault in code that the program jumps to itself only which one it is, is compared",
        "the program is told the slot's address and finds registers as they are there: every form that faults is "
        "refuted",
    ),
    Assumption(
        "no-tf-in-slot",
        "TF is clear where a program jumps to the slot, and what an instruction there loads into it is not looked at "
        "before control is back",
        "a program that sets TF itself is trapped behind every instruction of the slot, with its addresses",
    ),
    Assumption(
        "trap-siginfo",
        "of a SIGTRAP by the program's own TF only occurrence and ip are compared",
        "si_code differs for every stepped instruction",
    ),
    Assumption(
        "fault-frame",
        "of the signal frame of a fault everything but trapno is compared",
        "trapno is stale at every fault of a probed instruction",
    ),
    Assumption(
        "analysed-as-64-bit",
        "no 32-bit process has the probed file mapped when a probe is registered",
        "the bytes are read as a 32-bit program's: rip-relative operands stay relative to the slot, REX is an opcode",
    ),
    Assumption(
        "features-present",
        "the processor has the features that the instruction needs",
        "where it lacks them, VEX, EVEX and XOP instructions that the kernel emulates run on in place of #UD",
    ),
    Assumption(
        "null-selectors",
        "ds, es, fs and gs hold none of the null selectors 1 to 3",
        "the kernel's return from the breakpoint makes 0 of them, as any interrupt does",
    ),
    Assumption(
        "in-use-not-read",
        "the program does not look at which state components the processor tracks as in use (xgetbv with ecx 1, "
        "XSTATE_BV as xsave, xsaveopt and xsavec write it)",
        "a trap may change what is tracked",
    ),
    Assumption(
        "no-own-trap-flag",
        "the program does not set TF itself",
        "under a debugger, whose own TF is: the program is sent no trap",
        by_default=False,
    ),
    Assumption(
        "fault-address",
        "of a signal that tells the address of the instruction that raised it, si_addr is not compared",
        "the program is told the copy's address: of #UD, #DE, #XM and the like every instruction deviates",
        by_default=False,
    ),
    Assumption(
        "pad-canonical",
        "a relative branch leads to a canonical address, from where it stands and from its copy",
        "one that is run in the copy's place raises #GP where the original does not, or the reverse",
        by_default=False,
    ),
)
BY_NAME: Final = {row.name: row for row in ROWS}
ASSUMPTIONS: Final = frozenset(row.name for row in ROWS if row.by_default)
