"""How threads end while they step out of line: exit, a fatal signal, exec. The variants of `xol-step` about it.

`pc`, `passes`, `signal`, `full` and `slot` are those of `xol-step`. A thread that has ended stands at the instruction
and has made all its passes. Only a thread in user mode ends: one in the kernel is killed when it comes out.
"""

from __future__ import annotations

from verify.concurrency.language.protocol import Claim, Description, Parameter, Shared, Thread, threads

K = Parameter("K", 2)  # slots and passes, as in xol-step: the language refuses other defaults
M = Parameter("M", 2)


def end(t: Thread) -> None:
    """The thread makes no pass any more."""
    t.pc = "at"
    t.passes = M
    t.slot = 0
    t.signal = False
    t.full = False


def exit_or_fatal_signal(s: Shared, t: Thread) -> None:
    """A thread in user mode ends; a step is given up, and its slot given back."""
    if t.pc in ("at", "slot", "stepped") and t.passes < M:
        if t.pc != "at":
            s.slot[t.slot] = None
        end(t)


def exit_with_slot(s: Shared, t: Thread) -> None:
    """A thread in user mode ends; whether it has a slot is not looked at."""
    if t.pc in ("at", "slot", "stepped") and t.passes < M:
        end(t)


def others_can_end(t: Thread) -> Claim:
    """Whether the other threads are out of the kernel, where they are not killed."""
    return all(u == t or u.pc not in ("trap", "recheck", "wait") for u in threads)


def replace_program(s: Shared, t: Thread) -> None:
    """The other threads end; the area and its owners go with the address space."""
    for k in range(K):
        s.slot[k] = None
    for u in threads:
        if u != t:
            end(u)


def exec(s: Shared, t: Thread) -> None:
    """The system call, in the program or displaced, ends: the thread begins a new program, and no step goes on."""
    if t.pc in ("at", "slot") and t.passes < M and others_can_end(t):
        replace_program(s, t)
        t.pc = "at"
        t.slot = 0
        t.signal = False
        t.full = False


def exec_in_slot(s: Shared, t: Thread) -> None:
    """As `exec`, and nobody tells the thread that it does not step any more."""
    if t.pc == "slot" and others_can_end(t):
        replace_program(s, t)
        t.pc = "stepped"


def declare(xol: Description) -> None:
    """Declares the variants of `xol-step`."""
    right = xol.variant(
        "threads-end",
        "A thread exits, is killed by a fatal signal, or replaces the program by exec: in the program, or in its slot.",
        threads=2,
    )
    right.step(fair=None)(exit_or_fatal_signal)
    right.step(fair=None)(exec)
    leak = xol.variant(
        "exit-keeps-slot",
        "A thread exits or is killed in its slot, and does not give it back: the others wait for ever.",
        constants={"K": 1},
        refutes=["a_waiting_thread_gets_a_slot", "no_deadlock"],
        skipped=["no_slot_is_shared"],
        threads=2,
    )
    leak.step(fair=None)(exit_with_slot)
    stale = xol.variant(
        "exec-keeps-step",
        "The displaced instruction is the system call exec: the thread still counts as stepping in an area that is "
        "gone.",
        refutes=["slot_is_owned"],
        threads=2,
    )
    stale.step(fair=None)(exec_in_slot)
