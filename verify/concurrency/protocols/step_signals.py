"""step-signals: a signal, or a debugger's single step, comes between a hit and the end of its displaced step.

Question: does a handler see the slot, or a register that is not the program's; and does everybody get on?

Model: one slot, one instruction whose displaced copy uses a scratch register; threads that run over it again and again.
A signal, or a fatal one, comes at any time. One that comes before or during the step waits for its end (`DEFER`); a
fatal one cuts the step short: the scratch register is put right (`RESTORE`), the slot freed (`FREED`). With `CUT` any
signal does so, as in GDB, and the instruction is executed anew. A handler returns, or leaves by longjmp for the
instruction. A debugger steps threads by TF: the trap of the displaced step is the host's, and is passed on (`PASSED`)
when the instruction pointer is behind the instruction (`BEHIND`). A thread that waits for the slot is not killed before
it has had it: waiting cannot be interrupted; the instruction ends by itself (`ENDS`), not when another thread is there.

Left out: how many slots there are (`xol-step`), exec and exit (`_endings`), signals that the displaced instruction
causes itself (the theorem's `fault`).

Sources: Linux 6.18 kernel/events/uprobes.c (uprobe_deny_signal, handle_singlestep, xol_get_insn_slot: wait_event),
arch/x86/kernel/uprobes.c (arch_uprobe_abort_xol, riprel_post_xol, arch_uprobe_post_xol: saved_tf); GDB 13
displaced-stepping.c and i386-tdep.c (a step that is cut short: measured, no fixup but the instruction pointer's).
"""

from verify.concurrency.language.protocol import (
    Assumption,
    Bool,
    Claim,
    Description,
    Enum,
    Parameter,
    Shared,
    Thread,
    ThreadId,
    implies,
    leads_to,
    threads,
)
from verify.concurrency.protocols import _breakpoint

DEFER = Parameter("DEFER", True)  # a signal waits for the end of the step
CUT = Parameter("CUT", False)  # a signal cuts the step short
RESTORE = Parameter("RESTORE", True)  # a step that is cut short puts the scratch register right
FREED = Parameter("FREED", True)  # and frees the slot
ENDS = Parameter("ENDS", True)  # the displaced instruction ends by itself, not only when another thread has come
PASSED = Parameter("PASSED", True)  # a debugger gets the trap of its single step
BEHIND = Parameter("BEHIND", True)  # when the instruction pointer is behind the instruction again
JUMPS = Parameter("JUMPS", True)  # a handler may leave by longjmp

signals = Description(
    "step-signals",
    "Does a signal handler or a debugger see the slot or the scratch register, and does everybody get on?",
    threads=2,
    shared={"slot": ThreadId()},
    local={
        "pc": Enum("at", "wait", "slot", "stepped", "handler", "stopped", "ran_on", "gone"),
        "signal": Enum("none", "usual", "fatal"),
        "scratch": Bool(),  # the scratch register is the host's, the program's is saved
        "inside": Bool(),  # the handler, or the debugger's stop, came in the slot
        "stepping": Bool(),  # a debugger wants to stop behind this instruction
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        _breakpoint.ONE_SLOT,
        Assumption("probe-stays", "the probe is registered throughout"),
    ),
    source="Linux 6.18 kernel/events/uprobes.c, uprobe_deny_signal; GDB 13 displaced-stepping.c",
)


# --- what comes -------------------------------------------------------------------------------------------------------
@signals.step(fair=None)
def signal(s: Shared, t: Thread) -> None:
    """A signal comes."""
    if t.pc in ("at", "wait", "slot", "stepped") and t.signal == "none":
        t.signal = "usual"


@signals.step(fair=None)
def kill(s: Shared, t: Thread) -> None:
    """A fatal signal comes."""
    if t.pc in ("at", "wait", "slot", "stepped") and t.signal != "fatal":
        t.signal = "fatal"


@signals.step(actor="debugger", fair=None)
def single_step(s: Shared, t: Thread) -> None:
    """The debugger sets TF: the thread is to stop behind the instruction."""
    if t.pc == "at" and not t.stepping:
        t.stepping = True


@signals.step(actor="debugger")
def go_on(s: Shared, t: Thread) -> None:
    """The debugger lets a stopped thread run."""
    if t.pc == "stopped":
        t.pc = "slot" if t.inside else "at"
        t.inside = False
        t.stepping = False


# --- the threads ------------------------------------------------------------------------------------------------------
@signals.step()
def hit(s: Shared, t: Thread) -> None:
    """The breakpoint is executed, the handler of the probe runs."""
    if t.pc == "at" and t.signal == "none":
        t.pc = "wait"


@signals.step(fair="strong")
def get_slot(s: Shared, t: Thread) -> None:
    """The slot is free, and taken; the scratch register is loaded."""
    if t.pc == "wait" and s.slot is None:
        s.slot = t
        t.scratch = True
        t.pc = "slot"


@signals.step()
def step(s: Shared, t: Thread) -> None:
    """The displaced instruction is executed."""
    if t.pc == "slot" and (t.signal == "none" or DEFER) and (ENDS or any(u.pc == "at" and u != t for u in threads)):
        t.pc = "stepped" if BEHIND or not t.stepping else "stopped"
        t.inside = not BEHIND and t.stepping


@signals.step()
def cut_short(s: Shared, t: Thread) -> None:
    """A fatal signal, or any, ends the step before the instruction is executed."""
    if t.pc == "slot" and (t.signal == "fatal" or (t.signal == "usual" and CUT)):
        t.pc = "gone" if t.signal == "fatal" else "handler"
        t.signal = "none"
        t.scratch = t.scratch and not RESTORE
        if FREED:
            s.slot = None


@signals.step()
def handler_in_slot(s: Shared, t: Thread) -> None:
    """A handler runs, and returns into the slot."""
    if t.pc == "slot" and t.signal == "usual" and not DEFER:
        t.pc = "handler"
        t.signal = "none"
        t.inside = True


@signals.step()
def fixup(s: Shared, t: Thread) -> None:
    """The slot is freed, the registers are put right; what has waited comes now."""
    if t.pc == "stepped":
        s.slot = None
        t.scratch = False
        t.pc = "at" if not t.stepping else "stopped" if PASSED else "ran_on"


@signals.step()
def deliver(s: Shared, t: Thread) -> None:
    """The signal comes in the program: a handler runs, or the thread ends."""
    if t.pc == "at" and t.signal != "none":
        t.pc = "gone" if t.signal == "fatal" else "handler"
        t.signal = "none"


@signals.step()
def handler_returns(s: Shared, t: Thread) -> None:
    """The handler returns to where the signal came."""
    if t.pc == "handler":
        t.pc = "slot" if t.inside else "at"
        t.inside = False


@signals.step(fair=None)
def handler_jumps(s: Shared, t: Thread) -> None:
    """The handler leaves by longjmp, and never returns."""
    if t.pc == "handler" and JUMPS:
        t.pc = "at"
        t.inside = False
        t.scratch = False


# --- properties -------------------------------------------------------------------------------------------------------
@signals.always
def registers_are_the_programs(s: Shared, t: Thread) -> Claim:
    """Neither a handler nor the program, nor a debugger, sees the scratch register."""
    return implies(t.pc not in ("wait", "slot", "stepped"), not t.scratch)


@signals.always
def a_handler_owns_no_slot(s: Shared, t: Thread) -> Claim:
    """The slot belongs to a thread that steps."""
    return implies(t.pc not in ("slot", "stepped"), s.slot != t)


@signals.always
def a_single_step_stops(s: Shared, t: Thread) -> Claim:
    """A debugger's single step does not run on over the next instruction."""
    return t.pc != "ran_on"


@signals.always
def nobody_sees_the_slot(s: Shared, t: Thread) -> Claim:
    """Neither a handler nor a debugger finds the instruction pointer in the slot."""
    return not t.inside


@signals.sometimes
def a_signal_waits(s: Shared, t: Thread, u: Thread) -> Claim:
    """A signal waits for the end of a step while another thread waits for the slot."""
    return t.pc == "stepped" and t.signal == "usual" and u.pc == "wait"


@signals.eventually
def a_waiting_thread_gets_the_slot(s: Shared, t: Thread) -> Claim:
    """Waiting for the slot ends."""
    return leads_to(t.pc == "wait", t.pc == "slot")


@signals.eventually
def a_killed_thread_ends(s: Shared, t: Thread) -> Claim:
    """A fatal signal ends the thread, or a debugger stops it before."""
    return leads_to(t.signal == "fatal", t.pc in ("gone", "stopped", "ran_on"))


@signals.terminal
def all_gone(s: Shared) -> Claim:
    """Every thread has ended, or runs on under its debugger."""
    return all(t.pc in ("gone", "ran_on") for t in threads)


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@signals.precondition(step)
def only_the_owner_steps(s: Shared, t: Thread) -> Claim:
    """The slot is executed by its owner."""
    return s.slot == t and t.scratch


@signals.precondition(signal)
def a_signal_comes_to_a_running_thread(s: Shared, t: Thread) -> Claim:
    """It comes in the program or on the way through the slot; one at a time."""
    return t.pc in ("at", "wait", "slot", "stepped") and t.signal == "none"


@signals.precondition(kill)
def a_fatal_signal_comes_once(s: Shared, t: Thread) -> Claim:
    """It comes in the program or on the way through the slot."""
    return t.pc in ("at", "wait", "slot", "stepped") and t.signal != "fatal"


@signals.precondition(single_step)
def a_step_begins_in_the_program(s: Shared, t: Thread) -> Claim:
    """A debugger sets TF of a thread that is stopped in the program."""
    return t.pc == "at" and not t.stepping


@signals.precondition(cut_short)
def only_a_fatal_signal_cuts_short(s: Shared, t: Thread) -> Claim:
    """A step is given up for a thread that ends."""
    return t.pc == "slot" and (t.signal == "fatal" or CUT)


@signals.precondition(deliver)
def a_signal_is_delivered_in_the_program(s: Shared, t: Thread) -> Claim:
    """What has waited comes when the thread is in the program."""
    return t.pc == "at" and t.signal != "none"


# --- variants ---------------------------------------------------------------------------------------------------------
UPROBES, GDB = "Linux 6.18 kernel/events/uprobes.c", "GDB 13 i386-tdep.c, displaced_step_fixup"
signals.variant(
    "cut-short",
    "Every signal cuts the step short, and all is put right: as good.",
    constants={"CUT": True},
    threads=2,
    source=f"{GDB}, later than 13",
)
signals.known_wrong(
    ("signal-in-slot", "The handler runs at once: it sees slot and scratch register; it never returns, and the slot is "
     "lost.", [DEFER], "registers_are_the_programs a_handler_owns_no_slot nobody_sees_the_slot no_deadlock "
     "a_waiting_thread_gets_the_slot a_killed_thread_ends", f"{UPROBES}, uprobe_deny_signal prevents it"),
    ("signal-in-slot-returns", "The same of handlers that return: all is seen, and signals that keep coming keep "
     "the thread in its slot.", [DEFER, JUMPS], "registers_are_the_programs a_handler_owns_no_slot "
     "nobody_sees_the_slot a_waiting_thread_gets_the_slot a_killed_thread_ends", f"{UPROBES}, uprobe_deny_signal"),
    ("scratch-kept", "A step that is cut short leaves the scratch register as it is: the handler sees it, and the "
     "instruction is executed anew with it.", [CUT, RESTORE], "registers_are_the_programs",
     f"{GDB}: measured, only the instruction pointer is mended"),
    ("slot-kept", "A killed thread keeps its slot.", [FREED], "a_handler_owns_no_slot no_deadlock "
     "a_waiting_thread_gets_the_slot a_killed_thread_ends"),
    ("waits-in-slot", "The displaced instruction is a system call that waits for another thread, which waits for the "
     "slot and cannot even be killed.", [ENDS], "a_waiting_thread_gets_the_slot a_killed_thread_ends",
     f"{UPROBES}, xol_get_insn_slot: wait_event; a displaced system call keeps its slot"),
    ("step-swallowed", "The trap of the displaced step is the host's alone: a debugger's step runs on.", [PASSED],
     "a_single_step_stops", "Linux 6.18 arch/x86/kernel/uprobes.c, arch_uprobe_post_xol: saved_tf prevents it"),
    ("stopped-in-slot", "The debugger gets the trap at once, and finds its thread in the slot.", [BEHIND],
     "registers_are_the_programs a_handler_owns_no_slot nobody_sees_the_slot",
     f"{UPROBES}, uprobe_post_sstep_notifier prevents it"),
    threads=2,
)  # fmt: skip

PROTOCOL = signals.protocol()
