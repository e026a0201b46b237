"""What a plan means: the behaviour that a program sees when a scheme has handled the probed instruction.

`in_place` and `displaced` give values of the same type, `Behaviour`; the theorem compares them observable by
observable.  Sources of the rules for Linux: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c, Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from verify.models import bits
from verify.models.bits import FALSE, TRUE, Term, const
from verify.models.machine import NO_FAULT, Access, Outcome, ShadowEvent, State
from verify.models.schemes.plan import Call, Emulate, Field, Fixup, InPlace, Jump, JumpIf, Nop, Push, Step
from verify.models.semantics.dispatch import execute
from verify.models.semantics.run import RSP, Instruction, access_fault, is_canonical

# In force by default; each can be dropped.  What the program may do, or the platform guarantees:
ASSUMPTIONS: Final = frozenset({
    "code-not-read",  # the program neither reads nor writes the probed bytes or the slot as data
    "code-mapped",  # the whole instruction is mapped and executable
    "no-alignment-check",  # EFLAGS.AC is 0
    "canonical-targets",  # a relative branch that is emulated leads to a canonical address
    "trap-siginfo",  # of a SIGTRAP by the program's own TF only occurrence and ip are compared
})  # fmt: skip
TRAP_TRACE: Final = 2  # si_code of a debug trap;  include/uapi/asm-generic/siginfo.h
SI_KERNEL: Final = 0x80  # si_code of a signal sent by the kernel's own send_sig


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Everything that is observed of one execution of the probed instruction."""

    state: State  # afterwards, where there is no fault
    accesses: tuple[Access, ...]
    shadow: tuple[ShadowEvent, ...]
    vector: Term  # 8
    error: Term  # 32
    reported: Term  # 64: si_addr or cr2
    fault_state: State
    trap: Term  # 1: a SIGTRAP for the program's own TF is delivered behind the instruction
    trap_late: bool  # the trap comes one instruction later
    tf_seen: tuple[Term, ...]
    hits: Term  # 8: how often the handler runs
    contained: Term  # 1
    trap_code: int = TRAP_TRACE  # si_code of that SIGTRAP


@dataclass(frozen=True, slots=True)
class Site:
    """A probed instruction: original and slot copy, the addresses, and the fields as the scheme's decoder sees them."""

    original: Instruction
    copy: Instruction | None  # what the slot's bytes are to the processor; None: not an instruction
    origin: Term  # 64
    slot: Term  # 64
    length: Term  # 64, bytes, as the scheme's decoder sees it
    displacement: Callable[[Field], Term]  # 64 bits, sign-extended
    assumptions: frozenset[str] = ASSUMPTIONS


def in_place(site: Site, state: State) -> Behaviour:
    """The instruction run where it stands, without a probe; state.ip is the origin."""
    here = _observed(execute(site.original, state), state)
    if "code-mapped" in site.assumptions:
        return here
    fetch = bits.uf("fetch_fault", 8, site.origin, site.original.length)
    return replace(here, vector=bits.ite(bits.eq(fetch, const(NO_FAULT, 8)), here.vector, fetch))


def premises(plan: Emulate | Step | InPlace, site: Site) -> tuple[Term, ...]:
    """What the assumptions say of the addresses."""
    if "canonical-targets" not in site.assumptions or not isinstance(plan, Emulate):
        return ()
    match plan.effect:
        case Jump(Field() as field) | JumpIf(_, Field() as field) | Call(Field() as field):
            return (is_canonical(_moved(site, bits.add(site.origin, site.length), field)),)
    return ()


def initial(site: Site, state: State) -> State:
    """The state as the assumptions restrict it."""
    return replace(state, ac=FALSE) if "no-alignment-check" in site.assumptions else state


def _observed(o: Outcome, state: State) -> Behaviour:
    late = o.inhibits_trap or o.kernel_completes
    return Behaviour(
        state=o.state, accesses=o.accesses, shadow=o.shadow, vector=o.fault_vector, error=o.fault_error,
        reported=bits.ite(o.fault_at_ip, state.ip, o.fault_address), fault_state=o.fault_state,
        trap=FALSE if late else state.tf, trap_late=late, tf_seen=o.tf_seen, hits=const(1, 8), contained=TRUE,
    )  # fmt: skip


def displaced(plan: Emulate | Step | InPlace, site: Site, state: State) -> Behaviour:
    """The instruction handled by the scheme."""
    if isinstance(plan, InPlace):
        return in_place(site, state)
    if "code-not-read" not in site.assumptions:
        state = replace(state, memory=bits.uf("probed_memory", bits.MEMORY, state.memory))
    there = _handled(plan, site, state)
    return there if "trap-siginfo" in site.assumptions else replace(there, trap_code=SI_KERNEL)


def _handled(plan: Emulate | Step, site: Site, state: State) -> Behaviour:
    match plan:
        case Step():
            return _stepped(plan, site, state)
        case Emulate():
            return _emulated(plan, site, state)
        case _:
            assert_never(plan)


def _copy_outcome(site: Site, state: State) -> Outcome:
    if site.copy is None:
        return execute(replace(site.original, undefined="the slot's bytes are not an instruction"), state)
    return execute(site.copy, state)


def _stepped(plan: Step, site: Site, state: State) -> Behaviour:
    """Prepare, run the copy under TF, fix up; on a fault abort (facts: Linux uprobes, sections 4 to 6)."""
    prepared = replace(state, ip=site.slot, tf=bits.bit(plan.tf_set))
    if plan.scratch is not None:
        register = const(plan.scratch.register, 4)
        value = bits.add(site.origin, site.length)
        if plan.scratch.displacement is not None:
            value = bits.add(value, site.displacement(plan.scratch.displacement))
        prepared = replace(prepared, gprs=bits.store(state.gprs, register, value))
    o = _copy_outcome(site, prepared)
    after, accesses = _fixed_up(plan, site, state, o)
    late = o.inhibits_trap or o.kernel_completes
    return Behaviour(
        state=after, accesses=accesses, shadow=o.shadow, vector=o.fault_vector, error=o.fault_error,
        reported=bits.ite(o.fault_at_ip, site.origin, o.fault_address), fault_state=_aborted(plan, site, state, o),
        trap=state.tf, trap_late=late, tf_seen=o.tf_seen, hits=bits.add(const(1, 8), bits.zext(o.again, 8)),
        contained=bits.bit(not late),
    )  # fmt: skip


def _scratch_restored(plan: Step, state: State, gprs: Term, wanted: bool) -> Term:
    if plan.scratch is None or not wanted:
        return gprs
    register = const(plan.scratch.register, 4)
    return bits.store(gprs, register, bits.select(state.gprs, register))


def _fixed_up(plan: Step, site: Site, state: State, o: Outcome) -> tuple[State, tuple[Access, ...]]:
    gprs = _scratch_restored(plan, state, o.state.gprs, plan.restore_scratch)
    correction = bits.add(bits.sub(site.origin, site.slot), const(plan.removed, 64))
    ip = bits.add(o.state.ip, correction) if Fixup.IP in plan.fixups else o.state.ip
    keep = Fixup.KEEP_TF in plan.fixups or not plan.clear_tf
    tf = o.state.tf if keep else bits.and_(state.tf, o.state.tf)
    if not plan.tf_set:
        tf = o.state.tf
    after = replace(o.state, gprs=gprs, ip=ip, tf=tf)
    accesses = o.accesses
    if plan.fixups & {Fixup.CALL, Fixup.RETURN_ADDRESS}:
        rsp = bits.select(gprs, RSP)
        value = bits.add(site.origin, site.length)
        if Fixup.RETURN_ADDRESS in plan.fixups:
            value = bits.add(bits.load(o.state.memory, rsp, 8), correction)
        after = replace(after, memory=bits.write(after.memory, rsp, value))
        accesses = _with_store(accesses, rsp, value)
    return after, accesses


def _with_store(accesses: tuple[Access, ...], address: Term, value: Term) -> tuple[Access, ...]:
    """The log with the scheme's own store: it takes the place of the copy's store to the same bytes, if there is one.

    NOTE(fixup-store): the program does not run between the two, so the first value is seen by other threads only.
    """
    store = Access("w", address, value.width // 8, value, TRUE, TRUE)
    for i, a in enumerate(accesses):
        if a.kind == "w" and a.address is address and a.size == store.size:
            return (*accesses[:i], replace(store, stack=a.stack, condition=a.condition), *accesses[i + 1 :])
    return (*accesses, store)


def _aborted(plan: Step, site: Site, state: State, o: Outcome) -> State:
    gprs = _scratch_restored(plan, state, o.fault_state.gprs, plan.restore_scratch_on_abort)
    return replace(o.fault_state, gprs=gprs, ip=site.origin, tf=state.tf if plan.clear_tf else o.fault_state.tf)


def _emulated(plan: Emulate, site: Site, state: State) -> Behaviour:
    """The effect, by kernel code; a store that fails falls back to a step that raises the processor's own fault."""
    after, stores = _effect(plan, site, state)
    failed = bits.any_of(_fails(a) for a in stores)
    o = _copy_outcome(site, replace(state, ip=site.slot, tf=TRUE))
    none = const(NO_FAULT, 8)
    vector = bits.ite(failed, o.fault_vector, none)
    if plan.optimised:
        trampoline = _trampoline_stores(site, state)
        memory = after.memory
        for a in trampoline:
            memory = bits.write(memory, a.address, a.value)
            vector = bits.ite(_fails(a), access_fault("w", a.address, 8, TRUE)[0], vector)
        after, stores = replace(after, memory=memory), (*stores, *trampoline)
    return Behaviour(
        state=after, accesses=stores, shadow=(), vector=vector, error=o.fault_error,
        reported=bits.ite(o.fault_at_ip, site.origin, o.fault_address),
        fault_state=replace(o.fault_state, ip=site.origin, tf=state.tf),
        trap=state.tf, trap_late=plan.optimised, tf_seen=(), hits=const(1, 8), contained=TRUE,
    )  # fmt: skip


def _fails(a: Access) -> Term:
    return bits.not_(bits.eq(access_fault("w", a.address, a.size, a.stack)[0], const(NO_FAULT, 8)))


def _effect(plan: Emulate, site: Site, state: State) -> tuple[State, tuple[Access, ...]]:
    next_ip = bits.add(site.origin, site.length)
    effect = plan.effect
    match effect:
        case Nop():
            return replace(state, ip=next_ip), ()
        case Jump(field):
            return replace(state, ip=_moved(site, next_ip, field)), ()
        case JumpIf(condition, field):
            taken = _condition(condition, state)
            return replace(state, ip=bits.ite(taken, _moved(site, next_ip, field), next_ip)), ()
        case Call(field):
            pushed, stores = _pushed(state, next_ip)
            return replace(pushed, ip=_moved(site, next_ip, field)), stores
        case Push(register):
            pushed, stores = _pushed(state, bits.select(state.gprs, const(register, 4)))
            return replace(pushed, ip=next_ip), stores
        case _:
            assert_never(effect)


# The scheme's own reading of the saved flags: a mask that must be clear or set, or a comparison of SF and OF.
# Linux 6.18, arch/x86/kernel/uprobes.c: COND_J*.  Deliberately not the semantics' table.
_MASKS: Final = {0: ("of",), 1: ("cf",), 2: ("zf",), 3: ("cf", "zf"), 4: ("sf",), 5: ("pf",), 6: (), 7: ("zf",)}


def _condition(code: int, state: State) -> Term:
    holds = bits.any_of(getattr(state, name) for name in _MASKS[code >> 1])
    if code >> 1 in {6, 7}:
        holds = bits.or_(holds, bits.not_(bits.eq(state.sf, state.of)))
    return bits.not_(holds) if code & 1 else holds


def _moved(site: Site, next_ip: Term, field: Field | None) -> Term:
    return next_ip if field is None else bits.add(next_ip, site.displacement(field))


def _pushed(state: State, value: Term) -> tuple[State, tuple[Access, ...]]:
    rsp = bits.sub(bits.select(state.gprs, RSP), const(8, 64))
    after = replace(state, gprs=bits.store(state.gprs, RSP, rsp), memory=bits.write(state.memory, rsp, value))
    return after, (Access("w", rsp, 8, value, TRUE, TRUE),)


def _trampoline_stores(site: Site, state: State) -> tuple[Access, ...]:
    """What the call to the trampoline leaves below rsp: return address, rcx, r11, rax (facts, section 7)."""
    values = [bits.add(site.origin, site.length)]
    values += [bits.select(state.gprs, const(n, 4)) for n in (1, 11, 0)]
    rsp = bits.select(state.gprs, RSP)
    places = [bits.sub(rsp, const(8 * (i + 1), 64)) for i in range(4)]
    return tuple(Access("w", p, 8, v, TRUE, TRUE) for p, v in zip(places, values, strict=True))
