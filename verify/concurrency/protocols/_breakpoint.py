"""What the protocols of a breakpoint share: assumptions, and steps and properties whose words are the same.

They are about `pc` with the labels `at`, `trap`, `wait`, `slot`, `stepped` and `killed`, about `byte` with the label
`int3`, and about `prober` and `registered`; a protocol takes those that its variables have.
"""

from __future__ import annotations

from verify.concurrency.language.protocol import Assumption, Claim, Shared, Thread, leads_to

SINGLE_BYTE_WRITE = Assumption("single-byte-write", "writing the one byte of int3 is atomic for every fetch")
ONE_PROBER = Assumption("one-prober", "registering and unregistering are serialised")
ONE_SLOT = Assumption("one-slot", "an area has one slot; the number of slots is the matter of xol-step")
LOOKUP_LOCK = Assumption(
    "lookup-lock",
    "finding the uprobe and reading the byte back happen under one read hold of the mmap lock: no write, and no change "
    "of the mappings, comes between them",
    "Linux 6.18 kernel/events/uprobes.c, find_active_uprobe_rcu",
)


def exec_int3(s: Shared, t: Thread) -> None:
    """Step: the breakpoint is executed."""
    if t.pc == "at" and s.byte == "int3":
        t.pc = "trap"


def step(s: Shared, t: Thread) -> None:
    """Step: the displaced instruction runs in the slot."""
    if t.pc == "slot":
        t.pc = "stepped"


def no_sigtrap(s: Shared, t: Thread) -> Claim:
    """Invariant: no thread dies of the prober's int3."""
    return t.pc != "killed"


def a_hit_is_of_int3(s: Shared, t: Thread) -> Claim:
    """Precondition of a trap: a thread hits where the breakpoint stands."""
    return t.pc == "at" and s.byte == "int3"


def only_a_trap_looks_up(s: Shared, t: Thread) -> Claim:
    """Precondition of a lookup: it is for a thread that has trapped."""
    return t.pc == "trap"


def only_a_hit_gets_a_slot(s: Shared, t: Thread) -> Claim:
    """Precondition of taking a slot: it is for a thread whose probe was found."""
    return t.pc == "wait"


def registering_begins_once(s: Shared) -> Claim:
    """Precondition of registering: it begins when nothing is registered."""
    return s.prober == "idle" and not s.registered


def a_waiting_thread_gets_a_slot(s: Shared, t: Thread) -> Claim:
    """Liveness: waiting for a slot ends."""
    return leads_to(t.pc == "wait", t.pc == "slot")
