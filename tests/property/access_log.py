"""What an outcome reads and writes of memory outside the log of its accesses: the theorem compares the log's places.

A store is a `write` in the final memory, a read a `load` in whatever is observed; each must be in the log with the same
address and size, and must be made where it is logged; what a store leaves in part may be read where it stores.  No
access is attempted behind one that faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from verify.models.x86.machine import PF, Access, Outcome
from verify.terms import FALSE, Term, const, postorder, substitute, var


def outside_the_log(o: Outcome) -> list[str]:
    """The stores and reads that the log does not have, in words."""
    stores = (t for t, depends in _stores(o) if not _is_logged(o, t, depends))
    reads = (t for t in _reads(o) if not _is_read(o, t))
    late = (a for k, a in enumerate(o.accesses) if k and not _stops_at_a_fault(o, k))
    return [
        *(f"store of {t.args[2].width // 8} at {t.args[1]}" for t in stores),
        *(f"read of {t.params[0]} at {t.args[1]}" for t in reads),
        *(f"behind a fault: {'store' if a.kind == 'w' else 'read'} of {a.size} at {a.address}" for a in late),
    ]


def _stops_at_a_fault(o: Outcome, number: int) -> bool:
    """Whether the access is not attempted where one before it is made and faults."""
    own = o.accesses[number]
    for a in o.accesses[:number]:
        is_same = (a.kind, a.size) == (own.kind, own.size) and a.address is own.address
        if a.condition.value != 1 or is_same:
            continue
        faults = {t: const(PF, 8) for t in postorder([o.attempted[number]]) if _is_fault_of(a, t)}
        if substitute([o.attempted[number]], {var("ac", 1): FALSE, **faults})[0].value != 0:
            return False
    return True


def _is_fault_of(a: Access, t: Term) -> bool:
    if t.op != "uf" or not str(t.params[0]).startswith("access_fault"):
        return False
    return t.args[0] is a.address and t.args[1].value == a.size and t.args[2].value == (a.kind == "w")


def _stores(o: Outcome) -> Iterator[tuple[Term, bool]]:
    """The writes that the final memory is made of, and whether it depends on something if each is made."""
    found: dict[Term, bool] = {}
    left = [(o.state.memory, False)]
    while left:
        t, depends = left.pop()
        if t in found and found[t] <= depends:
            continue
        found[t] = depends
        if t.op == "write":
            left.append((t.args[0], depends))
        elif t.op == "ite":
            left += ((arm, True) for arm in t.args[1:])
    return ((t, depends) for t, depends in found.items() if t.op == "write")


def _is_logged(o: Outcome, store: Term, depends: bool) -> bool:
    rows = (a for a in o.accesses if a.kind == "w" and a.address is store.args[1] and 8 * a.size == store.args[2].width)
    return any(a.condition.value != 0 if depends else a.condition.value == 1 for a in rows)


def _reads(o: Outcome) -> Iterator[Term]:
    """The loads that state, faults and stored values are made of."""
    state = [getattr(o.state, f.name) for f in fields(o.state)]
    roots = [*state, o.fault_vector, o.fault_error, o.repeats, *(a.value for a in o.accesses if a.kind == "w")]
    return (t for t in postorder(roots) if t.op == "load")


def _is_read(o: Outcome, load: Term) -> bool:
    return any(_covers(a, load) for a in o.accesses)


def _covers(a: Access, load: Term) -> bool:
    return a.condition.value != 0 and a.address is load.args[1] and a.size == load.params[0]
