"""The theorem on behaviours made by hand: each observable sees its own difference and no other."""

import inspect
from dataclasses import fields, replace

import pytest

from verify.claim import theorem
from verify.claim.theorem import goals
from verify.models.schemes.behaviour import Behaviour
from verify.models.x86.environment import Environment
from verify.models.x86.machine import (
    FLAG_BITS,
    NO_FAULT,
    OBSERVABLES,
    SYSTEM_FLAGS,
    Access,
    ShadowEvent,
    State,
    component_sort,
    symbolic_state,
)
from verify.terms import FALSE, TRUE, const, store, var
from verify.terms.evaluation import Memory, evaluate

STATE = symbolic_state(const(0x401005, 64))
READ = Access("r", const(0x2000, 64), 4, const(7, 32), FALSE, TRUE)


def behaviour(**changes) -> Behaviour:
    same = Behaviour(
        state=replace(STATE, cet=TRUE), accesses=(READ,), shadow=(ShadowEvent("push", const(1, 64)),),
        vector=const(NO_FAULT, 8), error=const(0, 32), reported=const(0, 64), trapno=const(14, 8), fault_state=STATE,
        attempted=(READ,), fault_hits=const(1, 8), trap=FALSE, trap_delayed=False, tf_seen=(), hits=const(1, 8),
        contained=TRUE,
    )  # fmt: skip
    return replace(same, **changes)


ENV = {name: 0 for name in ("tf", *FLAG_BITS)} | {
    "fs_base": 0, "gs_base": 0, "selectors": 0, "mxcsr": 0, "x87": 0, "fip": 0, "fdp": 0, "fop": 0, "opaque": 0,
    "ssp": 0, "cet": 0, "interrupts": 0, "iopl": 0, "gprs": (0,) * 16, "vectors": (0,) * 32, "masks": (0,) * 8,
    "memory": Memory(), "other_memory": Memory(seed=9),
}  # fmt: skip


def broken(here: Behaviour, there: Behaviour, **options) -> set[str]:
    """The observables whose goal evaluates to 0."""
    stated = goals(here, there, **options)
    assert tuple(stated) == OBSERVABLES
    values = evaluate(tuple(stated.values()), ENV, Environment())
    return {name for name, value in zip(stated, values, strict=True) if not value}


def with_state(**changes) -> Behaviour:
    return behaviour(state=replace(STATE, cet=TRUE, **changes))


def one(name: str):
    sort = component_sort(name)
    assert isinstance(sort, int)
    return const(1, sort)


DIFFERENCES = {
    "ip": (with_state(ip=const(0x401006, 64)), {"next-ip"}),
    "register": (with_state(gprs=store(STATE.gprs, const(3, 4), const(9, 64))), {"gprs"}),
    **{name: (with_state(**{name: TRUE}), {"flags"}) for name in FLAG_BITS if name != "tf"},
    **{name: (with_state(**{name: one(name)}), {"flags"}) for name in SYSTEM_FLAGS},
    "tf": (with_state(tf=TRUE), {"trap"}),
    **{name: (with_state(**{name: one(name)}), {"segment-bases"}) for name in ("fs_base", "gs_base", "selectors")},
    **{name: (with_state(**{name: one(name)}), {"x87-pointers"}) for name in ("fip", "fdp", "fop")},
    "vector register": (with_state(vectors=store(STATE.vectors, const(31, 5), const(1, 512))), {"vector"}),
    "mask register": (with_state(masks=store(STATE.masks, const(1, 3), const(1, 64))), {"vector"}),
    "mxcsr": (with_state(mxcsr=one("mxcsr")), {"vector"}),
    "x87": (with_state(x87=one("x87")), {"x87"}),
    "address": (behaviour(accesses=(replace(READ, address=const(0x2001, 64)),)), {"memory-addresses"}),
    "size": (
        behaviour(accesses=(replace(READ, size=2, value=const(7, 16)),)), {"memory-addresses", "memory-values"},
    ),
    "kind": (behaviour(accesses=(replace(READ, kind="w"),)), {"memory-addresses"}),
    "masked": (behaviour(accesses=(replace(READ, condition=FALSE),)), {"memory-addresses"}),
    "value": (behaviour(accesses=(replace(READ, value=const(8, 32)),)), {"memory-values"}),
    "one more access": (behaviour(accesses=(READ, READ)), {"memory-addresses", "memory-values"}),
    "ssp": (with_state(ssp=one("ssp")), {"shadow-stack"}),
    "tokens": (with_state(opaque=one("opaque")), {"vector"}),
    "condition of a shadow entry": (
        behaviour(shadow=(ShadowEvent("push", const(1, 64), FALSE),)), {"shadow-stack"},
    ),
    "shadow entry": (behaviour(shadow=(ShadowEvent("push", const(2, 64)),)), {"shadow-stack"}),
    "no shadow entry": (behaviour(shadow=()), {"shadow-stack"}),
    "fault": (behaviour(vector=const(14, 8)), {"fault"}),
    "trap": (behaviour(trap=TRUE), {"trap"}),
    "tf seen once": (behaviour(tf_seen=(TRUE,)), {"trap"}),
    "hits": (behaviour(hits=const(2, 8)), {"hits"}),
    "containment": (behaviour(contained=FALSE), {"containment"}),
}  # fmt: skip


def test_equal_behaviours_satisfy_every_goal_by_identity():
    assert all(goal is TRUE for goal in goals(behaviour(), behaviour()).values())


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_breaks_its_observable_alone(name):
    there, expected = DIFFERENCES[name]
    assert broken(behaviour(), there) == expected


def test_every_observable_can_be_broken():
    assert set().union(*(expected for _, expected in DIFFERENCES.values())) == set(OBSERVABLES)


FAULT = {"vector": const(14, 8), "error": const(4, 32), "reported": const(0x2000, 64)}


def at_fault(**changes) -> dict[str, object]:
    return {"fault_state": replace(STATE, **changes)}


WRITE = replace(READ, kind="w")
DETAILS = {
    "vector": {"vector": const(13, 8)}, "error code": {"error": const(6, 32)},
    "reported address": {"reported": const(0, 64)}, "trapno": {"trapno": const(0, 8)},
    "ip": at_fault(ip=const(0, 64)), "register": at_fault(gprs=store(STATE.gprs, const(6, 4), const(1, 64))),
    **{name: at_fault(**{name: TRUE}) for name in FLAG_BITS},
    **{name: at_fault(**{name: one(name)}) for name in (
        "fs_base", "gs_base", "selectors", "mxcsr", "x87", "fip", "fdp", "fop", "opaque", "ssp",
        *SYSTEM_FLAGS,
    )},
    "vector register": at_fault(vectors=store(STATE.vectors, const(9, 5), const(1, 512))),
    "mask register": at_fault(masks=store(STATE.masks, const(1, 3), const(1, 64))),
    "memory": at_fault(memory=var("other_memory", component_sort("memory"))),
    "another read": {"attempted": (READ, READ)}, "no read": {"attempted": ()},
    "a store of the scheme": {"attempted": (READ, WRITE)},
    "read elsewhere": {"attempted": (replace(READ, address=const(0x2001, 64)),)},
    "hits": {"fault_hits": const(5, 8)},
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_details_of_a_fault_are_compared(name):
    assert broken(behaviour(**FAULT), behaviour(**FAULT | DETAILS[name])) == {"fault"}


@pytest.mark.parametrize("name", sorted({f.name for f in fields(State)} - {"cet"}))
def test_every_component_is_compared_at_a_fault_and_behind_an_instruction(name, monkeypatch):
    """`cet` is no component that anything changes; what the other ones are at a fault, the handler sees."""
    assert name in {*theorem.DELIVERED, "memory"}
    if name != "memory":
        monkeypatch.setattr(theorem, "DELIVERED", tuple(n for n in theorem.DELIVERED if n != name))
        change = next(v for k, v in DETAILS.items() if k == name or name in _changed(v))
        assert broken(behaviour(**FAULT), behaviour(**FAULT | change)) == set()  # the test above would tell


def _changed(details: dict[str, object]) -> set[str]:
    state = details.get("fault_state", STATE)
    return {f.name for f in fields(State) if getattr(state, f.name) is not getattr(STATE, f.name)}


def test_a_read_that_is_not_made_is_none():
    assert broken(behaviour(**FAULT), behaviour(**FAULT, attempted=(READ, replace(READ, condition=FALSE)))) == set()


def test_the_behaviours_of_the_issue_are_told_apart():
    """Equal page faults; displaced has one store more, other memory, other fs base and selectors, five hits."""
    there = behaviour(
        **FAULT, attempted=(READ, WRITE), fault_hits=const(5, 8), accesses=(READ, WRITE),
        **at_fault(fs_base=one("fs_base"), selectors=one("selectors"), memory=DETAILS["memory"]["fault_state"].memory),
    )  # fmt: skip
    assert broken(behaviour(**FAULT), there) == {"fault"}


def test_final_states_are_compared_where_the_displaced_side_faults():
    there = behaviour(**FAULT, state=replace(STATE, cet=TRUE, ip=const(0x401006, 64)))
    assert broken(behaviour(), there) == {"fault", "next-ip"}


def test_tf_that_is_seen_is_compared():
    assert broken(behaviour(tf_seen=(FALSE,)), behaviour(tf_seen=(TRUE,))) == {"trap"}


def test_a_shadow_event_that_does_not_happen_is_none():
    never = ShadowEvent("push", const(7, 64), FALSE)
    assert broken(behaviour(shadow=()), behaviour(shadow=(never,))) == set()
    assert broken(behaviour(shadow=(never,)), behaviour(shadow=(replace(never, value=const(0, 64)),))) == set()


def test_details_without_a_fault_are_not_compared():
    assert broken(behaviour(), behaviour(error=const(6, 32), reported=const(5, 64))) == set()


def test_final_states_behind_a_fault_are_not_compared():
    there = behaviour(**FAULT, state=replace(STATE, cet=TRUE, gprs=store(STATE.gprs, const(1, 4), const(5, 64))))
    assert broken(behaviour(**FAULT), there) == set()


def test_shadow_entries_are_compared_only_where_shadow_stacks_are_on():
    off = replace(STATE, cet=FALSE)
    assert broken(behaviour(state=off), behaviour(state=off, shadow=())) == set()


def test_si_code_is_compared_where_a_trap_is_delivered():
    assert broken(behaviour(trap=TRUE), behaviour(trap=TRUE, trap_code=0x80)) == {"trap"}
    assert broken(behaviour(), behaviour(trap_code=0x80)) == set()


def test_a_trap_that_comes_one_instruction_later_breaks_trap():
    """Equal in all else, `trap` and si_code too: only where it is delivered differs."""
    assert broken(behaviour(trap=TRUE), behaviour(trap=TRUE, trap_delayed=True)) == {"trap"}
    assert broken(behaviour(trap=TRUE, trap_delayed=True), behaviour(trap=TRUE)) == {"trap"}
    assert broken(behaviour(trap=TRUE, trap_delayed=True), behaviour(trap=TRUE, trap_delayed=True)) == set()
    assert broken(behaviour(), behaviour(trap_delayed=True)) == set()


@pytest.mark.parametrize("made", [
    (TRUE, TRUE), (TRUE, FALSE), (FALSE, TRUE),
], ids=["both", "in place alone", "displaced alone"])
def test_values_are_compared_where_either_side_makes_the_access(made):
    """Where both do, and where one does (its place differs too); where neither does, there is no value."""
    here, there = (replace(READ, condition=c) for c in made)
    apart = {"memory-addresses"} if made[0] is not made[1] else set()
    other = replace(there, value=const(8, 32))
    assert broken(behaviour(accesses=(here,)), behaviour(accesses=(other,))) == {"memory-values", *apart}
    assert broken(behaviour(accesses=(here,)), behaviour(accesses=(there,))) == apart


def test_values_of_accesses_that_neither_side_makes_are_not_compared():
    never = replace(READ, condition=FALSE)
    assert broken(behaviour(accesses=(never,)), behaviour(accesses=(replace(never, value=const(8, 32)),))) == set()


FAULTS_OF_THE_STATEMENT = {  # function of the theorem, its text, what it is made into, the test that tells
    "trap-delayed-not-compared": (
        "_same_trap", "(a.trap_delayed, a.trap_code) == (b.trap_delayed, b.trap_code)", "a.trap_code == b.trap_code",
        test_a_trap_that_comes_one_instruction_later_breaks_trap,
    ),
    "si-code-not-compared": (
        "_same_trap", "(a.trap_delayed, a.trap_code) == (b.trap_delayed, b.trap_code)",
        "a.trap_delayed == b.trap_delayed", test_si_code_is_compared_where_a_trap_is_delivered,
    ),
    "values-where-both-access-alone": (
        "_same_values", "or_(x.condition, y.condition)", "and_(x.condition, y.condition)",
        lambda: test_values_are_compared_where_either_side_makes_the_access((TRUE, FALSE)),
    ),
    "values-where-displaced-accesses-alone": (
        "_same_values", "or_(x.condition, y.condition)", "y.condition",
        lambda: test_values_are_compared_where_either_side_makes_the_access((TRUE, FALSE)),
    ),
    "values-where-in-place-accesses-alone": (
        "_same_values", "or_(x.condition, y.condition)", "x.condition",
        lambda: test_values_are_compared_where_either_side_makes_the_access((FALSE, TRUE)),
    ),
    "values-where-nobody-accesses": (
        "_same_values", "or_(x.condition, y.condition)", "TRUE",
        test_values_of_accesses_that_neither_side_makes_are_not_compared,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS_OF_THE_STATEMENT)
def test_a_fault_of_the_statement_is_told(name, monkeypatch):
    function, text, wrong, told_by = FAULTS_OF_THE_STATEMENT[name]
    source = inspect.getsource(getattr(theorem, function))
    assert source.count(text) == 1
    scope = {**vars(theorem), "TRUE": TRUE}
    exec("from __future__ import annotations\n" + source.replace(text, wrong), scope)
    told_by()
    monkeypatch.setattr(theorem, function, scope[function])
    with pytest.raises(AssertionError):
        told_by()


def test_memory_itself_is_compared_where_code_can_be_read_only_through_the_log():
    there = with_state(memory=var("other_memory", component_sort("memory")))
    assert broken(behaviour(), there) == {"memory-values"}
    assert broken(behaviour(), there, code_not_read=False) == set()
