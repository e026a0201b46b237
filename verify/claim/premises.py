"""What the assumptions say of the uninterpreted functions that an obligation speaks of.

An assumption about every address or every state is given for the addresses and states that occur: one instance a term.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from verify.models.x86.machine import NO_FAULT
from verify.models.x86.semantics.run import is_canonical
from verify.models.x86.semantics.transactions import ACTIVE
from verify.terms import Term, add, and_, const, eq, not_, or_, postorder, ult

USER_END: Final = 1 << 47  # of addresses with bit 63 clear: what lies above is not canonical


def instances(goal: Term, assumptions: frozenset[str]) -> Iterator[Term]:
    """One-bit terms that hold of what occurs in the goal; none where it is a constant.

    What is accessed without a fault lies at a canonical address (SDM vol. 1, 3.3.7.1), under `user-half` below 2^47.
    Under `no-transaction` none is active.
    """
    if goal.value is not None:
        return
    for t in postorder((goal,)):
        if t.op != "uf":
            continue
        if t.params[0] == "access_fault":
            yield or_(not_(eq(t, const(NO_FAULT, 8))), _accessible(t.args[0], t.args[1], assumptions))
        elif t.params[0] == ACTIVE and "no-transaction" in assumptions:
            yield not_(t)


def _accessible(address: Term, size: Term, assumptions: frozenset[str]) -> Term:
    """One bit: the program can have a page there."""
    bytes_ = size.value or 1
    if "user-half" in assumptions:
        return ult(address, const(USER_END - bytes_ + 1, 64))
    return ends_are_canonical(address, size)


def ends_are_canonical(address: Term, size: Term) -> Term:
    """One bit: the first and the last byte of an access are at canonical addresses (SDM vol. 1, 3.3.7.1)."""
    last = add(address, const((size.value or 1) - 1, 64))
    return and_(is_canonical(address), is_canonical(last))
