"""Rows of `emulate` that use the stack, go elsewhere, set flags, or step through strings.

Each makes the actions of one encoding; SDM vol. 2, the page of each instruction; vol. 1, 6.2 (stack).
"""

from __future__ import annotations

from typing import Final

from verify import terms
from verify.models.schemes.program import Action, Actions, Agent, Check, Load, Signal, Store
from verify.models.schemes.seed import emulate_operations as o
from verify.models.schemes.seed.emulate_data import moved, unary
from verify.models.schemes.seed.emulate_operands import Encoding, Memory, Register, Row, ended, fixed
from verify.models.schemes.seed.emulate_operations import Done
from verify.models.schemes.seed.xol_step import NEXT, holds
from verify.models.schemes.seed.xol_table import OPERAND_SIZE
from verify.models.schemes.vocabulary import FIRST, field, first, loaded, register
from verify.models.x86.mode import USER_64, is_canonical
from verify.terms import FALSE, TRUE, Term, add, const, eq, extract, ite, sub, zext

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
SIGSEGV, SI_KERNEL = 11, 0x80  # signal(7), include/uapi/asm-generic/siginfo.h
GP: Final = 13  # vector: SDM vol. 3, table 6-1


# The stack and control


def pushed(value: Term, size: int) -> Actions:
    """A push, and the next instruction."""
    top = sub(first(register(RSP)), const(size, 64))
    stored = Store(top, value, size, (), Agent.PROGRAM, TRUE)
    return (stored, *ended(o.NOTHING, (fixed(RSP, 8), top)))


def stepped(e: Encoding) -> Actions | None:
    """fe, ff /0 and /1; ff /4 and /6."""
    if e.r.digit in {0, 1}:
        return unary(o.increment if e.r.digit == 0 else o.decrement, e)
    if e.r.opcode == 0xFE or e.r.digit in {3, 5, 7}:
        return None
    if e.r.digit == 6:
        source = e.rm(e.stack_size)
        return (*source.before(), *pushed(source.value, e.stack_size))
    if OPERAND_SIZE in e.r.prefixes or e.r.digit == 2:  # of a call vendors differ in which fault comes first
        return None
    source = e.rm(8)
    return (*source.before(), *gone(source.value))


def push(e: Encoding) -> Actions:
    """50 to 57."""
    return pushed(e.in_opcode(e.stack_size).value, e.stack_size)


def push_immediate(e: Encoding) -> Actions:
    """68, 6a."""
    return pushed(e.immediate(e.stack_size), e.stack_size)


def _popped(size: int) -> tuple[Action, Term, Term]:
    """The load, its value, and rsp behind it."""
    top = first(register(RSP))
    return Load("a", top, size, (), Agent.PROGRAM, TRUE), loaded("a", size), add(top, const(size, 64))


def pop(e: Encoding) -> Actions:
    """58 to 5f: the destination is written behind rsp."""
    load, value, top = _popped(e.stack_size)
    return (load, *ended(o.NOTHING, (fixed(RSP, 8), top), (e.in_opcode(e.stack_size), value)))


def leave(e: Encoding) -> Actions:
    """c9."""
    size, frame = e.stack_size, first(register(RBP))
    load = Load("a", frame, size, (), Agent.PROGRAM, TRUE)
    top = add(frame, const(size, 64))
    return (load, *ended(o.NOTHING, (fixed(RSP, 8), top), (fixed(RBP, size), loaded("a", size))))


REFUSED_TARGET: Final = (Signal(SIGSEGV, SI_KERNEL, const(0, 64), const(GP, 8)),)


def checked(to: Term) -> Action:
    """#GP(0) where a target is not canonical: SDM vol. 2, JMP, CALL, RET."""
    return Check(is_canonical(to, USER_64), REFUSED_TARGET)


def gone(to: Term, *written: tuple[Register, Term]) -> Actions:
    """Control goes there."""
    return (checked(to), *ended(o.NOTHING, *written, to=to))


def ret(e: Encoding) -> Actions | None:
    """c2, c3."""
    if OPERAND_SIZE in e.r.prefixes:
        return None
    load, to, top = _popped(8)
    if e.r.opcode == 0xC2:
        top = add(top, zext(e.immediate(2), 64))
    return (load, *gone(to, (fixed(RSP, 8), top)))


def relative(e: Encoding) -> Term | None:
    """The target of a relative branch; with prefix 66 vendors differ."""
    if OPERAND_SIZE in e.r.prefixes:
        return None
    return add(NEXT, field(e.r.immediate_at, e.r.immediate_size))


def jump(e: Encoding) -> Actions | None:
    """e9, eb."""
    to = relative(e)
    return None if to is None else ended(o.NOTHING, to=to)


def branch(e: Encoding) -> Actions | None:
    """70 to 7f, 0f 80 to 8f."""
    to = relative(e)
    return None if to is None else (Check(holds(e.r.opcode & 15), ended(o.NOTHING)), *ended(o.NOTHING, to=to))


def call(e: Encoding) -> Actions | None:
    """e8 without shadow stacks."""
    to = relative(e)
    if to is None:
        return None
    top = sub(first(register(RSP)), const(8, 64))
    stored = Store(top, NEXT, 8, (), Agent.PROGRAM, TRUE)
    return (stored, *ended(o.NOTHING, (fixed(RSP, 8), top), to=to))


def loop(e: Encoding) -> Actions | None:
    """e0 to e3: LOOPNE, LOOPE, LOOP, JRCXZ."""
    to = relative(e)
    if to is None:
        return None
    count = extract(first(register(RCX)), e.counter - 1, 0)
    if e.r.opcode == 0xE3:
        is_zero = eq(count, const(0, e.counter))
        return (Check(is_zero, ended(o.NOTHING)), *ended(o.NOTHING, to=to))
    left = sub(count, const(1, e.counter))
    taken = terms.not_(eq(left, const(0, e.counter)))
    if e.r.opcode != 0xE2:
        taken = terms.and_(taken, FIRST.zf if e.r.opcode == 0xE1 else terms.not_(FIRST.zf))
    counted = fixed(RCX, e.counter // 8), left
    return (Check(taken, ended(o.NOTHING, counted)), *ended(o.NOTHING, counted, to=to))


# Flags, strings, the rest


def flag_set(*flags: tuple[str, Term]) -> Row:
    """CLC, STC, CMC, CLD, STD."""
    return lambda e: ended(Done(None, flags))


def load_ah(e: Encoding) -> Actions:
    """9f: LAHF."""
    ah = terms.concat(FIRST.sf, FIRST.zf, FALSE, FIRST.af, FALSE, FIRST.pf, TRUE, FIRST.cf)
    return moved(Register(const(4, 4), 1, True), ah, ())


def store_ah(e: Encoding) -> Actions:
    """9e: SAHF."""
    ah = Register(const(4, 4), 1, True).value
    bits = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7}
    return ended(Done(None, tuple((n, extract(ah, b, b)) for n, b in bits.items())))


def table_lookup(e: Encoding) -> Actions:
    """d7: XLAT."""
    place = add(first(register(RBX)), zext(fixed(RAX, 1).value, 64))
    source = Memory(e.linear(place), 1)
    return moved(fixed(RAX, 1), source.value, source.before())


def nothing(e: Encoding) -> Actions:
    """0f 1f: NOP of an operand that is not accessed."""
    return ended(o.NOTHING)


def string(e: Encoding) -> Actions | None:
    """One element of MOVS, STOS, LODS and SCAS; CMPS reads in an order of the vendor's."""
    opcode, size = e.r.opcode & 0xFE, e.width_bit
    source = Memory(e.linear(first(register(RSI))), size)
    to = Memory(e.cut(first(register(RDI))), size)
    step = ite(FIRST.df, const(-size, e.counter), const(size, e.counter))

    def advanced(n: int) -> tuple[Register, Term]:
        return fixed(n, e.counter // 8), add(extract(first(register(n)), e.counter - 1, 0), step)

    accumulator = fixed(RAX, size)
    if opcode == 0xA4:
        return (*source.before(), *to.stored(source.value), *ended(o.NOTHING, advanced(RSI), advanced(RDI)))
    if opcode == 0xAA:
        return (*to.stored(accumulator.value), *ended(o.NOTHING, advanced(RDI)))
    if opcode == 0xAC:
        return (*source.before(), *ended(o.NOTHING, (accumulator, source.value), advanced(RSI)))
    if opcode == 0xAE:
        return (*to.before(), *ended(o.comparison(accumulator.value, to.value), advanced(RDI)))
    return None
