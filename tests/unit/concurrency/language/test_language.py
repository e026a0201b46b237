"""What is outside the language is an error that names the step and the variable, never a silent pass."""

from __future__ import annotations

import random
from typing import Any

import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.language.frontend import helper
from verify.concurrency.language.protocol import (
    Array,
    Bool,
    Bounded,
    Claim,
    Description,
    DomainOverflow,
    Enum,
    Parameter,
    ProtocolError,
    Shared,
    Thread,
    ThreadId,
    implies,
    leads_to,
    threads,
)
from verify.concurrency.results.exploration import Refuted

K = Parameter("K", 2)
ENGINES = ["python", "numpy", "c", "bdd"]


def description(**local: Any) -> Description:
    return Description(
        "small",
        "a question",
        shared={"turn": ThreadId(), "count": Bounded(0, 3), "cells": Array(K, Bounded(0, 2))},
        local={"pc": Enum("idle", "busy"), "flag": Bool(), **local},
    )


def test_unbounded_variable_is_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="variable n is unbounded"):
        Description("p", "q", shared={"n": int}, local={})  # type: ignore[dict-item]
    with pytest.raises(ProtocolError, match="unbounded"):
        Bounded(0, None)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="unbounded"):
        Array(2, list)  # type: ignore[arg-type]


def test_undeclared_variable_is_named() -> None:
    p = description()
    with pytest.raises(ProtocolError, match=r"step f: undeclared name t\.colour"):

        @p.step()
        def f(s: Shared, t: Thread) -> None:
            if t.pc == "idle":
                t.colour = 1


def test_undeclared_label_is_named() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="undeclared name 'asleep'"):

        @p.step()
        def f(s: Shared, t: Thread) -> None:
            if t.pc == "asleep":
                t.flag = True


def test_undeclared_module_name_is_named() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="undeclared name missing"):

        @p.step()
        def f(s: Shared) -> None:
            if s.count < missing:  # type: ignore[name-defined] # noqa: F821
                s.count = 0


def test_non_deterministic_effect_is_refused() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="non-deterministic"):

        @p.step()
        def f(s: Shared, t: Thread) -> None:
            if t.pc == "idle":
                s.count = random.randint(0, 3)


def test_iteration_over_an_unordered_set_is_refused() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="loops and quantifiers"):

        @p.step()
        def f(s: Shared) -> None:
            if s.count == 0:
                for value in (1, 2):
                    s.count = value


def test_types_are_not_mixed() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="expected int, got bool"):

        @p.step()
        def f(s: Shared, t: Thread) -> None:
            if t.pc == "idle":
                s.count = t.flag


def test_order_of_threads_cannot_be_asked() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="needs integers"):

        @p.step()
        def f(s: Shared, t: Thread, u: Thread) -> None:
            if t < u:
                s.turn = t


def test_unknown_parameter_variant_and_expectation_are_refused() -> None:
    p = description()
    with pytest.raises(ProtocolError, match="no parameter"):
        p.protocol().with_parameters(Z=1)
    with pytest.raises(ProtocolError, match="no variant"):
        p.protocol().with_variant("none")
    with pytest.raises(ProtocolError, match="drops unknown steps"):
        p.variant("v", "q", drop=["nothing"])
    p.variant("w", "q", expected={"nothing": "refuted"})
    with pytest.raises(ProtocolError, match="names nothing"):
        p.protocol().with_variant("w")


def test_variables_of_a_variant_are_its_own() -> None:
    p = description()

    @p.step()
    def count(s: Shared, t: Thread) -> None:
        if t.pc == "idle":
            s.count = 0

    v = p.variant("v", "q", shared={"extra": Bounded(0, 1)}, local={"mine": Bool()})

    @v.step(replaces="count")
    def count_twice(s: Shared, t: Thread) -> None:
        if t.pc == "idle" and not t.mine:
            s.extra = 1
            t.mine = True

    with pytest.raises(ProtocolError, match=r"undeclared name t\.mine"):

        @p.step()
        def g(s: Shared, t: Thread) -> None:
            if t.mine:
                s.count = 0

    with pytest.raises(ProtocolError, match="is one of the protocol's"):
        p.variant("w", "q", local={"count": Bool()})
    base = p.protocol()
    own = {name for name, _ in (*base.with_variant("v").shared, *base.with_variant("v").local)}
    assert own - {name for name, _ in (*base.shared, *base.local)} == {"extra", "mine"}
    assert explore(base.with_variant("v"), 2).states == 4
    assert explore(base, 2).states == 1


def test_table_of_variants_turns_flags() -> None:
    p = description()
    on, off = Parameter("ON", True), Parameter("OFF", False)

    @p.step()
    def f(s: Shared, t: Thread) -> None:
        if t.pc == "idle" and (on or off):
            s.count = 0

    @p.always
    def counted(s: Shared) -> Claim:
        return s.count == 0

    p.known_wrong(("both", "q", [on, off], "counted", "a source"), ("one", "r", [off], ""), threads=2)
    both, one = p.protocol().variants
    assert both.constants == (("ON", False), ("OFF", True))
    assert (both.expected, both.threads, both.source) == ((("counted", "refuted"),), 2, "a source")
    assert (one.constants, one.expected, one.source) == ((("OFF", True),), (), "")


def test_what_a_variant_does_not_ask_must_exist() -> None:
    p = description()

    @p.terminal
    def rest(s: Shared) -> Claim:
        return s.count == 0

    with pytest.raises(ProtocolError, match=r"does not ask unknown properties \['nothing'\]"):
        p.variant("v", "q", skipped=["nothing"])
    with pytest.raises(ProtocolError, match="no_deadlock"):
        p.variant("w", "q", skipped=["no_deadlock"])


def test_helper_from_text_is_read_like_any_other() -> None:
    p = description()
    ready = helper("def ready(t):\n    return all(u == t or u.pc == 'idle' for u in threads)\n")

    @p.step()
    def f(s: Shared, t: Thread) -> None:
        if ready(t):
            s.count = 0

    (step,) = p.protocol().steps
    assert type(step.guard).__name__ == "Quantified"
    with pytest.raises(ProtocolError, match=r"undeclared name t\.nothing"):
        wrong = helper("def wrong(t):\n    return t.nothing\n")

        @p.step()
        def h(s: Shared, t: Thread) -> None:
            if wrong(t):
                s.count = 0


@pytest.mark.parametrize("engine", ENGINES)
def test_domain_overflow_names_variable_step_and_value(engine: str) -> None:
    p = description()

    @p.step()
    def bump(s: Shared, t: Thread) -> None:
        if t.pc == "idle":
            s.count += 1

    with pytest.raises(DomainOverflow) as caught:
        explore(p.protocol(), 2, engine)
    assert (caught.value.step, caught.value.variable, caught.value.value) == ("bump", "count", 4)


@pytest.mark.parametrize("engine", ENGINES)
def test_write_outside_an_array_is_an_overflow(engine: str) -> None:
    p = description()

    @p.step()
    def put(s: Shared) -> None:
        if s.count < 3:
            s.cells[s.count] = 1
            s.count += 1

    with pytest.raises(DomainOverflow, match="step put assigns 2 to index of cells"):
        explore(p.protocol(), 1, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_overflow_in_an_unreachable_state_is_none(engine: str) -> None:
    p = description()

    @p.step()
    def bump(s: Shared) -> None:
        if s.turn is not None:
            s.count += 4

    assert explore(p.protocol(), 2, engine).complete


@pytest.mark.parametrize("engine", ENGINES)
def test_premise_that_is_never_reached_is_vacuous(engine: str) -> None:
    p = description()

    @p.step()
    def toggle(s: Shared, t: Thread) -> None:
        if t.pc == "idle":
            t.flag = not t.flag

    @p.always
    def never_busy(s: Shared, t: Thread) -> Claim:
        return implies(t.pc == "busy", t.flag)

    @p.eventually
    def from_busy(s: Shared, t: Thread) -> Claim:
        return leads_to(t.pc == "busy", t.flag)

    @p.sometimes
    def busy(s: Shared, t: Thread) -> Claim:
        return t.pc == "busy"

    found = explore(p.protocol(), 2, engine)
    assert [found.verdict(name).name for name in ("never_busy", "from_busy", "busy")] == [
        "vacuous",
        "vacuous",
        "refuted",
    ]
    assert not found.decided


@pytest.mark.parametrize("engine", ENGINES)
def test_effects_run_in_order_and_see_earlier_assignments(engine: str) -> None:
    p = description()

    @p.step()
    def chain(s: Shared, t: Thread) -> None:
        """Only the order count, then cells, then turn gives these values."""
        if s.count == 0:
            s.count = 2
            s.cells[s.count - 1] = s.count
            if s.cells[1] == 2:
                s.turn = t
            for u in threads:
                u.flag = s.turn == u

    @p.always
    def as_written(s: Shared, t: Thread) -> Claim:
        return implies(s.count == 2, s.cells[1] == 2 and s.turn is not None and t.flag == (s.turn == t))

    @p.terminal
    def once(s: Shared) -> Claim:
        return s.count == 2

    found = explore(p.protocol(), 3, engine)
    assert (found.states, found.transitions) == (4, 3)
    assert found.verdict("as_written").name == "proved"


@pytest.mark.parametrize("engine", ENGINES)
def test_choices_and_pairs_of_threads_are_transitions_of_their_own(engine: str) -> None:
    p = description()

    @p.step(choose={"k": 3})
    def pick(s: Shared, t: Thread, u: Thread, k: int) -> None:
        if s.turn is None and t.pc == "idle" and u.pc == "idle":
            s.turn = u
            s.count = k

    @p.terminal
    def done(s: Shared) -> Claim:
        return s.turn is not None

    # 3 threads: 6 ordered pairs times 3 choices from the one initial state, into 3 turns times 3 counts
    found = explore(p.protocol(), 3, engine)
    assert (found.states, found.transitions) == (10, 18)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_thread_may_start_otherwise_and_any_may_be_the_one(engine: str) -> None:
    p = description(role=Enum("rest", "leader", first="leader"))

    @p.step()
    def stay(s: Shared, t: Thread) -> None:
        if t.role == "leader":
            t.pc = "busy"

    @p.always
    def one_leader(s: Shared) -> Claim:
        return sum(t.role == "leader" for t in threads) == 1

    found = explore(p.protocol(), 3, engine)
    assert (found.states, found.transitions) == (6, 6)
    assert found.verdict("one_leader").name == "proved"


@pytest.mark.parametrize("engine", ENGINES)
def test_deadlock_is_found_and_terminal_states_are_none(engine: str) -> None:
    p = description()

    @p.step()
    def finish(s: Shared, t: Thread) -> None:
        if t.pc == "idle" and (s.turn is None or s.count == 1):
            s.turn = t
            t.pc = "busy"

    @p.terminal
    def all_busy(s: Shared) -> Claim:
        return all(t.pc == "busy" for t in threads)

    verdict = explore(p.protocol(), 2, engine).verdict("no_deadlock")
    assert isinstance(verdict, Refuted)
    assert verdict.trace is not None
    assert len(verdict.trace.events) == 1
    assert explore(p.protocol(), 1, engine).verdict("no_deadlock").name == "proved"


def helper_is_free(s: Shared) -> bool:
    return s.turn is None  # type: ignore[no-any-return]


def helper_take(s: Shared, t: Thread, count: int) -> None:
    s.turn = t
    s.count = count


def test_helpers_are_expanded_with_their_arguments() -> None:
    p = description()

    @p.step()
    def take(s: Shared, t: Thread) -> None:
        if helper_is_free(s) and t.pc == "idle":
            helper_take(s, t, 2)

    @p.always
    def two(s: Shared) -> Claim:
        return implies(not helper_is_free(s), s.count == 2)

    found = explore(p.protocol(), 2)
    assert found.states == 3
    assert found.verdict("two").name == "proved"
