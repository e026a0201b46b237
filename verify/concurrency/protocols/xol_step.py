"""xol-step: execution out of line in a pool of slots, while a prober registers and unregisters.

Question: is a registered probe ever missed, a slot shared or lost, or a thread killed by a SIGTRAP that is not its own?

Model: one probed instruction, `K` slots, threads that each run over the instruction `M` times, a prober that registers
and unregisters `R` times. A trapped thread looks the uprobe up; if it is gone, it reads the byte back: the original
byte starts the instruction anew, int3 seems the program's own (SIGTRAP). With a handler it waits for a slot, steps in
it, and gives it back; a signal that comes meanwhile is deferred. Lookup and reading back are under one hold of the mmap
lock, which the prober needs for writing (`READ_LOCK`). The variant `fifo-slots` has a queue for the slots; how threads
end is in `threads-end` and the other variants of `_endings`.

Left out: several address spaces (`xol-fork`), mappings that change (`xol-unmap`), several probers (`ref-count`), faults
of the displaced instruction.

Sources: Linux 6.18 kernel/events/uprobes.c (handle_swbp, find_active_uprobe_rcu, xol_get_insn_slot, xol_free_insn_slot,
uprobe_deny_signal, uprobe_free_utask).
"""

from verify.concurrency.language.protocol import (
    Array,
    Bool,
    Bounded,
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
from verify.concurrency.protocols import _breakpoint, _endings

K = Parameter("K", 2)  # slots in the area
M = Parameter("M", 2)  # passes of a thread over the instruction
R = Parameter("R", 2)  # rounds of register and unregister
CYCLIC = Parameter("CYCLIC", False)  # passes and rounds are not counted: threads and prober go on for ever
READ_LOCK = Parameter("READ_LOCK", True)  # lookup and re-check of the byte happen under one hold of the mmap lock

xol = Description(
    "xol-step",
    "Is a registered probe ever missed, a slot shared, or a thread killed by a SIGTRAP that is not its own?",
    shared={
        "byte": Enum("original", "int3"),
        "registered": Bool(),  # the handler can be found
        "prober": Enum("idle", "inserted", "armed", "disarmed"),
        "rounds": Bounded(0, R),
        "slot": Array(K, ThreadId()),  # who owns each slot
    },
    local={
        "pc": Enum("at", "trap", "recheck", "wait", "slot", "stepped", "signal", "killed"),
        "passes": Bounded(0, M),
        "signal": Bool(),  # a signal was deferred during the step
        "full": Bool(),  # this pass began while the probe was fully registered
        "slot": Bounded(0, K - 1),
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        _breakpoint.LOOKUP_LOCK.under(READ_LOCK),
        _breakpoint.ONE_PROBER,
    ),
    source="Linux kernel/events/uprobes.c, handle_swbp, xol_get_insn_slot, xol_free_insn_slot",
)


# --- the threads of the program ---------------------------------------------------------------------------------------
@xol.step()
def exec_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is fetched."""
    if t.pc == "at" and (CYCLIC or t.passes < M) and s.byte == "int3":
        t.pc = "trap"
        t.full = s.prober == "armed"


@xol.step()
def exec_original(s: Shared, t: Thread) -> None:
    """The original instruction is fetched: nothing to do."""
    if t.pc == "at" and not CYCLIC and t.passes < M and s.byte == "original":
        t.passes += 1


@xol.step()
def hit(s: Shared, t: Thread) -> None:
    """The handler is found and runs."""
    if t.pc == "trap" and s.registered:
        t.pc = "wait"


@xol.step()
def miss(s: Shared, t: Thread) -> None:
    """No handler is found: the byte will be read back."""
    if t.pc == "trap" and not s.registered:
        t.pc = "recheck"


@xol.step()
def restart(s: Shared, t: Thread) -> None:
    """The byte is the original again: the instruction is executed anew."""
    if t.pc == "recheck" and s.byte == "original":
        t.pc = "at"
        t.full = False


@xol.step()
def sigtrap(s: Shared, t: Thread) -> None:
    """The byte is int3 and nobody's: the program's own breakpoint, as it seems."""
    if t.pc == "recheck" and s.byte == "int3":
        t.pc = "killed"


@xol.step(fair="strong")
def get_slot(s: Shared, t: Thread) -> None:
    """The lowest free slot is taken."""
    k = s.slot.find(None)
    if t.pc == "wait" and k < K:
        s.slot[k] = t
        t.slot = k
        t.pc = "slot"


xol.step()(_breakpoint.step)  # the displaced instruction runs in the slot


@xol.step(fair=None)
def signal(s: Shared, t: Thread) -> None:
    """A signal arrives; it is deferred until the step is over."""
    if t.pc == "slot" and not t.signal:
        t.signal = True


@xol.step()
def fixup(s: Shared, t: Thread) -> None:
    """The slot is freed, the registers are put right."""
    if t.pc == "stepped":
        s.slot[t.slot] = None
        t.slot = 0
        t.full = False
        if not CYCLIC:
            t.passes += 1
        t.pc = "signal" if t.signal else "at"


@xol.step()
def deliver(s: Shared, t: Thread) -> None:
    """The deferred signal is delivered."""
    if t.pc == "signal":
        t.signal = False
        t.pc = "at"


# --- the prober -------------------------------------------------------------------------------------------------------
@xol.step(actor="prober")
def insert_uprobe(s: Shared) -> None:
    """The handler can be found from now on."""
    if s.prober == "idle" and (CYCLIC or s.rounds < R):
        s.registered = True
        s.prober = "inserted"


@xol.step(actor="prober")
def write_int3(s: Shared) -> None:
    """The breakpoint is written, under the mmap lock."""
    if s.prober == "inserted" and (not READ_LOCK or all(t.pc != "recheck" for t in threads)):
        s.byte = "int3"
        s.prober = "armed"


@xol.step(actor="prober")
def write_original(s: Shared) -> None:
    """The original byte is written, under the mmap lock; no pass counts as fully registered any more."""
    if s.prober == "armed" and (not READ_LOCK or all(t.pc != "recheck" for t in threads)):
        s.byte = "original"
        s.prober = "disarmed"
        for t in threads:
            t.full = False


@xol.step(actor="prober")
def remove_uprobe(s: Shared) -> None:
    """The handler is found no longer."""
    if s.prober == "disarmed":
        s.registered = False
        s.prober = "idle"
        if not CYCLIC:
            s.rounds += 1


# --- properties -------------------------------------------------------------------------------------------------------
xol.always(_breakpoint.no_sigtrap)


@xol.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """A pass that began while fully registered finds its handler."""
    return implies(t.pc == "recheck", not t.full)


@xol.always
def slot_is_owned(s: Shared, t: Thread) -> Claim:
    """A thread that steps owns its slot."""
    return implies(t.pc in ("slot", "stepped"), s.slot[t.slot] == t)


@xol.always
def no_slot_is_shared(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two threads never step in one slot."""
    return implies(t.pc in ("slot", "stepped") and u.pc in ("slot", "stepped"), t.slot != u.slot)


@xol.always
def signal_handler_owns_no_slot(s: Shared, t: Thread) -> Claim:
    """The slot is free again before a signal handler runs."""
    return implies(t.pc == "signal", all(s.slot[k] != t for k in range(K)))


@xol.sometimes
def signal_is_deferred(s: Shared, t: Thread) -> Claim:
    """A signal does arrive during a step."""
    return t.pc == "signal"


xol.eventually(_breakpoint.a_waiting_thread_gets_a_slot)


@xol.eventually
def registering_ends(s: Shared) -> Claim:
    """The writer of the breakpoint gets its lock."""
    return leads_to(s.prober == "inserted", s.prober == "armed")


@xol.terminal
def all_done(s: Shared) -> Claim:
    """The last round is over, every thread has made its passes or was killed."""
    ended = all(t.pc == "killed" or (t.pc == "at" and t.passes == M) for t in threads)
    return s.prober == "idle" and s.rounds == R and ended


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
xol.precondition(exec_int3)(_breakpoint.a_hit_is_of_int3)


@xol.precondition(hit)
def a_handler_runs_for_a_trap(s: Shared, t: Thread) -> Claim:
    """The handler runs for a thread that has trapped, and while it can be found."""
    return t.pc == "trap" and s.registered


@xol.precondition(signal)
def a_signal_is_deferred_once(s: Shared, t: Thread) -> Claim:
    """Only a thread in its slot has a signal to defer."""
    return t.pc == "slot"


xol.precondition(insert_uprobe)(_breakpoint.registering_begins_once)


# --- variants ---------------------------------------------------------------------------------------------------------
xol.variant(
    "cyclic",
    "The same without counters, so that liveness is about threads and a prober that never stop.",
    constants={"CYCLIC": True},
)
xol.known_wrong(
    ("no-read-lock", "The byte is read back without the lock: another round of registering falls between lookup and "
     "re-check.", [READ_LOCK], "no_sigtrap"),
    threads=2,
)  # fmt: skip
no_recheck = xol.variant(
    "no-recheck",
    "A thread has trapped, the probe is removed, the lookup fails, and the byte is not read back: SIGTRAP.",
    drop=["restart"],
    refutes=["no_sigtrap"],
    threads=2,
)


@no_recheck.step(replaces="sigtrap")
def sigtrap_at_once(s: Shared, t: Thread) -> None:
    """No handler is found, so the int3 seems the program's own."""
    if t.pc == "recheck":
        t.pc = "killed"


removed_first = xol.variant(
    "uprobe-removed-first",
    "The uprobe is removed before the original byte is written: a hit in between finds nobody.",
    refutes=["no_sigtrap", "no_missed_hit"],
    threads=2,
)


@removed_first.step(replaces="write_original", actor="prober")
def remove_uprobe_first(s: Shared) -> None:
    """The handler is found no longer, while the breakpoint still stands."""
    if s.prober == "armed":
        s.registered = False
        s.prober = "disarmed"


@removed_first.step(replaces="remove_uprobe", actor="prober")
def write_original_last(s: Shared) -> None:
    """The original byte is written at last."""
    if s.prober == "disarmed" and all(t.pc != "recheck" for t in threads):
        s.byte = "original"
        s.prober = "idle"
        if not CYCLIC:
            s.rounds += 1
        for t in threads:
            t.full = False


signal_in_slot = xol.variant(
    "signal-in-slot",
    "The signal is delivered at once: its handler runs while the thread still owns a slot.",
    refutes=["signal_handler_owns_no_slot", "no_deadlock", "a_waiting_thread_gets_a_slot"],
    threads=2,
)


@signal_in_slot.step(replaces="signal", fair=None)
def signal_at_once(s: Shared, t: Thread) -> None:
    """A signal arrives and its handler runs now."""
    if t.pc == "slot":
        t.signal = True
        t.pc = "signal"


slot_freed_early = xol.variant(
    "slot-freed-early",
    "The slot is freed before the step is over, and another thread takes it.",
    refutes=["slot_is_owned", "no_slot_is_shared"],
    threads=3,
)


@slot_freed_early.step(replaces="step")
def step_and_free(s: Shared, t: Thread) -> None:
    """The slot is given back with the step, before the fixup."""
    if t.pc == "slot":
        s.slot[t.slot] = None
        t.pc = "stepped"


# --- variants: how waiting ends ---------------------------------------------------------------------------------------
unfair_slots = xol.variant(
    "weakly-fair-slots",
    "Slots are given to whoever comes: with more threads than slots, one may wait for ever.",
    constants={"CYCLIC": True},
    refutes=["a_waiting_thread_gets_a_slot"],
    threads=3,
)
unfair_slots.step(replaces="get_slot", fair="weak")(get_slot)  # nobody sees to it that this thread ever finds one

fifo_slots = xol.variant(
    "fifo-slots",
    "Threads that wait for a slot stand in a queue: each gets one, with nothing but weak fairness.",
    constants={"CYCLIC": True},
    local={"place": Bounded(0, 15)},  # in the queue: 1 is its head; 0 is not in it
    threads=3,
)


@fifo_slots.step(replaces="hit")
def hit_and_queue(s: Shared, t: Thread) -> None:
    """The handler is found and runs; the thread goes to the end of the queue."""
    if t.pc == "trap" and s.registered:
        t.pc = "wait"
        t.place = 1 + sum(1 for u in threads if u.place > 0)


@fifo_slots.step(replaces="get_slot", fair="weak")
def get_slot_in_turn(s: Shared, t: Thread) -> None:
    """The head of the queue takes the lowest free slot; the others move up."""
    k = s.slot.find(None)
    if t.pc == "wait" and t.place == 1 and k < K:
        s.slot[k] = t
        t.slot = k
        t.pc = "slot"
        for u in threads:
            if u.place > 0:
                u.place -= 1


_endings.declare(xol)  # how threads end: exit, fatal signal, exec

PROTOCOL = xol.protocol()
