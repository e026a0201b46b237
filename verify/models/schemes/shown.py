"""What a program sees of the handling itself, and of what hinders the host, where an assumption leaves it out no more.

Sources: arch/x86/kernel/traps.c and kernel/signal.c, Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from verify import terms
from verify.models.schemes.behaviour import Behaviour, either
from verify.models.schemes.program import Agent, Entry, Program, Run, Signal, Store, walk
from verify.models.schemes.vocabulary import SLOT
from verify.models.x86.machine import NO_FAULT, State
from verify.models.x86.semantics.transactions import interrupted
from verify.terms import Term, const, var

SIGTRAP: Final = 5  # signal(7)
OWN_SIGNAL: Final = 0xFE  # in place of a vector: the scheme sends the program a signal that no processor fault gives
TRAP_NUMBER: Final = var("trap_number", 8)  # of the last fault that the thread's kernel state remembers


def _interruptible(there: Behaviour, before: State) -> Behaviour:
    """In a transaction the breakpoint itself aborts it: nothing of the handling happens, the handler does not run."""
    active, aborted = interrupted(before)
    none = const(NO_FAULT, 8)
    return replace(
        there, state=either(active, aborted, there.state), vector=terms.ite(active, none, there.vector),
        hits=terms.ite(active, const(0, 8), there.hits), trap=terms.and_(there.trap, terms.not_(active)),
    )  # fmt: skip


def _needs_slot(program: Program) -> bool:
    """Whether code runs in the slot, whatever the host's stores and checks come to."""
    return any(isinstance(a, Run) and a.at is SLOT for a in program.actions)


def _stores(program: Program) -> bool:
    """Whether the host stores for the program, whatever its checks come to."""
    return any(isinstance(a, Store) and a.by is Agent.HOST for a in program.actions)


def _traps(program: Program) -> bool:
    """Whether the host sends the trap that the program's own TF asks for."""
    return any(isinstance(a, Signal) and a.number == SIGTRAP for a in walk(program.actions))


def _always(_: Program) -> bool:
    return True


def _may(event: str, before: State) -> Term:
    """One bit: what may befall a host happens in this state."""
    return terms.uf(event, 1, before.opaque)


def _again(happens: Term, there: Behaviour) -> Term:
    return terms.ite(happens, const(2, 8), there.hits)


def _never_ends(there: Behaviour, before: State) -> Behaviour:
    """The program may be kept at the origin, and is hit there again."""
    kept = _may("kept_at_the_origin", before)
    return replace(there, state=either(kept, before, there.state), hits=_again(kept, there))


def _stores_otherwise(there: Behaviour, before: State) -> Behaviour:
    """The host may not store, and the program is hit again; where the store fails its first bytes may be there."""
    cut = terms.uf("stored_in_part", terms.MEMORY, there.fault_state.memory, before.opaque)
    hits = _again(_may("kernel_may_not_store", before), there)
    return replace(there, hits=hits, fault_state=replace(there.fault_state, memory=cut))


def _not_hit(there: Behaviour, before: State) -> Behaviour:
    """Where the breakpoint is not in the mapping that runs, the program does what it does in place, and no more."""
    missing, none = _may("breakpoint_is_missing", before), const(0, 8)
    return replace(
        there, hits=terms.ite(missing, none, there.hits), fault_hits=terms.ite(missing, none, there.fault_hits)
    )


@dataclass(frozen=True, slots=True)
class Handling:
    """What of a host's handling an assumption leaves out: the plans that it concerns, and what is seen without it.

    `changed`: from what is seen under the assumption and the state before the hit.
    """

    matters: Callable[[Program], bool]
    changed: Callable[[Behaviour, State], Behaviour]


HANDLING: Final[Mapping[str, Handling]] = {
    "slot-available": Handling(_needs_slot, _never_ends),
    "no-signal-awaited": Handling(_needs_slot, lambda there, before: replace(
        there, state=either(_may("waits_for_a_signal", before), before, there.state))),
    "kernel-may-store": Handling(_stores, _stores_otherwise),
    "sigtrap-not-held": Handling(_traps, lambda there, before: replace(
        there, trap=terms.and_(there.trap, terms.not_(_may("sigtrap_is_held", before))))),
    "fault-frame": Handling(_always, lambda there, before: replace(there, trapno=TRAP_NUMBER)),
    "no-transaction": Handling(_always, _interruptible),
    "breakpoint-in-place": Handling(_always, _not_hit),
}  # fmt: skip


def shown(there: Behaviour, program: Program, before: State, assumptions: frozenset[str]) -> Behaviour:
    """What the program sees of a hit, from what it sees under every assumption of `HANDLING`."""
    if program.entry is not Entry.KERNEL:
        return there
    for name, handling in HANDLING.items():
        if name not in assumptions and handling.matters(program):
            there = handling.changed(there, before)
    return there
