"""What is observed of one execution of the probed instruction, and what the assumptions make of the state before it.

`in_place` is the instruction without a probe; `verify.models.schemes.meaning` gives the same type for a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from verify import terms
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import Code
from verify.models.schemes.traps import returned_by_iret
from verify.models.schemes.vocabulary import Spot
from verify.models.x86.isa.features import needed
from verify.models.x86.machine import NO_FAULT, PF, Access, Outcome, ShadowEvent, State
from verify.models.x86.mode import Mode
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction, access_fault
from verify.terms import FALSE, TRUE, Term, const, var

TRAP_TRACE: Final = 2  # si_code of a debug trap;  include/uapi/asm-generic/siginfo.h


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Everything that is observed of one execution of the probed instruction.

    Of a fault's frame, signal, si_code and si_addr are functions of vector, error, reported and the registers below
    (Linux 6.18, arch/x86/kernel/traps.c), cr2 is `reported` where the vector is #PF and unchanged otherwise.
    """

    state: State  # afterwards, where there is no fault
    accesses: tuple[Access, ...]
    shadow: tuple[ShadowEvent, ...]
    vector: Term  # 8
    error: Term  # 32
    reported: Term  # 64: si_addr or cr2
    trapno: Term  # 8: of the frame
    fault_state: State  # registers and memory as the program's handler finds them
    attempted: tuple[Access, ...]  # accesses up to the fault that leave no other trace: reads, the scheme's own stores
    fault_hits: Term  # 8: how often the probe's handler runs where the instruction faults
    trap: Term  # 1: a SIGTRAP for the program's own TF is delivered behind the instruction
    trap_delayed: bool  # the trap comes one instruction later
    tf_seen: tuple[Term, ...]
    hits: Term  # 8: how often the handler runs
    contained: Term  # 1
    trap_code: int = TRAP_TRACE  # si_code of that SIGTRAP


@dataclass(frozen=True, slots=True)
class Part:
    """One instruction of code that has several, and where it may lead within the code, in bytes from its beginning.

    `place`: the address of an offset, a sum with the original's length where that stands before it.
    """

    instruction: Instruction
    onward: tuple[int, ...]
    place: Callable[[int], Term]


def _no_part(code: Code, offset: int) -> Part:
    raise ValueError(f"no instruction of the code is known at {offset}: {code.text}")


@dataclass(frozen=True, slots=True)
class Setup:
    """A probed instruction: original and copies, the addresses, and the fields as the scheme's decoder sees them."""

    original: Instruction
    instruction: Callable[[Code], Instruction]  # what code of the plan is to the processor
    origin: Term  # 64
    slot: Term  # 64
    length: Term  # 64, bytes, as the scheme's decoder sees it
    displacement: Callable[[int, int], Term]  # the field at an offset of a size, in bytes: 64 bits, sign-extended
    operand: Callable[[Spot, State], Term]  # what an operand of the original is in a state
    assumptions: frozenset[str] = ASSUMPTIONS
    part: Callable[[Code, int], Part] = _no_part  # of closed code, the instruction at an offset in bytes

    @property
    def mode(self) -> Mode:
        """The mode of the probed code."""
        return self.original.mode


def initial(setup: Setup, state: State) -> State:
    """The state as the assumptions restrict it; nothing else of it is known."""
    if "no-alignment-check" in setup.assumptions and setup.mode.is_user:  # at CPL 0 AC is SMAP's: SDM vol. 3, 4.6.1
        state = replace(state, ac=FALSE)
    if "no-own-trap-flag" in setup.assumptions:
        state = replace(state, tf=FALSE)
    if "no-shadow-stack" in setup.assumptions:
        state = replace(state, cet=FALSE)
    return state


def in_place(setup: Setup, state: State) -> Behaviour:
    """The instruction run where it stands, without a probe; state.ip is the origin."""
    here = _observed(executed(setup.original, state, setup.assumptions), state)
    if "null-selectors" not in setup.assumptions:
        here = replace(here, fault_state=returned_by_iret(here.fault_state, setup.mode))  # a handler is entered by iret
    if "not-restartable" not in setup.assumptions:
        here = restartable(here, state)
    if "code-as-in-file" not in setup.assumptions:
        here = changed_in_memory(here, state)
    return here if "code-mapped" in setup.assumptions else fetched(here, setup, state)


def changed_in_memory(here: Behaviour, state: State) -> Behaviour:
    """The same where memory may hold another instruction than the file, which does something else: it leads elsewhere.

    A scheme that copies from the file runs the file's (Linux 6.18, kernel/events/uprobes.c, copy_insn).
    """
    is_other = terms.uf("memory_is_not_the_file", 1, state.opaque)
    other = replace(state, ip=terms.uf("where_memory_leads", 64, state.opaque))
    return replace(here, state=either(is_other, other, here.state))


def restartable(here: Behaviour, state: State) -> Behaviour:
    """The same where the thread may be preempted before the instruction, in a restartable sequence.

    It then goes on at the abort handler, in the state before (Linux 6.18, kernel/rseq.c, rseq_ip_fixup).
    """
    preempted = terms.uf("preempted_in_sequence", 1, state.opaque)
    aborted = replace(state, ip=terms.uf("abort_handler", 64, state.opaque))
    return replace(here, state=either(preempted, aborted, here.state))


def fetched(here: Behaviour, setup: Setup, state: State) -> Behaviour:
    """The same where the fetch of the instruction may fault; what is probed has been fetched by the kernel before.

    Such a fault is #PF with an error code and an address of its own, in the state before the instruction.
    """
    where = setup.origin, setup.original.length
    mapped = terms.eq(terms.uf("fetch_fault", 8, *where), const(NO_FAULT, 8))
    vector = terms.ite(mapped, here.vector, const(PF, 8))
    return replace(
        here, vector=vector, trapno=vector, error=terms.ite(mapped, here.error, terms.uf("fetch_error", 32, *where)),
        reported=terms.ite(mapped, here.reported, terms.uf("fetch_address", 64, *where)),
        fault_state=either(mapped, here.fault_state, state),
        attempted=tuple(replace(a, condition=terms.and_(mapped, a.condition)) for a in here.attempted),
    )  # fmt: skip


def executed(instruction: Instruction, state: State, assumptions: frozenset[str]) -> Outcome:
    """The instruction's outcome; without `features-present`, undefined where the processor lacks what it needs."""
    o = execute(instruction, state)
    if "features-present" in assumptions or not needed(instruction.opcode):
        return o
    none = execute(replace(instruction, undefined="the processor lacks a feature that it needs"), state)
    lacks = var("feature_absent", 1)
    present = terms.not_(lacks)
    return replace(
        o, fault_vector=terms.ite(lacks, none.fault_vector, o.fault_vector),
        fault_error=terms.ite(lacks, none.fault_error, o.fault_error),
        fault_address=terms.ite(lacks, none.fault_address, o.fault_address),
        fault_at_ip=terms.ite(lacks, none.fault_at_ip, o.fault_at_ip),
        fault_state=either(lacks, none.fault_state, o.fault_state),
        attempted=tuple(terms.and_(present, a) for a in o.attempted),
    )  # fmt: skip


def either(condition: Term, then: State, otherwise: State) -> State:
    """One of two states, component by component."""
    if condition.value == 0:
        return otherwise
    both: dict[str, Any] = {
        f.name: terms.ite(condition, getattr(then, f.name), getattr(otherwise, f.name)) for f in fields(State)
    }
    return State(**both)


def _observed(o: Outcome, state: State) -> Behaviour:
    late = o.inhibits_trap or o.kernel_completes
    return Behaviour(
        state=o.state, accesses=o.accesses, shadow=o.shadow, vector=o.fault_vector, error=o.fault_error,
        reported=terms.ite(o.fault_at_ip, state.ip, o.fault_address), trapno=o.fault_vector, fault_state=o.fault_state,
        attempted=reads_up_to_the_fault(o), fault_hits=const(1, 8), trap=FALSE if late else state.tf, trap_delayed=late,
        tf_seen=o.tf_seen, hits=const(1, 8), contained=TRUE,
    )  # fmt: skip


def reads_up_to_the_fault(o: Outcome) -> tuple[Access, ...]:
    """What is read before the first fault, if there is one; what is written shows in the memory at the fault."""
    return tuple(
        replace(a, condition=terms.and_(a.condition, before))
        for a, before in zip(o.accesses, o.attempted, strict=True)
        if a.kind == "r"
    )


def refused(a: Access, mode: Mode) -> Term:
    """One bit: the access faults, made with the rights of code in that mode."""
    return terms.not_(terms.eq(access_fault(a.kind, a.address, a.size, a.stack, mode)[0], const(NO_FAULT, 8)))
