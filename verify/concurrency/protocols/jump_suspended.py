"""jump-suspended: a hook's jump is written over several instructions without an int3, while the threads are suspended.

Question: which threads are lost when threads are listed, suspended, moved, and resumed?

Model: a site of two old instructions with a boundary between them, which the jump of a hook overwrites in two writes
that are not atomic. The hook leads to the detour function, which calls the trampoline: copies of both instructions and
a jump behind the site. Hooking and unhooking list the threads, suspend those that are listed, move the instruction
pointers that stand on a boundary of the other code, write, and resume. Threads are created by others at any time while
these run. In the correct version the list is made anew until every thread is suspended (`ALL`), each boundary has its
place in the other code (`MOVED`), no return address lies inside the site (`CALL` off: the first old instruction is no
call), and the trampoline is freed when no thread is in detour or trampoline any more (`GRACE`).

Left out: what the copies are (`relocator` judges that), a jump from elsewhere into the site, freeing while hooked,
several hooks.

Sources: MinHook src/hook.c (EnumerateThreads, Freeze, ProcessThreadIPs, EnableHookLL); Detours src/detours.cpp
(DetourUpdateThread, DetourTransactionCommitEx); frida-gum gum/guminterceptor.c.
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

STOP = Parameter("STOP", True)  # threads are suspended while the site is written
ALL = Parameter("ALL", True)  # listing goes on until every thread is suspended
MOVED = Parameter("MOVED", True)  # instruction pointers inside the site are moved to the copies
BACK = Parameter("BACK", True)  # and back, from the copies to the site
TABLE = Parameter("TABLE", True)  # each boundary has its place in the other code, not the beginning for all
CALL = Parameter("CALL", False)  # the first old instruction is a call: it returns to the boundary
GRACE = Parameter("GRACE", True)  # the trampoline is freed when no thread can come to it any more

hook = Description(
    "jump-suspended",
    "Which threads are lost when a hook is written over several instructions under suspended threads?",
    threads=2,
    shared={
        "code": Enum("old", "half", "hook"),
        "hooker": Enum("idle", "listed", "stopped", "written"),
        "hooked": Bool(),  # what is being written, or was written last, is the hook
        "trampoline": Enum("none", "there", "freed"),
    },
    local={
        "pc": Enum(
            "unborn", "at", "inside", "callee", "detour", "copy", "copy_inside", "torn", "again", "lost", first="at"
        ),  # inside: on the boundary
        "listed": Bool(),
        "stopped": Bool(),
    },
    assumptions=(
        Assumption(
            "suspension-is-complete", "a suspended thread executes nothing, and its instruction pointer is "
            "read and written", "SuspendThread, GetThreadContext"
        ).under(STOP),
        Assumption("one-hooker", "hooking and unhooking are serialised", "MinHook src/hook.c, EnterSpinLock"),
        Assumption("hooks-come-back", "a hooked function is called again and again"),
    ),
    source="MinHook src/hook.c; Detours src/detours.cpp; frida-gum gum/guminterceptor.c",
)  # fmt: skip


# --- the threads ------------------------------------------------------------------------------------------------------
@hook.step(fair=None)
def create(s: Shared, t: Thread, u: Thread) -> None:
    """A running thread creates another."""
    if t.pc == "at" and not t.stopped and u.pc == "unborn":
        u.pc = "at"


@hook.step()
def enter(s: Shared, t: Thread) -> None:
    """The first instruction of the site is executed: old, the jump to the detour, or half of a jump."""
    if t.pc == "at" and not t.stopped:
        t.pc = "torn" if s.code == "half" else "detour" if s.code == "hook" else "callee" if CALL else "inside"


@hook.step()
def come_back(s: Shared, t: Thread) -> None:
    """The function that the first old instruction calls returns to the boundary."""
    if t.pc == "callee" and not t.stopped:
        t.pc = "inside"


@hook.step(fair="strong")
def leave(s: Shared, t: Thread) -> None:
    """The second old instruction is executed, or what has been written over it."""
    if t.pc == "inside" and not t.stopped:
        t.pc = "at" if s.code == "old" else "torn"


@hook.step(fair="strong")
def call_original(s: Shared, t: Thread) -> None:
    """The detour calls the trampoline."""
    if t.pc == "detour" and not t.stopped:
        t.pc = "copy" if s.trampoline == "there" else "lost"


@hook.step(fair="strong")
def copied_first(s: Shared, t: Thread) -> None:
    """The copy of the first instruction is executed."""
    if t.pc == "copy" and not t.stopped:
        t.pc = "copy_inside" if s.trampoline == "there" else "lost"


@hook.step(fair="strong")
def copied_second(s: Shared, t: Thread) -> None:
    """The copy of the second one, and the jump behind the site."""
    if t.pc == "copy_inside" and not t.stopped:
        t.pc = "at" if s.trampoline == "there" else "lost"


# --- the hooker -------------------------------------------------------------------------------------------------------
@hook.step(actor="hooker", fair=None)
def begin(s: Shared) -> None:
    """The trampoline is made, or the hook is to go; a list that is not made anew is made at once."""
    if s.hooker == "idle" and (s.hooked or s.trampoline != "there"):
        s.hooked = not s.hooked
        s.trampoline = "there"
        s.hooker = "listed"
        if not ALL:
            for t in threads:
                t.listed = t.pc != "unborn"


@hook.step(actor="hooker")
def list_again(s: Shared, t: Thread) -> None:
    """A thread that is new is listed too."""
    if s.hooker == "listed" and ALL and not t.listed and t.pc != "unborn":
        t.listed = True


@hook.step(actor="hooker")
def suspend(s: Shared, t: Thread) -> None:
    """A listed thread is suspended."""
    if s.hooker == "listed" and STOP and t.listed and not t.stopped:
        t.stopped = True


@hook.step(actor="hooker")
def move(s: Shared) -> None:
    """All that are listed are suspended: those in the other code are moved, and the site is half written."""
    if s.hooker == "listed" and all(
        t.pc == "unborn" or t.stopped or not STOP or (not ALL and not t.listed) for t in threads
    ):
        s.hooker = "stopped"
        s.code = "half"
        for t in threads:
            if t.stopped and t.pc == "inside" and s.hooked and MOVED:
                t.pc = "copy_inside" if TABLE else "again"
            if t.stopped and t.pc == "copy_inside" and not s.hooked and BACK:
                t.pc = "inside"
            if t.stopped and t.pc == "copy" and not s.hooked and BACK:
                t.pc = "at"


@hook.step(actor="hooker")
def write_rest(s: Shared) -> None:
    """The other half is written."""
    if s.hooker == "stopped":
        s.code = "hook" if s.hooked else "old"
        s.hooker = "written"


@hook.step(actor="hooker")
def resume(s: Shared) -> None:
    """Every thread goes on."""
    if s.hooker == "written":
        s.hooker = "idle"
        for t in threads:
            t.stopped = False
            t.listed = False


@hook.step(actor="hooker")
def free(s: Shared) -> None:
    """Behind unhooking the trampoline is freed."""
    away = all(t.pc not in ("detour", "copy", "copy_inside") for t in threads)
    if s.hooker == "idle" and not s.hooked and s.trampoline == "there" and (away or not GRACE):
        s.trampoline = "freed"


# --- properties -------------------------------------------------------------------------------------------------------
@hook.always
def no_torn_instruction(s: Shared, t: Thread) -> Claim:
    """No thread executes half a jump, or enters it in its middle."""
    return t.pc != "torn"


@hook.always
def no_instruction_twice(s: Shared, t: Thread) -> Claim:
    """No thread is moved back to what it has executed."""
    return t.pc != "again"


@hook.always
def nobody_is_in_freed_code(s: Shared, t: Thread) -> Claim:
    """No thread executes the trampoline when it is gone."""
    return t.pc != "lost"


@hook.always
def the_site_is_whole(s: Shared, t: Thread) -> Claim:
    """While a thread runs, the site is the old code or the hook."""
    return implies(s.code == "half", t.stopped or t.pc == "unborn")


@hook.sometimes
def one_is_moved(s: Shared, t: Thread, u: Thread) -> Claim:
    """A thread is in the copies while another was created after the hook."""
    return t.pc == "copy_inside" and t.stopped and u.pc == "at"


@hook.eventually
def hooking_ends(s: Shared) -> Claim:
    """Every thread is found and suspended, and the site written."""
    return leads_to(s.hooker == "listed", s.hooker == "idle")


@hook.eventually
def the_trampoline_is_freed(s: Shared) -> Claim:
    """Behind unhooking the trampoline goes, unless the site is hooked anew."""
    return leads_to(s.hooker == "idle" and not s.hooked and s.trampoline == "there", s.trampoline == "freed")


@hook.eventually
def a_hooked_call_ends(s: Shared, t: Thread) -> Claim:
    """A thread comes out of the detour."""
    return leads_to(t.pc == "detour", t.pc == "at")


@hook.terminal
def all_lost(s: Shared) -> Claim:
    """Nobody is left that runs."""
    return all(t.pc in ("unborn", "torn", "again", "lost") for t in threads)


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@hook.precondition(suspend)
def only_what_is_listed_is_suspended(s: Shared, t: Thread) -> Claim:
    """A thread that is suspended was seen when the threads were listed."""
    return t.listed and t.pc != "unborn"


@hook.precondition(create)
def who_runs_creates_who_is_not_there(s: Shared, t: Thread, u: Thread) -> Claim:
    """A thread is created by one that is not suspended."""
    return t.pc == "at" and not t.stopped and u.pc == "unborn"


@hook.precondition(copied_first)
def who_is_suspended_copies_nothing(s: Shared, t: Thread) -> Claim:
    """A suspended thread does not execute the trampoline."""
    return t.pc == "copy" and not t.stopped


@hook.precondition(copied_second)
def who_is_suspended_stays(s: Shared, t: Thread) -> Claim:
    """Nor its end."""
    return t.pc == "copy_inside" and not t.stopped


@hook.precondition(list_again)
def listed_before_the_site_is_written(s: Shared, t: Thread) -> Claim:
    """Threads are listed until all are suspended."""
    return s.hooker == "listed"


@hook.precondition(free)
def what_is_hooked_is_not_freed(s: Shared) -> Claim:
    """The trampoline is freed once, behind unhooking."""
    return not s.hooked and s.trampoline == "there"



# --- variants ---------------------------------------------------------------------------------------------------------
hook.variant(
    "not-suspended",
    "Nobody is suspended: threads execute half a jump, or go on in the middle of the hook.",
    constants={"STOP": False},
    refutes=["no_torn_instruction", "the_site_is_whole", "one_is_moved"],
    skipped=["only_what_is_listed_is_suspended"],
    threads=2,
    source="microsoft/Detours issue 151: the samples give DetourUpdateThread the current thread; frida-gum issue 1060",
)
hook.variant(
    "late-thread",
    "A thread that is created after the list was made runs on.",
    constants={"ALL": False},
    refutes=["no_torn_instruction", "the_site_is_whole"],
    skipped=["listed_before_the_site_is_written"],
    threads=2,
    source="TsudaKageyu/minhook issue 104, with the second look as the cure",
)
hook.known_wrong(
    ("not-moved", "A thread on the boundary inside the site goes on in the middle of the hook.", [MOVED],
     "no_torn_instruction a_hooked_call_ends", "frida-gum gum/guminterceptor.c: suspended at most, never moved"),
    ("not-moved-back", "A thread in the copies is left there, and the trampoline is freed at once.", [BACK, GRACE],
     "nobody_is_in_freed_code a_hooked_call_ends",
     "microsoft/Detours issue 3: a pointer at the relay is not moved back"),
    ("moved-to-the-beginning", "A boundary that the table does not have is taken for the beginning: the first "
     "instruction is executed a second time.", [TABLE], "no_instruction_twice a_hooked_call_ends",
     "microsoft/Detours pull request 392: offsets of the table wrap at 8"),
    ("returns-inside", "A return address inside the site is on a stack, where nobody looks.", [CALL],
     "no_torn_instruction", "microsoft/Detours issue 152: addresses further up the stack"),
    ("freed-at-once", "A thread is in the detour when the trampoline is freed, and calls it then.", [GRACE],
     "nobody_is_in_freed_code a_hooked_call_ends", "MinHook src/hook.c, RemoveHook: no grace period"),
    threads=2,
)  # fmt: skip

PROTOCOL = hook.protocol()
