"""Bit tests, bit scans, counts, BMI1, BMI2, TBM and crc32.

Sources: SDM vol. 2, the page of each mnemonic; AMD APM vol. 3 for TBM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import FALSE, Term, const

CASTAGNOLI: Final = 0x82F63B78  # the polynomial 0x11EDC6F41 of crc32, bits reflected (SDM vol. 2, CRC32)

Unary = Callable[[Term], Term]


def bit_at(value: Term, position: int) -> Term:
    """One bit of a value."""
    return terms.extract(value, position, position)


# bt, bts, btr, btc


def bit_string_address(run: Run, offset: Term) -> Term:
    """Where the word, doubleword or quadword that holds bit `offset` (signed) of a bit string in memory lies.

    The operand's offset in its segment moves by whole operands (SDM vol. 2, BT; vol. 1, 3.1.1.9), before it is cut to
    the address size.
    """
    size, width = offset.width // 8, offset.width
    index = terms.ashr(terms.sext(offset, 64), const(width.bit_length() - 1, 64))
    moved = terms.add(run.effective_address(), terms.mul(index, const(size, 64)))
    return run.linear(run.truncated(moved), run.insn.segment)


def _bit_test(replaced: Callable[[Term, Term], Term] | None) -> Semantics:
    def bit_test(run: Run) -> None:
        """cf is the bit; zf is kept, the others are undefined."""
        offset = operands.read(run, 1)
        far = operands.is_memory(run, 0) and not operands.kind(run, 1).startswith("imm")
        if far:
            address, stack = bit_string_address(run, offset), run.uses_stack_segment()
            value = run.load(address, offset.width // 8, stack)
        else:
            value = operands.read(run, 0)
        width = value.width
        count = terms.and_(terms.zext(offset, width), const(width - 1, width))
        flags.undefine(run, value, offset)
        run.set("cf", bit_at(terms.lshr(value, count), 0))
        if replaced is None:
            return
        result = replaced(value, terms.shl(const(1, width), count))
        if far:
            run.store(address, result, stack)
        else:
            operands.write(run, 0, result)

    return bit_test


# Scans and counts


def trailing_zeros(value: Term) -> Term:
    """Zeros below the lowest one, in the value's own width; the width for 0."""
    width = value.width
    result = const(width, width)
    for position in reversed(range(width)):
        result = terms.ite(bit_at(value, position), const(position, width), result)
    return result


def leading_zeros(value: Term) -> Term:
    """Zeros above the highest one, in the value's own width; the width for 0."""
    width = value.width
    result = const(width, width)
    for position in range(width):
        result = terms.ite(bit_at(value, position), const(width - 1 - position, width), result)
    return result


def ones(value: Term) -> Term:
    """How many bits are 1, in the value's own width."""
    total = const(0, value.width)
    for position in range(value.width):
        total = terms.add(total, terms.zext(bit_at(value, position), value.width))
    return total


def _scan(position_of: Unary) -> Semantics:
    def scan(run: Run) -> None:
        """A source of 0 leaves the destination as it was, its upper half included.

        NOTE(scan-of-zero): AMD documents it; recent manuals of Intel say it for processors since 64-bit mode came.
        """
        value = operands.read(run, 1)
        empty, before = flags.is_zero(value), run.get("gprs")
        flags.undefine(run, value)
        run.set("zf", empty)
        operands.write(run, 0, position_of(value))
        run.set("gprs", terms.ite(empty, before, run.get("gprs")))

    return scan


def _highest_one(value: Term) -> Term:
    return terms.sub(const(value.width - 1, value.width), leading_zeros(value))


def _count(count_of: Unary) -> Semantics:
    def count(run: Run) -> None:
        value = operands.read(run, 1)
        result = count_of(value)
        flags.undefine(run, value)
        flags.set_flags(run, cf=flags.is_zero(value), zf=flags.is_zero(result))
        operands.write(run, 0, result)

    return count


def popcnt(run: Run) -> None:
    """The number of ones; every flag but ZF is cleared (SDM vol. 2, POPCNT)."""
    value = operands.read(run, 1)
    flags.clear(run, "of", "sf", "af", "cf", "pf")
    run.set("zf", flags.is_zero(value))
    operands.write(run, 0, ones(value))


# BMI1, BMI2 and TBM


def _set_bmi_flags(run: Run, result: Term, cf: Term, *reads: Term) -> None:
    """zf and sf by the result, of = 0, cf as given; af and pf undefined."""
    flags.undefine(run, *reads)
    flags.set_flags(run, zf=flags.is_zero(result), sf=flags.sign(result), cf=cf, of=FALSE)


def _plus_one(x: Term) -> Term:
    return terms.add(x, const(1, x.width))


def _minus_one(x: Term) -> Term:
    return terms.sub(x, const(1, x.width))


def _is_ones(x: Term) -> Term:
    return flags.is_zero(terms.not_(x))


def _is_not_zero(x: Term) -> Term:
    return terms.not_(flags.is_zero(x))


def _unary(result_of: Unary, carry_of: Unary) -> Semantics:
    def unary(run: Run) -> None:
        value = operands.read(run, 1)
        result = result_of(value)
        _set_bmi_flags(run, result, carry_of(value), value)
        operands.write(run, 0, result)

    return unary


_UNARY: Final[Mapping[str, tuple[Unary, Unary]]] = {  # result and cf
    "blsi": (lambda x: terms.and_(terms.neg(x), x), _is_not_zero),
    "blsmsk": (lambda x: terms.xor(_minus_one(x), x), flags.is_zero),
    "blsr": (lambda x: terms.and_(_minus_one(x), x), flags.is_zero),
    "blcfill": (lambda x: terms.and_(x, _plus_one(x)), _is_ones),
    "blci": (lambda x: terms.or_(x, terms.not_(_plus_one(x))), _is_ones),
    "blcic": (lambda x: terms.and_(terms.not_(x), _plus_one(x)), _is_ones),
    "blcmsk": (lambda x: terms.xor(x, _plus_one(x)), _is_ones),
    "blcs": (lambda x: terms.or_(x, _plus_one(x)), _is_ones),
    "blsfill": (lambda x: terms.or_(x, _minus_one(x)), flags.is_zero),
    "blsic": (lambda x: terms.or_(terms.not_(x), _minus_one(x)), flags.is_zero),
    "t1mskc": (lambda x: terms.or_(terms.not_(x), _plus_one(x)), _is_ones),
    "tzmsk": (lambda x: terms.and_(terms.not_(x), _minus_one(x)), flags.is_zero),
}


def andn(run: Run) -> None:
    """not operand 1 and operand 2 (SDM vol. 2, ANDN)."""
    a, b = operands.read(run, 1), operands.read(run, 2)
    result = terms.and_(terms.not_(a), b)
    _set_bmi_flags(run, result, FALSE, a, b)
    operands.write(run, 0, result)


def _below(count: Term, width: int) -> Term:
    """`width` bits with ones below position count (8 bits), everywhere where count >= width."""
    wide = max(width, 8)
    return _minus_one(terms.shl(const(1, wide), terms.zext(count, wide)))


def bextr(run: Run) -> None:
    """Start in bits 7..0 and length in bits 15..8 of the control operand: a register, or TBM's immediate."""
    value, control = operands.read(run, 1), operands.read(run, 2)
    start, length = terms.extract(control, 7, 0), terms.extract(control, 15, 8)
    moved = terms.lshr(value, terms.zext(start, value.width))
    result = terms.and_(moved, _below(length, value.width))
    flags.undefine(run, value, control)
    flags.set_flags(run, zf=flags.is_zero(result), cf=FALSE, of=FALSE)
    operands.write(run, 0, result)


def bzhi(run: Run) -> None:
    """The bits below the index, bits 7 to 0 of operand 2; CF where that is beyond them all (SDM vol. 2, BZHI)."""
    value, index = operands.read(run, 1), operands.read(run, 2)
    count = terms.extract(index, 7, 0)
    result = terms.and_(value, _below(count, value.width))
    beyond = terms.ult(const(value.width - 1, 8), count)
    _set_bmi_flags(run, result, beyond, value, index)
    operands.write(run, 0, result)


def deposited(value: Term, mask: Term) -> Term:
    """The low bits of value, in order, at the ones of mask; zeros elsewhere (SDM vol. 2, PDEP)."""
    parts = []
    for position in range(value.width):
        taken = bit_at(mask, position)
        parts.append(terms.and_(taken, bit_at(value, 0)))
        value = terms.ite(taken, terms.lshr(value, const(1, value.width)), value)
    return terms.concat(*reversed(parts))


def extracted(value: Term, mask: Term) -> Term:
    """The bits of value at the ones of mask, in order, from bit 0 on (SDM vol. 2, PEXT)."""
    result = const(0, value.width)
    for position in reversed(range(value.width)):
        longer = terms.concat(terms.extract(result, value.width - 2, 0), bit_at(value, position))
        result = terms.ite(bit_at(mask, position), longer, result)
    return result


def _spread(result_of: Callable[[Term, Term], Term]) -> Semantics:
    def spread(run: Run) -> None:
        value, mask = operands.read(run, 1), operands.read(run, 2)
        operands.write(run, 0, result_of(value, mask))

    return spread


def remainder(crc: Term, data: Term) -> Term:
    """The 32-bit CRC-32C after all bits of data, low byte first, without inversions."""
    wide = max(32, data.width)
    state = terms.xor(terms.zext(crc, wide), terms.zext(data, wide))
    for _ in range(data.width):
        moved = terms.lshr(state, const(1, wide))
        state = terms.ite(bit_at(state, 0), terms.xor(moved, const(CASTAGNOLI, wide)), moved)
    return terms.extract(state, 31, 0)


def crc32(run: Run) -> None:
    """No flag is touched; a 64-bit destination is zero-extended from 32 bits."""
    crc, data = operands.read(run, 0), operands.read(run, 1)
    operands.write(run, 0, terms.zext(remainder(terms.extract(crc, 31, 0), data), crc.width))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "bt": _bit_test(None),
    "bts": _bit_test(terms.or_),
    "btr": _bit_test(lambda value, mask: terms.and_(value, terms.not_(mask))),
    "btc": _bit_test(terms.xor),
    "bsf": _scan(trailing_zeros),
    "bsr": _scan(_highest_one),
    "tzcnt": _count(trailing_zeros),
    "lzcnt": _count(leading_zeros),
    "popcnt": popcnt,
    **{name: _unary(*row) for name, row in _UNARY.items()},
    "andn": andn,
    "bextr": bextr,
    "bzhi": bzhi,
    "pdep": _spread(deposited),
    "pext": _spread(extracted),
    "crc32": crc32,
}
