"""What a program is shown of the handling itself where an assumption is dropped that leaves it out.

Sources: arch/x86/kernel/traps.c and kernel/signal.c, Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.schemes.behaviour import Behaviour, either
from verify.models.x86.machine import NO_FAULT, State
from verify.models.x86.semantics.transactions import interrupted
from verify.terms import const, var

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


# What the program is shown where one of these assumptions is dropped, from what it sees under it and the state before.
SHOWN: Final[Mapping[str, Callable[[Behaviour, State], Behaviour]]] = {
    "fault-frame": lambda there, before: replace(there, trapno=TRAP_NUMBER),
    "no-transaction": _interruptible,
}
