"""The theorem: one goal an observable, true exactly when the program cannot tell displaced from in place by it.

`goals` is the whole statement; everything it compares is a `Behaviour`.  What is not compared is out of scope and
listed in CAVEATS.md.  A goal is a one-bit term over state, fields, origin and slot; it is proved when its negation is
unsatisfiable together with the premises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verify.models.schemes.behaviour import Behaviour
from verify.models.x86.machine import NO_FAULT, Access, ShadowEvent, State
from verify.terms import FALSE, Term, all_of, and_, bit, const, eq, not_, or_

FLAGS = ("cf", "pf", "af", "zf", "sf", "df", "of", "nt", "ac", "id", "interrupts", "iopl")
SEGMENTS = ("fs_base", "gs_base", "selectors")
VECTOR = ("vectors", "masks", "mxcsr", "opaque")
POINTERS = ("fip", "fdp", "fop")
DELIVERED = ("ip", "gprs", "tf", *FLAGS, *SEGMENTS, *VECTOR, "x87", *POINTERS, "ssp")


def goals(here: Behaviour, there: Behaviour, *, code_not_read: bool = True) -> Mapping[str, Term]:
    """in place = displaced, observable by observable; final states are compared where the original does not fault.

    `fault` covers both directions, the delivered frame, and what the program finds at delivery.
    """
    done = eq(here.vector, const(NO_FAULT, 8))
    memory = ("memory",) if code_not_read else ()

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
        "memory-addresses": _implies(done, _same_places(here.accesses, there.accesses)),
        "memory-values": _implies(done, and_(_same_values(here.accesses, there.accesses), final(*memory))),
        "shadow-stack": _implies(and_(done, here.state.cet), and_(_same_shadow(here, there), final("ssp"))),
        "fault": and_(eq(here.vector, there.vector), or_(done, _same_delivery(here, there, memory))),
        "trap": _implies(done, _same_trap(here, there)),
        "hits": _implies(done, eq(here.hits, there.hits)),
        "containment": there.contained,
    }


def _implies(premise: Term, conclusion: Term) -> Term:
    return or_(not_(premise), conclusion)


def _same(a: State, b: State, names: tuple[str, ...]) -> Term:
    return all_of(eq(getattr(a, n), getattr(b, n)) for n in names)


Log = Sequence[Access]


def _same_places(here: Log, there: Log) -> Term:
    """Which accesses are made, where; one that is not made is none."""
    both = all_of(
        and_(eq(x.condition, y.condition), _implies(x.condition, _same_place(x, y)))
        for x, y in zip(here, there, strict=False)
    )
    return and_(both, _none_more(here, there))


def _same_place(x: Access, y: Access) -> Term:
    return and_(bit((x.kind, x.size) == (y.kind, y.size)), eq(x.address, y.address))


def _same_values(here: Log, there: Log) -> Term:
    both = all_of(
        _implies(or_(x.condition, y.condition), _same_value(x, y)) for x, y in zip(here, there, strict=False)
    )
    return and_(both, _none_more(here, there))


def _same_value(x: Access, y: Access) -> Term:
    return eq(x.value, y.value) if x.size == y.size else FALSE


def _same_shadow(a: Behaviour, b: Behaviour) -> Term:
    """The same entries pushed and popped, position by position; an event that does not happen is none."""
    both = all_of(
        and_(eq(x.condition, y.condition), _implies(x.condition, and_(bit(x.kind == y.kind), eq(x.value, y.value))))
        for x, y in zip(a.shadow, b.shadow, strict=False)
    )
    return and_(both, _none_more(a.shadow, b.shadow))


def _none_more(a: Sequence[Access | ShadowEvent], b: Sequence[Access | ShadowEvent]) -> Term:
    """One bit: of what the longer list has more, nothing happens."""
    common = min(len(a), len(b))
    return all_of(not_(x.condition) for x in (*a[common:], *b[common:]))


def _same_delivery(a: Behaviour, b: Behaviour, memory: tuple[str, ...]) -> Term:
    """The frame of a fault, the state at delivery, what was accessed up to it, and how often the handler ran."""
    frame = all_of((eq(a.error, b.error), eq(a.reported, b.reported), eq(a.trapno, b.trapno)))
    state = _same(a.fault_state, b.fault_state, (*DELIVERED, *memory))
    return all_of((frame, state, _same_places(a.attempted, b.attempted), eq(a.fault_hits, b.fault_hits)))


def _same_trap(a: Behaviour, b: Behaviour) -> Term:
    """The program's own TF trap, TF afterwards, and TF wherever the instruction lets the program see it."""
    if len(a.tf_seen) != len(b.tf_seen):
        return FALSE
    seen = all_of(eq(x, y) for x, y in zip(a.tf_seen, b.tf_seen, strict=True))
    alike = bit((a.trap_delayed, a.trap_code) == (b.trap_delayed, b.trap_code))
    delivered = or_(not_(or_(a.trap, b.trap)), alike)
    return all_of((eq(a.trap, b.trap), delivered, eq(a.state.tf, b.state.tf), seen))
