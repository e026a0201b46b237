"""Faults seeded into semantics, corrections and scheme are put in, told and taken out again; 300: `make mutants`."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from semantics_equivalence import behaviour, is_equivalent, is_more_defined, is_more_general
from semantics_faults import SCHEME, correction_faults, faults, forget, seeded
from semantics_panel import Row, outcome, plan
from semantics_score import GENERAL, KERNEL, LIBRARY, PROCESSOR, PROVED, RAISES, SAME, SETTINGS, VERDICT, killed_by

from verify.live.available import missing
from verify.live.differential.run import judged
from verify.live.executor.executor import Executor
from verify.models.x86.isa.forms import Cpu, form
from verify.models.x86.machine import Outcome, State
from verify.models.x86.semantics import far_control, flags
from verify.models.x86.semantics.run import Run
from verify.smt.decisions import InMemory
from verify.terms import TRUE, Term, add, const, extract, postorder, sext, substitute, uf, zext

PARTS = tuple(f for f in State.__dataclass_fields__)
ENCODINGS = ("4811d8", "4829d8", "0fc1d8", "48c1e005", "90", "50", "7510", "e811000000", "c3", "0f0b", "8b05000000f0")
TOLD = {VERDICT, RAISES, PROCESSOR, LIBRARY, KERNEL, SAME, PROVED, GENERAL}


def state_of_the_models() -> list[object]:
    return [(outcome(bytes.fromhex(e)), plan(bytes.fromhex(e))) for e in ENCODINGS]


def test_a_fault_changes_what_runs_through_it_and_leaves_nothing_behind() -> None:
    before, changed = state_of_the_models(), 0
    for fault in islice(faults((flags, *SCHEME), 16, 4), 16):
        try:
            with seeded(fault):
                changed += state_of_the_models() != before
        except (ValueError, TypeError, IndexError, KeyError):
            changed += 1
        assert state_of_the_models() == before, fault.text
    assert changed >= 4


def test_a_word_of_the_corrections_is_left_out_and_put_back() -> None:
    from verify.models.x86.isa.corrections import corrections

    fault, names = next(iter(correction_faults(1)))
    opcode = next(f.opcode for f in map(form, ("RDTSC/none", "STMXCSR_M32/mem")))
    before = corrections(opcode)
    with seeded(fault):
        assert names
    assert corrections(opcode) == before


@pytest.mark.parametrize(("name", "encoding", "seed"), [
    ("ADC_RM64_R64/reg", "4811d8", 1), ("SUB_RM64_R64/reg", "4829d8", 2),
])  # fmt: skip
def test_faults_of_flags_are_told(name: str, encoding: str, seed: int) -> None:
    if absent := missing(["executor"]):
        pytest.skip(f"missing: {absent[0]}")
    with Executor() as executor:
        for fault in islice(faults((flags,), 5, seed), 5):
            rows = [Row(form(name), bytes.fromhex(encoding), frozenset())]
            assert killed_by(fault, rows, executor) in TOLD, fault.text


@pytest.mark.parametrize(("slots", "name"), [((2, 0), "RETFQ/none"), ((1, 1), "RETFQ_IMM16/none")])
def test_faults_at_the_ends_of_the_stack_are_told(
    slots: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if absent := missing(["executor"]):
        pytest.skip(f"missing: {absent[0]}")

    def elsewhere(run: Run, top: Term, size: int, condition: Term) -> None:
        for slot in slots:
            run.load(add(top, const(slot * size, 64)), size, TRUE, condition)

    with Executor() as executor:
        assert not judged(executor, form(name), SETTINGS).mismatches
        monkeypatch.setattr(far_control, "read_outer_stack", elsewhere)
        forget()
        assert judged(executor, form(name), SETTINGS).mismatches
    forget()


def test_equivalent_is_what_no_program_can_tell() -> None:
    add, adc = (behaviour(bytes.fromhex(code), Cpu.AMD) for code in ("4801d8", "4811d8"))
    assert is_equivalent(bytes.fromhex("4801d8"), Cpu.AMD, add, add, InMemory())
    assert not is_equivalent(bytes.fromhex("4801d8"), Cpu.AMD, add, adc, InMemory())


def test_more_general_is_what_a_datapath_may_still_be() -> None:
    right = outcome(bytes.fromhex("0fc1d8"))
    x87, flag = right.state.x87, right.state.cf
    wider = replace(right, state=replace(right.state, x87=uf("fresh", 688, x87, flag)))
    assert is_more_general(right, wider)
    assert not is_more_general(wider, right)
    assert not is_more_general(right, replace(right, state=replace(right.state, x87=uf("fresh", 688, flag))))
    twice = replace(wider, fault_state=replace(right.fault_state, x87=uf("fresh", 688, x87, right.state.zf)))
    assert not is_more_general(right, twice)  # one function cannot mean both


def test_more_defined_is_a_value_of_what_is_undefined_and_nothing_else() -> None:
    right = outcome(bytes.fromhex("66d3e0"))  # shl ax, cl: cf is undefined where the count is 16 and more
    cf, zf = right.state.cf, right.state.zf
    (open_one,) = (t for t in postorder([cf]) if t.op == "uf")
    kept = cf.args[1]  # where the count is 0

    def with_cf(old: Term, new: Term) -> Outcome:
        return replace(right, state=replace(right.state, cf=substitute([cf], {old: new})[0]))

    said = with_cf(open_one, cf.args[2].args[1])
    assert is_more_defined(right, said) and is_more_defined(right, with_cf(open_one, kept))
    assert not is_more_defined(said, right)
    assert not is_more_defined(right, with_cf(kept, zf))
    assert not is_more_defined(right, replace(said, state=replace(said.state, pf=cf)))


def test_more_general_is_a_value_that_is_left_undefined_in_one_more_case() -> None:
    right = outcome(bytes.fromhex("d3e0"))  # shl eax, cl: of is undefined where the count is neither 0 nor 1
    of = right.state.of
    once = of.args[2]
    open_one = next(t for t in once.args if t.op == "uf")

    def with_of(new: Term, **others: Term) -> Outcome:
        return replace(right, state=replace(right.state, of=substitute([of], {once: new})[0], **others))

    assert is_more_general(right, with_of(open_one)) and not is_more_general(with_of(open_one), right)
    assert not is_more_general(with_of(once, zf=open_one), with_of(open_one, zf=open_one))  # zf speaks of it too


def test_more_general_is_a_value_made_of_what_the_function_is_asked_of() -> None:
    right = outcome(bytes.fromhex("66d3e8"))  # shr ax, cl: of is the top bit of ax where the count is 1
    of = right.state.of
    once = of.args[2]
    open_one = next(t for t in once.args if t.op == "uf")

    def undefined_of(values: tuple[Term, ...]) -> Outcome:
        asked = uf("undefined_of_shr_16_8", 1, *values)
        return replace(right, state=replace(right.state, of=substitute([of], {once: asked})[0]))

    assert is_more_general(right, undefined_of(open_one.args))
    value, *others = open_one.args
    assert not is_more_general(right, undefined_of((extract(value, 14, 0), *others)))


def with_address(right: Outcome, old: Term, new: Term) -> Outcome:
    """The outcome with one term replaced everywhere."""

    def changed(owner: object, names: tuple[str, ...]) -> dict[str, Any]:
        return dict(zip(names, substitute([getattr(owner, n) for n in names], {old: new}), strict=True))

    accesses = tuple(replace(a, **changed(a, ("address", "value", "condition"))) for a in right.accesses)
    states = {n: replace(s, **changed(s, PARTS)) for n in ("state", "fault_state") for s in (getattr(right, n),)}
    rest = changed(right, ("fault_vector", "fault_error", "fault_address", "repeats"))
    return replace(right, accesses=accesses, **states, **rest)


def test_more_general_is_a_datapath_that_is_asked_of_the_same_values_in_other_widths() -> None:
    right = outcome(bytes.fromhex("c4e26992040f"))  # vgatherdps xmm0, [rdi+xmm1], xmm2
    one = next(t for t in postorder([right.accesses[-1].address]) if t.op == "uf" and t.params[0] == "vsib_address")
    inside, index, scale = one.args
    wider = with_address(right, one, uf("vsib_address", 64, inside, index, sext(scale.args[0], 9)))
    assert wider != right and is_more_general(right, wider)
    assert not is_more_general(right, replace(wider, fault_vector=right.fault_vector))  # asked of two functions
    other = with_address(right, one, uf("vsib_address", 64, inside, index, zext(right.state.zf, 8)))
    assert not is_more_general(right, other)
