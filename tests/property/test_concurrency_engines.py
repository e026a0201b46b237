"""Engines agree on random protocols: counts, depth and everything observed, full and symmetric."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verify.concurrency import diagrams, fair_diagrams, frontier, interpreter, lasso
from verify.concurrency.circuit import evaluate
from verify.concurrency.domains import INT, THREAD, Array, Bool, Bounded, Domain, Enum, Parameter, ThreadId
from verify.concurrency.explored import Limits, Search
from verify.concurrency.ground import Model, ground
from verify.concurrency.language import Protocol
from verify.concurrency.terms import (
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
    Op,
    PropertyTerm,
    Quantified,
    Statement,
    StepTerm,
    Term,
)

LABELS = ("a", "b", "c")
SHARED: tuple[tuple[str, Domain], ...] = (
    ("owner", ThreadId()),
    ("slot", Array(2, ThreadId())),
    ("n", Bounded(-1, 2, initial=0)),
    ("mode", Enum(*LABELS)),
)
LOCAL: tuple[tuple[str, Domain], ...] = (("pc", Enum(*LABELS)), ("flag", Bool()), ("m", Bounded(0, 2)))
K = Parameter("K", 2)
T, U = Bound("t", THREAD), Bound("u", THREAD)


def cell(name: str, thread: str | None = None, index: Term | None = None) -> Cell:
    domain = dict(SHARED if thread is None else LOCAL)[name]
    return Cell(name, domain.type, thread, index)


def integers(thread: str) -> st.SearchStrategy[Term]:
    leaves = st.sampled_from([cell("n"), cell("m", thread), Const(0, INT), Const(1, INT), Const(2, INT)])
    finds = st.sampled_from([Find(Cell("slot", THREAD), NO_THREAD), Find(Cell("slot", THREAD), Bound(thread, THREAD))])
    sums = st.just(Op("-", (cell("n"), cell("m", thread)), INT))
    return st.one_of(leaves, finds, sums)


def truths(thread: str) -> st.SearchStrategy[Term]:
    labels = st.builds(lambda i: Op("==", (cell("pc", thread), Const(i, LABELS))), st.integers(0, 2))
    modes = st.builds(lambda i: Op("==", (cell("mode"), Const(i, LABELS))), st.integers(0, 2))
    order = st.builds(lambda a, b, op: Op(op, (a, b)), integers(thread), integers(thread), st.sampled_from(["<", "=="]))
    owned = st.sampled_from([NO_THREAD, Bound(thread, THREAD)]).map(lambda x: Op("==", (cell("owner"), x)))
    chosen = integers(thread).map(lambda i: Op("==", (cell("slot", None, i), Bound(thread, THREAD))))
    everyone = st.builds(
        lambda kind, i: Quantified(kind, "v", AllThreads(), Op("==", (cell("pc", "v"), Const(i, LABELS)))),
        st.sampled_from(["all", "any"]),
        st.integers(0, 2),
    )
    base = st.one_of(labels, modes, order, owned, chosen, everyone, st.just(cell("flag", thread)))
    return st.recursive(
        base,
        lambda inner: st.one_of(
            st.builds(lambda a, b, op: Op(op, (a, b)), inner, inner, st.sampled_from(["and", "or"])),
            inner.map(lambda a: Op("not", (a,))),
        ),
        max_leaves=3,
    )


def bounded(value: Term, low: int, high: int) -> Term:
    """A value brought into its domain, so that no step overflows."""
    small = Op("ite", (Op("<", (value, Const(low, INT))), Const(low, INT), value), INT)
    return Op("ite", (Op("<", (Const(high, INT), small)), Const(high, INT), small), INT)


def assignments(thread: str) -> st.SearchStrategy[Statement]:
    label = st.integers(0, 2).map(lambda i: Const(i, LABELS))
    who = st.sampled_from([NO_THREAD, Bound(thread, THREAD), cell("owner")])
    return st.one_of(
        label.map(lambda v: Assign(cell("pc", thread), v)),
        label.map(lambda v: Assign(cell("mode"), v)),
        truths(thread).map(lambda v: Assign(cell("flag", thread), v)),
        integers(thread).map(lambda v: Assign(cell("n"), bounded(v, -1, 2))),
        integers(thread).map(lambda v: Assign(cell("m", thread), bounded(v, 0, 2))),
        who.map(lambda v: Assign(cell("owner"), v)),
        st.builds(lambda i, v: Assign(cell("slot", None, bounded(i, 0, 1)), v), integers(thread), who),
    )


def effects(thread: str) -> st.SearchStrategy[Statement]:
    plain = assignments(thread)
    return st.one_of(
        plain,
        st.builds(lambda c, a, b: If(c, (a,), (b,)), truths(thread), plain, plain),
        st.builds(lambda a: For("w", AllThreads(), (a,)), assignments("w")),
    )


@st.composite
def steps(draw: st.DrawFn, number: int) -> StepTerm:
    """A step that is often enabled and that moves its thread on; every third value of pc is left by some step."""
    pair = draw(st.integers(0, 3)) == 0
    guard: Term = Op("==", (cell("pc", "t"), Const(number % 3, LABELS)))
    if draw(st.booleans()):
        guard = Op("and", (guard, Op("or", (draw(truths("t")), draw(truths("t"))))))
    acting = "u" if pair and draw(st.booleans()) else "t"
    body = draw(st.lists(effects(acting), min_size=1, max_size=3))
    body.append(Assign(cell("pc", "t"), Const(draw(st.integers(0, 2)), LABELS)))
    fair = draw(st.sampled_from(["weak", "strong", None]))
    return StepTerm(f"s{number}", "thread", ("t", "u") if pair else ("t",), (), (), guard, tuple(body), fair)


@st.composite
def protocols(draw: st.DrawFn) -> Protocol:
    chosen = tuple(draw(steps(number)) for number in range(draw(st.integers(3, 6))))
    properties = (
        PropertyTerm("safe", "always", ("t",), draw(truths("t")), draw(truths("t"))),
        PropertyTerm("goal", "sometimes", ("t",), TRUE, draw(truths("t"))),
        PropertyTerm("later", "eventually", ("t",), draw(truths("t")), draw(truths("t"))),
        PropertyTerm("no_deadlock", "deadlock", (), TRUE, FALSE),
    )
    return Protocol("random", "none", SHARED, LOCAL, (("K", 2),), chosen, properties)


def summary(found: Search) -> tuple[object, ...]:
    seen = {index: item.depth for index, item in found.seen.items()}
    return found.states, found.transitions, found.depth, seen, found.deadlock and found.deadlock.depth


def plain(model: Model) -> tuple[int, int]:
    """Counts by evaluating circuits node by node: no generated program takes part."""
    visited, frontier, transitions = set(model.initial), list(model.initial), 0
    while frontier:
        cells = model.cells(frontier.pop())
        for one in model.transitions:
            if evaluate(one.guard, cells):
                after = list(cells)
                for number, node in one.updates:
                    after[number] = evaluate(node, cells)
                transitions += 1
                state = model.packed(tuple(after))
                if state not in visited:
                    visited.add(state)
                    frontier.append(state)
    return len(visited), transitions


@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(protocols(), st.integers(2, 3))
def test_engines_agree_on_random_protocols(chosen: Protocol, threads: int) -> None:
    model = ground(chosen, threads)
    full = interpreter.search(model, False, Limits(states=400))
    if not full.complete:
        return
    expected = summary(full)
    assert plain(model) == expected[:2]
    assert summary(frontier.search(model, False)) == expected
    assert summary(frontier.search(model, True)) == expected
    assert summary(interpreter.search(model, True)) == expected
    drawn = diagrams.search(model)
    assert (drawn.states, drawn.transitions) == expected[:2]
    assert set(drawn.seen) == set(full.seen)
    assert (drawn.deadlock is None) == (full.deadlock is None)


@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(protocols(), st.integers(2, 3))
def test_liveness_by_components_and_by_diagrams_agree(chosen: Protocol, threads: int) -> None:
    model = ground(chosen, threads)
    if not interpreter.search(model, True, Limits(states=150)).complete:
        return
    by_components, by_diagrams = lasso.judge(model, Limits()), fair_diagrams.judge(model, Limits())
    assert by_components["later"].name == by_diagrams["later"].name
