"""What hosts of a kind show to every program, one text an assumption: for schemes that have no witness of their own.

What the processor shows whatever the host is, is `processor_entries`.  A scheme whose forms rest on an assumption lists
its entry, or holds it because its host shows no such thing (`Scheme.holds`); `test_dependence.py` asks every scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify.models.schemes.assumptions import Entry

OF_THE_DESIGN: Final = "from the design, no implementation was run"
SHARED: Final[Mapping[str, tuple[str, str, str]]] = {  # what the program sees, which one loses what, what to do
    "sigtrap-not-held": (
        "a program that sets TF and blocks or ignores SIGTRAP is killed without a probe, and runs on with one",
        "a program that relies on being killed by its own trap",
        "probe no program that sets TF itself",
    ),
    "code-not-read": (
        "a program that reads its own code finds the breakpoint, and what was made for a copy where it had nothing",
        "programs that check or copy their own code, or look for unmapped pages by reading them",
        "probe no program that reads its own code",
    ),
    "not-restartable": (
        "a thread that is preempted while an instruction of its restartable sequence runs elsewhere goes on in the "
        "sequence, where without the probe it would be at the abort handler",
        "per-processor data: an update of another processor's data, or a lost one",
        "probe no instruction between start and end of a restartable sequence",
    ),
    "slot-available": (
        "where there is no slot to run a copy in, or other threads do not leave theirs, the instruction is not run",
        "threads that wait for each other in instructions that run elsewhere; a process at the end of its memory",
        "have a slot for every thread",
    ),
    "no-signal-awaited": (
        "signals are held back while a copy runs: a fault that a signal's handler would end never ends",
        "programs whose memory is filled by their own signal handlers",
        "probe no instruction that reads or writes such memory",
    ),
    "kernel-may-store": (
        "what the host stores for the program is lost or refused where the host may not store and the program may",
        "programs whose stacks the host cannot write where they can themselves, as where user faults alone fill them",
        "probe the function's entry, not the call",
    ),
    "no-shadow-stack": (
        "a call leaves another entry on the shadow stack, or none: the return raises #CP",
        "every program that runs with CET shadow stacks, at every probed call",
        "probe no call in a process with shadow stacks",
    ),
    "fault-frame": (
        "the signal frame of a fault has a stale trap number",
        "a handler that tells faults by uc_mcontext.gregs[REG_TRAPNO]",
        "tell faults by signal, si_code and si_addr",
    ),
    "trap-siginfo": (
        "a SIGTRAP for the program's own TF says another si_code than the processor's trap",
        "a program that single-steps itself and tells breakpoints from steps by si_code",
        "probe no program that sets TF itself",
    ),
}


def host_entries(names: str, rule: str, witness: str = OF_THE_DESIGN) -> tuple[Entry, ...]:
    """An entry for each of the names, which blanks part; KeyError where there is no text for one."""
    return tuple(_entry(name, rule, witness) for name in names.split())


def _entry(name: str, rule: str, witness: str) -> Entry:
    sees, loses, instead = SHARED[name]
    return Entry(name, sees, rule, witness, loses, instead)
