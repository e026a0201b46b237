"""What Linux uprobes do at a hit, as actions of the language of plans: what both modelled versions have in common.

Sources: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c, Linux 6.18 unless a row says otherwise.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify import terms
from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.program import Actions, Check, Context, Program, Run, Set, Shadow, Signal, Store, TrapFlag
from verify.models.schemes.vocabulary import (
    AT_IP,
    FAULT_ADDRESS,
    IP,
    LENGTH,
    NOW,
    ORIGIN,
    SLOT,
    TF,
    field,
    first,
    register,
)
from verify.models.x86.machine import State
from verify.terms import TRUE, Term, add, const, eq, extract, sub

SIGILL, SIGTRAP = 4, 5  # signal(7)
SI_USER: Final = 0  # si_code of what send_sig(sig, task, 0) sends: SEND_SIG_NOINFO;  kernel/signal.c
RSP: Final = 4
STEP: Final = Context(TrapFlag())  # user_enable_single_step
NEXT: Final = add(ORIGIN, LENGTH)
TRAPPED: Final[Actions] = (Check(first(TF), ()), Signal(SIGTRAP, SI_USER, IP))  # where the program's own TF was set
OWN_TF: Final = Set("tf", first(TF))  # cleared behind the step unless the program's own was set
AT_ORIGIN: Final = Set("reported", terms.ite(AT_IP, ORIGIN, FAULT_ADDRESS))  # uprobe_get_trap_addr
BACK: Final = sub(ORIGIN, SLOT)  # by which an address in the slot is moved to where the original stands
Spot = tuple[int, int]  # offset and size in bytes of a signed field of the instruction, as the decoder sees it


def stepped(
    code: Code, length: int, fixed_up: Actions, prepared: Actions = (), restored: Actions = (), keeps_tf: bool = False
) -> Program:
    """A step of the code in the slot: arch_uprobe_pre_xol, then arch_uprobe_post_xol or arch_uprobe_abort_xol.

    `restored` undoes what `prepared` did, behind the step and where it faults; `fixed_up` comes next, then TF is the
    program's own unless the instruction loads the flags.
    """
    aborted = (*restored, Set("ip", ORIGIN), OWN_TF, AT_ORIGIN)
    own_tf = () if keeps_tf else (OWN_TF,)
    return Program(
        (*prepared, Run(code, SLOT, STEP, aborted), *restored, *own_tf, *fixed_up, *TRAPPED), length=length
    )  # fmt: skip


def held(number: int, value: Term) -> tuple[Actions, Actions]:
    """A scratch register has the value during the step, and then its own again: UPROBE_FIX_RIP_*, riprel_pre_xol."""
    return (Set(number, value),), (Set(number, first(register(number))),)


def moved(removed: int = 0) -> Set:
    """ip is where the original stands; the copy is shorter by the removed bytes."""
    return Set("ip", add(IP, add(BACK, const(removed, 64))))


def target(spot: Spot | None) -> Term:
    """Where a relative branch leads; behind the instruction where the decoder saw no displacement."""
    return NEXT if spot is None else add(NEXT, field(*spot))


def gone(to: Term) -> Actions:
    """An effect by the kernel's own code ends: arch_uprobe_skip_sstep sends the trap that the program asked for."""
    return (Set("ip", to), *TRAPPED)


def jumped(condition: int, spot: Spot | None) -> Actions:
    """branch_emulate_op of a conditional jump, condition code 0..15."""
    return (Check(condition_holds(condition), gone(NEXT)), *gone(target(spot)))


def called(spot: Spot | None, shadow: bool = False) -> Actions:
    """branch_emulate_op of a call.

    Where the store of the return address fails, the call is stepped with its displacement zeroed so that the processor
    raises the fault (branch_setup_xol_ops), and restarted if that succeeds (branch_post_xol_op).  `shadow`: shstk_push
    of the same value behind the store, whatever the displacement.
    """
    again = (OWN_TF, Set(RSP, add(register(RSP), const(8, 64))), Set("ip", ORIGIN))
    entry = (Shadow(NEXT),) if shadow else ()
    return (*_pushed(NEXT, _zeroed(spot), again), *entry, *gone(target(spot)))


def pushed(number: int) -> Actions:
    """push_emulate_op; where the store fails the push is stepped, and left in the slot: push_xol_ops has no fixup."""
    return (*_pushed(register(number), ORIGINAL, (OWN_TF, *TRAPPED)), *gone(NEXT))


def _pushed(value: Term, code: Code, behind: Actions) -> Actions:
    """emulate_push_stack: 8 bytes by copy_to_user, then rsp; where it fails the step of the code, and what follows."""
    top = sub(register(RSP), const(8, 64))
    step = Run(code, SLOT, STEP, (Set("ip", ORIGIN), OWN_TF, AT_ORIGIN))
    return (Store(top, value, 8, (step, *behind), stack=TRUE), Set(RSP, top))


@cache
def _zeroed(spot: Spot | None) -> Code:
    """branch_clear_offset."""
    where = range(spot[0], sum(spot)) if spot else range(0)
    return Code(tuple(Byte(None) if i in where else Byte(i) for i in range(len(ORIGINAL.pieces))))


def called_again(shadow: bool = False) -> Actions:
    """default_post_xol_op, UPROBE_FIX_CALL: rsp += 8, the true return address is pushed; where that fails restarted.

    `shadow`: then shstk_update_last_frame, which writes the entry at the top of the shadow stack.

    An address has 8 bytes where the program's code segment is still the one of 64-bit programs (user_64bit_mode:
    asm/ptrace.h; fill_ldt clears L, so no other segment is a 64-bit one), and 4 otherwise.
    """
    code_segment = extract(NOW.selectors, 31, 16)
    is_wide = eq(code_segment, first(code_segment))
    entry = (Shadow(NEXT, 0),) if shadow else ()
    return (Check(is_wide, (_pushed_again(4), *entry, *TRAPPED)), _pushed_again(8), *entry)


def _pushed_again(size: int) -> Store:
    begun = (Set(RSP, add(register(RSP), const(size, 64))), Set("ip", ORIGIN))
    return Store(register(RSP), extract(NEXT, 8 * size - 1, 0), size, begun, stack=TRUE)


# The emulator's own reading of the saved flags: a mask that must be clear or set, or a comparison of SF and OF.
# COND_J*.  Deliberately not the semantics' table.
_MASKS: Final = {0: ("of",), 1: ("cf",), 2: ("zf",), 3: ("cf", "zf"), 4: ("sf",), 5: ("pf",), 6: (), 7: ("zf",)}


def condition_holds(code: int, state: State = NOW) -> Term:
    """One bit: the emulator takes the jump with that condition code."""
    holds = terms.any_of(getattr(state, name) for name in _MASKS[code >> 1])
    if code >> 1 in {6, 7}:
        holds = terms.or_(holds, terms.not_(eq(state.sf, state.of)))
    return terms.not_(holds) if code & 1 else holds
