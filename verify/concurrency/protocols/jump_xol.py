"""jump-xol: a jump to an out-of-line copy, with no trap on a hit: install, remove, free the copy.

Question: when may the copy be freed? A thread leaves no trace when it enters or leaves it.

Model: the site is one old instruction of five or more bytes; the new one is a jump to the copy, which ends in a jump
back. Patching is `int3-patch` seen from afar: int3, sync, then (tail and) first byte, sync, with the bits of what each
processor may fetch (`sees_*`; axioms in `_fetch`; the tail is left to `int3-patch`). A thread that traps while the site
is being patched is sent by the handler where the old instruction goes: behind the site. After the last sync of the
removal no thread can enter the copy; then the patcher waits until every thread has been seen with no way back into the
copy: neither its ip nor a saved ip below a signal handler (`FRAMES`), nor, where the displaced code calls
(`CALL`), a return address, which no one can see. Then the copy is freed, and its memory used for something else.

Left out: patching the jump itself byte by byte and threads inside a multi-instruction site (`int3-patch`), fork (the
copy is an ordinary mapping and is inherited), the reach of the jump, several probes in one page of copies.

Sources: Linux 6.18 arch/x86/kernel/kprobes/opt.c (arch_optimize_kprobes, arch_unoptimize_kprobe), kernel/kprobes.c
(do_free_cleaned_kprobes after synchronize_rcu_tasks); the same scheme in a process has no such grace period of its own.
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
    implies,
    leads_to,
    threads,
)
from verify.concurrency.protocols._fetch import FETCH_AXIOMS, CodeSite, Region, answered

SYNC_IN = Parameter("SYNC_IN", True)  # syncs while the jump is installed
SYNC_OUT = Parameter("SYNC_OUT", True)  # sync after the jump has been replaced by int3
SYNC_END = Parameter("SYNC_END", True)  # sync after the original byte has been written
WAIT = Parameter("WAIT", True)  # the patcher waits until each thread has been seen outside the copy
FRAMES = Parameter("FRAMES", True)  # a thread in a signal handler counts as inside if its frame leads back
CALL = Parameter("CALL", False)  # the displaced code calls a function, which returns into the copy

SITE = CodeSite(Region("site", ("original", "int3", "jump"), bits="sees"))  # byte 0, which says what the site is
serialise, may_fetch, fetches_memory = SITE.serialise, SITE.may_fetch, SITE.fetches_memory

jump = Description(
    "jump-xol",
    "Can the out-of-line copy behind a jump be freed while a thread may still be in it, or come back to it?",
    shared={
        "patcher": Enum("removed", "int3-in", "jumping", "int3-out", "original", "waiting"),
        **SITE.memory,
        "copy": Bool(),  # the copy is there
    },
    local={
        "pc": Enum("at", "trap", "copy", "callee", "wild"),
        "signal": Bool(),  # a signal handler runs on top of pc
        "pending": Bool(),  # a sync or the grace period waits for this thread
        **SITE.fetched,
    },
    assumptions=(
        *FETCH_AXIOMS,
        Assumption("whole-patch", "the tail of the jump is written as int3-patch says, which is proved there"),
        Assumption("one-instruction-site", "the old code has no boundary inside the site"),
        Assumption(
            "frames-can-be-read", "the patcher can tell a signal frame that leads back into the copy"
        ).under(FRAMES),
        Assumption("one-patcher", "installing and removing are serialised"),
    ),
    source="Linux 6.18 arch/x86/kernel/kprobes/opt.c, kernel/kprobes.c",
)


# --- the threads ------------------------------------------------------------------------------------------------------
@jump.step()
def fetch_original(s: Shared, t: Thread) -> None:
    """The original instruction is executed in place."""
    if t.pc == "at" and not t.signal and t.sees_original:
        pass


@jump.step()
def fetch_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is executed."""
    if t.pc == "at" and not t.signal and t.sees_int3:
        t.pc = "trap"


@jump.step()
def handle(s: Shared, t: Thread) -> None:
    """The handler emulates the old instruction, whichever way the patching goes."""
    if t.pc == "trap":
        t.pc = "at"


@jump.step()
def fetch_jump(s: Shared, t: Thread) -> None:
    """The jump is executed: into the copy, or into whatever is there instead."""
    if t.pc == "at" and not t.signal and t.sees_jump:
        t.pc = "copy" if s.copy else "wild"


@jump.step(fair="strong")
def leave_copy(s: Shared, t: Thread) -> None:
    """The displaced instruction and the jump back are executed; or the displaced call."""
    if t.pc == "copy" and not t.signal and s.copy:
        t.pc = "callee" if CALL else "at"


@jump.step()
def run_freed_copy(s: Shared, t: Thread) -> None:
    """The thread goes on in memory that has been freed."""
    if t.pc == "copy" and not t.signal and not s.copy:
        t.pc = "wild"


@jump.step()
def return_to_copy(s: Shared, t: Thread) -> None:
    """The callee returns to the jump back at the end of the copy."""
    if t.pc == "callee" and not t.signal:
        t.pc = "at" if s.copy else "wild"


@jump.step(fair=None)
def signal(s: Shared, t: Thread) -> None:
    """A signal handler begins; the copy is ordinary code, so the signal is not deferred."""
    if t.pc in ("at", "copy", "callee") and not t.signal:
        t.signal = True


@jump.step()
def signal_return(s: Shared, t: Thread) -> None:
    """The signal handler returns to where the thread was."""
    if t.signal:
        t.signal = False


@jump.step()
def answer(s: Shared, t: Thread) -> None:
    """A sync is answered anywhere; the grace period only where no way leads back into the copy."""
    inside = t.pc == "copy" and (FRAMES or not t.signal)
    if t.pending and not (s.patcher == "waiting" and inside):
        t.pending = False
        serialise(s, t)


# --- the patcher ------------------------------------------------------------------------------------------------------
def written(s: Shared, sync: Claim) -> None:
    """After a write: each processor may fetch what memory holds now, too, and is asked to serialise."""
    for t in threads:
        may_fetch(s, t)
        t.pending = sync


@jump.step(actor="patcher")
def install_int3(s: Shared) -> None:
    """The copy is made, int3 is written, sync."""
    if s.patcher == "removed":
        s.patcher = "int3-in"
        s.copy = True
        s.site = "int3"
        written(s, SYNC_IN)


@jump.step(actor="patcher")
def install_jump(s: Shared) -> None:
    """The jump is complete, sync."""
    if s.patcher == "int3-in" and answered():
        s.patcher = "jumping"
        s.site = "jump"
        written(s, SYNC_IN)


@jump.step(actor="patcher")
def remove_jump(s: Shared) -> None:
    """int3 is written over the jump, sync."""
    if s.patcher == "jumping" and answered():
        s.patcher = "int3-out"
        s.site = "int3"
        written(s, SYNC_OUT)


@jump.step(actor="patcher")
def restore(s: Shared) -> None:
    """The original byte is written, sync."""
    if s.patcher == "int3-out" and answered():
        s.patcher = "original"
        s.site = "original"
        written(s, SYNC_END)


@jump.step(actor="patcher")
def wait_for_threads(s: Shared) -> None:
    """Each thread must be seen once where no way leads back into the copy."""
    if s.patcher == "original" and answered():
        s.patcher = "waiting"
        for t in threads:
            t.pending = WAIT


@jump.step(actor="patcher")
def free_copy(s: Shared) -> None:
    """The copy is freed."""
    if s.patcher == "waiting" and answered():
        s.patcher = "removed"
        s.copy = False


# --- properties -------------------------------------------------------------------------------------------------------
@jump.always
def no_thread_in_freed_copy(s: Shared, t: Thread) -> Claim:
    """No thread executes the copy's memory after it was freed."""
    return t.pc != "wild"


@jump.always
def copy_outlives_its_threads(s: Shared, t: Thread) -> Claim:
    """While a thread is in the copy, or will return into it, the copy is there."""
    return implies(t.pc in ("copy", "callee"), s.copy)


@jump.always
def copy_outlives_the_jump(s: Shared, t: Thread) -> Claim:
    """While a processor may fetch the jump, the copy is there."""
    return implies(t.sees_jump, s.copy)


@jump.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """From the first sync until the original byte is written, no processor executes the original in place."""
    return implies(s.patcher in ("jumping", "int3-out"), not t.sees_original)


@jump.always
def removed_is_original(s: Shared, t: Thread) -> Claim:
    """From the first sync of the removal no processor fetches the jump, from the last one neither int3."""
    return implies(
        s.patcher in ("original", "waiting", "removed"),
        not t.sees_jump and (s.patcher == "original" or not t.sees_int3),
    )


@jump.always
def memory_may_be_fetched(s: Shared, t: Thread) -> Claim:
    """The model itself: what memory holds is among what a processor may fetch."""
    return fetches_memory(s, t)


@jump.sometimes
def in_copy_after_the_last_sync(s: Shared, t: Thread) -> Claim:
    """All syncs are answered, and a thread is in the copy still."""
    return t.pc == "copy" and s.patcher == "waiting"


@jump.sometimes
def signal_on_top_of_the_copy(s: Shared, t: Thread) -> Claim:
    """A signal handler runs whose frame leads back into the copy."""
    return t.signal and t.pc == "copy"


@jump.eventually
def a_trapped_thread_goes_on(s: Shared, t: Thread) -> Claim:
    """The handler lets the thread go."""
    return leads_to(t.pc == "trap", t.pc == "at")


@jump.eventually
def removal_ends(s: Shared) -> Claim:
    """The copy is freed at last."""
    return leads_to(s.patcher == "int3-out", s.patcher == "removed")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@jump.precondition(fetch_int3)
def a_trap_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """A thread traps at the site where it may fetch int3."""
    return t.pc == "at" and not t.signal and t.sees_int3


@jump.precondition(handle)
def only_a_trap_is_handled(s: Shared, t: Thread) -> Claim:
    """The handler runs for a thread that has trapped."""
    return t.pc == "trap"


@jump.precondition(fetch_jump)
def a_jump_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """A thread jumps at the site where it may fetch the jump."""
    return t.pc == "at" and not t.signal and t.sees_jump


@jump.precondition(leave_copy)
def the_copy_is_left_from_inside(s: Shared, t: Thread) -> Claim:
    """The copy is left by a thread in it that runs."""
    return t.pc == "copy" and not t.signal


@jump.precondition(signal)
def a_trap_defers_signals(s: Shared, t: Thread) -> Claim:
    """No signal handler begins between a trap and its end."""
    return t.pc != "trap" and not t.signal


@jump.precondition(remove_jump)
def removing_waits_for_syncs(s: Shared) -> Claim:
    """Removing begins when every processor has seen the jump."""
    return s.patcher == "jumping" and answered()


# --- variants ---------------------------------------------------------------------------------------------------------
jump.known_wrong(
    ("no-grace-period", "The copy is freed after the last sync: a thread preempted in it goes on in freed memory.",
     [WAIT], "no_thread_in_freed_copy copy_outlives_its_threads",
     "Linux commit b4c6c34a530b, kprobes: enable booster on the preemptible kernel"),
    ("no-syncs", "No sync in the removal, and no serialising wait: a processor may still fetch the jump.",
     [SYNC_OUT, SYNC_END, WAIT],
     "no_thread_in_freed_copy copy_outlives_its_threads copy_outlives_the_jump removed_is_original"),
    ("no-sync-at-install", "The jump counts as installed while a processor may still execute the original: its hits "
     "are missed.", [SYNC_IN], "no_missed_hit"),
    ("signal-frame-overlooked", "Only the ip of a thread is looked at: a signal handler returns into the freed copy.",
     [FRAMES], "no_thread_in_freed_copy copy_outlives_its_threads"),
    ("call-in-copy", "The displaced instruction is a call: its callee returns into the freed copy.",
     [CALL], "no_thread_in_freed_copy copy_outlives_its_threads"),
    threads=1,
)  # fmt: skip
late = jump.variant(
    "jump-before-copy",
    "The jump is written before the copy is made.",
    refutes=["no_thread_in_freed_copy", "copy_outlives_the_jump"],
    threads=1,
)


@late.step(replaces="install_int3", actor="patcher")
def install_int3_only(s: Shared) -> None:
    """int3 is written, sync; the copy will be made later."""
    if s.patcher == "removed":
        s.patcher = "int3-in"
        s.site = "int3"
        written(s, True)


@late.step(actor="patcher")
def make_copy(s: Shared) -> None:
    """The copy is made behind the jump."""
    if s.patcher == "jumping" and not s.copy:
        s.copy = True


early = jump.variant(
    "grace-period-too-early",
    "Threads are looked at before the jump is out of every processor: one enters the copy after it was seen outside.",
    refutes=["no_thread_in_freed_copy", "copy_outlives_its_threads"],
    threads=1,
)


@early.step(replaces="remove_jump", actor="patcher")
def look_then_remove(s: Shared) -> None:
    """Every thread is seen outside the copy, at one moment even; only then int3 is written, sync."""
    if s.patcher == "jumping" and all(not t.pending and t.pc != "copy" for t in threads):
        s.patcher = "int3-out"
        s.site = "int3"
        written(s, True)


@early.step(replaces="wait_for_threads", actor="patcher")
def do_not_wait(s: Shared) -> None:
    """The threads have been looked at before."""
    if s.patcher == "original" and answered():
        s.patcher = "waiting"


PROTOCOL = jump.protocol()
