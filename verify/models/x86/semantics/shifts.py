"""Shifts and rotates (SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, RORX, SARX/SHLX/SHRX).

A count is masked to 5 bits, to 6 for 64-bit operands.  A masked count of 0 keeps every flag; the destination is
written all the same, so a 32-bit register is zero-extended and memory is read and written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import Term, const

Shifted = tuple[Term, Term, Term]  # result, cf, of where the count is 1
Moved = Callable[[Term, Term, Term], Shifted]  # value, masked count of 8 bits, cf before


def masked(count: Term, width: int) -> Term:
    """The low byte of the count, masked for operands of `width` bits; 8 bits."""
    return terms.and_(terms.extract(count, 7, 0), const(63 if width == 64 else 31, 8))


def rotated_left(value: Term, count: Term) -> Term:
    """value rotated left by a count of its own width that is at most the width."""
    return terms.or_(terms.shl(value, count), terms.lshr(value, terms.sub(const(value.width, value.width), count)))


def rotated_right(value: Term, count: Term) -> Term:
    """value rotated right by a count of its own width that is at most the width."""
    return terms.or_(terms.lshr(value, count), terms.shl(value, terms.sub(const(value.width, value.width), count)))


def _top(value: Term, below: int = 0) -> Term:
    position = value.width - 1 - below
    return terms.extract(value, position, position)


def _left(value: Term, count: Term, _cf: Term) -> Shifted:
    wide = value.width + 1
    moved = terms.shl(terms.zext(value, wide), terms.zext(count, wide))
    result, cf = terms.extract(moved, value.width - 1, 0), _top(moved)
    return result, cf, terms.xor(_top(result), cf)


def _logical_right(value: Term, count: Term, _cf: Term) -> Shifted:
    moved = terms.lshr(terms.concat(value, terms.FALSE), terms.zext(count, value.width + 1))
    return terms.extract(moved, value.width, 1), terms.extract(moved, 0, 0), _top(value)


def _arithmetic_right(value: Term, count: Term, _cf: Term) -> Shifted:
    moved = terms.ashr(terms.concat(value, terms.FALSE), terms.zext(count, value.width + 1))
    return terms.extract(moved, value.width, 1), terms.extract(moved, 0, 0), terms.FALSE


def _rotate_left(value: Term, count: Term, _cf: Term) -> Shifted:
    result = rotated_left(value, _modulo_width(count, value.width))
    cf = terms.extract(result, 0, 0)
    return result, cf, terms.xor(_top(result), cf)


def _rotate_right(value: Term, count: Term, _cf: Term) -> Shifted:
    result = rotated_right(value, _modulo_width(count, value.width))
    return result, _top(result), terms.xor(_top(result), _top(result, 1))


def _modulo_width(count: Term, width: int) -> Term:
    return terms.zext(terms.and_(count, const(width - 1, 8)), max(width, 8))


def _rotate_carry_left(value: Term, count: Term, cf: Term) -> Shifted:
    whole = rotated_left(terms.concat(cf, value), _modulo_with_carry(count, value.width))
    result = terms.extract(whole, value.width - 1, 0)
    return result, _top(whole), terms.xor(_top(result), _top(whole))


def _rotate_carry_right(value: Term, count: Term, cf: Term) -> Shifted:
    whole = rotated_right(terms.concat(cf, value), _modulo_with_carry(count, value.width))
    result = terms.extract(whole, value.width - 1, 0)
    return result, _top(whole), terms.xor(_top(result), _top(result, 1))


def _modulo_with_carry(count: Term, width: int) -> Term:
    """The count modulo 9 or 17 for bytes and words; wider operands have masked counts below width + 1."""
    if width < 32:
        count = terms.urem(count, const(width + 1, 8))
    return terms.zext(count, width + 1)


def _kept_at_zero(run: Run, count: Term, flag: str, value: Term) -> None:
    run.set(flag, terms.ite(flags.is_zero(count), run.get(flag), value))


def _set_moved_flags(run: Run, count: Term, cf: Term, of: Term, reads: tuple[Term, ...]) -> None:
    """cf, and of as far as the count is 1; kept where it is 0."""
    one = terms.eq(count, const(1, 8))
    _kept_at_zero(run, count, "of", terms.ite(one, of, flags.undefined_flag(run, "of", *reads)))
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
            inside = terms.ult(count, const(value.width, 8))
            cf = terms.ite(inside, cf, flags.undefined_flag(run, "cf", value, count))
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
    moved = terms.shl(terms.zext(terms.concat(value, fill), wide), terms.zext(count, wide))
    return terms.extract(moved, wide - 2, value.width), _top(moved)


def _double_right(value: Term, fill: Term, count: Term) -> tuple[Term, Term]:
    """The low part of fill:value shifted right, and the last bit out."""
    wide = 2 * value.width + 1
    moved = terms.lshr(terms.concat(fill, value, terms.FALSE), terms.zext(count, wide))
    return terms.extract(moved, value.width, 1), terms.extract(moved, 0, 0)


def _double(moved: Callable[[Term, Term, Term], tuple[Term, Term]]) -> Semantics:
    def double(run: Run) -> None:
        """A count above the operand size leaves the destination and all status flags undefined."""
        value, fill = operands.read(run, 0), operands.read(run, 1)
        count = masked(operands.read(run, 2), value.width)
        result, cf = moved(value, fill, count)
        reads = (value, fill, count)
        changed_sign = terms.xor(flags.sign(value), flags.sign(result))
        _set_moved_flags(run, count, cf, changed_sign, reads)
        _set_shifted_flags(run, count, result, reads)
        if value.width == 16:
            beyond = terms.ult(const(16, 8), count)
            for flag in flags.UNDEFINED_FLAGS[run.insn.opcode.mnemonic]:
                run.set(flag, terms.ite(beyond, flags.undefined_flag(run, flag, *reads), run.get(flag)))
            result = terms.ite(beyond, flags.undefined_value(run, "result", 16, *reads), result)
        operands.write(run, 0, result)

    return double


def _flagless(moved: Callable[[Term, Term], Term]) -> Semantics:
    def flagless(run: Run) -> None:
        """BMI2: no flag is touched."""
        value, count = operands.read(run, 1), operands.read(run, 2)
        operands.write(run, 0, moved(value, terms.zext(masked(count, value.width), value.width)))

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
    "shlx": _flagless(terms.shl),
    "shrx": _flagless(terms.lshr),
    "sarx": _flagless(terms.ashr),
    "rorx": _flagless(rotated_right),
}
