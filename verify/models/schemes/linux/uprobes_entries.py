"""What Linux uprobes show to every program, reported once at the scheme: one entry a deviation that forms share.

Witnesses were seen on Linux 6.18.44 unless an entry says otherwise; where no machine has shown it, that is said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from verify.models.schemes.assumptions import Entry
from verify.models.schemes.processor_entries import IN_USE_NOT_READ, NO_TRANSACTION, NULL_SELECTORS, PROCESSOR_ENTRIES

ENTRIES: Final = (
    Entry(
        "fault-frame",
        "the signal frame of a fault has the trap number from before the step (0 in a fresh process), and a SIGTRAP "
        "for an int3 of the program's own has stale trapno and err once any probe is in the process",
        "Linux 6.18, arch/x86/kernel/uprobes.c, arch_uprobe_abort_xol restores thread.trap_nr before the frame is "
        "built; kernel/events/uprobes.c, handle_swbp sends SIGTRAP for an unknown breakpoint without setting it",
        "8b03 with rbx = 0, 0f0b, d7 with rbx = 8000000000000000: trapno 14, 6, 13 bare, 0 probed (6.18.44); "
        "cc behind a probed 90: trapno 3 bare, 0 (6.18.44)",
        "a handler that tells #PF from #GP by uc_mcontext.gregs[REG_TRAPNO], as garbage collectors and emulators do",
        "tell faults by signal, si_code and si_addr, which are right",
    ),
    Entry(
        "trap-siginfo",
        "a SIGTRAP for the program's own TF behind a probed instruction has si_code SI_USER, the process id for "
        "si_addr and a stale trapno, not TRAP_TRACE, the address and 1",
        "Linux 6.18, arch/x86/kernel/uprobes.c, arch_uprobe_post_xol and arch_uprobe_skip_sstep: send_sig(SIGTRAP)",
        "4889d8, 90, 55 with TF set: si_code 2, trapno 1 bare, si_code 0, trapno 0 probed (6.18.44)",
        "a program that single-steps itself and tells breakpoints from steps by si_code",
        "probe no program that sets TF itself",
    ),
    Entry(
        "no-shadow-stack",
        "an emulated call leaves no entry on the shadow stack, a stepped one the slot's address: the return raises #CP",
        "Linux 6.18, arch/x86/kernel/uprobes.c, branch_emulate_op and default_post_xol_op: emulate_push_stack writes "
        "the ordinary stack only",
        "e8, ff /2, ff /3 with shadow stacks on: from the source, no machine with shadow stacks has shown it",
        "every program that runs with CET shadow stacks, at every probed call",
        "probe no call in a process with shadow stacks",
    ),
    NO_TRANSACTION,
    Entry(
        "not-restartable",
        "a thread that is preempted while a probed instruction of its restartable sequence is handled goes on in the "
        "sequence, where without the probe it would be at the abort handler",
        "Linux 6.18, kernel/rseq.c, rseq_ip_fixup: compares ip with the section on return to the program; in a step ip "
        "is in the slot, behind an emulated instruction it is past it",
        "8b01 as the first instruction of a section, its load held by userfaultfd: aborted bare (7 of 7), goes on "
        "probed (5 of 5) (6.18.44)",
        "per-processor data of librseq, tcmalloc and jemalloc: an update of another processor's data, or a lost one",
        "probe no instruction between start and end of a restartable sequence",
    ),
    Entry(
        "code-as-in-file",
        "where memory holds another instruction than the file, the file's is run in its place",
        "Linux 6.18, kernel/events/uprobes.c, copy_insn: the instruction is read from the page cache of the file, "
        "whatever the process has made of its private copy",
        "movabs $val,%rax with a relocation of its immediate (DT_TEXTREL): 42 bare, SIGSEGV probed, by the unrelocated "
        "address (6.18.44)",
        "libraries with text relocations, code that patches itself, static keys of programs, unpacked executables",
        "scan names relocations of code; probe no instruction that a loader or the program itself changes",
    ),
    Entry(
        "code-not-read",
        "a program that reads its own code finds int3, and at the end of user space a page that was not there",
        "Linux 6.18, kernel/events/uprobes.c: install_breakpoint writes int3; xol_add_vma maps the slots, which "
        "can be read",
        "8b03, c5b25213 with rbx = 7fffffffe080 (in the page of slots): SIGSEGV bare, goes on probed (6.18.44)",
        "programs that check or copy their own code, or look for unmapped pages by reading them",
        "probe no program that reads its own code",
    ),
    Entry(
        "breakpoint-in-place",
        "the registration succeeds and no hit is reported: the breakpoint is in no shared mapping, in none that is or "
        "was writable when it was made or probed, whatever mprotect made of it, and not where mremap moved code away",
        "Linux 6.18, kernel/events/uprobes.c, valid_vma (VM_SHARED, VM_MAYSHARE, VM_WRITE, VM_HUGETLB) and "
        "uprobe_mmap: called where a mapping is made, not where its protection changes",
        "4889f8 mapped MAP_SHARED r-x, private rwx, or private rw- and then r-x: 0 hits of 3; private r-x: 3 "
        "(6.18.44)",
        "a probe on loaders that patch before they protect, on plug-ins mapped shared, on just-in-time caches in files",
        "see /proc/PID/maps: r-xp, made so; register the probe after the loader has protected its code",
    ),
    Entry(
        "no-signal-awaited",
        "signals are held back during a step: a fault that a signal's handler would end never ends",
        "Linux 6.18, kernel/events/uprobes.c, uprobe_deny_signal",
        "8b07 of a userfaultfd page that a SIGALRM handler fills: exit 77 bare, no end probed (6.18.44)",
        "programs whose memory is filled by their own signal handlers; only a fatal signal ends them",
        "probe no instruction that reads or writes such memory",
    ),
    Entry(
        "kernel-may-store",
        "the handler runs twice for an emulated call whose store the kernel may not make; a push or call that faults "
        "across the end of a mapping has written the bytes before it",
        "Linux 6.18, arch/x86/kernel/uprobes.c, emulate_push_stack (copy_to_user), branch_post_xol_op: stepped, "
        "restarted",
        "e800000000 with the stack on a page that user faults alone fill (UFFD_USER_MODE_ONLY): 2 hits (6.18.44); 55, "
        "e800000000 with rsp one byte above a mapping: SIGSEGV, seven bytes written (6.18.44, a processor with FSRM)",
        "counts of calls, where stacks are filled by userfaultfd; what lies below the end of a misaligned stack",
        "probe the function's entry, not the call",
    ),
    Entry(
        "sigtrap-not-held",
        "a program that sets TF and blocks or ignores SIGTRAP is killed without a probe, and runs on with one",
        "Linux 6.18, arch/x86/kernel/uprobes.c: send_sig(SIGTRAP), where a debug exception forces the signal",
        "90, 9d under TF, SIGTRAP ignored or blocked: killed bare, one instruction later or never probed (6.18.44)",
        "a program that relies on being killed by its own trap",
        "probe no program that sets TF itself",
    ),
    Entry(
        "slot-available",
        "where the page of slots cannot be mapped, a stepped instruction is hit again and again, for ever; where 31 "
        "threads wait in theirs, it waits",
        "Linux 6.18, kernel/events/uprobes.c, handle_swbp: where pre_ssout fails the program returns to the breakpoint",
        "4889f8 in a process whose address space is full: exit 42 bare, 448,306 hits and no end probed (6.18.44)",
        "a process at the end of its address space, at its limit of mappings (vm.max_map_count) or of memory",
        "hit a stepped instruction once while there is room: the page stays",
    ),
    Entry(
        "analysed-as-64-bit",
        "where a 32-bit process has the probed file mapped, if only private and read-only, a 64-bit program reads "
        "wrong memory and jumps to wrong addresses at the probes of that registration",
        "Linux 6.18, kernel/events/uprobes.c, prepare_uprobe: an instruction is analysed once an inode and offset; "
        "arch/x86/kernel/uprobes.c, arch_uprobe_analyze_insn: is_64bit_mm of the address space that came first",
        "488b05, 8b05, 488d05, ff15, 41ffd3 probed while a 32-bit process maps the file: SIGSEGV, wrong values "
        "(6.18.44); with a 64-bit holder, or none, identical",
        "every 64-bit program that shares a file with a 32-bit process: a package manager, a scanner, a debugger",
        "register the probe while no 32-bit process has the file mapped",
    ),
    Entry(
        "features-present",
        "an instruction that the processor lacks raises SIGILL without a probe and runs on with one, where the kernel "
        "takes its opcode for a nop, branch or push",
        "Linux 6.18, arch/x86/kernel/uprobes.c, branch_setup_xol_ops: the opcode byte behind VEX, EVEX and XOP is "
        "taken for a one-byte opcode",
        "c5f890b640000000 (kmovw k6, [rsi+40h]), 62f17d487fed, 8fe97890c0 on a processor without AVX-512 and XOP: "
        "SIGILL bare, none probed (6.18.44)",
        "a program that tries an instruction and catches SIGILL: the feature seems to be there",
        "probe no VEX, EVEX or XOP instruction of these opcodes",
    ),
    NULL_SELECTORS,
    IN_USE_NOT_READ,
)


_3_15: Final = {  # what the older source has as well
    "breakpoint-in-place", "code-as-in-file", "code-not-read", "fault-frame", "no-signal-awaited", "sigtrap-not-held",
    "slot-available", "trap-siginfo",
}  # fmt: skip


def _older(entry: Entry, version: str) -> Entry:
    """The entry of a version that was read and not run."""
    if entry in PROCESSOR_ENTRIES:
        return entry
    return replace(entry, rule=entry.rule.replace("6.18", version), witness="from the source; no such kernel was run")


def entries_of(version: str, holds: frozenset[str]) -> tuple[Entry, ...]:
    """The entries of a long-term kernel, but for what holds of every program under it."""
    return tuple(_older(e, version) for e in ENTRIES if e.name not in holds)


ENTRIES_3_15: Final = (
    *(_older(e, "3.15") for e in ENTRIES if e.name in _3_15 or e in PROCESSOR_ENTRIES),
    Entry(
        "kernel-may-store",
        "a call whose return address the kernel may not move ends in SIGILL",
        "Linux 3.15, arch/x86/kernel/uprobes.c, adjust_ret_addr; kernel/events/uprobes.c, handle_singlestep",
        "from the source; no such kernel was run",
        "programs whose stacks the kernel cannot write where they can themselves",
        "probe the function's entry, not the call",
    ),
)

_NEXT: Final = {  # what is another deviation there: what the program sees, by which rule, shown by what
    "no-shadow-stack": (
        "a call with displacement 0, which pushes nothing to the shadow stack, leaves an entry there, and a stepped "
        "far call has its saved shadow-stack pointer overwritten: a later return raises #CP",
        "Linux, development tree of July 2026, arch/x86/kernel/uprobes.c, branch_emulate_op: shstk_push whatever the "
        "displacement; default_post_xol_op: shstk_update_last_frame writes the top entry",
        "e800000000, ff /3 with shadow stacks on: from the source, no machine with shadow stacks has shown it",
    ),
}


def _newer(entry: Entry) -> Entry:
    """The entry of the development tree, which was read and not run."""
    if entry.name in _NEXT:
        sees, rule, witness = _NEXT[entry.name]
        return replace(entry, sees=sees, rule=rule, witness=witness, loses="programs that find their own address so")
    return _older(entry, "6.18 and a development tree of July 2026")


ENTRIES_NEXT: Final = tuple(map(_newer, ENTRIES))
