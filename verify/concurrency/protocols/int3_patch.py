"""int3-patch: five bytes of code are replaced under running threads: int3, sync, tail, sync, first byte, sync.

Question: does a thread ever execute a mix of old and new bytes, enter the new code in its middle, or die of the
patcher's int3?

Model: a site of five bytes: the first byte and the tail (bytes 1 to 4). The old code is two instructions, with a
boundary inside the tail (`BOUNDARY`), the first of which may be a call (`CALL`); the new code is one five-byte
instruction. The patcher writes new over old, later old over new, and so on for ever. Each thread runs over the site
again and again on a processor of its own; being preempted is staying where it is. What a processor may fetch is the set
of bits `first_*` and `tail_*` (axioms: `_fetch`). Sync is an interrupt to each processor (`pending`); the breakpoint
handler runs with interrupts off, so that a sync also waits for a thread that has trapped. Before the tail is
overwritten the patcher waits until each thread has been seen outside the site (`quiet`, as by synchronize_rcu_tasks).

Left out: several sites in one batch, non-maskable interrupts inside the handler, other people's breakpoints in the
range, and jumps from elsewhere into the middle of the site (a check of the whole function excludes them).

Sources: Linux 6.18 arch/x86/kernel/alternative.c (smp_text_poke_batch_finish, smp_text_poke_int3_handler);
arch/x86/kernel/kprobes/opt.c (can_optimize), kernel/kprobes.c (do_optimize_kprobes, synchronize_rcu_tasks).
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

BOUNDARY = Parameter("BOUNDARY", True)  # the old code has an instruction boundary inside the site
CALL = Parameter("CALL", False)  # its first instruction is a call: a return address lies inside the site
QUIET = Parameter("QUIET", True)  # the patcher waits for quiescence before it writes the tail
INT3 = Parameter("INT3", True)  # int3 is written first
EMULATE_OLD = Parameter("EMULATE_OLD", False)  # on the way back the handler emulates the first old instruction
SYNC_INT3 = Parameter("SYNC_INT3", True)  # sync after int3
SYNC_TAIL = Parameter("SYNC_TAIL", True)  # sync after the tail
SYNC_FIRST = Parameter("SYNC_FIRST", True)  # sync after the first byte
ONLY_BACK = Parameter("ONLY_BACK", False)  # a sync that is left out is left out on the way back only

SITE = CodeSite(Region("first", ("old", "int3", "new")), Region("tail", ("old", "new")))  # byte 0; bytes 1 to 4
serialise, may_fetch = SITE.serialise, SITE.may_fetch
fetches_memory, fetches_only_memory = SITE.fetches_memory, SITE.fetches_only_memory

patch = Description(
    "int3-patch",
    "Is a mix of old and new bytes ever executed while five bytes are replaced under running threads?",
    shared={
        "target": Enum("old", "new"),  # what is being written, or was written last
        "patcher": Enum("done", "int3", "quiet", "tail", "first"),  # what was done last
        **SITE.memory,
        "record": Bool(),  # the breakpoint handler knows the site
    },
    local={
        "pc": Enum("at", "trap", "callee", "inside", "torn", "killed"),
        "pending": Bool(),  # the patcher waits for this thread
        **SITE.fetched,
    },
    assumptions=(
        *FETCH_AXIOMS,
        Assumption(
            "handler-interrupts-off",
            "a processor answers no sync between its int3 trap and the end of the handler",
            "Linux 6.18 arch/x86/kernel/traps.c, exc_int3",
        ),
        Assumption("one-patcher", "patching is serialised", "Linux 6.18 kernel/static_call_inline.c, text_mutex"),
    ),
    source="Linux 6.18 arch/x86/kernel/alternative.c",
)


# --- the threads ------------------------------------------------------------------------------------------------------
@patch.step()
def fetch_old(s: Shared, t: Thread) -> None:
    """The first old instruction is executed: on to the boundary inside the site, to the callee, or past the site."""
    if t.pc == "at" and t.first_old and t.tail_old:
        if CALL:
            t.pc = "callee"
        elif BOUNDARY:
            t.pc = "inside"


@patch.step()
def fetch_new(s: Shared, t: Thread) -> None:
    """The new instruction is executed as a whole: nothing remains to be said of this pass."""
    if t.pc == "at" and t.first_new and t.tail_new:
        pass


fetch_int3 = patch.step()(_fetch.fetch_int3)  # at the site, where int3 may be fetched: on to the trap


@patch.step(fair=None)
def fetch_torn(s: Shared, t: Thread) -> None:
    """A first byte and a tail that do not belong together."""
    if t.pc == "at" and ((t.first_old and t.tail_new) or (t.first_new and t.tail_old)):
        t.pc = "torn"


@patch.step()
def go_on_inside(s: Shared, t: Thread) -> None:
    """The second old instruction is executed; it lies in the tail."""
    if t.pc == "inside" and not t.tail_new:
        t.pc = "at"


@patch.step(fair=None)
def go_on_in_overwritten_tail(s: Shared, t: Thread) -> None:
    """The thread is at the old boundary, and the tail is no longer, or not only, the old one."""
    if t.pc == "inside" and t.tail_new:
        t.pc = "torn"


@patch.step()
def come_back(s: Shared, t: Thread) -> None:
    """The callee returns into the site."""
    if t.pc == "callee":
        t.pc = "inside"


@patch.step()
def handle(s: Shared, t: Thread) -> None:
    """The handler finds the record and does what the new code does: the thread goes on behind the site.

    It does so on the way back too: the old boundary must not be entered before the old tail is there. Without a record
    the int3 seems to be somebody else's.
    """
    if t.pc == "trap":
        t.pc = "killed" if not s.record else "inside" if EMULATE_OLD and s.target == "old" else "at"


@patch.step(fair="strong")
def answer(s: Shared, t: Thread) -> None:
    """The sync interrupt, taken at a boundary with interrupts on: the processor serialises.

    For quiescence the thread must be seen outside the site.
    """
    if t.pending and t.pc != "trap" and not (s.patcher == "quiet" and t.pc == "inside"):
        t.pending = False
        serialise(s, t)


# --- the patcher ------------------------------------------------------------------------------------------------------
def written(s: Shared, sync: Claim) -> None:
    """After a write: each processor may fetch what memory holds now, too, and is asked to serialise."""
    for t in threads:
        may_fetch(s, t)
        t.pending = sync or (ONLY_BACK and s.target == "new")


@patch.step(actor="patcher")
def write_int3(s: Shared) -> None:
    """The record is published, then int3 is written over byte 0."""
    if s.patcher == "done":
        s.target = "new" if s.target == "old" else "old"
        s.record = True
        s.patcher = "int3"
        if INT3:
            s.first = "int3"
            written(s, SYNC_INT3)


@patch.step(actor="patcher")
def wait_until_quiet(s: Shared) -> None:
    """Each thread must be seen outside the site once, now that none can enter the old code any more."""
    if s.patcher == "int3" and answered():
        s.patcher = "quiet"
        for t in threads:
            t.pending = QUIET and s.target == "new"


@patch.step(actor="patcher")
def write_tail(s: Shared) -> None:
    """Bytes 1 to 4 are written."""
    if s.patcher == "quiet" and answered():
        s.patcher = "tail"
        s.tail = s.target
        written(s, SYNC_TAIL)


@patch.step(actor="patcher")
def write_first(s: Shared) -> None:
    """Byte 0 is written."""
    if s.patcher == "tail" and answered():
        s.patcher = "first"
        s.first = "old" if s.target == "old" else "new"
        written(s, SYNC_FIRST)


@patch.step(actor="patcher")
def forget(s: Shared) -> None:
    """The record is withdrawn: from now on an int3 here is somebody else's."""
    if s.patcher == "first" and answered():
        s.patcher = "done"
        s.record = False


# --- properties -------------------------------------------------------------------------------------------------------
patch.always(_fetch.no_torn_instruction)  # neither old and new bytes together, nor the middle of the new instruction
patch.always(_breakpoint.no_sigtrap)  # no thread dies of the patcher's int3


@patch.always
def patched_text_is_fetched(s: Shared, t: Thread) -> Claim:
    """When patching has returned, no processor executes the old code any more."""
    return implies(s.patcher == "done" and s.target == "new", not t.first_old and not t.tail_old)


@patch.always
def no_trap_when_done(s: Shared, t: Thread) -> Claim:
    """When patching has returned, no processor fetches int3."""
    return implies(s.patcher == "done", not t.first_int3 and t.pc != "trap")


@patch.always
def int3_stands_while_patching(s: Shared) -> Claim:
    """From the first write until the last one byte 0 is int3."""
    return implies(s.patcher in ("int3", "quiet", "tail"), s.first == "int3")


@patch.always
def answered_is_serialised(s: Shared, t: Thread) -> Claim:
    """A processor that owes no answer fetches what memory holds, and nothing else."""
    return implies(not t.pending, fetches_only_memory(s, t))


@patch.always
def memory_may_be_fetched(s: Shared, t: Thread) -> Claim:
    """The model itself: what memory holds is among what a processor may fetch."""
    return fetches_memory(s, t)


@patch.sometimes
def a_thread_traps_on_the_new_tail(s: Shared, t: Thread) -> Claim:
    """int3 is hit while the tail is already the new one."""
    return t.pc == "trap" and t.tail_new


@patch.sometimes
def a_thread_is_preempted_inside(s: Shared, t: Thread) -> Claim:
    """A thread stands at the boundary inside the site while int3 is in place."""
    return t.pc == "inside" and s.first == "int3"


@patch.eventually
def patching_ends(s: Shared) -> Claim:
    """Every sync is answered."""
    return leads_to(s.patcher == "int3", s.patcher == "done")


@patch.eventually
def a_trapped_thread_goes_on(s: Shared, t: Thread) -> Claim:
    """The handler lets the thread go."""
    return leads_to(t.pc == "trap", t.pc != "trap")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@patch.precondition(fetch_old)
def old_code_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """Old code is executed by a thread at the site that may fetch it."""
    return t.pc == "at" and t.first_old


patch.precondition(fetch_int3)(_fetch.a_trap_is_at_the_site)


# --- variants ---------------------------------------------------------------------------------------------------------
patch.known_wrong(
    ("preempted-inside", "Two old instructions and no wait for quiescence: a thread preempted at the boundary goes on "
     "in the new tail.", [QUIET], "no_torn_instruction"),
    ("returns-inside", "The first old instruction is a call: quiescence sees the thread in the callee, which returns "
     "into the new tail.", [CALL], "no_torn_instruction"),
    ("no-sync-after-int3", "The tail is written while a processor may still fetch the old first byte.",
     [BOUNDARY, QUIET, SYNC_INT3], "answered_is_serialised no_torn_instruction a_thread_is_preempted_inside"),
    ("no-sync-after-tail", "The first byte is written while a processor may still fetch the old tail.",
     [SYNC_TAIL], "answered_is_serialised no_torn_instruction",
     "Linux commit fd4363fff3d9: not needed on Intel, for safety on others"),
    ("no-sync-after-first", "The record is withdrawn while a processor may still fetch int3, or has trapped on it.",
     [SYNC_FIRST], "answered_is_serialised no_sigtrap no_trap_when_done"),
    ("no-syncs", "Four writes in the right order and nothing else: a processor may go on with the old code for ever.",
     [BOUNDARY, QUIET, SYNC_INT3, SYNC_TAIL, SYNC_FIRST],
     "answered_is_serialised no_torn_instruction no_sigtrap patched_text_is_fetched no_trap_when_done "
     "a_thread_is_preempted_inside"),
    ("no-sync-after-int3-back", "On the way back: the old tail is written while a processor may still fetch the new "
     "first byte.", [SYNC_INT3, ONLY_BACK], "answered_is_serialised no_torn_instruction"),
    ("no-sync-after-tail-back", "On the way back: the old first byte is written while a processor may still fetch the "
     "new tail.", [SYNC_TAIL, ONLY_BACK], "answered_is_serialised no_torn_instruction"),
    ("no-sync-after-first-back", "On the way back: the record is withdrawn while a processor may still fetch int3.",
     [SYNC_FIRST, ONLY_BACK], "answered_is_serialised no_sigtrap no_trap_when_done"),
    ("emulates-old", "On the way back the handler emulates the first old instruction: the thread meets a tail that is "
     "not yet old.", [EMULATE_OLD], "no_torn_instruction",
     "Linux 6.18 arch/x86/kernel/kprobes/opt.c, setup_detour_execution, goes behind the site instead"),
    threads=1,
)  # fmt: skip
patch.variant(
    "one-instruction",
    "The old code is one five-byte instruction: quiescence is not needed.",
    constants={"BOUNDARY": False, "QUIET": False},
    refutes=["a_thread_is_preempted_inside"],
)
patch.variant(
    "no-int3",
    "The tail, sync, then the first byte, with no int3 before: the old first byte meets the new tail.",
    constants={"BOUNDARY": False, "QUIET": False, "INT3": False},
    drop=["fetch_int3", "handle"],
    refutes=["int3_stands_while_patching", "no_torn_instruction", "a_thread_is_preempted_inside",
             "a_thread_traps_on_the_new_tail"],
    skipped=["a_trapped_thread_goes_on"],
    threads=1,
    source="Linux commit 08d636b6d4fb, which replaces stop_machine by int3 for ftrace",
)  # fmt: skip
tail_early = patch.variant(
    "tail-before-int3",
    "The tail, sync, int3, sync, the first byte, sync: the old first byte meets the new tail.",
    refutes=["no_torn_instruction", "int3_stands_while_patching", "a_thread_is_preempted_inside", "patching_ends"],
    threads=1,
)


@tail_early.step(replaces="write_int3", actor="patcher")
def write_tail_at_once(s: Shared) -> None:
    """The record is published, then bytes 1 to 4 are written."""
    if s.patcher == "done":
        s.target = "new" if s.target == "old" else "old"
        s.record = True
        s.patcher = "int3"
        s.tail = s.target
        written(s, SYNC_INT3)


@tail_early.step(replaces="write_tail", actor="patcher")
def write_int3_later(s: Shared) -> None:
    """int3 is written over byte 0."""
    if s.patcher == "quiet" and answered():
        s.patcher = "tail"
        s.first = "int3"
        written(s, SYNC_TAIL)


first_early = patch.variant(
    "first-before-tail",
    "int3, sync, the first byte, sync, the tail, sync: the new first byte meets the old tail.",
    refutes=["no_torn_instruction", "int3_stands_while_patching"],
    threads=1,
)


@first_early.step(replaces="write_tail", actor="patcher")
def write_first_at_once(s: Shared) -> None:
    """Byte 0 is written, where the tail should be."""
    if s.patcher == "quiet" and answered():
        s.patcher = "tail"
        s.first = "old" if s.target == "old" else "new"
        written(s, SYNC_TAIL)


@first_early.step(replaces="write_first", actor="patcher")
def write_tail_last(s: Shared) -> None:
    """Bytes 1 to 4 are written at last."""
    if s.patcher == "tail" and answered():
        s.patcher = "first"
        s.tail = s.target
        written(s, SYNC_FIRST)


weak = patch.variant(
    "interrupt-lost-in-handler",
    "An interrupt that finds interrupts off is not kept pending: a thread that traps again and again never answers.",
    refutes=["patching_ends"],
    threads=2,
)
weak.step(replaces="answer", fair="weak")(answer)  # nothing says that it ever comes at the right moment

PROTOCOL = patch.protocol()
