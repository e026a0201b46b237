"""optimised-nop10: a ten-byte nop becomes `lea -0x80(%rsp),%rsp; call trampoline` and goes back, under running threads.

Question: what must remain of the call when the probe is removed, for a thread that is preempted between lea and call?

Model: the byte states of the site, in three regions (byte 0, bytes 1 to 4, bytes 5 to 9):
`66 | 2e 0f 1f 84 | 00 00 00 00 00` nop; `cc | ..` int3; `48 | 8d 64 24 80 | e8 d0 d1 d2 d3` lea and call; and on the
way back `cc | 2e 0f 1f 84 | e8 d0 d1 d2 d3`, then `66 | 2e 0f 1f 84 | e8 d0 d1 d2 d3`: with any last five bytes, also a
mix, the first five are the head of a ten-byte nop, because modrm 84 takes a SIB byte and a 32-bit displacement. So the
last five bytes stay, and a thread that was preempted behind the lea still finds its call; the trampoline's `ret $0x80`
undoes the lea. Threads, processors, syncs, trampoline and fork are as in `optimised-nop5`; the child's copy is only the
whole one.

Left out: shadow stacks, the reach of rel32, a second probe site with the same trampoline (it stays mapped anyway).

Sources: Linux arch/x86/kernel/uprobes.c after 6.18 (ten-byte sites); x86 encoding of 0f 1f /0 with modrm 84.
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
from verify.concurrency.protocols import _breakpoint, _fetch
from verify.concurrency.protocols._fetch import FETCH_AXIOMS, CodeSite, Region, answered

SYNC_INT3 = Parameter("SYNC_INT3", True)  # sync after int3 has been written
SYNC_TAIL = Parameter("SYNC_TAIL", True)  # sync after bytes 1 to 9 have been written
SYNC_FIRST = Parameter("SYNC_FIRST", True)  # sync after byte 0 has been written
KEEP_CALL = Parameter("KEEP_CALL", True)  # bytes 5 to 9 stay when the site goes back
SAME_CALL = Parameter("SAME_CALL", True)  # a site that is optimised again gets the displacement that it had
INHERITED = Parameter("INHERITED", True)  # fork copies the trampoline mapping with the text
RECHECK = Parameter("RECHECK", True)  # a thread whose trap finds no handler reads the byte back
FREED = Parameter("FREED", False)  # the trampoline is unmapped after unregistering, when no thread is in it

SITE = CodeSite(  # byte 0; bytes 1 to 4; bytes 5 to 9, the present call or anything else
    Region("first", ("nop", "int3", "lea")), Region("middle", ("nop", "lea")), Region("last", ("other", "call"))
)
serialise, may_fetch, fetch_nothing = SITE.serialise, SITE.may_fetch, SITE.fetch_nothing

nop10 = Description(
    "optimised-nop10",
    "Can a ten-byte nop become lea and call, and go back, with threads preempted between the two instructions?",
    shared={
        "kernel": Enum("idle", "armed", "tail", "optimised", "int3-back", "tail-back", "nop-back"),
        **SITE.memory,
        "trampoline": Bool(),  # is mapped in the parent
        "child": Enum("none", "nop", "int3", "call"),  # the child's copy of the site
        "child_trampoline": Bool(),
    },
    local={
        "pc": Enum("at", "trap", "between", "trampoline", "child", "torn", "killed", "segv"),
        "pending": Bool(),  # a sync waits for this thread's processor
        **SITE.fetched,  # in the parent; the child has none of these
    },
    assumptions=(
        *FETCH_AXIOMS,
        Assumption("nop-takes-any-tail", "66 2e 0f 1f 84 and any five bytes are one ten-byte nop", "SDM vol. 2, NOP"),
        Assumption("write-lock", "each transition between two stable byte states excludes fork and other writers"),
        Assumption("trap-answers-syncs", "uprobes handle a trap with interrupts on: a trapped thread is serialised"),
        Assumption(
            "lookup-lock", "finding the uprobe and reading the byte back are atomic against the writer"
        ).under(RECHECK),
        Assumption("one-fork", "one fork; its one thread is the child"),
    ),
    source="Linux arch/x86/kernel/uprobes.c, after 6.18",
)


# --- the threads ------------------------------------------------------------------------------------------------------
@nop10.step()
def fetch_nop(s: Shared, t: Thread) -> None:
    """The nop is executed, whatever its last five bytes are."""
    if t.pc == "at" and t.first_nop and t.middle_nop:
        pass


fetch_int3 = nop10.step()(_fetch.fetch_int3)  # at the site, where int3 may be fetched: on to the trap


@nop10.step()
def fetch_lea(s: Shared, t: Thread) -> None:
    """The lea is executed: the thread stands at byte 5."""
    if t.pc == "at" and t.first_lea and t.middle_lea:
        t.pc = "between"


@nop10.step(fair=None)
def fetch_torn(s: Shared, t: Thread) -> None:
    """A first byte and bytes 1 to 4 that do not belong together."""
    if t.pc == "at" and ((t.first_nop and t.middle_lea) or (t.first_lea and t.middle_nop)):
        t.pc = "torn"


@nop10.step()
def fetch_call(s: Shared, t: Thread) -> None:
    """The call at byte 5 is executed."""
    if t.pc == "between" and t.last_call:
        t.pc = "trampoline" if s.trampoline else "segv"


@nop10.step(fair=None)
def fetch_no_call(s: Shared, t: Thread) -> None:
    """At byte 5 there is, or may be in parts, something else than the call."""
    if t.pc == "between" and t.last_other:
        t.pc = "torn"


@nop10.step()
def look_up(s: Shared, t: Thread) -> None:
    """The handler is found and the nop is emulated; or memory holds no int3: start anew; or it seems foreign."""
    if t.pc == "trap":
        t.pc = "killed" if s.kernel == "idle" and (s.first == "int3" or not RECHECK) else "at"


@nop10.step()
def come_back(s: Shared, t: Thread) -> None:
    """The trampoline returns behind the site and puts the stack pointer back; or it is gone."""
    if t.pc == "trampoline":
        t.pc = "at" if s.trampoline else "segv"


@nop10.step()
def answer(s: Shared, t: Thread) -> None:
    """The sync interrupt: the processor serialises, wherever its thread is."""
    if t.pending:
        t.pending = False
        serialise(s, t)


def become_child(s: Shared, t: Thread) -> None:
    """The thread goes on in the child: text copied as memory holds it, processor serialised, mappings as declared."""
    s.child = "nop" if s.first == "nop" else "int3" if s.first == "int3" else "call"
    s.child_trampoline = s.trampoline and INHERITED
    t.pc = "child"
    t.pending = False
    fetch_nothing(t)


@nop10.step(fair=None)
def fork(s: Shared, t: Thread) -> None:
    """The thread becomes the child, with a copy of the text in a stable state."""
    if t.pc == "at" and s.child == "none" and s.kernel in ("idle", "armed", "optimised"):
        become_child(s, t)


@nop10.step()
def child_call(s: Shared, t: Thread) -> None:
    """The child executes its copied lea and call; with the trampoline there it comes back."""
    if t.pc == "child" and s.child == "call":
        t.pc = "child" if s.child_trampoline else "segv"


# --- the kernel -------------------------------------------------------------------------------------------------------
def written(s: Shared, sync: Claim) -> None:
    """After a write: each processor of the parent may fetch what memory holds now, too, and is asked to serialise."""
    for t in threads:
        if t.pc != "child":
            may_fetch(s, t)
            t.pending = sync


@nop10.step(actor="kernel")
def register(s: Shared) -> None:
    """The handler can be found, int3 is written, in the child too."""
    if s.kernel == "idle":
        s.kernel = "armed"
        s.first = "int3"
        if s.child != "none":
            s.child = "int3"
        written(s, SYNC_INT3)


@nop10.step(actor="kernel")
def write_tail(s: Shared) -> None:
    """The trampoline is mapped, bytes 1 to 9 become the rest of the lea and the call."""
    if s.kernel == "armed" and answered():
        s.kernel = "tail"
        s.trampoline = True
        s.middle = "lea"
        s.last = "call"
        written(s, SYNC_TAIL)
        for t in threads:
            t.last_other = t.last_other or (t.pc != "child" and not SAME_CALL)


@nop10.step(actor="kernel")
def write_lea(s: Shared) -> None:
    """Byte 0 becomes 48."""
    if s.kernel == "tail" and answered():
        s.kernel = "optimised"
        s.first = "lea"
        written(s, SYNC_FIRST)


@nop10.step(actor="kernel")
def write_int3_back(s: Shared) -> None:
    """Byte 0 of the lea becomes int3."""
    if s.kernel == "optimised" and answered():
        s.kernel = "int3-back"
        s.first = "int3"
        written(s, SYNC_INT3)


@nop10.step(actor="kernel")
def write_nop_tail(s: Shared) -> None:
    """Bytes 1 to 4 become the nop's again; the call stays where it is."""
    if s.kernel == "int3-back" and answered():
        s.kernel = "tail-back"
        s.middle = "nop"
        if not KEEP_CALL:
            s.last = "other"
        written(s, SYNC_TAIL)


@nop10.step(actor="kernel")
def write_nop(s: Shared) -> None:
    """Byte 0 becomes 66 again, from int3 with either tail state that is the nop's."""
    if (s.kernel == "tail-back" or (s.kernel == "armed" and s.middle == "nop")) and answered():
        s.kernel = "nop-back"
        s.first = "nop"
        written(s, SYNC_FIRST)


@nop10.step(actor="kernel")
def forget(s: Shared) -> None:
    """Every processor has seen the nop; the child's copy is put back likewise; the handler is found no longer."""
    if s.kernel == "nop-back" and answered():
        s.kernel = "idle"
        if s.child != "none":
            s.child = "nop"


@nop10.step(actor="kernel", fair=None)
def free_trampoline(s: Shared) -> None:
    """The trampoline is unmapped when no thread is in it (never, unless FREED)."""
    if FREED and s.trampoline and s.kernel == "idle" and all(t.pc != "trampoline" for t in threads):
        s.trampoline = False


# --- properties -------------------------------------------------------------------------------------------------------
nop10.always(_fetch.no_torn_instruction)  # nor anything but the call behind the lea
nop10.always(_breakpoint.no_sigtrap)  # no thread dies of the kernel's int3
nop10.always(_fetch.no_call_into_nothing)  # the trampoline is there for all


@nop10.always
def the_call_is_there(s: Shared, t: Thread) -> Claim:
    """A thread behind the lea will find its call, whatever happens to the probe."""
    return implies(t.pc == "between", s.last == "call" and not t.last_other)


@nop10.always
def no_probe_remains(s: Shared, t: Thread) -> Claim:
    """After unregistering no processor fetches int3 or lea at the site."""
    return implies(s.kernel == "idle", not t.first_int3 and not t.first_lea and s.child in ("none", "nop"))


@nop10.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """Once int3 has been seen by all, and until it is taken out, no processor and no child executes the bare nop."""
    return implies(s.kernel in ("tail", "optimised", "int3-back"), not t.first_nop and s.child != "nop")


@nop10.always
def child_is_probed(s: Shared) -> Claim:
    """From registering until the handler is forgotten, the child's copy is not the bare nop."""
    return implies(s.child == "nop", s.kernel == "idle")


@nop10.always
def optimised_site_has_its_lea(s: Shared) -> Claim:
    """What counts as optimised is: byte 0 is the lea's."""
    return implies(s.kernel == "optimised", s.first == "lea")


@nop10.always
def memory_may_be_fetched(s: Shared, t: Thread) -> Claim:
    """The model itself: what memory holds is among what a processor may fetch."""
    first = t.first_nop if s.first == "nop" else t.first_int3 if s.first == "int3" else t.first_lea
    middle = t.middle_nop if s.middle == "nop" else t.middle_lea
    return implies(t.pc not in ("child", "segv"), first and middle and (t.last_call or s.last == "other"))


@nop10.sometimes
def between_while_unregistered(s: Shared, t: Thread) -> Claim:
    """A thread is still behind the lea when the probe is gone."""
    return t.pc == "between" and s.kernel == "idle"


@nop10.sometimes
def the_child_is_optimised(s: Shared, t: Thread) -> Claim:
    """The child has a copy of the call."""
    return t.pc == "child" and s.child == "call"


@nop10.eventually
def optimising_ends(s: Shared) -> Claim:
    """Every sync is answered."""
    return leads_to(s.kernel == "tail", s.kernel == "optimised")


@nop10.eventually
def a_hit_ends(s: Shared, t: Thread) -> Claim:
    """A thread behind the lea comes back, with its stack pointer."""
    return leads_to(t.pc == "between", t.pc == "at")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
nop10.precondition(fetch_int3)(_fetch.a_trap_is_at_the_site)


@nop10.precondition(fetch_lea)
def the_lea_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """A thread executes the lea at the site where it may fetch it."""
    return t.pc == "at" and t.first_lea and t.middle_lea


@nop10.precondition(fetch_call)
def the_call_follows_the_lea(s: Shared, t: Thread) -> Claim:
    """The call is executed behind the lea."""
    return t.pc == "between" and t.last_call


nop10.precondition(look_up)(_breakpoint.only_a_trap_looks_up)


@nop10.precondition(fork)
def text_is_copied_between_writes(s: Shared, t: Thread) -> Claim:
    """A thread of the program forks once, and not between two writes."""
    return t.pc == "at" and s.child == "none" and s.kernel in ("idle", "armed", "optimised")


@nop10.precondition(child_call)
def the_child_calls_by_its_copy(s: Shared, t: Thread) -> Claim:
    """The child calls where its copy has the call."""
    return t.pc == "child" and s.child == "call"


nop10.precondition(write_int3_back)(_fetch.going_back_waits_for_syncs)


# --- variants ---------------------------------------------------------------------------------------------------------
nop10.known_wrong(
    ("call-overwritten", "The way back restores all ten bytes: a thread behind the lea executes zeros, its stack "
     "pointer lowered.", [KEEP_CALL], "no_torn_instruction the_call_is_there a_hit_ends"),
    ("other-displacement", "Optimised again with another trampoline: a thread behind the old lea fetches a mix of two "
     "displacements.", [SAME_CALL], "no_torn_instruction the_call_is_there a_hit_ends"),
    ("trampoline-freed", "The trampoline is unmapped when no thread is in it: a thread behind the lea is about to "
     "enter it.", [FREED], "no_call_into_nothing a_hit_ends",
     "Linux commit 0598e4f08e3d, the same of ftrace's trampolines"),
    ("trampoline-not-inherited", "The trampoline mapping is not copied by fork, the patched text is: the child calls "
     "into nothing.", [INHERITED], "no_call_into_nothing"),
    ("no-recheck", "A thread has trapped, the probe is removed, the lookup fails, and the byte is not read back: "
     "SIGTRAP.", [RECHECK], "no_sigtrap"),
    ("no-sync-after-int3", "Bytes 1 to 9 are written while a processor may still fetch the old first byte.",
     [SYNC_INT3], "no_torn_instruction no_missed_hit"),
    ("no-sync-after-tail", "The first byte is written while a processor may still fetch the old tail.",
     [SYNC_TAIL], "no_torn_instruction the_call_is_there a_hit_ends"),
    ("no-sync-after-first", "The site counts as patched while processors may still fetch int3; a late trap is saved by "
     "reading the byte back.", [SYNC_FIRST], "no_probe_remains"),
    threads=1,
)  # fmt: skip

unlocked = nop10.variant(
    "fork-while-patching",
    "Fork does not wait for the writer: the child's copy is of a state between two writes.",
    refutes=["child_is_probed", "text_is_copied_between_writes"],
    lifts=["write-lock"],
    threads=1,
)


@unlocked.step(replaces="fork", fair=None)
def fork_at_once(s: Shared, t: Thread) -> None:
    """The thread becomes the child, with a copy of whatever is there."""
    if t.pc == "at" and s.child == "none":
        become_child(s, t)


PROTOCOL = nop10.protocol()
