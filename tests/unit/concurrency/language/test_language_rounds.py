"""Loops over threads whose rounds depend on each other are found when the step is read; a declared order is kept."""

from __future__ import annotations

import re

import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.protocol import (
    Array,
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    ProtocolError,
    Shared,
    Thread,
    ThreadId,
    implies,
    in_order,
    leads_to,
    threads,
)
from verify.concurrency.unbounded import prove_any

ENGINES = ["python", "numpy", "c", "bdd"]


def description() -> Description:
    return Description(
        "rounds",
        "a question",
        shared={"owner": ThreadId(), "next": Bounded(0, 3), "on": Bool(), "cells": Array(2, ThreadId())},
        local={"pc": Enum("wait", "own"), "id": Bounded(0, 3), "flag": Bool(), "place": Bounded(0, 1)},
    )


# --- rounds that depend on each other ---------------------------------------------------------------------------------
def last_wins(s: Shared) -> None:
    for u in threads:
        s.owner = u


def first_waiter(s: Shared) -> None:
    for u in threads:
        if s.owner is None and u.pc == "wait":
            s.owner = u
            u.pc = "own"


def numbered(s: Shared) -> None:
    for u in threads:
        u.id = s.next
        s.next += 1


def of_the_actor(s: Shared, t: Thread) -> None:
    for u in threads:
        u.id = 1 - t.id


def of_another_round(s: Shared) -> None:
    for u in threads:
        u.flag = any(v.flag for v in threads)


def in_one_cell(s: Shared) -> None:
    for u in threads:
        s.cells[u.place] = u


def up_and_down(s: Shared) -> None:
    for u in threads:
        if u.flag:
            s.next += 1
        else:
            s.next -= 1


def by_a_temporary(s: Shared) -> None:
    for u in threads:
        k = s.next
        s.next = k + 1
        u.flag = True


DEPENDENT = [
    last_wins, first_waiter, numbered, of_the_actor, of_another_round, in_one_cell, up_and_down, by_a_temporary,
]  # fmt: skip


@pytest.mark.parametrize("function", DEPENDENT)
def test_rounds_that_depend_on_each_other_are_an_error_with_place_and_both_rounds(function: object) -> None:
    line = function.__code__.co_firstlineno  # type: ignore[attr-defined]
    with pytest.raises(ProtocolError) as caught:
        description().step()(function)  # type: ignore[type-var]
    said = str(caught.value)
    assert re.search(rf"test_language_rounds\.py:{line + 1}: step {function.__name__}: two rounds of", said), said  # type: ignore[attr-defined]
    assert len(re.findall(r"test_language_rounds\.py:\d+", said)) == 3
    assert "one writes" in said and "another" in said and "in_order(threads)" in said


# --- rounds that do not -----------------------------------------------------------------------------------------------
def own(s: Shared, t: Thread) -> None:
    for u in threads:
        u.flag = s.on
        if u.flag and u != t:
            u.id = t.id


def one_value(s: Shared) -> None:
    for u in threads:
        if u.flag:
            s.on = True


def counted(s: Shared) -> None:
    for u in threads:
        if u.flag:
            s.next += 1


def joined(s: Shared) -> None:
    for u in threads:
        s.on = s.on or u.flag


def of_one_round(s: Shared) -> None:
    for u in threads:
        if u == s.owner:
            s.next = 3 - s.next


def emptied(s: Shared) -> None:
    for u in threads:
        s.cells[u.place] = None


@pytest.mark.parametrize("function", [own, one_value, counted, joined, of_one_round, emptied])
def test_rounds_that_do_not_depend_on_each_other_are_accepted(function: object) -> None:
    p = description()
    p.step()(function)  # type: ignore[type-var]
    assert instantiate(p.protocol(), 3).symmetric


# --- a declared order -------------------------------------------------------------------------------------------------
def waking() -> Description:
    """The kernel wakes the first waiter, again and again; the first thread comes back at once."""
    p = description()

    @p.step(actor="kernel")
    def wake(s: Shared) -> None:
        if s.owner is None:
            for u in in_order(threads):
                if s.owner is None and u.pc == "wait":
                    s.owner = u
                    u.pc = "own"

    @p.step()
    def release(s: Shared, t: Thread) -> None:
        if s.owner == t:
            s.owner = None
            t.pc = "wait"

    @p.eventually
    def every_waiter_gets_it(s: Shared, t: Thread) -> Claim:
        return leads_to(t.pc == "wait", t.pc == "own")

    @p.always
    def only_the_first_owns(s: Shared, t: Thread) -> Claim:
        return implies(t.pc == "own", s.owner == t)

    @p.sometimes
    def another_owns(s: Shared, t: Thread, u: Thread) -> Claim:
        return t.pc == "wait" and u.pc == "own"

    return p


@pytest.mark.parametrize("engine", ENGINES)
def test_where_an_order_is_declared_the_last_waiter_starves(engine: str) -> None:
    # thread 0 waits when it is looked for: it is always the one, and the states are "nobody" and "thread 0"
    found = explore(waking().protocol(), 3, engine)
    assert (found.states, found.transitions, found.symmetric) == (2, 2, False)
    assert found.verdict("every_waiter_gets_it").name == "refuted"
    assert explore(waking().protocol(), 1, engine).verdict("every_waiter_gets_it").name == "proved"


def test_nothing_is_proved_for_any_number_where_an_order_is_declared() -> None:
    found = prove_any(waking().protocol())
    assert found.verdict("every_waiter_gets_it").name == "refuted"
    assert found.verdict("only_the_first_owns").name == "unknown"
    assert all("not covered" in said for _, said in found.notes)


@pytest.mark.parametrize("engine", ["python", "numpy", "bdd"])
def test_threads_are_numbered_in_the_declared_order(engine: str) -> None:
    p = description()

    @p.step(actor="kernel")
    def number(s: Shared) -> None:
        if s.next == 0:
            for u in in_order(threads):
                u.id = s.next
                s.next += 1

    @p.always
    def apart(s: Shared, t: Thread, u: Thread) -> Claim:
        return implies(s.next > 0, t.id != u.id)

    @p.terminal
    def done(s: Shared) -> Claim:
        return s.next > 0

    found = explore(p.protocol(), 3, engine)
    assert (found.states, found.transitions) == (2, 1)
    assert (found.verdict("apart").name, found.verdict("no_deadlock").name) == ("proved", "proved")
