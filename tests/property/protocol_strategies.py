"""Random protocols: per-thread variables, a pool of slots, shared arrays, quantifiers over threads, choices, fairness.

Every assignment stays in its domain; a strategy is made once, since making one takes longer than drawing from it. No
tests.
"""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from verify.concurrency.language.domains import INT, THREAD, Array, Bool, Bounded, Domain, Enum, Parameter, ThreadId
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    FALSE,
    NO_THREAD,
    TRUE,
    AllThreads,
    Assign,
    Bound,
    Cell,
    Const,
    Find,
    For,
    If,
    Let,
    Op,
    PropertyTerm,
    Quantified,
    Range,
    Statement,
    StepTerm,
    Term,
)

LABELS = ("a", "b", "c")
K = Parameter("K", 2)
SHARED: tuple[tuple[str, Domain], ...] = (
    ("owner", ThreadId()),
    ("slot", Array(2, ThreadId())),
    ("level", Array(K, Bounded(0, 2))),
    ("n", Bounded(-1, 2, initial=0)),
    ("mode", Enum(*LABELS)),
)
LOCAL: tuple[tuple[str, Domain], ...] = (
    ("pc", Enum(*LABELS)),
    ("flag", Bool()),
    ("m", Bounded(0, 2)),
    ("place", Bounded(0, 1, first=1)),
)
EVERY_SLOT = Range(Const(0, INT), Const(2, INT))


def cell(name: str, thread: str | None = None, index: Term | None = None) -> Cell:
    """A variable."""
    domain = dict(SHARED if thread is None else LOCAL)[name]
    return Cell(name, domain.type, thread, index)


def at(thread: str, label: int) -> Term:
    """Whether a thread's pc is at a label."""
    return Op("==", (cell("pc", thread), Const(label, LABELS)))


def bounded(value: Term, low: int, high: int) -> Term:
    """A value brought into its domain, so that no step overflows."""
    small = Op("ite", (Op("<", (value, Const(low, INT))), Const(low, INT), value), INT)
    return Op("ite", (Op("<", (Const(high, INT), small)), Const(high, INT), small), INT)


@cache
def integers(thread: str, k: Term) -> st.SearchStrategy[Term]:
    """Numbers that a thread sees; `k` is a choice or a number."""
    mine = [cell("n"), cell("m", thread), cell("place", thread), k, *(Const(value, INT) for value in (0, 1, 2))]
    finds = [Find(Cell("slot", THREAD), NO_THREAD), Find(Cell("slot", THREAD), Bound(thread, THREAD))]
    levels = [cell("level", None, cell("place", thread)), cell("level", None, k)]
    counts = st.integers(0, 2).map(lambda i: Quantified("sum", "v", AllThreads(), Op("ite", (
        at("v", i), Const(1, INT), Const(0, INT)), INT), INT))  # fmt: skip
    sums = st.sampled_from([Op("-", (cell("n"), cell("m", thread)), INT), Op("+", (cell("m", thread), k), INT)])
    return st.one_of(st.sampled_from([*mine, *finds, *levels]), counts, sums)


@cache
def truths(thread: str, k: Term) -> st.SearchStrategy[Term]:
    """Conditions of a thread: its own variables, shared ones, all and any over threads and over slots."""
    numbers = integers(thread, k)
    label = st.integers(0, 2)
    order = st.builds(lambda a, b, op: Op(op, (a, b)), numbers, numbers, st.sampled_from(["<", "<=", "==", "!="]))
    owned = st.sampled_from([NO_THREAD, Bound(thread, THREAD)]).map(lambda x: Op("==", (cell("owner"), x)))
    chosen = numbers.map(lambda i: Op("==", (cell("slot", None, i), Bound(thread, THREAD))))
    others = st.builds(
        lambda kind, i, j: Quantified(kind, "v", AllThreads(), Op("or", (
            at("v", i), Op("and", (cell("flag", "v"), Op("!=", (cell("place", "v"), Const(j, INT)))))))),
        st.sampled_from(["all", "any"]), label, st.integers(0, 1),
    )  # fmt: skip
    slots = st.builds(
        lambda kind, x: Quantified(kind, "q", EVERY_SLOT, Op("!=", (cell("slot", None, Bound("q", INT)), x))),
        st.sampled_from(["all", "any"]), st.sampled_from([NO_THREAD, Bound(thread, THREAD), cell("owner")]),
    )  # fmt: skip
    places = label.map(lambda i: at(thread, i))
    modes = label.map(lambda i: Op("==", (cell("mode"), Const(i, LABELS))))
    base = st.one_of(places, modes, order, owned, chosen, others, slots, st.just(cell("flag", thread)))
    return st.recursive(
        base,
        lambda inner: st.one_of(
            st.builds(lambda a, b, op: Op(op, (a, b)), inner, inner, st.sampled_from(["and", "or"])),
            inner.map(lambda a: Op("not", (a,))),
        ),
        max_leaves=3,
    )


@cache
def assignments(thread: str, k: Term) -> st.SearchStrategy[Statement]:
    """One assignment, to every variable in turn."""
    label = st.integers(0, 2).map(lambda i: Const(i, LABELS))
    who = st.sampled_from([NO_THREAD, Bound(thread, THREAD), cell("owner"), cell("slot", None, k)])
    numbers = integers(thread, k)
    return st.one_of(
        label.map(lambda v: Assign(cell("mode"), v)),
        truths(thread, k).map(lambda v: Assign(cell("flag", thread), v)),
        numbers.map(lambda v: Assign(cell("n"), bounded(v, -1, 2))),
        numbers.map(lambda v: Assign(cell("m", thread), bounded(v, 0, 2))),
        numbers.map(lambda v: Assign(cell("place", thread), bounded(v, 0, 1))),
        who.map(lambda v: Assign(cell("owner"), v)),
        st.builds(lambda i, v: Assign(cell("slot", None, bounded(i, 0, 1)), v), numbers, who),
        st.builds(lambda i, v: Assign(cell("level", None, bounded(i, 0, 1)), bounded(v, 0, 2)), numbers, numbers),
    )


@cache
def effects(thread: str, k: Term) -> st.SearchStrategy[Statement]:
    """One statement: an assignment, a branch, or a loop over all threads."""
    plain = assignments(thread, k)
    return st.one_of(
        plain,
        plain,
        st.builds(lambda c, a, b: If(c, (a,), (b,)), truths(thread, k), plain, plain),
        st.builds(lambda a: For("w", AllThreads(), (a,)), assignments("w", k)),
    )


@st.composite
def steps(draw: st.DrawFn, number: int) -> StepTerm:
    """A step that is often enabled and that moves its thread on; every third value of pc is left by some step."""
    pair, chooses = draw(st.integers(0, 3)) == 0, draw(st.integers(0, 3)) == 0
    k: Term = Bound("k", INT) if chooses else Const(draw(st.integers(0, 1)), INT)
    guard: Term = at("t", number % 3)
    if draw(st.booleans()):
        guard = Op("and", (guard, Op("or", (draw(truths("t", k)), draw(truths("t", k))))))
    acting = "u" if pair and draw(st.booleans()) else "t"
    lets = (Let("x", draw(integers("t", k))),) if draw(st.booleans()) else ()
    body = draw(st.lists(effects(acting, k), min_size=1, max_size=3))
    if lets:
        body.append(Assign(cell("m", "t"), bounded(Bound("x", INT), 0, 2)))
    body.append(Assign(cell("pc", "t"), Const(draw(st.integers(0, 2)), LABELS)))
    fair = draw(st.sampled_from(["weak", "strong", None]))
    threads = ("t", "u") if pair else ("t",)
    choices = (("k", EVERY_SLOT),) if chooses else ()
    return StepTerm(f"s{number}", "thread", threads, choices, lets, guard, tuple(body), fair)


def waiting(fair: str) -> tuple[StepTerm, ...]:
    """A step that is enabled again and again, never for long: where weak and strong fairness differ."""
    first, second = Const(0, LABELS), Const(1, LABELS)
    other = Op("ite", (Op("==", (cell("mode"), first)), second, first), LABELS)
    tick = StepTerm("tick", "clock", (), (), (), TRUE, (Assign(cell("mode"), other),), "weak")
    guard = Op("and", (at("t", 0), Op("==", (cell("mode"), first))))
    return tick, StepTerm("wait", "thread", ("t",), (), (), guard, (Assign(cell("pc", "t"), second),), fair)


@st.composite
def protocols(draw: st.DrawFn) -> Protocol:
    """Three to six steps, with properties of every kind."""
    one = Const(0, INT)
    claims = truths("t", one)
    both = Op("or", (draw(truths("t", one)), draw(truths("u", one))))
    properties = (
        PropertyTerm("safe", "always", ("t",), draw(claims), draw(claims)),
        PropertyTerm("apart", "always", ("t", "u"), TRUE, both),
        PropertyTerm("goal", "sometimes", ("t",), TRUE, draw(claims)),
        PropertyTerm("later", "eventually", ("t",), draw(claims), draw(claims)),
        PropertyTerm("on", "eventually", ("t",), at("t", 0), at("t", 1)),
        PropertyTerm("no_deadlock", "deadlock", (), TRUE, FALSE),
    )
    ticking = draw(st.booleans())
    chosen = waiting(draw(st.sampled_from(["weak", "strong"]))) if ticking else ()
    first, last = (1, draw(st.integers(2, 3))) if ticking else (0, draw(st.integers(3, 6)))
    chosen += tuple(draw(steps(number)) for number in range(first, last))
    return Protocol("random", "none", SHARED, LOCAL, (("K", 2),), chosen, properties)
