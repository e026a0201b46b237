"""inline-step-hwbp: steps in place, with the gap closed by a hardware breakpoint; int3 is re-inserted lazily.

Question: how far do four debug registers go against N threads, what breaks at the fifth, and what without the IPI that
loads the register on every processor?

Model: each thread hits a probe of its own, and passes over those of the others too; with
`D` registers the thread after the D-th shows what happens when they run out. For its first hit it claims a free
debug register for its address, has it loaded on every processor (an IPI each; `behind`), only then takes its int3 out,
and steps in place. From then on the hardware breakpoint counts every pass, its own too. Later the kernel puts the int3
back and frees the register. One claim at a time (`claimer`). Without a free register a thread waits (`WAIT`). A missed
hit ends the run.

Left out: several probes a thread, data breakpoints of a debugger that want the same registers, the resume flag (the
thread that steps does not hit its own hardware breakpoint), threads without a processor (loading at the switch).

Sources: Intel SDM vol. 3, 18.2 (DR0 to DR3, DR7; RF), AMD APM vol. 2, 13.1; a proposal without an implementation in
Linux; Linux 6.18 arch/x86/kernel/hw_breakpoint.c for what loading a register takes.
"""

from verify.concurrency.language.protocol import (
    Array,
    Assumption,
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
from verify.concurrency.protocols import _breakpoint

D = Parameter("D", 2)  # debug registers; a processor has four: variant `four-registers`
IPI = Parameter("IPI", True)  # the int3 is taken out only when every processor has loaded the register
WAIT = Parameter("WAIT", True)  # a thread that finds no free register waits
STEAL = Parameter("STEAL", False)  # ... or takes register 0 from its owner

hwbp = Description(
    "inline-step-hwbp",
    "Do four debug registers close the gap of stepping in place?",
    shared={
        "register": Array(D, ThreadId()),  # whose address each debug register is for
        "claimer": ThreadId(),  # whose register is being loaded, or was loaded last
    },
    local={
        "pc": Enum("at", "trap", "loading", "missed-own", "missed-other"),
        "out": Bool(),  # the int3 of this thread's probe is out
        "mine": Bounded(0, D - 1),  # its register, if it has one
        "behind": Bool(),  # this processor has not yet loaded the claimer's register
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        Assumption(
            "ipi-loads", "the interrupt loads DR and DR7 before the processor executes anything else"
        ).under(IPI),
        Assumption("thread-is-processor", "every thread has a processor of its own"),
    ),
    source="Intel SDM vol. 3, 18.2",
)


def nothing_missed() -> Claim:
    """Whether the run goes on: a missed hit ends it."""
    return all(u.pc not in ("missed-own", "missed-other") for u in threads)


def watches(s: Shared, t: Thread, u: Thread) -> Claim:
    """Whether the processor of `t` has a hardware breakpoint on the address of `u`'s probe."""
    return s.register[u.mine] == u and not (t.behind and s.claimer == u)


# --- the threads ------------------------------------------------------------------------------------------------------
@hwbp.step()
def exec_int3(s: Shared, t: Thread) -> None:
    """The thread's own breakpoint is executed; the handler runs: one hit."""
    if nothing_missed() and t.pc == "at" and not t.out:
        t.pc = "trap"


@hwbp.step(fair=None)
def exec_own_gap(s: Shared, t: Thread) -> None:
    """The thread's own probe is out; its hardware breakpoint counts the pass, if it is loaded here."""
    if nothing_missed() and t.pc == "at" and t.out and not watches(s, t, t):
        t.pc = "missed-own"


@hwbp.step(fair=None)
def exec_other_gap(s: Shared, t: Thread, u: Thread) -> None:
    """Another thread's probe is out, and its register is not loaded here, or no longer there."""
    if nothing_missed() and t.pc == "at" and u.out and not watches(s, t, u):
        t.pc = "missed-other"


@hwbp.step(fair="strong")
def claim(s: Shared, t: Thread) -> None:
    """The lowest free register is claimed; the IPIs are sent."""
    k = s.register.find(None)
    if nothing_missed() and t.pc == "trap" and k < D and s.claimer is None:
        s.register[k] = t
        s.claimer = t
        t.mine = k
        t.pc = "loading"
        for u in threads:
            u.behind = True


@hwbp.step()
def step_without_register(s: Shared, t: Thread) -> None:
    """No register is free: the thread steps all the same, or with register 0, taken from its owner."""
    if nothing_missed() and t.pc == "trap" and s.register.find(None) == D and s.claimer is None and (STEAL or not WAIT):
        t.mine = 0
        t.pc = "at"
        t.out = True
        if STEAL:
            s.register[0] = t


@hwbp.step()
def load(s: Shared, t: Thread) -> None:
    """The IPI: this processor loads the register."""
    if nothing_missed() and t.behind:
        t.behind = False


@hwbp.step()
def take_out(s: Shared, t: Thread) -> None:
    """Now that every processor watches the address, the int3 is taken out, and the thread steps in place."""
    if nothing_missed() and t.pc == "loading" and (not IPI or all(not u.behind for u in threads)):
        t.pc = "at"
        t.out = True


@hwbp.step(actor="kernel")
def end_claim(s: Shared, t: Thread) -> None:
    """Every processor has loaded the register: the next claim may begin."""
    if nothing_missed() and s.claimer == t and t.pc != "loading" and all(not u.behind for u in threads):
        s.claimer = None


@hwbp.step(actor="kernel")
def put_back(s: Shared, t: Thread) -> None:
    """Later: the int3 is written again, and after it the register is freed."""
    if nothing_missed() and t.out and t.pc == "at" and s.claimer != t:
        t.out = False
        if s.register[t.mine] == t:
            s.register[t.mine] = None
        t.mine = 0


# --- properties -------------------------------------------------------------------------------------------------------
@hwbp.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """No thread passes over another's probe whose int3 is out without a hardware breakpoint."""
    return t.pc != "missed-other"


@hwbp.always
def no_missed_hit_of_its_own(s: Shared, t: Thread) -> Claim:
    """Nor over its own."""
    return t.pc != "missed-own"


@hwbp.always
def gap_is_watched(s: Shared, t: Thread, u: Thread) -> Claim:
    """While one thread's int3 is out, every other processor has its register loaded."""
    return implies(t.out, watches(s, u, t))


@hwbp.always
def register_has_one_owner(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two threads never rely on one debug register."""
    return implies(t.out and u.out, t.mine != u.mine)


@hwbp.sometimes
def two_are_out(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two probes are out at once."""
    return t.out and u.out


@hwbp.sometimes
def registers_run_out(s: Shared, t: Thread) -> Claim:
    """A thread finds no free register."""
    return t.pc == "trap" and s.register.find(None) == D


@hwbp.eventually
def a_trapped_thread_steps(s: Shared, t: Thread) -> Claim:
    """Waiting for a register ends (or the run does)."""
    return leads_to(t.pc == "trap", t.out or not nothing_missed())


@hwbp.terminal
def a_hit_was_missed(s: Shared) -> Claim:
    """A missed hit ends the run."""
    return not nothing_missed()


# --- variants ---------------------------------------------------------------------------------------------------------
hwbp.variant(
    "four-registers",
    "Five threads and the four debug registers that a processor has: the fifth waits.",
    constants={"D": 4},
    threads=5,
)
UNWATCHED = ("no_missed_hit", "no_missed_hit_of_its_own", "gap_is_watched")
hwbp.variant(
    "fifth-thread",
    "Four debug registers, and a fifth thread that steps without one: its probe is out and nobody watches.",
    constants={"D": 4, "WAIT": False},
    refutes=[*UNWATCHED, "register_has_one_owner"],
    threads=5,
)
hwbp.variant(
    "one-too-many",
    "The same with one register and two threads.",
    constants={"D": 1, "WAIT": False},
    refutes=[*UNWATCHED, "register_has_one_owner"],
    threads=2,
)
hwbp.variant(
    "stolen-register",
    "A thread that finds no free register takes one whose owner's int3 is still out.",
    constants={"D": 1, "STEAL": True},
    refutes=[*UNWATCHED, "register_has_one_owner"],
    threads=2,
)
hwbp.variant(
    "no-ipi",
    "The int3 is taken out before the other processors have loaded the register: one of them runs through the gap.",
    constants={"IPI": False},
    refutes=[*UNWATCHED, "registers_run_out"],
    threads=2,
)
hwbp.variant(
    "int3-never-back",
    "The int3 is not re-inserted at all: the registers stay taken, and the next thread waits for ever.",
    drop=["put_back"],
    refutes=["a_trapped_thread_steps", "no_deadlock"],
)
late = hwbp.variant(
    "int3-back-too-late",
    "The register is freed before the int3 is re-inserted: for a while the probe is out and nobody watches.",
    refutes=[*UNWATCHED, "register_has_one_owner"],
)


@late.step(replaces="put_back", actor="kernel")
def free_register(s: Shared, t: Thread) -> None:
    """The register is freed; the int3 will be written again, lazily."""
    if nothing_missed() and t.out and t.pc == "at" and s.claimer != t and s.register[t.mine] == t:
        s.register[t.mine] = None


@late.step(actor="kernel")
def write_int3_lazily(s: Shared, t: Thread) -> None:
    """Later: the int3 is written again."""
    if nothing_missed() and t.out and t.pc == "at" and s.register[t.mine] != t:
        t.out = False
        t.mine = 0


PROTOCOL = hwbp.protocol()
