"""What Linux uprobes show to every program, reported once at the scheme: one entry a deviation that forms share.

Witnesses were seen on Linux 6.18.44 unless an entry says otherwise; where no machine has shown it, that is said.
"""

from __future__ import annotations

from typing import Final

from verify.models.schemes.assumptions import Entry

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
        "a SIGTRAP for the program's own TF behind a probed instruction has si_code SI_KERNEL, not TRAP_TRACE",
        "Linux 6.18, arch/x86/kernel/uprobes.c, arch_uprobe_post_xol: send_sig(SIGTRAP)",
        "4889d8 with TF set: si_code 2 bare, 128 probed (6.18.44)",
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
    Entry(
        "no-transaction",
        "a probed instruction in a transaction aborts it: the program goes on at the fallback address with the status "
        "of a breakpoint in eax, and the hit is lost",
        "SDM vol. 1, 16.3.8: int3 aborts an RTM region; the handler never runs, whatever Linux does",
        "c6f800, 90 between xbegin and xend: from the manual, no machine with RTM has shown it",
        "a program with lock elision: each try at the probed path falls back, and no hit is counted",
        "probe outside the transaction",
    ),
)
