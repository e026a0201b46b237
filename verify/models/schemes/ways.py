"""What is known of a program's run on the way, and how the ways on which a plan may go become one.

A way's final state, its log and its events are compared where nothing is delivered, what the program is told of a
fault where something is; so each part is taken from the ways on which it matters.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from verify import terms
from verify.models.schemes.behaviour import TRAP_TRACE, either
from verify.models.x86.machine import NO_FAULT, Access, ShadowEvent, State
from verify.terms import FALSE, TRUE, Term, const

NONE: Final = const(NO_FAULT, 8)
NO_ERROR, NOWHERE = const(0, 32), const(0, 64)
ROUNDS: Final = 2  # what a replaced literal makes of a comparison may be the literal again


@dataclass(frozen=True, slots=True)
class Fault:
    """What is told of a pending fault or signal."""

    vector: Term = NONE  # 8
    error: Term = NO_ERROR  # 32
    reported: Term = NOWHERE  # 64: si_addr or cr2
    address: Term = NOWHERE  # 64: as far as it is a data address
    at_ip: Term = FALSE  # 1: the instruction's own address is told
    as_user: Term = NO_ERROR  # 32: the error code that the same fault has at CPL 3


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a program stands between two actions."""

    first: State
    now: State
    loaded: tuple[tuple[str, Term], ...] = ()  # what was read, by name
    accesses: tuple[Access, ...] = ()  # the log: every attempt, in order
    made: tuple[Access, ...] = ()  # the host's own that succeeded, and the reads before a fault
    shadow: tuple[ShadowEvent, ...] = ()
    tf_seen: tuple[Term, ...] = ()
    fault: Fault = Fault()
    is_faulted: bool = False
    is_back: bool = False  # the host set the program back to the origin
    trap: Term = FALSE  # 1: the trap that the program's own TF asks for is on its way
    trap_code: int = TRAP_TRACE
    late: bool = False
    repeats: Term = FALSE  # 1: the instruction is not finished
    contained: Term = TRUE
    looked: tuple[tuple[Term, Term], ...] = ()  # the host's checks that held: the expression, its value then


@dataclass(frozen=True, slots=True)
class Way:
    """How a program ends from some moment on: one way, or several made one by conditions."""

    done: Term  # 1: nothing is delivered
    state: State
    accesses: tuple[Access, ...]
    shadow: tuple[ShadowEvent, ...]
    tf_seen: tuple[Term, ...]
    fault: Fault
    fault_state: State
    attempted: tuple[Access, ...]
    trap: Term  # 1: the program's own TF trap is delivered
    trap_code: int
    late: bool
    repeats: Term
    again: Term  # 1: the instruction begins again at the origin
    contained: Term


def end_of(m: Moment) -> Way:
    """The way that ends here."""
    back = terms.bit(m.is_back and not m.is_faulted)
    return Way(
        done=terms.eq(m.fault.vector, NONE), state=m.now, accesses=m.accesses, shadow=m.shadow, tf_seen=m.tf_seen,
        fault=m.fault, fault_state=m.now, attempted=m.made, trap=m.trap, trap_code=m.trap_code, late=m.late,
        repeats=m.repeats, again=back, contained=m.contained,
    )  # fmt: skip


def chosen(condition: Term, then: Way, otherwise: Way) -> Way:
    """The first way where the condition holds, else the second."""
    if condition.value is not None:
        return then if condition.value else otherwise
    second = terms.and_(terms.not_(condition), given(otherwise.done, terms.not_(condition)))
    done = choice(condition, given(then.done, condition), given(otherwise.done, terms.not_(condition)))
    if then.done.value == 0:
        second = TRUE
    return _joined(then, otherwise, second, _told(condition, then, otherwise), done)


def run_of(vector: Term, finished: Way, faulted: Way) -> Way:
    """What follows a run that raises nothing, or else its fault, of that vector, and what the host makes of it."""
    quiet = terms.eq(vector, NONE)
    if quiet.value is not None:
        return finished if quiet.value else faulted
    told, loud = faulted, terms.not_(quiet)
    if faulted.fault.vector is not vector:
        told = _told(quiet, finished, faulted)
    elif finished.done.value != 1:  # where nothing is delivered the vector says so
        told = _told(terms.and_(quiet, terms.not_(finished.done)), finished, faulted)
    forgotten = given(faulted.done, loud)
    done = choice(quiet, given(finished.done, quiet), forgotten)
    contained = choice(quiet, finished.contained, faulted.contained)
    return replace(_joined(finished, faulted, terms.and_(loud, forgotten), told, done), contained=contained)


def _joined(then: Way, otherwise: Way, second: Term, told: Way, done: Term) -> Way:
    """The ways as one: `second` says where the second one completes, `told` has what is delivered."""
    base, both = (otherwise if second.value == 1 else then), dict[str, Any]()
    if second.value is None:
        both = {"state": either(second, otherwise.state, then.state), **_observed(then, otherwise, second)}
    return replace(
        base, done=done, fault=told.fault, fault_state=told.fault_state, attempted=told.attempted, **both
    )  # fmt: skip


def _observed(then: Way, otherwise: Way, second: Term) -> dict[str, Any]:
    """What is observed of both ways; of one that begins again the hit tells, not its log."""
    bits = {n: choice(second, getattr(otherwise, n), getattr(then, n)) for n in _BITS}
    late: dict[str, Any] = {
        "late": then.late or otherwise.late,
        "trap_code": (otherwise if then.trap is FALSE else then).trap_code,
    }
    if otherwise.again is TRUE:
        return {**bits, **late}
    if then.again is TRUE:
        log = {n: getattr(otherwise, n) for n in ("accesses", "shadow", "tf_seen")}
        return {**bits, **late, **log}
    if len(then.tf_seen) != len(otherwise.tf_seen):
        raise ValueError("two ways on which TF is seen in another number of places are not modelled")
    seen = tuple(choice(second, b, a) for a, b in zip(then.tf_seen, otherwise.tf_seen, strict=True))
    log = {"accesses": _log(then.accesses, otherwise.accesses, second), "tf_seen": seen}
    return {**bits, **late, **log, "shadow": _events(then.shadow, otherwise.shadow, second)}


_BITS: Final = ("trap", "repeats", "again", "contained")


def _told(condition: Term, then: Way, otherwise: Way) -> Way:
    """What is delivered: of the first way where the condition holds."""
    if then.fault.vector is NONE:
        if otherwise.fault.vector is NONE:
            return then
        fault = replace(otherwise.fault, vector=terms.ite(condition, NONE, otherwise.fault.vector))
        return replace(otherwise, fault=fault)
    if otherwise.fault.vector is NONE:
        return replace(then, fault=replace(then.fault, vector=terms.ite(condition, then.fault.vector, NONE)))
    names = tuple(f.name for f in fields(Fault))
    fault = Fault(*(terms.ite(condition, getattr(then.fault, n), getattr(otherwise.fault, n)) for n in names))
    return replace(
        then, fault=fault, fault_state=either(condition, then.fault_state, otherwise.fault_state),
        attempted=_log(then.attempted, otherwise.attempted, terms.not_(condition)),
    )  # fmt: skip


def _log(then: tuple[Access, ...], otherwise: tuple[Access, ...], second: Term) -> tuple[Access, ...]:
    """One log of two: what both have at the same place once, then the rest of each under its condition."""
    common: list[Access] = []
    for a, b in zip(then, otherwise, strict=False):
        if (a.kind, a.size) != (b.kind, b.size) or a.address is not b.address or a.stack is not b.stack:
            break
        made = choice(second, b.condition, a.condition)
        common.append(replace(a, value=terms.ite(second, b.value, a.value), condition=made))
    n, first = len(common), terms.not_(second)
    return (
        *common, *(replace(a, condition=terms.and_(first, a.condition)) for a in then[n:]),
        *(replace(b, condition=terms.and_(second, b.condition)) for b in otherwise[n:]),
    )  # fmt: skip


def _events(then: tuple[ShadowEvent, ...], otherwise: tuple[ShadowEvent, ...], second: Term) -> tuple[ShadowEvent, ...]:
    if then == otherwise:
        return then
    first = terms.not_(second)
    return (
        *(replace(e, condition=terms.and_(first, e.condition)) for e in then),
        *(replace(e, condition=terms.and_(second, e.condition)) for e in otherwise),
    )  # fmt: skip


def choice(condition: Term, then: Term, otherwise: Term) -> Term:
    """ite of one-bit terms, as a conjunction or disjunction where one of them is a constant."""
    if then.value is not None:
        return terms.or_(condition, otherwise) if then.value else terms.and_(terms.not_(condition), otherwise)
    if otherwise.value is not None:
        return terms.or_(terms.not_(condition), then) if otherwise.value else terms.and_(condition, then)
    return terms.ite(condition, then, otherwise)


def given(wanted: Term, fact: Term) -> Term:
    """The one-bit term, rewritten where a one-bit fact holds; equal to it there."""
    if wanted.value is not None:
        return wanted
    known = (fact.args[0], FALSE) if fact.op == "not" else (fact, TRUE)
    for _ in range(ROUNDS):
        wanted = terms.substitute((wanted,), {known[0]: known[1]})[0]
    return wanted
