"""Shifts and rotates (SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, RORX, SARX/SHLX/SHRX).

A count is masked to 5 bits, to 6 for 64-bit operands.  A masked count of 0 keeps every flag; the destination is
written all the same, so a 32-bit register is zero-extended and memory is read and written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify.models import bits
from verify.models.bits import Term, const
from verify.models.semantics import flags, operands
from verify.models.semantics.registry import Semantics
from verify.models.semantics.run import Run

Shifted = tuple[Term, Term, Term]  # result, cf, of where the count is 1
Moved = Callable[[Term, Term, Term], Shifted]  # value, masked count of 8 bits, cf before


def masked(count: Term, width: int) -> Term:
    """The low byte of the count, masked for operands of `width` bits; 8 bits."""
    return bits.and_(bits.extract(count, 7, 0), const(63 if width == 64 else 31, 8))


def rotated_left(value: Term, count: Term) -> Term:
    """value rotated left by a count of its own width that is at most the width."""
    return bits.or_(bits.shl(value, count), bits.lshr(value, bits.sub(const(value.width, value.width), count)))


def rotated_right(value: Term, count: Term) -> Term:
    """value rotated right by a count of its own width that is at most the width."""
    return bits.or_(bits.lshr(value, count), bits.shl(value, bits.sub(const(value.width, value.width), count)))


def _top(value: Term, below: int = 0) -> Term:
    position = value.width - 1 - below
    return bits.extract(value, position, position)


def _left(value: Term, count: Term, _cf: Term) -> Shifted:
    wide = value.width + 1
    moved = bits.shl(bits.zext(value, wide), bits.zext(count, wide))
    result, cf = bits.extract(moved, value.width - 1, 0), _top(moved)
    return result, cf, bits.xor(_top(result), cf)


def _logical_right(value: Term, count: Term, _cf: Term) -> Shifted:
    moved = bits.lshr(bits.concat(value, bits.FALSE), bits.zext(count, value.width + 1))
    return bits.extract(moved, value.width, 1), bits.extract(moved, 0, 0), _top(value)


def _arithmetic_right(value: Term, count: Term, _cf: Term) -> Shifted:
    moved = bits.ashr(bits.concat(value, bits.FALSE), bits.zext(count, value.width + 1))
    return bits.extract(moved, value.width, 1), bits.extract(moved, 0, 0), bits.FALSE


def _rotate_left(value: Term, count: Term, _cf: Term) -> Shifted:
    result = rotated_left(value, _modulo_width(count, value.width))
    cf = bits.extract(result, 0, 0)
    return result, cf, bits.xor(_top(result), cf)


def _rotate_right(value: Term, count: Term, _cf: Term) -> Shifted:
    result = rotated_right(value, _modulo_width(count, value.width))
    return result, _top(result), bits.xor(_top(result), _top(result, 1))


def _modulo_width(count: Term, width: int) -> Term:
    return bits.zext(bits.and_(count, const(width - 1, 8)), max(width, 8))


def _rotate_carry_left(value: Term, count: Term, cf: Term) -> Shifted:
    whole = rotated_left(bits.concat(cf, value), _modulo_with_carry(count, value.width))
    result = bits.extract(whole, value.width - 1, 0)
    return result, _top(whole), bits.xor(_top(result), _top(whole))


def _rotate_carry_right(value: Term, count: Term, cf: Term) -> Shifted:
    whole = rotated_right(bits.concat(cf, value), _modulo_with_carry(count, value.width))
    result = bits.extract(whole, value.width - 1, 0)
    return result, _top(whole), bits.xor(_top(result), _top(result, 1))


def _modulo_with_carry(count: Term, width: int) -> Term:
    """The count modulo 9 or 17 for bytes and words; wider operands have masked counts below width + 1."""
    if width < 32:
        count = bits.urem(count, const(width + 1, 8))
    return bits.zext(count, width + 1)


def _kept_at_zero(run: Run, count: Term, flag: str, value: Term) -> None:
    run.set(flag, bits.ite(flags.is_zero(count), run.get(flag), value))


def _set_moved_flags(run: Run, count: Term, cf: Term, of: Term, reads: tuple[Term, ...]) -> None:
    """cf, and of as far as the count is 1; kept where it is 0."""
    one = bits.eq(count, const(1, 8))
    _kept_at_zero(run, count, "of", bits.ite(one, of, flags.undefined_flag(run, "of", *reads)))
    _kept_at_zero(run, count, "cf", cf)


def _set_shifted_flags(run: Run, count: Term, result: Term, reads: tuple[Term, ...]) -> None:
    """zf, sf and pf by the result, af undefined; kept where the count is 0."""
    _kept_at_zero(run, count, "af", flags.undefined_flag(run, "af", *reads))
    _kept_at_zero(run, count, "zf", flags.is_zero(result))
    _kept_at_zero(run, count, "sf", flags.sign(result))
    _kept_at_zero(run, count, "pf", flags.parity(result))


def _shift(moved: Moved) -> Semantics:
    def shift(run: Run) -> None:
        value = operands.read(run, 0)
        count = masked(operands.read(run, 1), value.width)
        result, cf, of = moved(value, count, run.get("cf"))
        if "cf" in flags.UNDEFINED_FLAGS[run.insn.opcode.mnemonic] and value.width < 32:
            inside = bits.ult(count, const(value.width, 8))
            cf = bits.ite(inside, cf, flags.undefined_flag(run, "cf", value, count))
        _set_moved_flags(run, count, cf, of, (value, count))
        _set_shifted_flags(run, count, result, (value, count))
        operands.write(run, 0, result)

    return shift


def _rotate(moved: Moved) -> Semantics:
    def rotate(run: Run) -> None:
        """zf, sf, pf and af are kept."""
        value = operands.read(run, 0)
        count = masked(operands.read(run, 1), value.width)
        result, cf, of = moved(value, count, run.get("cf"))
        _set_moved_flags(run, count, cf, of, (value, count))
        operands.write(run, 0, result)

    return rotate


def _double_left(value: Term, fill: Term, count: Term) -> tuple[Term, Term]:
    """The high part of value:fill shifted left, and the last bit out."""
    wide = 2 * value.width + 1
    moved = bits.shl(bits.zext(bits.concat(value, fill), wide), bits.zext(count, wide))
    return bits.extract(moved, wide - 2, value.width), _top(moved)


def _double_right(value: Term, fill: Term, count: Term) -> tuple[Term, Term]:
    """The low part of fill:value shifted right, and the last bit out."""
    wide = 2 * value.width + 1
    moved = bits.lshr(bits.concat(fill, value, bits.FALSE), bits.zext(count, wide))
    return bits.extract(moved, value.width, 1), bits.extract(moved, 0, 0)


def _double(moved: Callable[[Term, Term, Term], tuple[Term, Term]]) -> Semantics:
    def double(run: Run) -> None:
        """A count above the operand size leaves the destination and all status flags undefined."""
        value, fill = operands.read(run, 0), operands.read(run, 1)
        count = masked(operands.read(run, 2), value.width)
        result, cf = moved(value, fill, count)
        reads = (value, fill, count)
        changed_sign = bits.xor(flags.sign(value), flags.sign(result))
        _set_moved_flags(run, count, cf, changed_sign, reads)
        _set_shifted_flags(run, count, result, reads)
        if value.width == 16:
            beyond = bits.ult(const(16, 8), count)
            for flag in flags.UNDEFINED_FLAGS[run.insn.opcode.mnemonic]:
                run.set(flag, bits.ite(beyond, flags.undefined_flag(run, flag, *reads), run.get(flag)))
            result = bits.ite(beyond, flags.undefined_value(run, "result", 16, *reads), result)
        operands.write(run, 0, result)

    return double


def _flagless(moved: Callable[[Term, Term], Term]) -> Semantics:
    def flagless(run: Run) -> None:
        """BMI2: no flag is touched."""
        value, count = operands.read(run, 1), operands.read(run, 2)
        operands.write(run, 0, moved(value, bits.zext(masked(count, value.width), value.width)))

    return flagless


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "shl": _shift(_left),
    "sal": _shift(_left),
    "shr": _shift(_logical_right),
    "sar": _shift(_arithmetic_right),
    "rol": _rotate(_rotate_left),
    "ror": _rotate(_rotate_right),
    "rcl": _rotate(_rotate_carry_left),
    "rcr": _rotate(_rotate_carry_right),
    "shld": _double(_double_left),
    "shrd": _double(_double_right),
    "shlx": _flagless(bits.shl),
    "shrx": _flagless(bits.lshr),
    "sarx": _flagless(bits.ashr),
    "rorx": _flagless(rotated_right),
}
