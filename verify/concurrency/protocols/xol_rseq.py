"""xol-rseq: a probe on an instruction inside a restartable sequence, stepped out of line.

Question: does a thread that is preempted or migrated while its instruction is displaced still restart its sequence?

Model: one processor's datum, which threads update by a restartable sequence: load it, use it, commit it. A thread that
loses the processor inside is made to begin anew (its abort handler) when it comes back to user mode; that is decided by
the instruction pointer, which lies in the slot while the probed instruction is displaced. Whether the slot counts as
inside is `INSIDE`. Preemption and migration come at every boundary, in user mode and while the kernel handles the hit
or the end of the step: uprobes' work is done first on the way out, the sequence's after it, with the pointer as uprobes
left it. A migrated thread runs beside the others. A commit after another's, on what was loaded before it, is lost.

Left out: signals (which abort as preemption does), several processors with data of their own, the registration of the
area, the signature before the abort handler (4 bytes that no probe overwrites).

Sources: Linux 6.18 kernel/rseq.c (rseq_ip_fixup, __rseq_handle_notify_resume), kernel/entry/common.c
(exit_to_user_mode_loop: uprobe_notify_resume before resume_user_mode_work), kernel/events/uprobes.c (handle_swbp,
handle_singlestep); seen on Linux 6.18.44: commits that should have been aborted, none without the probe.
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
    leads_to,
    threads,
)
from verify.concurrency.protocols import _breakpoint

INSIDE = Parameter("INSIDE", True)  # a pointer into the slot counts as the probed address when that is inside
PROBED = Parameter("PROBED", True)  # the instruction is probed; not: the scheme refuses it
ABORTS = Parameter("ABORTS", False)  # a hit inside a sequence aborts it, and nothing is displaced
START = Parameter("START", False)  # the probe is on the first instruction, which loads
HANDLER = Parameter("HANDLER", False)  # the probe is on the abort handler instead

rseq = Description(
    "xol-rseq",
    "Does a thread that loses the processor while its instruction is displaced restart its sequence?",
    threads=2,
    shared={"cpu": ThreadId()},  # who runs on the processor
    local={
        "pc": Enum("out", "load", "use", "commit", "trap", "slot", "stepped", "abort", "lost"),
        "fresh": Bool(),  # nobody has committed since this thread loaded
        "moved": Bool(),  # preempted or migrated since it was last in user mode: the sequence is to be checked
        "away": Bool(),  # runs on another processor, in the sequence of this one
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        Assumption("one-registration", "the probe stays, and the sequence's area is registered throughout"),
    ),
    source="Linux 6.18 kernel/rseq.c, kernel/events/uprobes.c",
)


# --- the processor ----------------------------------------------------------------------------------------------------
def in_kernel(t: Thread) -> Claim:
    """Whether the kernel handles the thread's hit, or the end of its step."""
    return t.pc in ("trap", "stepped")


def runs(s: Shared, t: Thread) -> Claim:
    """Whether the thread executes: it has a processor, and is back in user mode or in the kernel's work."""
    return (s.cpu == t or t.away) and (not t.moved or in_kernel(t))


def checked(t: Thread) -> None:
    """Back to user mode: inside the sequence, the thread is sent to its abort handler."""
    if t.moved and (t.pc in ("load", "use", "commit") or (t.pc == "slot" and INSIDE)):
        t.pc = "abort"
    t.moved = False


@rseq.step(fair="strong")
def schedule(s: Shared, t: Thread) -> None:
    """The thread gets the processor; what it was interrupted in, user mode or the kernel, goes on."""
    if s.cpu is None and not t.away and t.pc != "lost":
        s.cpu = t
        if not in_kernel(t):
            checked(t)


@rseq.step(fair=None)
def preempt(s: Shared, t: Thread) -> None:
    """The thread loses the processor, wherever it is."""
    if s.cpu == t:
        s.cpu = None
        t.moved = True


@rseq.step(fair="strong")
def sleep(s: Shared, t: Thread) -> None:
    """Outside a sequence the processor is given up."""
    if s.cpu == t and t.pc == "out":
        s.cpu = None


@rseq.step(fair=None)
def migrate(s: Shared, t: Thread) -> None:
    """Inside a sequence the thread is moved to another processor, and goes on there."""
    if s.cpu == t and t.pc not in ("out", "abort"):
        s.cpu = None
        t.away = True
        t.moved = True


@rseq.step()
def arrive(s: Shared, t: Thread) -> None:
    """The migrated thread is back in user mode."""
    if t.away and t.moved and not in_kernel(t):
        checked(t)


# --- the sequence -----------------------------------------------------------------------------------------------------
@rseq.step(fair=None)
def begin(s: Shared, t: Thread) -> None:
    """The sequence begins on this processor."""
    if runs(s, t) and t.pc == "out":
        t.pc = "load"


@rseq.step(fair="strong")
def load(s: Shared, t: Thread) -> None:
    """The datum is loaded."""
    if runs(s, t) and t.pc == "load" and not (PROBED and START):
        t.fresh = True
        t.pc = "use"


@rseq.step(fair="strong")
def use(s: Shared, t: Thread) -> None:
    """An instruction in the middle."""
    if runs(s, t) and t.pc == "use" and (not PROBED or START or HANDLER):
        t.pc = "commit"


@rseq.step(fair="strong")
def commit(s: Shared, t: Thread) -> None:
    """The last instruction stores the new datum; it is lost on another that was not seen."""
    if runs(s, t) and t.pc == "commit":
        if not t.fresh and s.cpu == t:
            s.cpu = None
        t.pc = "out" if t.fresh else "lost"
        t.away = False
        for u in threads:
            u.fresh = False


@rseq.step(fair="strong")
def restart(s: Shared, t: Thread) -> None:
    """The abort handler begins anew, with the number of the processor that it is on; a probe on it finds nothing."""
    if runs(s, t) and t.pc == "abort":
        t.pc = "out"
        t.fresh = False
        t.away = False


# --- the probe --------------------------------------------------------------------------------------------------------
@rseq.step(fair="strong")
def hit(s: Shared, t: Thread) -> None:
    """The breakpoint is executed: the kernel handles it."""
    if runs(s, t) and PROBED and not HANDLER and ((START and t.pc == "load") or (not START and t.pc == "use")):
        t.pc = "abort" if ABORTS else "trap"


@rseq.step(fair="strong")
def to_slot(s: Shared, t: Thread) -> None:
    """The instruction pointer is set to the slot; then the sequence is checked, on the way to user mode."""
    if runs(s, t) and t.pc == "trap":
        t.pc = "abort" if t.moved and INSIDE else "slot"
        t.moved = False


@rseq.step(fair="strong")
def step(s: Shared, t: Thread) -> None:
    """The displaced instruction is executed in the slot."""
    if runs(s, t) and t.pc == "slot":
        t.pc = "stepped"
        if START:
            t.fresh = True


@rseq.step(fair="strong")
def fixup(s: Shared, t: Thread) -> None:
    """The instruction pointer is put behind the probed instruction, in the sequence; then that is checked."""
    if runs(s, t) and t.pc == "stepped":
        t.pc = "abort" if t.moved else "use" if START else "commit"
        t.moved = False


# --- properties -------------------------------------------------------------------------------------------------------
@rseq.always
def no_lost_update(s: Shared, t: Thread) -> Claim:
    """No commit is on what was loaded before another's."""
    return t.pc != "lost"


@rseq.always
def one_on_the_processor(s: Shared, t: Thread) -> Claim:
    """Whoever is away has left the processor."""
    return not (t.away and s.cpu == t)


@rseq.sometimes
def a_sequence_is_aborted(s: Shared, t: Thread) -> Claim:
    """Preemption does abort a sequence."""
    return t.pc == "abort"


@rseq.sometimes
def preempted_in_the_slot(s: Shared, t: Thread, u: Thread) -> Claim:
    """Another thread is in the sequence while one waits in its slot for the processor."""
    return t.pc == "slot" and t.moved and s.cpu == u and u.pc == "commit"


@rseq.eventually
def an_abort_ends(s: Shared, t: Thread) -> Claim:
    """An aborted sequence begins anew."""
    return leads_to(t.pc == "abort", t.pc == "out")


@rseq.eventually
def a_hit_ends(s: Shared, t: Thread) -> Claim:
    """A thread that has hit leaves its slot, for the sequence or for the abort handler."""
    return leads_to(t.pc == "trap", t.pc in ("use", "commit", "abort"))


@rseq.terminal
def all_lost(s: Shared) -> Claim:
    """A lost update ends the thread."""
    return all(t.pc == "lost" for t in threads)


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@rseq.precondition(step)
def only_a_hit_is_displaced(s: Shared, t: Thread) -> Claim:
    """A thread steps in the slot that runs, on this processor or another."""
    return t.pc == "slot" and (s.cpu == t or t.away)


# --- variants ---------------------------------------------------------------------------------------------------------
DISPLACED = ["preempted_in_the_slot"]
rseq.known_wrong(
    ("slot-outside", "A pointer into the slot is outside every sequence: preempted there, or on the way there, the "
     "thread goes on and commits what it loaded before another's commit.", [INSIDE], "no_lost_update",
     "Linux 6.18 kernel/rseq.c, rseq_ip_fixup; seen on 6.18.44"),
    threads=2,
)  # fmt: skip
rseq.variant(
    "start-slot-outside",
    "The same with the probe on the first instruction, which loads: the slot's load is fresh, but a migrated thread "
    "runs beside those of the processor whose datum it updates.",
    constants={"INSIDE": False, "START": True},
    refutes=["no_lost_update"],
    threads=2,
)
rseq.variant(
    "handler-slot-outside",
    "The same with the probe on the abort handler: it is outside the sequence, in place and in the slot.",
    constants={"INSIDE": False, "HANDLER": True},
    refutes=DISPLACED,
    skipped=["a_hit_ends", "only_a_hit_is_displaced"],
    threads=2,
)
rseq.variant(
    "refused",
    "The scheme refuses to probe instructions of a sequence.",
    constants={"INSIDE": False, "PROBED": False},
    refutes=DISPLACED,
    skipped=["a_hit_ends", "only_a_hit_is_displaced"],
    threads=2,
)
rseq.variant(
    "abort-on-hit",
    "A hit inside a sequence aborts it; a probe inside then means that the sequence never commits.",
    constants={"INSIDE": False, "ABORTS": True},
    refutes=DISPLACED,
    skipped=["a_hit_ends", "only_a_hit_is_displaced"],
    threads=2,
)

PROTOCOL = rseq.protocol()
