"""What the kernel's return from a breakpoint changes of a program's state besides what the scheme means to change, and
what becomes of traps that a stepped copy raises itself.

Each change is left out by an assumption in force by default.  Sources: SDM vol. 2, IRET; XGETBV; seen on Linux 6.18.44.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.machine import BP, DB, NO_FAULT, Outcome, State
from verify.models.x86.mode import Mode
from verify.terms import FALSE, Term, const

DATA_SEGMENTS: Final = (0, 48, 64, 80)  # lowest bits of es, ds, fs and gs in State.selectors
HIGHEST_NULL: Final = 3  # a selector of the first descriptor is null whatever its RPL


def taken_by_the_host(o: Outcome) -> tuple[Outcome, Term]:
    """The outcome of a copy as a host that steps it under TF takes it; one bit: the program goes on in the slot.

    A #DB is the end of the step for the host, whoever asked for it; a #BP one of its own breakpoints: nothing is
    delivered, nothing fixed up (uprobe_post_sstep_notifier, uprobe_pre_sstep_notifier and the warning of
    handle_singlestep, kernel/events/uprobes.c, Linux 6.18; seen on 6.18.44).
    """
    if not o.interrupts:
        return o, FALSE
    breaks = terms.eq(o.fault_vector, const(BP, 8))
    taken = terms.or_(breaks, terms.eq(o.fault_vector, const(DB, 8)))
    return replace(o, fault_vector=terms.ite(taken, const(NO_FAULT, 8), o.fault_vector)), breaks


def at_the_hit(state: State, assumptions: frozenset[str], mode: Mode) -> State:
    """The state after the breakpoint, in which the copy runs or the effect is applied."""
    if "null-selectors" not in assumptions:
        state = returned_by_iret(state, mode)
    if "in-use-not-read" not in assumptions:
        state = replace(state, opaque=terms.uf("other_after_a_trap", 64, state.opaque))
    return state


def after_the_hit(state: State, before: State, hit: State, assumptions: frozenset[str], mode: Mode) -> State:
    """What the program finds when it goes on; `before` and `hit`: the state without and with the first return.

    Which components are in use is no observable of its own: what the instruction leaves alone is as before.
    """
    if "null-selectors" not in assumptions:
        state = returned_by_iret(state, mode)
    return replace(state, opaque=before.opaque) if state.opaque is hit.opaque else state


def returned_by_iret(state: State, mode: Mode) -> State:
    """Null selectors with an RPL become 0; the bases stay (SDM vol. 2, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL).

    A return to the same level leaves them alone.
    """
    if not mode.is_user:
        return state
    selectors = state.selectors
    for low in DATA_SEGMENTS:
        selectors = _without_null(selectors, low)
    return replace(state, selectors=selectors)


def _without_null(selectors: Term, low: int) -> Term:
    one = terms.extract(selectors, low + 15, low)
    others = const((1 << 96) - 1 & ~(0xFFFF << low), 96)
    return terms.ite(terms.ult(const(HIGHEST_NULL, 16), one), selectors, terms.and_(selectors, others))
