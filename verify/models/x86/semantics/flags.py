"""Values of the status flags, and which of them an instruction leaves undefined.

It decides the flags that follow from a result alone, from an addition or from a subtraction.  Which instruction sets
which flag is said by the family modules.

NOTE(undefined-flags): an undefined flag is an uninterpreted function of the operands and of the status flags before.
It has the same value wherever the same instruction runs on the same values, and nothing else is known of it.  A flag
is called unchanged only where a manual says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.machine import STATUS
from verify.models.x86.semantics.run import Run
from verify.terms import Term, const

# Flags that can be undefined after the instruction, SDM vol. 2, "Flags Affected" of its page; AMD APM vol. 3 for TBM.
# Shifts and rotates: af where the masked count is not 0, of where it is neither 0 nor 1, cf (shl, shr) where it is at
# least the operand size; shld, shrd: also every flag where the count is above the operand size.
UNDEFINED_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "mul": ("sf", "zf", "af", "pf"),
    "imul": ("sf", "zf", "af", "pf"),
    "div": STATUS,
    "idiv": STATUS,
    "and": ("af",),
    "or": ("af",),
    "xor": ("af",),
    "test": ("af",),
    "shl": ("af", "of", "cf"),
    "sal": ("af", "of", "cf"),
    "shr": ("af", "of", "cf"),
    "sar": ("af", "of"),
    "rol": ("of",),
    "ror": ("of",),
    "rcl": ("of",),
    "rcr": ("of",),
    "shld": STATUS,
    "shrd": STATUS,
    "bt": ("of", "sf", "af", "pf"),
    "bts": ("of", "sf", "af", "pf"),
    "btr": ("of", "sf", "af", "pf"),
    "btc": ("of", "sf", "af", "pf"),
    "bsf": ("cf", "of", "sf", "af", "pf"),
    "bsr": ("cf", "of", "sf", "af", "pf"),
    "lzcnt": ("of", "sf", "pf", "af"),
    "tzcnt": ("of", "sf", "pf", "af"),
    "andn": ("af", "pf"),
    "bextr": ("af", "sf", "pf"),
    "blsi": ("af", "pf"),
    "blsmsk": ("af", "pf"),
    "blsr": ("af", "pf"),
    "bzhi": ("af", "pf"),
    "blcfill": ("af", "pf"),
    "blci": ("af", "pf"),
    "blcic": ("af", "pf"),
    "blcmsk": ("af", "pf"),
    "blcs": ("af", "pf"),
    "blsfill": ("af", "pf"),
    "blsic": ("af", "pf"),
    "t1mskc": ("af", "pf"),
    "tzmsk": ("af", "pf"),
}


def undefined_value(run: Run, what: str, width: int, *reads: Term) -> Term:
    """An undefined result of `width` bits, named by what it is and by the instruction (NOTE(undefined-flags))."""
    name = f"undefined_{what}_{run.insn.opcode.mnemonic}_{'_'.join(str(r.width) for r in reads)}"
    before = terms.concat(*(getattr(run.before, f) for f in STATUS))
    return terms.uf(name, width, *reads, before)


def undefined_flag(run: Run, flag: str, *reads: Term) -> Term:
    """The undefined value of a flag, 1 bit; ValueError where UNDEFINED_FLAGS does not list it."""
    mnemonic = run.insn.opcode.mnemonic
    if flag not in UNDEFINED_FLAGS.get(mnemonic, ()):
        raise ValueError(f"{flag} must be listed as undefined after {mnemonic}")
    return undefined_value(run, flag, 1, *reads)


def undefine(run: Run, *reads: Term) -> None:
    """Sets every undefined flag of the instruction."""
    for flag in UNDEFINED_FLAGS[run.insn.opcode.mnemonic]:
        run.set(flag, undefined_flag(run, flag, *reads))


def set_flags(run: Run, **flags: Term) -> None:
    """Sets the flags named."""
    for name, value in flags.items():
        run.set(name, value)


def clear(run: Run, *flags: str) -> None:
    """Sets the flags named to 0."""
    for name in flags:
        run.set(name, terms.FALSE)


def sign(value: Term) -> Term:
    """The most significant bit."""
    return terms.extract(value, value.width - 1, value.width - 1)


def is_zero(value: Term) -> Term:
    """One bit: the value is 0."""
    return terms.eq(value, const(0, value.width))


def parity(value: Term) -> Term:
    """One bit: the low byte has an even number of ones."""
    odd = terms.FALSE
    for position in range(8):
        odd = terms.xor(odd, terms.extract(value, position, position))
    return terms.not_(odd)


def set_result_flags(run: Run, result: Term) -> None:
    """zf, sf and pf by the result."""
    set_flags(run, zf=is_zero(result), sf=sign(result), pf=parity(result))


def carry(a: Term, b: Term, carry_in: Term) -> Term:
    """One bit: the carry out of a + b + carry_in."""
    wide = a.width + 1
    total = terms.add(terms.add(terms.zext(a, wide), terms.zext(b, wide)), terms.zext(carry_in, wide))
    return terms.extract(total, a.width, a.width)


def borrow(a: Term, b: Term, borrow_in: Term) -> Term:
    """One bit: the borrow out of a - b - borrow_in."""
    wide = a.width + 1
    difference = terms.sub(terms.sub(terms.zext(a, wide), terms.zext(b, wide)), terms.zext(borrow_in, wide))
    return terms.extract(difference, a.width, a.width)


def auxiliary(a: Term, b: Term, result: Term) -> Term:
    """One bit: the carry or borrow out of bit 3."""
    return terms.extract(terms.xor(terms.xor(a, b), result), 4, 4)


def sum_overflow(a: Term, b: Term, result: Term) -> Term:
    """One bit: a + b (and a carry) = result overflows as a signed sum."""
    return sign(terms.and_(terms.xor(a, result), terms.xor(b, result)))


def difference_overflow(a: Term, b: Term, result: Term) -> Term:
    """One bit: a - b (and a borrow) = result overflows as a signed difference."""
    return sign(terms.and_(terms.xor(a, b), terms.xor(a, result)))


def added(run: Run, a: Term, b: Term, carry_in: Term = terms.FALSE) -> Term:
    """a + b + carry_in; sets all six status flags."""
    result = terms.add(terms.add(a, b), terms.zext(carry_in, a.width))
    set_flags(run, cf=carry(a, b, carry_in), af=auxiliary(a, b, result), of=sum_overflow(a, b, result))
    set_result_flags(run, result)
    return result


def subtracted(run: Run, a: Term, b: Term, borrow_in: Term = terms.FALSE) -> Term:
    """a - b - borrow_in; sets all six status flags."""
    result = terms.sub(terms.sub(a, b), terms.zext(borrow_in, a.width))
    set_flags(run, cf=borrow(a, b, borrow_in), af=auxiliary(a, b, result), of=difference_overflow(a, b, result))
    set_result_flags(run, result)
    return result
