"""The theorem: one goal an observable, true exactly when the program cannot tell displaced from in place by it.

`goals` is the whole statement; everything it compares is a `Behaviour`.  What is not compared is out of scope and
listed in CAVEATS.md.  A goal is a one-bit term over state, fields, origin and slot; it is proved when its negation is
unsatisfiable together with the premises.
"""

from __future__ import annotations

from collections.abc import Mapping

from verify.models.bits import FALSE, TRUE, Term, all_of, and_, bit, const, eq, not_, or_
from verify.models.machine import NO_FAULT, State
from verify.models.schemes.execution import Behaviour

FLAGS = ("cf", "pf", "af", "zf", "sf", "df", "of", "nt", "ac", "id")
SEGMENTS = ("fs_base", "gs_base", "selectors")
VECTOR = ("vectors", "masks", "mxcsr", "other")
POINTERS = ("fip", "fdp", "fop")


def goals(here: Behaviour, there: Behaviour, *, code_not_read: bool = True) -> Mapping[str, Term]:
    """in place = displaced, observable by observable; final states are compared where the original does not fault."""
    done = eq(here.vector, const(NO_FAULT, 8))

    def final(*names: str) -> Term:
        return _implies(done, _same(here.state, there.state, names))

    return {
        "next-ip": final("ip"),
        "gprs": final("gprs"),
        "flags": final(*FLAGS),
        "segment-bases": final(*SEGMENTS),
        "vector": final(*VECTOR),
        "x87": final("x87"),
        "x87-pointers": final(*POINTERS),
        "memory-addresses": _implies(done, _same_places(here, there)),
        "memory-values": _implies(done, and_(_same_values(here, there), final("memory") if code_not_read else TRUE)),
        "shadow-stack": _implies(and_(done, here.state.cet), and_(_same_shadow(here, there), final("ssp"))),
        "fault": _same_fault(here, there),
        "trap": _implies(done, _same_trap(here, there)),
        "hits": _implies(done, eq(here.hits, there.hits)),
        "containment": there.contained,
    }


def _implies(premise: Term, conclusion: Term) -> Term:
    return or_(not_(premise), conclusion)


def _same(a: State, b: State, names: tuple[str, ...]) -> Term:
    return all_of(eq(getattr(a, n), getattr(b, n)) for n in names)


def _same_places(a: Behaviour, b: Behaviour) -> Term:
    if len(a.accesses) != len(b.accesses):
        return FALSE
    return all_of(
        and_(bit((x.kind, x.size) == (y.kind, y.size)), and_(eq(x.address, y.address), eq(x.condition, y.condition)))
        for x, y in zip(a.accesses, b.accesses, strict=True)
    )


def _same_values(a: Behaviour, b: Behaviour) -> Term:
    if [x.size for x in a.accesses] != [y.size for y in b.accesses]:
        return FALSE
    return all_of(eq(x.value, y.value) for x, y in zip(a.accesses, b.accesses, strict=True))


def _same_shadow(a: Behaviour, b: Behaviour) -> Term:
    if [x.kind for x in a.shadow] != [y.kind for y in b.shadow]:
        return FALSE
    return all_of(eq(x.value, y.value) for x, y in zip(a.shadow, b.shadow, strict=True))


def _same_fault(a: Behaviour, b: Behaviour) -> Term:
    quiet = eq(a.vector, const(NO_FAULT, 8))
    details = and_(eq(a.error, b.error), eq(a.reported, b.reported))
    registers = _same(a.fault_state, b.fault_state, ("ip", "gprs", "tf", *FLAGS, *VECTOR, *POINTERS, "x87", "ssp"))
    return and_(eq(a.vector, b.vector), or_(quiet, and_(details, registers)))


def _same_trap(a: Behaviour, b: Behaviour) -> Term:
    """The program's own TF trap, TF afterwards, and TF wherever the instruction lets the program see it."""
    if len(a.tf_seen) != len(b.tf_seen):
        return FALSE
    seen = all_of(eq(x, y) for x, y in zip(a.tf_seen, b.tf_seen, strict=True))
    alike = bit((a.trap_late, a.trap_code) == (b.trap_late, b.trap_code))
    delivered = or_(not_(or_(a.trap, b.trap)), alike)
    return all_of((eq(a.trap, b.trap), delivered, eq(a.state.tf, b.state.tf), seen))
