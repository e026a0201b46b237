"""Stores of the scheme's own, to memory and to the shadow stack: behind what the copy has stored, or in its place."""

from __future__ import annotations

from dataclasses import replace

from verify import terms
from verify.models.schemes.behaviour import Setup
from verify.models.schemes.ways import Moment
from verify.models.x86.machine import Access, ShadowEvent
from verify.terms import FALSE, Term, const


def stored(accesses: tuple[Access, ...], store: Access) -> tuple[tuple[Access, ...], bool, Term]:
    """The log with the store, whether it cannot fail for its pages, and what is at the address then.

    A store to bytes all of which the copy has just stored does not fail; it takes the place of the copy's.
    NOTE(fixup-store): the program does not run between the two, so the first value is seen by other threads only.
    """
    value = store.value
    before = {i: place for i, a in enumerate(accesses) if (place := place_in(a, store)) is not None}
    if {b for i, place in before.items() for b in range(place, place + accesses[i].size)} >= set(range(store.size)):
        changed = {i: with_bytes(accesses[i].value, value, place) for i, place in before.items()}
        log = tuple(_changed(a, store, before[i], changed[i]) if i in changed else a for i, a in enumerate(accesses))
        return log, True, next((changed[i] for i, place in before.items() if place == 0), value)
    return (*accesses, store), False, value


def _changed(a: Access, store: Access, place: int, value: Term) -> Access:
    """The access with another value; that it is where it was found to be is part of what is claimed of it."""
    is_there = terms.eq(a.address, terms.add(store.address, const(place, 64)))
    return replace(a, value=value, condition=terms.and_(a.condition, is_there))


def shadowed(m: Moment, value: Term, depth: int | None) -> Moment:
    """The moment behind a new entry of the shadow stack, or behind a write to that `depth` entries below its top.

    What is written to an entry that the copy has just pushed takes its place, as in NOTE(fixup-store); any other write
    is an event of its own, which no instruction in place has.
    """
    if depth is None:
        moved = terms.ite(m.now.cet, terms.sub(m.now.ssp, const(8, 64)), m.now.ssp)
        return replace(m, now=replace(m.now, ssp=moved), shadow=(*m.shadow, ShadowEvent("push", value)))
    at, last = len(m.shadow) - 1 - depth, m.shadow[-1 - depth :]
    if at < 0 or any(e.kind != "push" or (depth and e.condition.value != 1) for e in last):
        return replace(m, shadow=(*m.shadow, ShadowEvent("write", value)))
    missed = terms.not_(m.shadow[at].condition)
    beside = () if missed.value == 0 else (ShadowEvent("write", value, missed),)
    return replace(m, shadow=(*m.shadow[:at], replace(m.shadow[at], value=value), *m.shadow[at + 1 :], *beside))


def beyond(setup: Setup, address: Term) -> Term:
    """One bit: the host refuses to access there for the program (access_ok), whatever the page tables say."""
    return FALSE if "user-half" in setup.assumptions or not setup.mode.is_user else terms.extract(address, 63, 63)


def place_in(a: Access, store: Access) -> int | None:
    """Where an access that certainly writes begins in the store, in bytes; None where they share none for sure."""
    if a.kind != "w" or a.condition.value != 1:
        return None
    place = _distance(terms.normal_form(a.address), terms.normal_form(store.address))
    return place if place is not None and -a.size < place < store.size else None


def _distance(a: Term, b: Term) -> int | None:
    """Bytes by which `a` lies above `b` in every state, signed; None where that is not known."""
    if a.op == b.op == "ite" and a.args[0] is b.args[0]:
        both = {_distance(x, y) for x, y in zip(a.args[1:], b.args[1:], strict=True)}
        return both.pop() if len(both) == 1 else None
    distance = terms.normal_form(terms.sub(a, b)).value
    return None if distance is None else distance - (distance >> 63 << 64)


def with_bytes(old: Term, new: Term, place: int) -> Term:
    """The old value, which begins `place` bytes into the new one, with the bytes that both have taken from the new."""
    low, high = max(8 * place, 0), min(8 * place + old.width, new.width)
    parts = [terms.extract(new, high - 1, low)]
    if (end := high - 8 * place) < old.width:
        parts.insert(0, terms.extract(old, old.width - 1, end))
    if place < 0:
        parts.append(terms.extract(old, -8 * place - 1, 0))
    return parts[0] if len(parts) == 1 else terms.concat(*parts)
