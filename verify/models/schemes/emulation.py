"""What an emulated instruction does: the effect by kernel code, and the step that a failing store falls back to.

Sources: arch/x86/kernel/uprobes.c, Linux 6.18: branch_emulate_op, push_emulate_op, emulate_push_stack.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from verify import terms
from verify.models.schemes.behaviour import Setup
from verify.models.schemes.plan import Call, Emulate, Field, Jump, JumpIf, Nop, Push
from verify.models.x86.machine import Access, State
from verify.models.x86.mode import is_canonical
from verify.models.x86.semantics.run import RSP
from verify.terms import TRUE, Term, const


def premises(plan: Emulate, setup: Setup) -> tuple[Term, ...]:
    """What the assumptions say of the addresses."""
    if "canonical-targets" not in setup.assumptions:
        return ()
    match plan.effect:
        case Jump(Field() as field) | JumpIf(_, Field() as field) | Call(Field() as field):
            return (is_canonical(_moved(setup, terms.add(setup.origin, setup.length), field), setup.mode),)
    return ()


def effect(plan: Emulate, setup: Setup, state: State) -> tuple[State, tuple[Access, ...]]:
    """The state afterwards where no store fails, and the stores."""
    next_ip = terms.add(setup.origin, setup.length)
    match plan.effect:
        case Nop():
            return replace(state, ip=next_ip), ()
        case Jump(field):
            return replace(state, ip=_moved(setup, next_ip, field)), ()
        case JumpIf(condition, field):
            taken = condition_holds(condition, state)
            return replace(state, ip=terms.ite(taken, _moved(setup, next_ip, field), next_ip)), ()
        case Call(field):
            pushed, stores = _pushed(state, next_ip)
            return replace(pushed, ip=_moved(setup, next_ip, field)), stores
        case Push(register):
            pushed, stores = _pushed(state, terms.select(state.gprs, const(register, 4)))
            return replace(pushed, ip=next_ip), stores
        case _:
            assert_never(plan.effect)


# The scheme's own reading of the saved flags: a mask that must be clear or set, or a comparison of SF and OF.
# Linux 6.18, arch/x86/kernel/uprobes.c: COND_J*.  Deliberately not the semantics' table.
_MASKS: Final = {0: ("of",), 1: ("cf",), 2: ("zf",), 3: ("cf", "zf"), 4: ("sf",), 5: ("pf",), 6: (), 7: ("zf",)}


def condition_holds(code: int, state: State) -> Term:
    """One bit: the emulator takes the jump with that condition code."""
    holds = terms.any_of(getattr(state, name) for name in _MASKS[code >> 1])
    if code >> 1 in {6, 7}:
        holds = terms.or_(holds, terms.not_(terms.eq(state.sf, state.of)))
    return terms.not_(holds) if code & 1 else holds


def _moved(setup: Setup, next_ip: Term, field: Field | None) -> Term:
    return next_ip if field is None else terms.add(next_ip, setup.displacement(field))


def _pushed(state: State, value: Term) -> tuple[State, tuple[Access, ...]]:
    rsp = terms.sub(terms.select(state.gprs, RSP), const(8, 64))
    after = replace(state, gprs=terms.store(state.gprs, RSP, rsp), memory=terms.write(state.memory, rsp, value))
    return after, (Access("w", rsp, 8, value, TRUE, TRUE),)


def trampoline_stores(setup: Setup, state: State) -> tuple[Access, ...]:
    """What the call to the trampoline leaves below rsp: return address, rcx, r11, rax (facts, section 7)."""
    values = [terms.add(setup.origin, setup.length)]
    values += [terms.select(state.gprs, const(n, 4)) for n in (1, 11, 0)]
    rsp = terms.select(state.gprs, RSP)
    places = [terms.sub(rsp, const(8 * (i + 1), 64)) for i in range(4)]
    return tuple(Access("w", p, 8, v, TRUE, TRUE) for p, v in zip(places, values, strict=True))
