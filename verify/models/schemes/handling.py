"""What a plan means: the behaviour that a program sees when a scheme has handled the probed instruction.

`displaced` gives a value of the same type as `behaviour.in_place`; the theorem compares them observable by observable.
Sources of the rules for Linux: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c, Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from verify import terms
from verify.models.schemes.behaviour import Behaviour, Setup, either, executed, in_place, reads_up_to_the_fault, refused
from verify.models.schemes.emulation import effect, trampoline_stores
from verify.models.schemes.log import beyond, place_in, with_bytes
from verify.models.schemes.plan import Call, Emulate, Fixup, InPlace, Step
from verify.models.schemes.shown import OWN_SIGNAL, SHOWN
from verify.models.schemes.traps import after_the_hit, at_the_hit
from verify.models.x86.machine import NO_FAULT, Access, Outcome, State, component_sort
from verify.models.x86.semantics.run import RSP, access_fault
from verify.terms import FALSE, TRUE, Term, const


def displaced(plan: Emulate | Step | InPlace, setup: Setup, state: State) -> Behaviour:
    """The instruction handled by the scheme."""
    if isinstance(plan, InPlace):
        return in_place(setup, state)
    before = state
    if "code-not-read" not in setup.assumptions:
        state = replace(state, memory=terms.uf("probed_memory", terms.MEMORY, state.memory))
    hit = at_the_hit(state, setup.assumptions, setup.mode)
    there = _handled(plan, setup, hit)
    found = there.state, there.fault_state
    after, at_fault = (after_the_hit(s, state, hit, setup.assumptions, setup.mode) for s in found)
    there = replace(there, state=after, fault_state=at_fault)
    for name, shown in SHOWN.items():
        if name not in setup.assumptions:
            there = shown(there, before)
    return there


def _handled(plan: Emulate | Step, setup: Setup, state: State) -> Behaviour:
    match plan:
        case Step():
            return _stepped(plan, setup, state)
        case Emulate():
            return _emulated(plan, setup, state)
        case _:
            assert_never(plan)


def _copy_outcome(setup: Setup, state: State) -> Outcome:
    copy = setup.copy or replace(setup.original, undefined="the slot's bytes are not an instruction")
    return executed(copy, state, setup.assumptions)


def _stepped(plan: Step, setup: Setup, state: State) -> Behaviour:
    """Prepare, run the copy under TF, fix up; on a fault abort (facts: Linux uprobes, sections 4 to 6)."""
    there, restarted = _stepped_once(plan, setup, state)
    if restarted.value == 0:
        return there
    second, _ = _stepped_once(plan, setup, at_the_hit(there.state, setup.assumptions, setup.mode))
    return _faults_again(there, second, restarted)


def _stepped_once(plan: Step, setup: Setup, state: State) -> tuple[Behaviour, Term]:
    """One hit, and one bit: the instruction is restarted at the origin, in the state that is given, probe and all."""
    prepared, own = _prepared(plan, setup, state)
    o = _copy_outcome(setup, prepared)
    after, accesses, failed = _fixed_up(plan, setup, state, o)
    restarts = failed if Fixup.CALL in plan.fixups else FALSE
    signalled = terms.and_(terms.bit(Fixup.RETURN_ADDRESS in plan.fixups), failed)
    quiet = terms.eq(o.fault_vector, const(NO_FAULT, 8))
    vector = terms.ite(terms.and_(signalled, quiet), const(OWN_SIGNAL, 8), o.fault_vector)
    late = o.inhibits_trap or o.kernel_completes
    again = terms.zext(terms.or_(o.repeats, restarts), 8)
    there = Behaviour(
        state=after, accesses=(*own, *accesses), shadow=o.shadow, vector=vector, error=o.fault_error,
        reported=terms.ite(o.fault_at_ip, setup.origin, o.fault_address), trapno=vector,
        fault_state=_aborted(plan, setup, state, o), attempted=(*own, *reads_up_to_the_fault(o)),
        fault_hits=const(plan.hits_on_fault, 8), trap=terms.and_(state.tf, terms.not_(restarts)), trap_delayed=late,
        tf_seen=o.tf_seen, hits=terms.add(const(1, 8), again), contained=terms.bit(not late),
    )  # fmt: skip
    return there, terms.and_(restarts, quiet)


def _faults_again(first: Behaviour, second: Behaviour, restarted: Term) -> Behaviour:
    """The first run; where it is restarted, with the fault of the second, and what a handler finds then."""

    def chosen(name: str) -> Term:
        return terms.ite(restarted, getattr(second, name), getattr(first, name))

    return replace(
        first, vector=chosen("vector"), error=chosen("error"), reported=chosen("reported"), trapno=chosen("trapno"),
        fault_state=either(restarted, second.fault_state, first.fault_state),
        fault_hits=terms.add(first.fault_hits, terms.ite(restarted, second.fault_hits, const(0, 8))),
    )  # fmt: skip


def _prepared(plan: Step, setup: Setup, state: State) -> tuple[State, tuple[Access, ...]]:
    """The state in which the copy starts, and the scheme's own stores to the program's memory."""
    prepared = replace(state, ip=setup.slot, tf=terms.bit(plan.tf_set))
    if plan.scratch is None:
        return prepared, ()
    register = const(plan.scratch.register, 4)
    value = terms.add(setup.origin, setup.length)
    if plan.scratch.displacement is not None:
        value = terms.add(value, setup.displacement(plan.scratch.displacement))
    prepared = replace(prepared, gprs=terms.store(state.gprs, register, value))
    if not plan.scratch.spilled:
        return prepared, ()
    place, saved = terms.sub(terms.select(state.gprs, RSP), const(8, 64)), terms.select(state.gprs, register)
    prepared = replace(prepared, memory=terms.write(state.memory, place, saved))
    return prepared, (Access("w", place, 8, saved, TRUE, TRUE),)


def _scratch_restored(plan: Step, state: State, gprs: Term, wanted: bool) -> Term:
    if plan.scratch is None or not wanted:
        return gprs
    register = const(plan.scratch.register, 4)
    return terms.store(gprs, register, terms.select(state.gprs, register))


def _fixed_up(plan: Step, setup: Setup, state: State, o: Outcome) -> tuple[State, tuple[Access, ...], Term]:
    """The state, the accesses, and one bit: a store of the fixup fails, and the state is what the scheme leaves then.

    A call whose return address cannot be stored is restarted: ip is the origin, rsp is above what the copy pushed
    (default_post_xol_op, -ERESTART).
    """
    gprs = _scratch_restored(plan, state, o.state.gprs, plan.restore_scratch)
    correction = terms.add(terms.sub(setup.origin, setup.slot), const(plan.removed, 64))
    ip = terms.add(o.state.ip, correction) if Fixup.IP in plan.fixups else o.state.ip
    tf = o.state.tf if Fixup.KEEP_TF in plan.fixups or not (plan.clear_tf and plan.tf_set) else state.tf
    after = replace(o.state, gprs=gprs, ip=ip, tf=tf)
    accesses, failed = o.accesses, FALSE
    rsp = terms.select(gprs, RSP)
    if Fixup.RETURN_ADDRESS in plan.fixups:
        value = terms.add(terms.load(o.state.memory, rsp, 8), correction)
        accesses, failed, written = _stored(setup, accesses, rsp, value, TRUE)
        after = replace(after, memory=terms.write(after.memory, rsp, written))
    if Fixup.CALL in plan.fixups:
        value, wide = terms.add(setup.origin, setup.length), terms.eq(_code_segment(o.state), _code_segment(state))
        low, narrow = terms.extract(value, 31, 0), terms.not_(wide)
        accesses, failed, value = _stored(setup, accesses, rsp, value, wide)
        accesses, fails, low = _stored(setup, accesses, rsp, low, narrow)
        failed = terms.or_(failed, fails)
        memory = terms.ite(wide, terms.write(after.memory, rsp, value), terms.write(after.memory, rsp, low))
        above = terms.add(rsp, terms.ite(wide, const(8, 64), const(4, 64)))
        again = replace(after, ip=setup.origin, gprs=terms.store(gprs, RSP, above))
        after = either(failed, again, replace(after, memory=memory))
    return after, accesses, failed


def _code_segment(state: State) -> Term:
    """cs; a 64-bit program has the one 64-bit code segment of Linux, and another one makes addresses 4 bytes wide.

    user_64bit_mode: asm/ptrace.h;  fill_ldt clears L, so no other segment is a 64-bit one.
    """
    return terms.extract(state.selectors, 31, 16)


def _stored(
    setup: Setup, accesses: tuple[Access, ...], address: Term, value: Term, condition: Term
) -> tuple[tuple[Access, ...], Term, Term]:
    """The log with a store of the scheme's own, made where the condition holds; one bit: it fails; what is there then.

    A store to bytes all of which the copy has just stored does not fail; it takes the place of the copy's.
    NOTE(fixup-store): the program does not run between the two, so the first value is seen by other threads only.  Any
    other store fails like an access of the program.
    """
    if condition.value == 0:
        return accesses, FALSE, value
    store = Access("w", address, value.width // 8, value, TRUE, condition)
    failed = terms.and_(condition, beyond(setup, address))
    before = {i: place for i, a in enumerate(accesses) if (place := place_in(a, store)) is not None}
    if {b for i, place in before.items() for b in range(place, place + accesses[i].size)} >= set(range(store.size)):
        changed = {i: with_bytes(accesses[i].value, value, place) for i, place in before.items()}
        log = tuple(
            replace(a, value=terms.ite(condition, changed[i], a.value)) if i in changed else a
            for i, a in enumerate(accesses)
        )
        return log, failed, next((changed[i] for i, place in before.items() if place == 0), value)
    return (*accesses, store), terms.or_(failed, terms.and_(condition, refused(store, setup.mode))), value


def _aborted(plan: Step, setup: Setup, state: State, o: Outcome) -> State:
    gprs = _scratch_restored(plan, state, o.fault_state.gprs, plan.restore_scratch_on_abort)
    tf = state.tf if plan.clear_tf else o.fault_state.tf
    lost: dict[str, Any] = {n: terms.uf(f"scheme_{n}", component_sort(n)) for n in plan.lost_on_abort}
    return replace(o.fault_state, gprs=gprs, ip=setup.origin, tf=tf, **lost)


def _emulated(plan: Emulate, setup: Setup, state: State) -> Behaviour:
    """The effect, by kernel code; a store that fails falls back to a step that raises the processor's own fault."""
    after, stores = effect(plan, setup, state)
    failed = terms.any_of(terms.or_(refused(a, setup.mode), beyond(setup, a.address)) for a in stores)
    o = _copy_outcome(setup, replace(state, ip=setup.slot, tf=TRUE))
    succeeds = terms.and_(failed, _succeeds(setup, o, stores))
    vector = terms.ite(failed, o.fault_vector, const(NO_FAULT, 8))
    after = either(succeeds, _left_by_step(plan, setup, state, o), after)
    is_call = terms.bit(isinstance(plan.effect, Call))
    restarts = terms.and_(succeeds, is_call)
    if plan.optimised:
        trampoline = trampoline_stores(setup, state)
        memory = after.memory
        for a in trampoline:
            memory = terms.write(memory, a.address, a.value)
            vector = terms.ite(refused(a, setup.mode), access_fault("w", a.address, 8, TRUE, setup.mode)[0], vector)
        after, stores = replace(after, memory=memory), (*stores, *trampoline)
    return Behaviour(
        state=after, accesses=stores, shadow=(), vector=vector, error=o.fault_error,
        reported=terms.ite(o.fault_at_ip, setup.origin, o.fault_address), trapno=vector,
        fault_state=replace(o.fault_state, ip=setup.origin, tf=state.tf), attempted=reads_up_to_the_fault(o),
        fault_hits=const(1, 8), trap=terms.and_(state.tf, terms.not_(restarts)), trap_delayed=plan.optimised,
        tf_seen=(), hits=terms.add(const(1, 8), terms.zext(restarts, 8)),
        contained=terms.or_(is_call, terms.not_(succeeds)),
    )  # fmt: skip


def _succeeds(setup: Setup, o: Outcome, stores: tuple[Access, ...]) -> Term:
    """One bit: the step that is to raise the fault of a failed store raises none.

    Where the copy makes the same store it fails alike, unless the kernel alone refuses the address.
    """
    same = any(a.kind == "w" and a.address is s.address and a.size == s.size for a in o.accesses for s in stores)
    if not stores or (same and "user-half" in setup.assumptions):
        return FALSE
    return terms.eq(o.fault_vector, const(NO_FAULT, 8))


def _left_by_step(plan: Emulate, setup: Setup, state: State, o: Outcome) -> State:
    """A call: sp += 8 and restarted (branch_post_xol_op); a push: left in the slot, for it has no fixup."""
    after = replace(o.state, tf=state.tf)
    if not isinstance(plan.effect, Call):
        return after
    rsp = terms.add(terms.select(o.state.gprs, RSP), const(8, 64))
    return replace(after, ip=setup.origin, gprs=terms.store(o.state.gprs, RSP, rsp))
