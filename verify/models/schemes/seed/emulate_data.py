"""Rows of `emulate` that compute and move: arithmetic, logic, shifts, multiplication and division, moves, bit tests.

Each makes the actions of one encoding; SDM vol. 2, the page of each instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from verify import terms
from verify.models.schemes.program import Actions, Check, Signal
from verify.models.schemes.seed import emulate_operations as o
from verify.models.schemes.seed.emulate_operands import Encoding, Memory, Operand, Register, Row, ended, fixed, result
from verify.models.schemes.seed.xol_step import holds
from verify.models.schemes.vocabulary import ORIGIN, field, offset
from verify.terms import Term, const, extract, ite, zext

RAX, RCX, RDX = range(3)
SIGFPE, FPE_INTDIV = 8, 1  # signal(7), include/uapi/asm-generic/siginfo.h
DE: Final = 0  # vector: SDM vol. 3, table 6-1


# Operations of two operands


def binary(operation: o.Binary, to: Operand, source: Operand | Term, e: Encoding) -> Actions:
    """to := to op source; or the flags alone."""
    reads = (*to.before(), *(() if isinstance(source, Term) else source.before()))
    done = operation(to.value, source if isinstance(source, Term) else source.value)
    return (*reads, *ended(done)) if done.value is None else result(e, to, done, reads)


def alu(operation: o.Binary) -> tuple[Row, ...]:
    """The six encodings of an operation in the first quarter of the map."""
    def from_reg(e: Encoding) -> Actions:
        return binary(operation, e.rm(e.width_bit), e.reg(e.width_bit), e)

    def to_reg(e: Encoding) -> Actions:
        return binary(operation, e.reg(e.width_bit), e.rm(e.width_bit), e)

    def accumulator(e: Encoding) -> Actions:
        return binary(operation, fixed(RAX, e.width_bit), e.immediate(e.width_bit), e)

    return from_reg, from_reg, to_reg, to_reg, accumulator, accumulator


def group_1(e: Encoding) -> Actions:
    """80, 81, 83."""
    size = 1 if e.r.opcode == 0x80 else e.size
    return binary(o.ALU[e.r.digit], e.rm(size), e.immediate(size), e)


def test(e: Encoding) -> Actions:
    """84, 85: both orders are one."""
    return binary(o.test, e.rm(e.width_bit), e.reg(e.width_bit), e)


def test_accumulator(e: Encoding) -> Actions:
    """a8, a9."""
    return binary(o.test, fixed(RAX, e.width_bit), e.immediate(e.width_bit), e)


def unary(operation: o.Unary, e: Encoding) -> Actions:
    """op := f(op)."""
    to = e.rm(e.width_bit)
    return result(e, to, operation(to.value), to.before())


def group_3(e: Encoding) -> Actions | None:
    """f6, f7: TEST, NOT, NEG, MUL, IMUL, DIV, IDIV."""
    if e.r.digit in {0, 1}:
        return binary(o.test, e.rm(e.width_bit), e.immediate(e.width_bit), e)
    if e.r.digit in {2, 3}:
        return unary(o.complement if e.r.digit == 2 else o.negate, e)
    return product(e) if e.r.digit in {4, 5} else quotient(e)


def _pair(low: Term, high: Term, size: int) -> tuple[tuple[Register, Term], ...]:
    if size == 1:
        return ((fixed(RAX, 2), terms.concat(high, low)),)
    return (fixed(RAX, size), low), (fixed(RDX, size), high)


def product(e: Encoding) -> Actions:
    """MUL, IMUL to rdx:rax."""
    source, size = e.rm(e.width_bit), e.width_bit
    low, high, done = o.multiplied(fixed(RAX, size).value, source.value, e.r.digit == 5)
    return (*source.before(), *ended(done, *_pair(low, high, size)))


def quotient(e: Encoding) -> Actions | None:
    """DIV, IDIV; #DE where there is no quotient that fits.

    Not the signed one of 8 bytes in memory: in which order its two faults come is not decided by the solvers.
    """
    source, size = e.rm(e.width_bit), e.width_bit
    if isinstance(source, Memory) and size == 8 and e.r.digit == 7:
        return None
    low = fixed(RAX, size).value
    dividend = fixed(RAX, 2).value if size == 1 else terms.concat(fixed(RDX, size).value, low)
    found, left, fits, done = o.divided(dividend, source.value, e.r.digit == 7)
    raised = (Signal(SIGFPE, FPE_INTDIV, ORIGIN, const(DE, 8)),)
    return (*source.before(), Check(fits, raised), *ended(done, *_pair(found, left, size)))


def imul(e: Encoding) -> Actions:
    """69, 6b and 0f af."""
    source, to = e.rm(e.size), e.reg(e.size)
    other = to.value if e.r.map == "0f" else e.immediate(e.size)
    low, _, done = o.multiplied(other, source.value, True) if e.r.map == "0f" else o.multiplied_by(source.value, other)
    return (*source.before(), *ended(done, (to, low)))


def shift_count(e: Encoding) -> Term:
    """8 bits: cl, 1, or the immediate."""
    if e.r.opcode >= 0xD2:
        return fixed(RCX, 1).value
    return const(1, 8) if e.r.opcode >= 0xD0 else e.immediate(1)


def shift(e: Encoding) -> Actions | None:
    """c0, c1, d0 to d3."""
    to = e.rm(e.width_bit)
    done = o.shifted(e.r.digit, to.value, shift_count(e))
    return None if done is None else result(e, to, done, to.before())


# Moves


def moved(to: Operand, value: Term, before: Actions) -> Actions:
    """A move: no flag is touched."""
    if isinstance(to, Memory):
        return (*before, *to.stored(value), *ended(o.NOTHING))
    return (*before, *ended(o.NOTHING, (to, value)))


def move(e: Encoding) -> Actions:
    """88 to 8b."""
    here, there = e.rm(e.width_bit), e.reg(e.width_bit)
    to, source = (here, there) if e.r.opcode < 0x8A else (there, here)
    return moved(to, source.value, source.before())


def move_immediate(e: Encoding) -> Actions | None:
    """c6, c7."""
    return moved(e.rm(e.width_bit), e.immediate(e.width_bit), ()) if e.r.digit == 0 else None


def move_in_opcode(e: Encoding) -> Actions:
    """b0 to bf."""
    size = 1 if e.r.opcode < 0xB8 else e.size
    return moved(e.in_opcode(size), e.immediate(size), ())


def move_absolute(e: Encoding) -> Actions:
    """a0 to a3."""
    size = e.size if e.r.opcode & 1 else 1
    memory, accumulator = Memory(e.linear(field(e.r.immediate_at, e.r.immediate_size)), size), fixed(RAX, size)
    to, source = (accumulator, memory) if e.r.opcode < 0xA2 else (memory, accumulator)
    return moved(to, source.value, source.before())


def extended(signed: bool, size_of: Callable[[Encoding], int]) -> Row:
    """MOVZX, MOVSX, MOVSXD."""
    def row(e: Encoding) -> Actions | None:
        source, to = e.rm(size_of(e)), e.reg(e.size)
        if source.size > to.size:
            return None
        value = (terms.sext if signed else zext)(source.value, 8 * to.size)
        return moved(to, value, source.before())

    return row


def address_of(e: Encoding) -> Actions | None:
    """LEA: no segment base."""
    if e.r.modrm >= 0xC0:
        return None
    found = e.cut(offset(e.r.modrm_at, e.r.rex_at))
    return moved(e.reg(e.size), extract(found, 8 * e.size - 1, 0), ())


def exchange(e: Encoding) -> Actions:
    """86, 87."""
    here, there = e.rm(e.width_bit), e.reg(e.width_bit)
    if isinstance(here, Memory):
        return (*here.before(), *here.stored(there.value), *ended(o.NOTHING, (there, here.value)))
    return ended(o.NOTHING, (here, there.value), (there, here.value))


def exchange_accumulator(e: Encoding) -> Actions:
    """90 to 97; 90 without REX.B does nothing."""
    if e.r.opcode == 0x90 and not (e.r.rex_at >= 0 and e.data[e.r.rex_at] & 1):
        return ended(o.NOTHING)
    other, rax = e.in_opcode(e.size), fixed(RAX, e.size)
    return ended(o.NOTHING, (rax, other.value), (other, rax.value))


def conditional_move(e: Encoding) -> Actions:
    """0f 40 to 4f: the source is read and a doubleword zero-extended whatever the condition."""
    source, to = e.rm(e.size), e.reg(e.size)
    return moved(to, ite(holds(e.r.opcode & 15), source.value, to.value), source.before())


def set_by_condition(e: Encoding) -> Actions:
    """0f 90 to 9f."""
    return moved(e.rm(1), zext(holds(e.r.opcode & 15), 8), ())


def byte_swapped(e: Encoding) -> Actions | None:
    """0f c8 to cf; of 16 bits undefined."""
    to = e.in_opcode(e.size)
    if e.size == 2:
        return None
    parts = [extract(to.value, 8 * i + 7, 8 * i) for i in range(e.size)]
    return moved(to, terms.concat(*parts), ())


def widened(e: Encoding) -> Actions:
    """98: CBW, CWDE, CDQE."""
    return moved(fixed(RAX, e.size), terms.sext(fixed(RAX, e.size // 2).value, 8 * e.size), ())


def sign_filled(e: Encoding) -> Actions:
    """99: CWD, CDQ, CQO."""
    value = fixed(RAX, e.size).value
    return moved(fixed(RDX, e.size), extract(terms.sext(value, 16 * e.size), 16 * e.size - 1, 8 * e.size), ())


def exchange_add(e: Encoding) -> Actions:
    """0f c0, c1: XADD; the sum wins where both operands are one register."""
    here, there = e.rm(e.width_bit), e.reg(e.width_bit)
    done = o.addition(here.value, there.value)
    assert done.value is not None
    if isinstance(here, Memory):
        return (*here.before(), *here.stored(done.value), *ended(done, (there, here.value)))
    return ended(done, (there, here.value), (here, done.value))


def bit_test(operation: int, index: Callable[[Encoding], Term], e: Encoding) -> Actions | None:
    """BT, BTS, BTR, BTC of an operand whose bit is in the register or the immediate."""
    to = e.rm(e.size)
    if isinstance(to, Memory) and e.r.opcode != 0xBA:
        return None  # a bit string
    done = o.bit_tested(operation, to.value, index(e))
    return (*to.before(), *ended(done)) if done.value is None else result(e, to, done, to.before())


def bit_test_immediate(e: Encoding) -> Actions | None:
    """0f ba."""
    return bit_test(e.r.digit - 4, lambda x: x.immediate(1), e) if e.r.digit >= 4 else None


def bit_test_register(e: Encoding) -> Actions | None:
    """0f a3, ab, b3, bb."""
    return bit_test(e.r.opcode >> 3 & 3, lambda x: x.reg(x.size).value, e)
