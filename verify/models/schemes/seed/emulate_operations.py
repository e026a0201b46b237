"""What the operations of `emulate` do to values and flags: arithmetic of the manual, on expressions of plans.

SDM vol. 2, the page of each instruction; vol. 1, 3.4.3.1 (status flags).  Widths are those of the operands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from verify import terms
from verify.models.schemes.vocabulary import FIRST, undefined
from verify.terms import FALSE, Term, add, and_, concat, const, eq, extract, ite, not_, or_, sext, shl, sub, xor, zext

Flags = tuple[tuple[str, Term], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The result, None where there is none, and the flags that are set."""

    value: Term | None
    flags: Flags = ()


Binary = Callable[[Term, Term], Done]
Unary = Callable[[Term], Done]
NOTHING: Final = Done(None)


def _top(value: Term) -> Term:
    return extract(value, value.width - 1, value.width - 1)


def _even(value: Term) -> Term:
    """PF: the low byte has an even number of ones."""
    odd = FALSE
    for i in range(8):
        odd = xor(odd, extract(value, i, i))
    return not_(odd)


def _of_result(value: Term) -> Flags:
    return ("zf", eq(value, const(0, value.width))), ("sf", _top(value)), ("pf", _even(value))


def _left(operation: str, names: str, *reads: Term) -> Flags:
    """The flags that the manual leaves undefined."""
    return tuple((name, undefined(name, operation, *reads)) for name in names.split())


def _sum(a: Term, b: Term, carry: Term) -> Done:
    value = add(add(a, b), zext(carry, a.width))
    wide = a.width + 1
    whole = add(add(zext(a, wide), zext(b, wide)), zext(carry, wide))
    overflow = _top(and_(xor(a, value), xor(b, value)))
    half = extract(xor(xor(a, b), value), 4, 4)
    return Done(value, (("cf", extract(whole, a.width, a.width)), ("of", overflow), ("af", half), *_of_result(value)))


def _difference(a: Term, b: Term, borrow: Term) -> Done:
    value = sub(sub(a, b), zext(borrow, a.width))
    wide = a.width + 1
    whole = sub(sub(zext(a, wide), zext(b, wide)), zext(borrow, wide))
    overflow = _top(and_(xor(a, b), xor(a, value)))
    half = extract(xor(xor(a, b), value), 4, 4)
    return Done(value, (("cf", extract(whole, a.width, a.width)), ("of", overflow), ("af", half), *_of_result(value)))


def addition(a: Term, b: Term) -> Done:
    """ADD."""
    return _sum(a, b, FALSE)


def subtraction(a: Term, b: Term) -> Done:
    """SUB."""
    return _difference(a, b, FALSE)


def comparison(a: Term, b: Term) -> Done:
    """CMP: the flags of SUB."""
    return Done(None, _difference(a, b, FALSE).flags)


def _logic(operation: str, made: Callable[[Term, Term], Term]) -> Binary:
    def logic(a: Term, b: Term) -> Done:
        value = made(a, b)
        return Done(value, (("cf", FALSE), ("of", FALSE), *_of_result(value), *_left(operation, "af", a, b)))

    return logic


def test(a: Term, b: Term) -> Done:
    """TEST: the flags of AND."""
    value = and_(a, b)
    return Done(None, (("cf", FALSE), ("of", FALSE), *_of_result(value), *_left("test", "af", a, b)))


ALU: Final[tuple[Binary, ...]] = (  # by bits 5..3 of the opcode, or by ModRM.reg of 80 to 83: SDM vol. 2, table A-6
    addition, _logic("or", or_), lambda a, b: _sum(a, b, FIRST.cf), lambda a, b: _difference(a, b, FIRST.cf),
    _logic("and", and_), subtraction, _logic("xor", xor), comparison,
)  # fmt: skip


def complement(a: Term) -> Done:
    """NOT."""
    return Done(not_(a))


def negate(a: Term) -> Done:
    """NEG: 0 - operand."""
    return _difference(const(0, a.width), a, FALSE)


def _but_carry(done: Done) -> Done:
    return Done(done.value, tuple((n, v) for n, v in done.flags if n != "cf"))


def increment(a: Term) -> Done:
    """INC: ADD of 1 that keeps CF."""
    return _but_carry(addition(a, const(1, a.width)))


def decrement(a: Term) -> Done:
    """DEC: SUB of 1 that keeps CF."""
    return _but_carry(subtraction(a, const(1, a.width)))


def multiplied(a: Term, b: Term, signed: bool) -> tuple[Term, Term, Done]:
    """Low and high half of the product; CF and OF where the low half does not say it all."""
    extend, wide = (sext if signed else zext), 2 * a.width
    whole = terms.mul(extend(a, wide), extend(b, wide))
    low, high = extract(whole, a.width - 1, 0), extract(whole, wide - 1, a.width)
    lost = not_(eq(sext(low, wide), whole)) if signed else not_(eq(high, const(0, a.width)))
    undefined_ones = _left("imul" if signed else "mul", "sf zf af pf", a, b)
    return low, high, Done(None, (("cf", lost), ("of", lost), *undefined_ones))


def multiplied_by(a: Term, immediate: Term) -> tuple[Term, Term, Done]:
    """IMUL with an immediate."""
    return multiplied(immediate, a, True)


def divided(dividend: Term, divisor: Term, signed: bool) -> tuple[Term, Term, Term, Done]:
    """Quotient, remainder, whether the quotient fits (one bit), and the flags, all undefined."""
    wide, width = dividend.width, divisor.width
    extend = sext if signed else zext
    by = extend(divisor, wide)
    quotient = (terms.sdiv if signed else terms.udiv)(dividend, by)
    remainder = (terms.srem if signed else terms.urem)(dividend, by)
    low = extract(quotient, width - 1, 0)
    fits = and_(not_(eq(divisor, const(0, width))), eq(extend(low, wide), quotient))
    done = Done(None, _left("idiv" if signed else "div", "cf pf af zf sf of", dividend, divisor))
    return low, extract(remainder, width - 1, 0), fits, done


NAMES: Final = ("rol", "ror", "rcl", "rcr", "shl", "shr", "shl", "sar")  # by ModRM.reg: SDM vol. 2, table A-6
MovedBy = Callable[[Term, Term], tuple[Term, Term, Term]]  # value, masked count: result, CF, OF of a count of 1


def _shl(value: Term, count: Term) -> tuple[Term, Term, Term]:
    wide = value.width + 1
    whole = shl(zext(value, wide), zext(count, wide))
    low = extract(whole, value.width - 1, 0)
    return low, _top(whole), xor(_top(low), _top(whole))


def _shr(value: Term, count: Term) -> tuple[Term, Term, Term]:
    whole = terms.lshr(concat(value, FALSE), zext(count, value.width + 1))
    return extract(whole, value.width, 1), extract(whole, 0, 0), _top(value)


def _sar(value: Term, count: Term) -> tuple[Term, Term, Term]:
    whole = terms.ashr(concat(value, FALSE), zext(count, value.width + 1))
    return extract(whole, value.width, 1), extract(whole, 0, 0), FALSE


SHIFTS: Final[dict[int, MovedBy]] = {4: _shl, 5: _shr, 6: _shl, 7: _sar}


def shifted(digit: int, value: Term, count: Term) -> Done | None:
    """SHL, SHR, SAR; None for rotations.  A masked count of 0 changes no flag."""
    move = SHIFTS.get(digit)
    if move is None:
        return None
    name, width = NAMES[digit], value.width
    masked = and_(count, const(63 if width == 64 else 31, 8))
    found, cf, of = move(value, masked)
    none, one = eq(masked, const(0, 8)), eq(masked, const(1, 8))
    if width < 32 and digit != 7:
        cf = ite(terms.ult(masked, const(width, 8)), cf, undefined("cf", name, value, masked))
    af = undefined("af", name, value, masked)
    of = ite(one, of, undefined("of", name, value, masked))
    made = {"cf": cf, "of": of, "af": af, **dict(_of_result(found))}
    return Done(found, tuple((n, ite(none, getattr(FIRST, n), v)) for n, v in made.items()))


BIT_TESTS: Final = ("bt", "bts", "btr", "btc")


def bit_tested(operation: int, value: Term, index: Term) -> Done:
    """BT, BTS, BTR, BTC: CF is the bit, ZF is kept, the others are undefined."""
    width, name = value.width, BIT_TESTS[operation]
    count = and_(zext(index, width), const(width - 1, width))
    mask = shl(const(1, width), count)
    cf = extract(terms.lshr(value, count), 0, 0)
    flags = (("cf", cf), *_left(name, "of sf af pf", value, index))
    changed = (None, or_(value, mask), and_(value, not_(mask)), xor(value, mask))[operation]
    return Done(changed, flags)
