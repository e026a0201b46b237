"""Nothing of a protocol is dropped or bent in silence: steps, choices, fairness, wide values, properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.language.domains import ANY
from verify.concurrency.language.protocol import (
    Array,
    Assumption,
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    Parameter,
    Protocol,
    ProtocolError,
    Shared,
    Thread,
    leads_to,
    threads,
)
from verify.concurrency.protocols import protocol
from verify.concurrency.unbounded import prove_any

K = Parameter("K", 2)
PLAIN = ["python", "numpy", "bdd"]


def description() -> Description:
    return Description("small", "a question", shared={"n": Bounded(0, 3)}, local={"pc": Enum("a", "b")})


# --- steps and choices ----------------------------------------------------------------------------------------------
def go(s: Shared, t: Thread) -> None:
    t.pc = "b"


def test_a_decorator_without_parentheses_is_an_error() -> None:
    p = description()
    with pytest.raises(ProtocolError, match=r"step go: the decorator needs parentheses"):
        p.step(go)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=r"step go: the decorator needs parentheses"):
        p.variant("v", "q").step(go)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=r"a precondition is of a step of the protocol, got go"):
        p.precondition(go)


def test_a_choice_without_values_is_an_error() -> None:
    def pick(s: Shared, k: int) -> None:
        s.n = k

    with pytest.raises(ProtocolError, match=r"choice k has no values: expected 1 or more, got 0"):
        description().step(choose={"k": 0})(pick)
    p = description()
    p.step(choose={"k": K})(pick)
    with pytest.raises(ProtocolError, match=r"step pick: choice k has no values: expected 1 or more, got 0"):
        explore(p.protocol().with_parameters(K=0), 1)
    p = description()
    p.step(choose={"k": K - 1})(pick)
    assert explore(p.protocol(), 1, "python").transitions == 1  # one value, which leaves the one state as it is


@pytest.mark.parametrize("engine", [*PLAIN, "c"])
def test_a_step_that_no_state_takes_is_told(engine: str) -> None:
    p = description()
    p.step()(go)

    @p.step()
    def never(s: Shared, t: Thread) -> None:
        if s.n > 0:
            t.pc = "b"

    @p.step()
    def of_three(s: Shared, t: Thread, u: Thread, v: Thread) -> None:
        t.pc = "b"

    assert explore(p.protocol(), 2, engine).never == ("never", "of_three")


# --- fairness of choices --------------------------------------------------------------------------------------------
def two_lamps(**fair: object) -> Protocol:
    """Somebody lights one lamp or the other, again and again, and puts out neither."""
    p = Description("lamps", "q", shared={"lit": Array(2, Bool()), "last": Bounded(0, 1)}, local={"pc": Enum("a")})

    @p.step(actor="hand", choose={"k": 2}, **fair)  # type: ignore[arg-type]
    def light(s: Shared, k: int) -> None:
        s.lit[k] = True
        s.last = k

    @p.eventually
    def second_is_lit(s: Shared) -> Claim:
        return leads_to(not s.lit[1], s.lit[1])

    return p.protocol()


@pytest.mark.parametrize("engine", PLAIN)
def test_choices_are_fair_each_by_itself_unless_declared(engine: str) -> None:
    # lighting lamp 1 is enabled all the time; only where all choices are one fair step may it wait for ever
    verdicts = [explore(two_lamps(**fair), 1, engine).verdict("second_is_lit").name for fair in (
        {}, {"fair_over": ("k",)}, {"fair_over": ()}, {"fair": "strong", "fair_over": ()}, {"fair": None})]  # fmt: skip
    assert verdicts == ["proved", "proved", "refuted", "refuted", "refuted"]
    with pytest.raises(ProtocolError, match=r"fair_over names no thread or choice of the step: 'j'"):
        two_lamps(fair_over=("j",))


# --- wide values -----------------------------------------------------------------------------------------------------
def square(most: int, bound: int) -> Protocol:
    p = Description("square", "q", shared={"n": Bounded(0, most)}, local={"pc": Enum("a")})

    @p.step(actor="clock")
    def rise(s: Shared) -> None:
        if s.n == 0:
            s.n = most

    @p.sometimes
    def large(s: Shared) -> Claim:
        return s.n * s.n > bound

    return p.protocol()


@pytest.mark.parametrize("engine", ["python", "numpy", "c"])
def test_products_beyond_32_bits_do_not_wrap(engine: str) -> None:
    # 65536^2 = 2^32, which is 0 in 32 bits; (2^30)^2 = 2^60
    assert explore(square(1 << 16, 5), 1, engine).verdict("large").name == "proved"
    assert explore(square(1 << 30, (1 << 60) - 1), 1, engine).verdict("large").name == "proved"


def test_a_value_that_fits_no_word_is_an_error_with_its_bits() -> None:
    with pytest.raises(ProtocolError, match=r":\d+: property large: a value of 0\.\.\d+ needs 68 bits"):
        explore(square(1 << 33, 5), 1)
    with pytest.raises(ProtocolError, match=r"variable n: a value of"):
        explore(square(1 << 70, 5), 1)


# --- properties of more threads than there are, and of all of them ---------------------------------------------------
@pytest.mark.parametrize("engine", PLAIN)
def test_a_property_of_two_threads_says_nothing_of_one(engine: str) -> None:
    p = description()
    p.step()(go)

    @p.always
    def both(s: Shared, t: Thread, u: Thread) -> Claim:
        return t.pc == "a" or u.pc == "a" or s.n == 0

    @p.sometimes
    def apart(s: Shared, t: Thread, u: Thread) -> Claim:
        return t.pc != u.pc

    @p.eventually
    def follows(s: Shared, t: Thread, u: Thread) -> Claim:
        return leads_to(t.pc == "b", u.pc == "b")

    one, two = (explore(p.protocol(), threads, engine) for threads in (1, 2))
    names = ("both", "apart", "follows")
    assert [one.verdict(name).name for name in names] == ["vacuous"] * 3
    assert [two.verdict(name).name for name in names] == ["proved"] * 3


def test_a_terminal_state_is_of_all_threads() -> None:
    p = description()
    with pytest.raises(ProtocolError, match=r"test_language_silence\.py:\d+: property no_deadlock: is of all threads"):

        @p.terminal
        def done(s: Shared, t: Thread) -> Claim:
            return t.pc == "b"

    with pytest.raises(ProtocolError, match=r"property later: must return leads_to"):

        @p.eventually
        def later(s: Shared, t: Thread) -> Claim:
            return t.pc == "b"


# --- domains for any number ------------------------------------------------------------------------------------------
def counting(most: int, cyclic: bool = False) -> Protocol:
    p = Description("counting", "q", shared={"n": Bounded(0, most)}, local={"pc": Enum("a", "b")})

    @p.step()
    def count(s: Shared, t: Thread) -> None:
        if t.pc == "a":
            s.n += 1
            t.pc = "b"

    @p.step()
    def leave(s: Shared, t: Thread) -> None:
        if cyclic and t.pc == "b":
            s.n -= 1
            t.pc = "a"

    @p.terminal
    def done(s: Shared) -> Claim:
        return all(t.pc == "b" for t in threads)

    return p.protocol()


def test_a_counter_that_overflows_with_one_thread_more_is_told() -> None:
    verdict = prove_any(counting(3)).verdict("values_in_domain")
    assert (verdict.name, verdict.reason) == ("refuted", "with 4 threads: step count assigns 4 to n")
    beyond = prove_any(counting(9)).verdict("values_in_domain")
    assert (beyond.name, "count assigns n" in beyond.reason) == ("unknown", True)
    assert prove_any(protocol("inline-step")).verdict("values_in_domain").name == "proved"


# --- assumptions ------------------------------------------------------------------------------------------------------
def test_assumptions_are_those_that_hold_for_the_variant() -> None:
    for name, variant, lifted in (
        ("xol-step", "no-read-lock", "lookup-lock"), ("inline-step", "others-run", "stop-is-complete"),
        ("return-probe", "alternate-stack", "one-stack"), ("optimised-nop10", "fork-while-patching", "write-lock"),
    ):  # fmt: skip
        base = protocol(name)
        names = [{item.name for item in one.in_force} for one in (base, base.with_variant(variant))]
        assert names[0] - names[1] == {lifted}
    with pytest.raises(ProtocolError, match="lifts unknown assumptions"):
        description().variant("v", "q", lifts=["nothing"])
    with pytest.raises(ProtocolError, match="K is no flag"):
        Assumption("a", "b").under(K)


def test_sizes_are_shown_as_they_are_written() -> None:
    assert (repr(K), repr(K - 1), repr(K + 2)) == ("K", "K - 1", "K + 2")


@pytest.mark.parametrize("domain", [
    lambda: Bounded(0, 3, initial=ANY, first=9), lambda: Enum("a", "b", initial=ANY, first="b"),
    lambda: Bool(initial=ANY, first=True),
])  # fmt: skip
def test_where_one_thread_starts_means_nothing_where_each_is_told(domain: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError, match="means nothing beside initial=ANY"):
        domain()
