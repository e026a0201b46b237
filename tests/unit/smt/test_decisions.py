"""Decisions: proved, refuted with a state that replays, undecided where that is all that can be said."""

from dataclasses import replace
from functools import reduce

import pytest

from verify.claim.obligation import Obligation
from verify.claim.verdicts import Decision, Verdict, Witness, worst
from verify.models.x86.machine import NO_FAULT
from verify.report.ledgers import DecisionRow
from verify.report.records import rows_of
from verify.smt import decisions as module
from verify.smt.canonical import canonical
from verify.smt.decisions import InMemory, decide, is_proved, query
from verify.smt.z3terms import Answer, satisfiable
from verify.survey.ledger import decision_of, decision_text
from verify.terms import (
    FALSE,
    GPRS,
    MEMORY,
    TRUE,
    Term,
    add,
    and_,
    const,
    eq,
    load,
    mul,
    not_,
    select,
    sub,
    uf,
    ult,
    var,
    write,
    xor,
)  # fmt: skip
from verify.terms.evaluation import Memory

X, Y = var("x", 64), var("y", 64)


def obligation(goal: Term, *premises: Term) -> Obligation:
    return Obligation("gprs", goal, premises)


def decision(goal: Term, *premises: Term) -> Decision:
    return decide(obligation(goal, *premises), InMemory())


def test_an_identity_that_is_no_rewrite_rule_is_proved_by_the_solver():
    square = mul(add(X, Y), sub(X, Y))
    small = (ult(X, const(16, 64)), ult(Y, const(16, 64)))
    assert decision(eq(and_(square, const(1, 64)), and_(add(X, Y), const(1, 64))), *small).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    "goal",
    [
        eq(X, Y), ult(X, const(1 << 63, 64)), not_(eq(mul(X, X), const(0x24, 64))),
        eq(load(var("m", MEMORY), X, 4), const(0, 32)),
        eq(load(write(var("m", MEMORY), X, const(1, 8)), Y, 1), load(var("m", MEMORY), Y, 1)),
        eq(select(var("g", GPRS), const(3, 4)), select(var("g", GPRS), const(4, 4))),
        eq(uf("OPCODE.out", 32, X), uf("OPCODE.out", 32, Y)),
        not_(eq(X, const(0x123456789ABCDEF0, 64))),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_refuted_by_a_state_that_replays(goal):
    asked = obligation(goal, not_(eq(Y, const(77, 64))))
    found = decide(asked, InMemory())
    assert found.verdict is Verdict.REFUTED
    assert found.witness is not None
    assert query(canonical(asked.roots)).holds(found.witness)


def test_a_witness_that_does_not_break_the_goal_does_not_replay():
    asked = query(canonical(obligation(not_(eq(X, const(5, 64)))).roots))
    assert asked.holds(Witness((("v0", 5),)))
    assert not asked.holds(Witness((("v0", 6),)))


def test_premises_restrict_the_counterexamples():
    assert decision(ult(X, const(10, 64)), ult(X, const(9, 64))).verdict is Verdict.PROVED
    assert decision(ult(X, const(10, 64)), ult(X, const(11, 64))).verdict is Verdict.REFUTED


def test_a_counterexample_is_as_small_as_its_order_says():
    found = decision(not_(eq(and_(X, const(0xF0, 64)), const(0x50, 64))))
    assert found.witness is not None
    assert dict(found.witness.values) == {"v0": 0x50}


def test_a_solver_that_gives_up_leaves_it_unknown(monkeypatch):
    monkeypatch.setattr(module, "satisfiable", lambda _: Answer("unknown", reason="resource limit"))
    found = decision(not_(eq(X, const(0x123456789, 64))))
    assert found.verdict is Verdict.UNKNOWN
    assert "resource limit" in found.reason


def test_the_resource_limit_gives_unknown_and_not_a_verdict():
    hard = eq(mul(mul(X, X), X), add(mul(mul(Y, Y), Y), const(0x1234567, 64)))
    assert satisfiable((hard, not_(eq(X, Y))), limit=1000).status == "unknown"


def test_a_counterexample_that_does_not_replay_is_no_refutation(monkeypatch):
    monkeypatch.setattr(module, "replayed", lambda *_, **__: None)
    monkeypatch.setattr(module, "_shown", lambda *_: None)
    monkeypatch.setattr(module, "choosy", lambda _: iter(()))
    monkeypatch.setattr(module, "_shown_by_answers", lambda *_: None)
    found = decision(not_(eq(X, const(0x123456789, 64))))
    assert found.verdict is Verdict.UNKNOWN
    assert "does not replay" in found.reason


def test_what_the_solver_chooses_of_datapaths_and_segments_is_replayed():
    """Measured on EVEX_VPSUBSB_YMM_K1Z_YMM_YMMM256/mem and on jmp far [rip+0] with REX.B and a base prefix."""
    mask = uf("VPSUBSB.reads", 1, const(0xFFFFFFFF, 64))
    far = [uf("code_selector.is_32_bit", 1, load(var("m", MEMORY), address, 2)) for address in (X, Y)]
    chosen = [eq(uf(f"VPSUBSB.bit{i}", 1, const(i, 64)), const(1, 1)) for i in range(6)]
    for goal in (not_(and_(mask, eq(X, const(0x123456789, 64)))), eq(*far), not_(conjunction(chosen))):
        asked = obligation(goal)
        found = decide(asked, InMemory())
        assert found.verdict is Verdict.REFUTED, found.reason
        assert query(canonical(asked.roots)).holds(found.witness)


def test_what_no_seed_meets_is_the_solvers_own_answer():
    """As of call far [rbx] with the breakpoint in its selector: 16 bits of other memory must be one number."""
    there = uf("probed_memory", MEMORY, var("m", MEMORY))
    read = uf("D.value", 16, load(there, X, 2))
    words = [uf(name, 32, read, Y) for name in ("D.low", "D.high")]
    goal = not_(and_(eq(words[0], const(0x1234567, 32)), eq(xor(*words), const(0x7654321, 32))))
    asked = obligation(goal)
    found = decide(asked, InMemory())
    assert found.verdict is Verdict.REFUTED, found.reason
    stored = decision_of(rows_of([decision_text(found)], DecisionRow)[0]).witness
    assert stored == found.witness
    assert query(canonical(asked.roots)).holds(stored)
    assert not query(canonical(asked.roots)).holds(replace(stored, answers=()))


@pytest.mark.parametrize(("first", "answer"), [
    (0xFFFFFFFFFFFFFFFF, "sat"), (0x7FFFFFFFFFF8, "sat"), (0x7FFFFFFFFFFC, "unsat"), (0xFFFF7FFFFFFFFFFC, "unsat"),
])  # fmt: skip
def test_accesses_that_leave_the_canonical_addresses_fault_in_what_is_shown(first, answer):
    """One that wraps round the end of the addresses has canonical ends."""
    how = (const(first, 64), const(8, 16), const(0, 1), const(0, 1))
    made = eq(uf("access_fault", 8, *how), const(NO_FAULT, 8))
    assert satisfiable((made,)).status == "sat"
    assert satisfiable((made, *module.canonical_accesses((made,)))).status == answer


def conjunction(terms: list[Term]) -> Term:
    return reduce(and_, terms)


def test_the_meaning_of_a_typical_variable_is_part_of_the_text():
    """Where a witness says nothing, origin and slot are typical addresses and other variables are 0."""
    other, origin = (canonical((ult(var(name, 64), const(7, 64)),)) for name in ("opaque", "origin"))
    assert other.digest != origin.digest
    assert query(other).holds(Witness(())) and not query(origin).holds(Witness(()))


def test_an_answer_does_not_depend_on_what_was_asked_before():
    """One context for all queries did: its terms are ordered by when they were made."""
    names = ("p", "q", "r", "s")

    def asked(*order: str) -> Term:
        p, q, r, s = (var(name, 32) for name in names)
        made = {name: mul(a, b) for name, (a, b) in zip(order, ((p, q), (q, r), (r, s), (s, p)), strict=True)}
        return eq(add(*[made[n] for n in order[:2]]), const(77, 32))

    first = satisfiable((asked(*names),))
    for i in range(20):
        satisfiable((eq(mul(var(f"x{i}", 32), var("s", 32)), add(var("q", 32), var("p", 32))),))
    assert satisfiable((asked(*names),)) == first


def test_equal_texts_are_decided_once(monkeypatch):
    kept = InMemory()
    first = decide(obligation(eq(mul(X, Y), const(3, 64))), kept)
    monkeypatch.setattr(module, "_solved", lambda _: pytest.fail("asked again"))
    a, b = var("a", 64), var("b", 64)
    assert decide(obligation(eq(mul(a, b), const(3, 64))), kept) == first
    assert len(kept.known) == 1


def test_other_texts_are_not_shared():
    texts = [eq(X, const(3, 64)), eq(X, const(4, 64)), eq(var("x", 32), const(3, 32)), ult(X, const(3, 64)), eq(X, Y)]
    assert len({canonical((t,)).digest for t in texts}) == len(texts)


def test_two_uses_of_one_variable_are_not_two_variables():
    assert canonical((eq(mul(X, X), const(9, 64)),)).text != canonical((eq(mul(X, Y), const(9, 64)),)).text


def test_datapaths_are_renamed_and_environment_functions_are_not():
    assert canonical((uf("A.out", 1, X),)).text == canonical((uf("B.out", 1, X),)).text
    assert canonical((uf("access_fault", 1, X),)).text != canonical((uf("fetch_fault", 1, X),)).text


def test_worst_is_the_conjunction():
    proved, refuted, unknown, vacuous = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN, Verdict.VACUOUS
    assert worst([proved, unknown, refuted]) is refuted
    assert worst([proved, unknown, vacuous]) is unknown
    assert worst([proved, vacuous]) is vacuous
    assert worst([proved, Verdict.REFUSED]) is proved
    assert worst([Verdict.REFUSED]) is Verdict.REFUSED
    assert worst([]) is vacuous  # nothing was asked: neither a success nor a refusal


def test_solver_answers():
    assert satisfiable((FALSE,)).status == "unsat"
    answer = satisfiable((eq(xor(X, const(-1, 64)), const(1, 64)),))
    assert answer.status == "sat" and answer.model is not None
    assert answer.model.values["x"] == (1 << 64) - 2
    assert satisfiable((TRUE,)).status == "sat"


def test_memory_of_a_witness_is_used():
    wanted = not_(eq(load(var("m", MEMORY), const(0x1000, 64), 2), const(0xBEEF, 16)))
    asked = query(canonical(obligation(wanted).roots))
    assert asked.holds(Witness((), (), 0, ((0x1000, 2, 0xBEEF),)))
    assert not asked.holds(Witness((), (), 0, ((0x1000, 2, 0xBEEE),)))
    assert Memory().load(0x1000, 2) == 0


@pytest.mark.parametrize(
    "goal",
    [
        eq(X, X), eq(X, Y), not_(eq(X, const(0x123456789ABCDEF0, 64))), ult(X, const(1 << 63, 64)),
        eq(and_(mul(add(X, Y), sub(X, Y)), const(1, 64)), and_(add(X, Y), const(1, 64))),
    ],
)  # fmt: skip
def test_proved_alone_is_what_the_decision_says(goal: Term) -> None:
    known: dict[str, bool] = {}
    for _ in range(2):
        assert is_proved(obligation(goal), known) == (decision(goal).verdict is Verdict.PROVED)
    assert len(known) == (goal.value is None)
