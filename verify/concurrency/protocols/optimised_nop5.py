"""optimised-nop5: a five-byte nop becomes int3, then a call to a trampoline, and goes back, while threads run and fork.

Question: does a thread ever execute a mix of the byte states, call a trampoline that is not there, or die of a stale
int3?

Model: the byte states of the site are nop `0f 1f 44 00 00`, int3 with the nop's tail, int3 with the displacement, call
`e8 d0 d1 d2 d3`; region one is byte 0, region two the tail. Registering writes int3; a hit lets the kernel optimise:
(byte 0 is int3) sync, tail, sync, byte 0 := e8, sync. Unregistering an optimised site: byte 0 := int3, sync, the nop's
tail, sync, byte 0 := 0f, sync; a site that was never optimised: byte 0 := 0f, sync. Each thread has a processor of its
own with the fetch axioms of `_fetch`; being preempted, in the trampoline too, is staying there. A thread in the
trampoline makes a system call that looks for the probe, finds it or not, and returns behind the site. The trampoline is
mapped at the first optimisation and stays. One thread may fork: the child has a copy of the text as it is between two
locked writes, and the trampoline with it (`INHERITED`; Linux 6.18 does not: the variant `trampoline-not-inherited`).

Left out: what the call's push does to the red zone (a matter of the proof of the scheme, and the reason for
`optimised-nop10`), shadow stacks, the reach of rel32, the child's own byte-by-byte way back (it is the parent's).

Sources: Linux 6.18 arch/x86/kernel/uprobes.c (arch_uprobe_optimize, swbp_optimize, swbp_unoptimize, int3_update,
create_uprobe_trampoline with VM_DONTCOPY, uprobe system call), kernel/events/uprobes.c.
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
SYNC_TAIL = Parameter("SYNC_TAIL", True)  # sync after the tail has been written
SYNC_FIRST = Parameter("SYNC_FIRST", True)  # sync after the first byte has been written
INHERITED = Parameter("INHERITED", True)  # fork copies the trampoline mapping with the text
FREED = Parameter("FREED", False)  # the trampoline is unmapped after unregistering
CHECKED = Parameter("CHECKED", True)  # ... and then only when no thread is in it
RECHECK = Parameter("RECHECK", True)  # a thread whose trap finds no handler reads the byte back

SITE = CodeSite(Region("first", ("nop", "int3", "call")), Region("tail", ("nop", "call")))  # byte 0; bytes 1 to 4
serialise, may_fetch = SITE.serialise, SITE.may_fetch
fetch_nothing, fetches_memory = SITE.fetch_nothing, SITE.fetches_memory

nop5 = Description(
    "optimised-nop5",
    "Can a five-byte nop become a call to a trampoline, and go back, under running and forking threads?",
    shared={
        "kernel": Enum("idle", "armed", "ready", "tail", "optimised", "int3-back", "tail-back", "nop-back"),
        **SITE.memory,
        "registered": Bool(),
        "trampoline": Bool(),  # is mapped in the parent
        # the child's copy of the site; int3-call and nop-call: the nop's first byte, or int3, and the call's tail
        "child_text": Enum("none", "nop", "int3", "call", "int3-call", "nop-call"),
        "child_trampoline": Bool(),
    },
    local={
        "pc": Enum("at", "trap", "trampoline", "torn", "killed", "segv"),
        "child": Bool(),  # runs in the forked process
        "pending": Bool(),  # a sync waits for this thread's processor
        **SITE.fetched,  # in the parent; the child has none of these
    },
    assumptions=(
        *FETCH_AXIOMS,
        Assumption(
            "write-lock",
            "each transition between two stable byte states excludes fork and other writers, by the mmap lock",
            "Linux 6.18 arch/x86/kernel/uprobes.c, int3_update",
        ),
        Assumption("trap-answers-syncs", "uprobes handle a trap with interrupts on: a trapped thread is serialised"),
        Assumption("one-fork", "one fork; its one thread is the child"),
    ),
    source="Linux 6.18 arch/x86/kernel/uprobes.c",
)


# --- the threads ------------------------------------------------------------------------------------------------------
@nop5.step()
def fetch_nop(s: Shared, t: Thread) -> None:
    """The nop is executed as a whole."""
    if t.pc == "at" and t.first_nop and t.tail_nop:
        pass


fetch_int3 = nop5.step()(_fetch.fetch_int3)  # at the site, where int3 may be fetched: on to the trap


@nop5.step()
def fetch_call(s: Shared, t: Thread) -> None:
    """The call is executed as a whole."""
    if t.pc == "at" and t.first_call and t.tail_call:
        t.pc = "trampoline" if s.trampoline else "segv"


@nop5.step(fair=None)
def fetch_torn(s: Shared, t: Thread) -> None:
    """A first byte and a tail that do not belong together."""
    if t.pc == "at" and ((t.first_nop and t.tail_call) or (t.first_call and t.tail_nop)):
        t.pc = "torn"


@nop5.step()
def look_up(s: Shared, t: Thread) -> None:
    """The handler is found and the nop is emulated; or memory holds no int3: start anew; or it seems foreign."""
    foreign = s.child_text in ("int3", "int3-call") if t.child else s.first == "int3"
    if t.pc == "trap":
        t.pc = "killed" if not s.registered and (foreign or not RECHECK) else "at"


@nop5.step()
def come_back(s: Shared, t: Thread) -> None:
    """The system call finds the probe or does not; the trampoline, if it is still there, returns behind the site."""
    mapped = s.child_trampoline if t.child else s.trampoline
    if t.pc == "trampoline":
        t.pc = "at" if mapped else "segv"


@nop5.step()
def answer(s: Shared, t: Thread) -> None:
    """The sync interrupt: the processor serialises."""
    if t.pending:
        t.pending = False
        serialise(s, t)


@nop5.step(fair=None)
def fork(s: Shared, t: Thread) -> None:
    """The thread becomes the child: text copied in a stable state, processor serialised, mappings as declared."""
    if t.pc == "at" and s.child_text == "none" and s.kernel in ("idle", "armed", "optimised"):
        s.child_text = "nop" if s.first == "nop" else "int3" if s.first == "int3" else "call"
        s.child_trampoline = s.trampoline and INHERITED
        t.child = True
        t.pending = False
        fetch_nothing(t)


@nop5.step()
def child_trap(s: Shared, t: Thread) -> None:
    """The child executes its int3."""
    if t.pc == "at" and t.child and s.child_text in ("int3", "int3-call"):
        t.pc = "trap"


@nop5.step()
def child_call(s: Shared, t: Thread) -> None:
    """The child executes its copied call."""
    if t.pc == "at" and t.child and s.child_text == "call":
        t.pc = "trampoline" if s.child_trampoline else "segv"


@nop5.step()
def child_torn(s: Shared, t: Thread) -> None:
    """The child executes the first byte of the nop with the tail of the call."""
    if t.pc == "at" and t.child and s.child_text == "nop-call":
        t.pc = "torn"


# --- the kernel -------------------------------------------------------------------------------------------------------
def written(s: Shared, sync: Claim) -> None:
    """After a write: each processor of the parent may fetch what memory holds now, too, and is asked to serialise."""
    for t in threads:
        if not t.child:
            may_fetch(s, t)
            t.pending = sync


@nop5.step(actor="kernel")
def register(s: Shared) -> None:
    """The handler can be found, int3 is written, in the child too, unless it has a call that is known as one."""
    if s.kernel == "idle":
        s.registered = True
        s.kernel = "armed"
        s.first = "int3"
        if s.child_text == "nop":
            s.child_text = "int3"
        elif not s.child_trampoline and s.child_text in ("call", "nop-call"):
            s.child_text = "int3-call"
        written(s, SYNC_INT3)


@nop5.step(actor="kernel")
def make_trampoline(s: Shared) -> None:
    """Optimising begins: every processor has seen int3, and the trampoline is mapped."""
    if s.kernel == "armed" and answered():
        s.kernel = "ready"
        s.trampoline = True


@nop5.step(actor="kernel")
def write_displacement(s: Shared) -> None:
    """Bytes 1 to 4 become the displacement of the call."""
    if s.kernel == "ready":
        s.kernel = "tail"
        s.tail = "call"
        written(s, SYNC_TAIL)


@nop5.step(actor="kernel")
def write_call(s: Shared) -> None:
    """Byte 0 becomes e8."""
    if s.kernel == "tail" and answered():
        s.kernel = "optimised"
        s.first = "call"
        written(s, SYNC_FIRST)


@nop5.step(actor="kernel")
def unregister_unoptimised(s: Shared) -> None:
    """Byte 0 becomes 0f again at once: the tail is the nop's."""
    if s.kernel == "armed" and answered():
        s.kernel = "nop-back"
        s.first = "nop"
        written(s, SYNC_FIRST)


@nop5.step(actor="kernel")
def write_int3_back(s: Shared) -> None:
    """Byte 0 of the call becomes int3."""
    if s.kernel == "optimised" and answered():
        s.kernel = "int3-back"
        s.first = "int3"
        written(s, SYNC_INT3)


@nop5.step(actor="kernel")
def write_nop_tail(s: Shared) -> None:
    """Bytes 1 to 4 become the nop's again."""
    if s.kernel == "int3-back" and answered():
        s.kernel = "tail-back"
        s.tail = "nop"
        written(s, SYNC_TAIL)


@nop5.step(actor="kernel")
def write_nop(s: Shared) -> None:
    """Byte 0 becomes 0f again."""
    if s.kernel == "tail-back" and answered():
        s.kernel = "nop-back"
        s.first = "nop"
        written(s, SYNC_FIRST)


@nop5.step(actor="kernel")
def forget(s: Shared) -> None:
    """Every processor has seen the nop; the child's copy is put back likewise; the handler is found no longer.

    A call is known by the trampoline that it leads to: where the child has none, what is not an int3 is left alone, and
    of an int3 only the one byte is put back.
    """
    if s.kernel == "nop-back" and answered():
        s.kernel = "idle"
        s.registered = False
        if s.child_text == "int3" or (s.child_text == "call" and s.child_trampoline):
            s.child_text = "nop"
        elif s.child_text == "int3-call":
            s.child_text = "nop-call"


@nop5.step(actor="kernel", fair=None)
def free_trampoline(s: Shared) -> None:
    """The parent's trampoline is unmapped (never, unless FREED)."""
    empty = all(t.child or t.pc != "trampoline" for t in threads)
    if FREED and s.trampoline and s.kernel == "idle" and (empty or not CHECKED):
        s.trampoline = False


# --- properties -------------------------------------------------------------------------------------------------------
nop5.always(_fetch.no_torn_instruction)  # neither of nop and call together
nop5.always(_breakpoint.no_sigtrap)  # no thread dies of the kernel's int3
nop5.always(_fetch.no_call_into_nothing)  # the trampoline is there for all


@nop5.always
def no_call_remains(s: Shared, t: Thread) -> Claim:
    """After unregistering no processor fetches int3 or call."""
    return implies(s.kernel == "idle", not t.first_int3 and not t.first_call and s.child_text in ("none", "nop"))


@nop5.always
def no_missed_hit(s: Shared, t: Thread) -> Claim:
    """Once int3 has been seen by all, and until it is taken out, no processor and no child executes the bare nop."""
    return implies(s.kernel in ("ready", "tail", "optimised", "int3-back"), not t.first_nop and s.child_text != "nop")


@nop5.always
def optimised_site_has_its_call(s: Shared) -> Claim:
    """What counts as optimised is: byte 0 is the call's."""
    return implies(s.kernel == "optimised", s.first == "call")


@nop5.always
def memory_may_be_fetched(s: Shared, t: Thread) -> Claim:
    """The model itself: what memory holds is among what a processor may fetch."""
    return implies(not t.child, fetches_memory(s, t))


@nop5.sometimes
def the_child_traps(s: Shared, t: Thread) -> Claim:
    """The child has a copy of the int3 and hits it."""
    return t.child and t.pc == "trap"


@nop5.sometimes
def in_trampoline_while_unregistered(s: Shared, t: Thread) -> Claim:
    """A thread is still in the trampoline when the probe is gone."""
    return t.pc == "trampoline" and s.kernel == "idle"


@nop5.sometimes
def the_child_is_optimised(s: Shared, t: Thread) -> Claim:
    """The child has a copy of the call."""
    return t.child and s.child_text == "call"


@nop5.eventually
def optimising_ends(s: Shared) -> Claim:
    """Every sync is answered."""
    return leads_to(s.kernel == "ready", s.kernel == "optimised")


@nop5.eventually
def a_hit_ends(s: Shared, t: Thread) -> Claim:
    """A thread does not stay in the trampoline."""
    return leads_to(t.pc == "trampoline", t.pc != "trampoline")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
nop5.precondition(fetch_int3)(_fetch.a_trap_is_at_the_site)


@nop5.precondition(fetch_call)
def a_call_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """A thread calls at the site where it may fetch the whole call."""
    return t.pc == "at" and t.first_call and t.tail_call


nop5.precondition(look_up)(_breakpoint.only_a_trap_looks_up)


@nop5.precondition(fork)
def text_is_copied_between_writes(s: Shared, t: Thread) -> Claim:
    """A thread of the program forks once, and not between two writes."""
    return t.pc == "at" and s.child_text == "none" and s.kernel in ("idle", "armed", "optimised")


@nop5.precondition(child_trap)
def the_child_traps_on_its_copy(s: Shared, t: Thread) -> Claim:
    """The child traps at the site where its copy has int3."""
    return t.pc == "at" and t.child and s.child_text in ("int3", "int3-call")


@nop5.precondition(child_call)
def the_child_calls_by_its_copy(s: Shared, t: Thread) -> Claim:
    """The child calls at the site where its copy has the call."""
    return t.pc == "at" and t.child and s.child_text == "call"


@nop5.precondition(unregister_unoptimised)
def taking_out_waits_for_syncs(s: Shared) -> Claim:
    """An unoptimised site goes back when every processor has seen int3."""
    return s.kernel == "armed" and answered()


nop5.precondition(write_int3_back)(_fetch.going_back_waits_for_syncs)


# --- variants ---------------------------------------------------------------------------------------------------------
nop5.known_wrong(
    ("no-sync-after-int3", "The tail is written while a processor may still fetch the old first byte.",
     [SYNC_INT3], "no_torn_instruction no_missed_hit"),
    ("no-sync-after-tail", "The first byte is written while a processor may still fetch the old tail.",
     [SYNC_TAIL], "no_torn_instruction"),
    ("no-sync-after-first", "The site counts as patched while processors may still fetch int3; a late trap is saved by "
     "reading the byte back.", [SYNC_FIRST], "no_call_remains"),
    ("no-recheck", "A thread has trapped, the probe is removed, the lookup fails, and the byte is not read back: "
     "SIGTRAP.", [RECHECK], "no_sigtrap"),
    ("trampoline-freed-at-once", "The trampoline is unmapped after unregistering: the last sync says nothing about a "
     "thread preempted in it.", [FREED, CHECKED], "no_call_into_nothing"),
    ("trampoline-not-inherited", "The trampoline mapping is not copied by fork, the patched text is: the child calls "
     "into nothing, and its text is not put back.",
     [INHERITED], "no_call_into_nothing no_call_remains no_torn_instruction",
     "Linux 6.18 arch/x86/kernel/uprobes.c, VM_DONTCOPY, is_optimized; seen on 6.18.44"),
    threads=1,
)  # fmt: skip
nop5.variant(
    "trampoline-freed-after-check",
    "The trampoline is unmapped after unregistering, when no thread is in it.",
    constants={"FREED": True},
)

PROTOCOL = nop5.protocol()
