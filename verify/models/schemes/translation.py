"""Today's plans (`plan`) as programs (`program`): until the new meaning is in force, for the comparison of both.

What is Linux' own stands here as actions: the restart of a call whose return address cannot be stored, the step that
raises the fault of an emulated store, the trap that an emulation sends, null selectors by its return to the program
(`traps`).  Sources: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c, Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final, assert_never

from verify import terms
from verify.models.schemes.emulation import condition_holds
from verify.models.schemes.plan import (
    Call,
    Effect,
    Emulate,
    Field,
    Fixup,
    InPlace,
    Jump,
    JumpIf,
    Nop,
    Push,
    Scratch,
    Step,
)
from verify.models.schemes.program import (
    AT_IP,
    FAULT_ADDRESS,
    IP,
    LENGTH,
    NOW,
    ORIGIN,
    ORIGINAL,
    SLOT,
    TF,
    Action,
    Actions,
    Agent,
    Byte,
    Check,
    Code,
    Context,
    Entry,
    Leaves,
    Program,
    Run,
    Set,
    Signal,
    Store,
    TrapFlag,
    field,
    first,
    own,
    register,
    sort_of,
)
from verify.models.schemes.shown import SI_USER
from verify.terms import Term, add, const, eq, extract, sub

SIGILL, SIGTRAP = 4, 5  # signal(7)
RSP: Final = 4
STEP: Final = Context(TrapFlag())
NEXT: Final = add(ORIGIN, LENGTH)
TRAPPED: Final[Actions] = (Check(first(TF), ()), Signal(SIGTRAP, SI_USER, IP))  # where the program's own TF was set
OWN_TF: Final = Set("tf", first(TF))
AT_ORIGIN: Final = Set("reported", terms.ite(AT_IP, ORIGIN, FAULT_ADDRESS))  # uprobe_get_trap_addr


@cache
def program(plan: Emulate | Step | InPlace) -> Program:
    """The program that means what the plan means; ValueError where a plan says what is no rule of a scheme."""
    match plan:
        case InPlace():
            return Program((Run(ORIGINAL, ORIGIN, Context(Leaves())),), Entry.NONE)
        case Step():
            return Program(_stepped(plan))
        case Emulate():
            return Program(_emulated(plan), later=_by_call() if plan.optimised else None)
        case _:
            assert_never(plan)


def _stepped(plan: Step) -> Actions:
    if plan.hits_on_fault != 1 or not plan.tf_set:
        raise ValueError(f"no scheme steps so: {plan}")
    code = Code(tuple(Byte(b.source, b.keep, b.bits) for b in plan.slot))
    return (*_prepared(plan.scratch), Run(code, SLOT, STEP, _aborted(plan)), *_fixed_up(plan))


def _prepared(scratch: Scratch | None) -> Actions:
    if scratch is None:
        return ()
    value, number = _moved(scratch.displacement), scratch.register
    base = Set(number, value)
    return (
        (Store(sub(register(RSP), const(8, 64)), register(number), 8, None, stack=True), base)
        if scratch.spilled
        else (base,)
    )


def _moved(displacement: Field | None) -> Term:
    return NEXT if displacement is None else add(NEXT, field(displacement.offset, displacement.size))


def _restored(scratch: Scratch | None, wanted: bool) -> Actions:
    return (Set(scratch.register, first(register(scratch.register))),) if scratch and wanted else ()


def _aborted(plan: Step) -> Actions:
    """arch_uprobe_abort_xol."""
    lost = tuple(Set(n, own(n, sort_of(n))) for n in plan.lost_on_abort)
    tf = (OWN_TF,) if plan.clear_tf else ()
    return (*_restored(plan.scratch, plan.restore_scratch_on_abort), Set("ip", ORIGIN), *tf, *lost, AT_ORIGIN)


def _fixed_up(plan: Step) -> Actions:
    """arch_uprobe_post_xol."""
    correction = add(sub(ORIGIN, SLOT), const(plan.removed, 64))
    done: list[Action] = [*_restored(plan.scratch, plan.restore_scratch)]
    if Fixup.IP in plan.fixups:
        done.append(Set("ip", add(IP, correction)))
    if Fixup.KEEP_TF not in plan.fixups and plan.clear_tf:
        done.append(OWN_TF)
    if Fixup.RETURN_ADDRESS in plan.fixups:
        value = add(terms.load(NOW.memory, register(RSP), 8), correction)
        done.append(Store(register(RSP), value, 8, (Signal(SIGILL, SI_USER, ORIGIN),), stack=True))
    called = _called() if Fixup.CALL in plan.fixups else ()
    return (*done, *called, *TRAPPED)


def _called() -> Actions:
    """default_post_xol_op, UPROBE_FIX_CALL: a failing store restarts the call, rsp above what the copy pushed.

    An address has 8 bytes where the program's code segment is still the one of 64-bit programs (user_64bit_mode).
    """
    code_segment = extract(NOW.selectors, 31, 16)
    is_wide = eq(code_segment, first(code_segment))
    return (Check(is_wide, (_pushed_again(4), *TRAPPED)), _pushed_again(8))


def _pushed_again(size: int) -> Store:
    begun = (Set(RSP, add(register(RSP), const(size, 64))), Set("ip", ORIGIN))
    return Store(register(RSP), extract(NEXT, 8 * size - 1, 0), size, begun, stack=True)


def _emulated(plan: Emulate) -> Actions:
    match plan.effect:
        case Nop():
            return _gone(NEXT)
        case Jump(displacement):
            return _gone(_moved(displacement))
        case JumpIf(condition, displacement):
            return (Check(condition_holds(condition, NOW), _gone(NEXT)), *_gone(_moved(displacement)))
        case Call(displacement):
            return (*_pushed(NEXT, plan.effect), *_gone(_moved(displacement)))
        case Push(number):
            return (*_pushed(register(number), plan.effect), *_gone(NEXT))
        case _:
            assert_never(plan.effect)


def _gone(target: Term) -> Actions:
    return (Set("ip", target), *TRAPPED)


def _pushed(value: Term, effect: Effect) -> Actions:
    """emulate_push_stack; where the store fails the instruction is stepped, so that the processor raises the fault.

    A call is stepped with its immediate zeroed and restarted if that succeeds (branch_post_xol_op); a push is left in
    the slot, for it has no fixup.
    """
    top = sub(register(RSP), const(8, 64))
    aborted = (Set("ip", ORIGIN), OWN_TF, AT_ORIGIN)
    code, after = ORIGINAL, (OWN_TF, *TRAPPED)
    if isinstance(effect, Call):
        code = _zeroed(effect.displacement)
        after = (OWN_TF, Set(RSP, add(register(RSP), const(8, 64))), Set("ip", ORIGIN))
    return (Store(top, value, 8, (Run(code, SLOT, STEP, aborted), *after), stack=True), Set(RSP, top))


def _zeroed(displacement: Field | None) -> Code:
    where = range(displacement.offset, displacement.offset + displacement.size) if displacement else range(0)
    return replace(ORIGINAL, pieces=tuple(Byte(None) if i in where else Byte(i) for i in range(16)))


def _by_call() -> Program:
    """The site is a call to a trampoline (facts, section 7): return address, rcx, r11 and rax below rsp."""
    values = [NEXT, *(register(n) for n in (1, 11, 0))]
    places = [sub(register(RSP), const(8 * (i + 1), 64)) for i in range(4)]
    stores = (Store(p, v, 8, (), Agent.PROGRAM, True) for p, v in zip(places, values, strict=True))
    return Program((*stores, Set("ip", NEXT)))  # and a system call
