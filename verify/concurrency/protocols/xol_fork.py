"""xol-fork: fork, vfork and clone(CLONE_VM) while threads are probed and stepped out of line.

Question: who owns the slot area after a fork; is a child ever in a slot that it does not have, killed by a copied int3
that nobody knows, or left without a breakpoint; does a vfork parent starve its child?

Model: two address spaces, the parent's (0) and, once forked, the child's (1), each with its copy of the probed byte and
an area of one slot of its own. Threads are born by fork (in the child's space, alone), by clone (beside their parent)
and by vfork (beside their parent, which is blocked until the child is gone by exec or exit). The prober registers and
unregisters once: it lists the address spaces, then writes to each in turn; forks wait meanwhile (`DUP_LOCK`). A call
that creates a task is never itself executed in a slot (`IN_SLOT`): syscall instructions are not probed. Looking up the
uprobe and reading the byte back are one step, as under the mmap lock (`xol-step` takes them apart). Left out: a second
fork, the end of the child's space, return probes, trampolines of optimised probes, consumers that filter by process.

Sources: Linux 6.18 kernel/events/uprobes.c (uprobe_start_dup_mmap, uprobe_dup_mmap, uprobe_copy_process,
register_for_each_vma, get_xol_area, xol_add_vma with VM_DONTCOPY), kernel/fork.c (dup_mmap).
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

R = Parameter("R", 1)  # rounds of register and unregister
DUP_LOCK = Parameter("DUP_LOCK", True)  # fork and the prober's pass over the address spaces exclude each other
IN_SLOT = Parameter("IN_SLOT", False)  # the call that creates the task is itself the displaced instruction
CHILD_FIXED = Parameter("CHILD_FIXED", False)  # a child born in a slot is moved back to the program's code
AREA_COPIED = Parameter("AREA_COPIED", False)  # fork copies area and ownership
FLAG_COPIED = Parameter("FLAG_COPIED", True)  # fork copies the mark that this address space may hold breakpoints

fork = Description(
    "xol-fork",
    "Who owns the slots after fork, vfork and clone, and does every address space get and lose its breakpoint?",
    shared={
        "byte": Array(2, Enum("original", "int3")),  # by address space
        "area": Array(2, Bool()),  # the slot area is mapped
        "slot": Array(2, ThreadId()),  # owner of its one slot
        "forked": Bool(),  # address space 1 exists
        "vforking": Bool(),  # a vfork child is alive
        "child": ThreadId(),  # it; nothing reads this: proofs for any number name the thread that a parent waits for
        "registered": Bool(),  # the handler can be found
        "prober": Enum("idle", "inserting", "inserted-0", "armed", "removing", "removed-0"),
        "listed": Bool(),  # the prober's list contains address space 1
        "rounds": Bounded(0, R),
    },
    local={
        "pc": Enum("unborn", "at", "trap", "wait", "slot", "stepped", "blocked", "gone", "killed", "segv", first="at"),
        "space": Bounded(0, 1),
        "vchild": Bool(),  # borrows its parent's address space
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        _breakpoint.LOOKUP_LOCK,
        _breakpoint.ONE_PROBER,
        _breakpoint.ONE_SLOT,
        Assumption("one-fork", "one fork and, at any time, one vfork"),
    ),
    source="Linux 6.18 kernel/events/uprobes.c, kernel/fork.c",
)


# --- the threads ------------------------------------------------------------------------------------------------------
def calls(t: Thread) -> Claim:
    """Whether the thread executes the call that creates a task: in the program, or displaced in its slot."""
    return (t.pc == "at" and not IN_SLOT) or (t.pc == "slot" and IN_SLOT)


@fork.step()
def exec_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is fetched."""
    if t.pc == "at" and s.byte[t.space] == "int3":
        t.pc = "trap"


@fork.step()
def look_up(s: Shared, t: Thread) -> None:
    """The handler is found and runs; if not: start anew if the byte is the original again, else it seems foreign."""
    found = s.registered and (t.space == 0 or FLAG_COPIED)
    if t.pc == "trap":
        t.pc = "wait" if found else "killed" if s.byte[t.space] == "int3" else "at"


@fork.step(fair="strong")
def get_slot(s: Shared, t: Thread) -> None:
    """The slot of the thread's own address space is taken; the area is mapped the first time."""
    if t.pc == "wait" and s.slot[t.space] is None:
        s.slot[t.space] = t
        s.area[t.space] = True
        t.pc = "slot"


fork.step()(_breakpoint.step)  # the displaced instruction runs in the slot


@fork.step()
def fixup(s: Shared, t: Thread) -> None:
    """The owner's debug trap: the slot is freed, the thread goes on in the program."""
    if t.pc == "stepped" and s.slot[t.space] == t:
        s.slot[t.space] = None
        t.pc = "at"


@fork.step()
def foreign_slot(s: Shared, t: Thread) -> None:
    """The thread is in a slot that is not its own: its debug trap is nobody's, or there is no page at all."""
    if t.pc == "stepped" and s.slot[t.space] != t:
        t.pc = "killed" if s.area[t.space] else "segv"


@fork.step(fair=None)
def fork_process(s: Shared, t: Thread, u: Thread) -> None:
    """A new address space with a copy of the text, without the area; `u` is its only thread."""
    free = not DUP_LOCK or s.prober in ("idle", "armed")
    if calls(t) and u.pc == "unborn" and not s.forked and not t.vchild and free:
        s.forked = True
        s.byte[1] = s.byte[0]
        u.space = 1
        u.pc = "stepped" if IN_SLOT and not CHILD_FIXED else "at"
        if IN_SLOT:
            t.pc = "stepped"
        if AREA_COPIED:
            s.area[1] = s.area[0]
            s.slot[1] = s.slot[0]


@fork.step(fair=None)
def clone_thread(s: Shared, t: Thread, u: Thread) -> None:
    """CLONE_VM: a second thread in the same address space, with no slot of its own."""
    if calls(t) and u.pc == "unborn" and not t.vchild:
        u.space = t.space
        u.pc = "stepped" if IN_SLOT and not CHILD_FIXED else "at"
        if IN_SLOT:
            t.pc = "stepped"


@fork.step(fair=None)
def vfork(s: Shared, t: Thread, u: Thread) -> None:
    """The child borrows the address space; the parent is blocked."""
    if calls(t) and u.pc == "unborn" and not t.vchild and not s.vforking:
        u.space = t.space
        u.vchild = True
        s.vforking = True
        s.child = u
        u.pc = "stepped" if IN_SLOT and not CHILD_FIXED else "at"
        t.pc = "blocked"


@fork.step(fair="strong")
def leave(s: Shared, t: Thread) -> None:
    """The vfork child is gone by exec or exit."""
    if t.vchild and t.pc in ("at", "killed", "segv"):
        t.vchild = False
        s.vforking = False
        s.child = None
        if t.pc == "at":
            t.pc = "gone"


@fork.step()
def resume(s: Shared, t: Thread) -> None:
    """The vfork parent goes on where it was."""
    if t.pc == "blocked" and not s.vforking:
        t.pc = "stepped" if IN_SLOT else "at"


# --- the prober -------------------------------------------------------------------------------------------------------
@fork.step(actor="prober")
def insert_uprobe(s: Shared) -> None:
    """The handler can be found; the address spaces are listed."""
    if s.prober == "idle" and s.rounds < R:
        s.registered = True
        s.listed = s.forked
        s.prober = "inserting"


@fork.step(actor="prober")
def write_int3_parent(s: Shared) -> None:
    """The breakpoint is written in the parent's address space."""
    if s.prober == "inserting":
        s.byte[0] = "int3"
        s.prober = "inserted-0"


@fork.step(actor="prober")
def write_int3_child(s: Shared) -> None:
    """The breakpoint is written in the child's address space, if that is on the list."""
    if s.prober == "inserted-0":
        s.prober = "armed"
        if s.listed:
            s.byte[1] = "int3"


@fork.step(actor="prober")
def begin_removal(s: Shared) -> None:
    """The address spaces are listed for removal."""
    if s.prober == "armed":
        s.listed = s.forked
        s.prober = "removing"


@fork.step(actor="prober")
def write_original_parent(s: Shared) -> None:
    """The original byte is written in the parent's address space."""
    if s.prober == "removing":
        s.byte[0] = "original"
        s.prober = "removed-0"


@fork.step(actor="prober")
def write_original_child(s: Shared) -> None:
    """The original byte is written in the child's address space, if listed; the handler is found no longer."""
    if s.prober == "removed-0":
        if s.listed:
            s.byte[1] = "original"
        s.listed = False
        s.registered = False
        s.rounds += 1
        s.prober = "idle"


# --- properties -------------------------------------------------------------------------------------------------------
fork.always(_breakpoint.no_sigtrap)


@fork.always
def no_fault_in_slot(s: Shared, t: Thread) -> Claim:
    """No thread runs in a slot that its address space does not have."""
    return implies(t.pc in ("slot", "stepped"), s.area[t.space])


@fork.always
def slot_is_owned(s: Shared, t: Thread) -> Claim:
    """A thread that steps owns the slot of its own address space."""
    return implies(t.pc in ("slot", "stepped"), s.slot[t.space] == t)


@fork.always
def blocked_parent_owns_no_slot(s: Shared, t: Thread) -> Claim:
    """A vfork parent does not keep the slot that its child may need."""
    return implies(t.pc == "blocked", s.slot[t.space] != t)


@fork.always
def child_is_probed(s: Shared) -> Claim:
    """While the probe is registered, the child's address space has its breakpoint too."""
    return implies(s.prober == "armed" and s.forked, s.byte[1] == "int3")


@fork.always
def no_int3_remains(s: Shared) -> Claim:
    """After unregistering no address space keeps the breakpoint."""
    return implies(s.prober == "idle", s.byte[0] == "original" and s.byte[1] == "original")


@fork.always
def parent_is_probed(s: Shared) -> Claim:
    """From its own writing on, and until the removal writes, the parent's address space has its breakpoint."""
    return implies(s.prober in ("inserted-0", "armed", "removing"), s.byte[0] == "int3")


@fork.sometimes
def both_processes_step(s: Shared, t: Thread, u: Thread) -> Claim:
    """Parent and child are in their slots at the same time."""
    return t.pc == "slot" and u.pc == "slot" and t.space == 0 and u.space == 1


@fork.sometimes
def a_vfork_child_steps(s: Shared, t: Thread) -> Claim:
    """A vfork child is in a slot of its parent's area."""
    return t.vchild and t.pc == "slot"


@fork.sometimes
def two_threads_want_one_slot(s: Shared, t: Thread, u: Thread) -> Claim:
    """A cloned thread waits for the slot that another of its address space has."""
    return t.pc == "slot" and u.pc == "wait" and t.space == u.space and not u.vchild and not t.vchild


@fork.eventually
def unregistering_ends(s: Shared) -> Claim:
    """What is registered can be unregistered."""
    return leads_to(s.prober == "armed", s.prober == "idle")


fork.eventually(_breakpoint.a_waiting_thread_gets_a_slot)


@fork.eventually
def a_vfork_parent_goes_on(s: Shared, t: Thread) -> Claim:
    """The child is gone at last."""
    return leads_to(t.pc == "blocked", t.pc != "blocked")


@fork.terminal
def all_done(s: Shared) -> Claim:
    """The last round is over, and every thread is in the program, was never born, or is gone."""
    ended = all(t.pc in ("unborn", "at", "gone", "killed", "segv") for t in threads)
    return s.prober == "idle" and s.rounds == R and ended


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@fork.precondition(exec_int3)
def a_hit_is_of_int3(s: Shared, t: Thread) -> Claim:
    """A thread hits where its address space has the breakpoint."""
    return t.pc == "at" and s.byte[t.space] == "int3"


fork.precondition(get_slot)(_breakpoint.only_a_hit_gets_a_slot)


@fork.precondition(fixup)
def only_a_step_is_fixed_up(s: Shared, t: Thread) -> Claim:
    """The debug trap of a step is the owner's."""
    return t.pc == "stepped"


@fork.precondition(fork_process)
def one_process_forks_once(s: Shared, t: Thread, u: Thread) -> Claim:
    """A thread that runs makes the second address space and its one thread."""
    return t.pc in ("at", "slot") and u.pc == "unborn" and not s.forked and not t.vchild


@fork.precondition(clone_thread)
def a_new_thread_is_new(s: Shared, t: Thread, u: Thread) -> Claim:
    """A thread that runs makes another one."""
    return t.pc in ("at", "slot") and u.pc == "unborn" and not t.vchild


@fork.precondition(leave)
def only_a_vfork_child_leaves(s: Shared, t: Thread) -> Claim:
    """A vfork child that executes or exits is at rest."""
    return t.vchild and t.pc in ("at", "killed", "segv")


@fork.precondition(resume)
def a_parent_waits_for_its_child(s: Shared, t: Thread) -> Claim:
    """A vfork parent goes on when its child is gone."""
    return t.pc == "blocked" and not s.vforking


fork.precondition(insert_uprobe)(_breakpoint.registering_begins_once)


# --- variants ---------------------------------------------------------------------------------------------------------
fork.known_wrong(
    ("no-dup-lock", "Register and unregister race with the copy of the address space: it is copied after the list was "
     "made.", [DUP_LOCK], "no_sigtrap child_is_probed no_int3_remains",
     "Linux before 3.8 (before commit 32cdba1e0541, dup_mmap_sem)"),
    ("mark-not-copied", "The child's address space is not marked as one that may hold breakpoints: its traps are not "
     "looked up.", [FLAG_COPIED], "no_sigtrap both_processes_step",
     "Linux 6.18 kernel/events/uprobes.c, uprobe_dup_mmap and uprobe_pre_sstep_notifier"),
    threads=2,
)  # fmt: skip
fork.known_wrong(
    ("area-copied", "The area is inherited with its owners: the child waits for a slot whose owner lives in another "
     "process.", [AREA_COPIED], "no_deadlock a_waiting_thread_gets_a_slot"),
)  # fmt: skip
OF_MORE_CALLS = ("a_vfork_child_steps", "both_processes_step", "two_threads_want_one_slot")  # goals
OF_VFORK = ("blocked_parent_owns_no_slot", "a_vfork_parent_goes_on")
fork.variant(
    "fork-in-slot",
    "The fork itself runs in the slot: the child wakes up in a slot that its address space does not have.",
    constants={"IN_SLOT": True},
    drop=["vfork", "clone_thread", "leave", "resume"],
    refutes=["no_fault_in_slot", "slot_is_owned", *OF_MORE_CALLS],
    skipped=OF_VFORK,
    threads=2,
)
fork.variant(
    "clone-in-slot",
    "The clone itself runs in the slot: two threads are in one slot, and the new one owns none.",
    constants={"IN_SLOT": True},
    drop=["vfork", "fork_process", "leave", "resume"],
    refutes=["slot_is_owned", "no_sigtrap", *OF_MORE_CALLS],
    skipped=[*OF_VFORK, "child_is_probed"],
    threads=2,
)
fork.variant(
    "vfork-in-slot",
    "The vfork itself runs in the slot; the child is moved out, but its parent keeps the slot that the child needs.",
    constants={"IN_SLOT": True, "CHILD_FIXED": True},
    drop=["fork_process", "clone_thread"],
    refutes=[*OF_VFORK, "no_deadlock", "a_waiting_thread_gets_a_slot", *OF_MORE_CALLS],
    skipped=["child_is_probed"],
    threads=2,
)

PROTOCOL = fork.protocol()
