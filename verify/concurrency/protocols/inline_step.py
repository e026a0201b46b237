"""inline-step: the breakpoint is taken out while a thread steps over it in place (no slot).

Question: which hits are missed? It is the reason why execution out of line exists.

Model: one probed instruction, threads that run over it again and again. A thread that traps takes the breakpoint out,
steps the original instruction in place, and puts the breakpoint back. In the correct version every other thread is
stopped meanwhile (`STOP`), which costs two rounds of stopping a hit, and holds back signals for the thread that steps.

Left out: what stopping itself needs (every thread must be known and stoppable), registering and unregistering.

Sources: the classic debugger's step over a breakpoint (ptrace(2), PTRACE_SINGLESTEP); GDB documentation, displaced
stepping; Linux 6.18 kernel/events/uprobes.c avoids it with its slots.
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
)
from verify.concurrency.protocols import _breakpoint

STOP = Parameter("STOP", True)  # all other threads are stopped while one steps
ONE = Parameter("ONE", True)  # one thread steps at a time
WAITS = Parameter("WAITS", False)  # the instruction is a system call that waits for another thread
DEFER = Parameter("DEFER", True)  # signals of the thread that steps are held back

inline = Description(
    "inline-step",
    "Which hits are missed while the breakpoint is out for one thread's step in place?",
    shared={
        "byte": Enum("int3", "original"),
        "stepper": ThreadId(),  # who has taken the breakpoint out
        "woken": Bool(),  # another thread has done what the waiting instruction waits for
    },
    local={"pc": Enum("at", "trap", "step", "stepped", "missed", "twice")},
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        Assumption(
            "stop-is-complete", "a stopped thread executes nothing, and stopping reaches every thread"
        ).under(STOP),
    ),
    source="GDB documentation, Displaced Stepping",
)


exec_int3 = inline.step()(_breakpoint.exec_int3)  # the breakpoint is executed, the handler runs: one hit


@inline.step(fair=None)
def exec_in_gap(s: Shared, t: Thread) -> None:
    """The original instruction is executed by a thread for which it was not put there: no hit."""
    if t.pc == "at" and s.byte == "original" and not STOP:
        t.pc = "missed"


@inline.step(fair="strong")
def take_out(s: Shared, t: Thread) -> None:
    """The others are stopped; the original byte is written for the step."""
    if t.pc == "trap" and (s.stepper is None or not ONE):
        s.stepper = t
        s.byte = "original"
        s.woken = False
        t.pc = "step"


@inline.step()
def step(s: Shared, t: Thread) -> None:
    """The original instruction is executed in place."""
    if t.pc == "step" and s.byte == "original" and (s.woken or not WAITS):
        t.pc = "stepped"


@inline.step()
def step_traps(s: Shared, t: Thread) -> None:
    """The breakpoint is back already: the same execution hits a second time."""
    if t.pc == "step" and s.byte == "int3":
        t.pc = "twice"


@inline.step()
def put_back(s: Shared, t: Thread) -> None:
    """int3 is written again, the others go on."""
    if t.pc == "stepped":
        s.byte = "int3"
        s.stepper = None
        t.pc = "at"


@inline.step(fair=None)
def signal_in_gap(s: Shared, t: Thread) -> None:
    """A signal handler runs over the instruction before the step: no hit."""
    if t.pc == "step" and not DEFER:
        t.pc = "missed"


@inline.step()
def wake(s: Shared, t: Thread) -> None:
    """A thread that is not stopped does what the waiting instruction waits for."""
    if t.pc == "at" and WAITS and not s.woken and (s.stepper is None or not STOP):
        s.woken = True


# --- properties -------------------------------------------------------------------------------------------------------
@inline.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """No thread executes the probed instruction without a hit."""
    return t.pc != "missed"


@inline.always
def no_double_hit(s: Shared, t: Thread) -> Claim:
    """No execution hits twice."""
    return t.pc != "twice"


@inline.always
def one_thread_steps(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two threads never step at once."""
    return not (t.pc in ("step", "stepped") and u.pc in ("step", "stepped"))


@inline.always
def nobody_waits_in_vain(s: Shared) -> Claim:
    """Nothing is woken where the instruction waits for nothing."""
    return WAITS or not s.woken


@inline.sometimes
def two_have_trapped(s: Shared, t: Thread, u: Thread) -> Claim:
    """A thread has trapped while another steps."""
    return t.pc == "trap" and u.pc == "step"


@inline.eventually
def a_step_ends(s: Shared, t: Thread) -> Claim:
    """A thread that steps comes back to the program."""
    return leads_to(t.pc == "step", t.pc == "at")


@inline.eventually
def a_trapped_thread_steps(s: Shared, t: Thread) -> Claim:
    """Waiting for one's turn ends."""
    return leads_to(t.pc == "trap", t.pc == "step")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
inline.precondition(exec_int3)(_breakpoint.a_hit_is_of_int3)


@inline.precondition(take_out)
def only_a_hit_is_stepped(s: Shared, t: Thread) -> Claim:
    """The breakpoint is taken out for a thread that has hit it."""
    return t.pc == "trap"


# --- variants ---------------------------------------------------------------------------------------------------------
inline.known_wrong(
    ("others-run", "The others are not stopped: they run through the gap.", [STOP], "no_missed_hit"),
    ("two-steppers", "Two threads step at once: the first puts the breakpoint back under the second, which hits again.",
     [ONE], "one_thread_steps no_double_hit a_step_ends"),
    ("signal-in-gap", "A signal handler of the thread that steps runs over the instruction.",
     [DEFER], "no_missed_hit a_step_ends a_trapped_thread_steps no_deadlock"),
    ("waiting-instruction", "The instruction is a system call that waits for a thread which is stopped.",
     [WAITS], "no_deadlock a_step_ends a_trapped_thread_steps"),
    threads=2,
)  # fmt: skip

PROTOCOL = inline.protocol()
