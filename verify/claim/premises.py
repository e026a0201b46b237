"""What the assumptions say of the uninterpreted functions that an obligation speaks of.

An assumption about every address or every state is given for the addresses and states that occur: one instance a term.
"""

from __future__ import annotations

from collections.abc import Iterator

from verify.models.x86.machine import NO_FAULT
from verify.models.x86.mode import ACCESS_FAULTS, Mode, in_own_half, is_canonical
from verify.models.x86.paging import SUPERVISOR_PAGE, facts
from verify.models.x86.semantics.transactions import ACTIVE
from verify.terms import Term, add, and_, const, eq, not_, or_, postorder


def instances(goal: Term, assumptions: frozenset[str]) -> Iterator[Term]:
    """One-bit terms that hold of what occurs in the goal; none where it is a constant.

    What is accessed without a fault lies at a canonical address (SDM vol. 1, 3.3.7.1), under `user-half` in the half of
    the addresses that code of its privilege level has.
    Under `no-transaction` none is active.  Which pages are a supervisor's: `verify.models.x86.paging`.
    """
    if goal.value is not None:
        return
    for t in postorder((goal,)):
        if t.op != "uf":
            continue
        name = str(t.params[0])
        if name in ACCESS_FAULTS:
            accessible = _accessible(t.args[0], t.args[1], assumptions, ACCESS_FAULTS[name])
            yield or_(not_(eq(t, const(NO_FAULT, 8))), accessible)
        elif name == SUPERVISOR_PAGE:
            yield from facts(t, assumptions)
        elif name == ACTIVE and "no-transaction" in assumptions:
            yield not_(t)


def _accessible(address: Term, size: Term, assumptions: frozenset[str], mode: Mode) -> Term:
    """One bit: the program can have a page there."""
    if "user-half" in assumptions:
        return in_own_half(address, size.value or 1, mode)
    return ends_are_canonical(address, size, mode)


def ends_are_canonical(address: Term, size: Term, mode: Mode) -> Term:
    """One bit: the first and the last byte of an access are at canonical addresses (SDM vol. 1, 3.3.7.1)."""
    last = add(address, const((size.value or 1) - 1, 64))
    return and_(is_canonical(address, mode), is_canonical(last, mode))
