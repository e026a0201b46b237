"""Addition, subtraction, multiplication and division of integers (SDM vol. 2, the page of each mnemonic)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.machine import DE
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RDX, Run
from verify.terms import FALSE, Term, const

Computed = Callable[[Run, Term, Term, Term], Term]  # operands and a carry or borrow: the result, status flags set


def _sum(computed: Computed, carried: bool = False) -> Semantics:
    def summed(run: Run) -> None:
        a, b = operands.read(run, 0), operands.read(run, 1)
        operands.write(run, 0, computed(run, a, b, run.get("cf") if carried else FALSE))

    return summed


def cmp(run: Run) -> None:
    """The flags of a subtraction whose result is thrown away (SDM vol. 2, CMP)."""
    a, b = operands.read(run, 0), operands.read(run, 1)
    flags.subtracted(run, a, b)


def _step(computed: Computed) -> Semantics:
    def step(run: Run) -> None:
        """cf is kept."""
        a, cf = operands.read(run, 0), run.get("cf")
        operands.write(run, 0, computed(run, a, const(1, a.width), FALSE))
        run.set("cf", cf)

    return step


def neg(run: Run) -> None:
    """0 - operand, with its flags (SDM vol. 2, NEG)."""
    a = operands.read(run, 0)
    operands.write(run, 0, flags.subtracted(run, const(0, a.width), a))


def _add_with(flag: str) -> Semantics:
    def add_with(run: Run) -> None:
        """No flag but the one is touched."""
        a, b, carry_in = operands.read(run, 0), operands.read(run, 1), run.get(flag)
        run.set(flag, flags.carry(a, b, carry_in))
        operands.write(run, 0, terms.add(terms.add(a, b), terms.zext(carry_in, a.width)))

    return add_with


def _set_product(run: Run, product: Term) -> None:
    """The double-width product to ax, or to the pair dx:ax, edx:eax or rdx:rax."""
    half = product.width // 2
    if half == 8:
        run.set_gpr(RAX, product)
        return
    run.set_gpr(RAX, terms.extract(product, half - 1, 0))
    run.set_gpr(RDX, terms.extract(product, product.width - 1, half))


def _set_product_flags(run: Run, lost: Term, a: Term, b: Term) -> None:
    """cf = of = the product does not fit; the others are undefined."""
    flags.undefine(run, a, b)
    flags.set_flags(run, cf=lost, of=lost)


def mul(run: Run) -> None:
    """rDX:rAX := rAX * operand, unsigned; CF and OF where the high half is not 0 (SDM vol. 2, MUL)."""
    b = operands.read(run, 0)
    a, wide = run.gpr(RAX, b.width), 2 * b.width
    product = terms.mul(terms.zext(a, wide), terms.zext(b, wide))
    high = terms.extract(product, wide - 1, b.width)
    _set_product_flags(run, terms.not_(flags.is_zero(high)), a, b)
    _set_product(run, product)


def imul(run: Run) -> None:
    """The forms with one, two and three operands."""
    count = len(run.insn.opcode.op_kinds)
    b = operands.read(run, 0 if count == 1 else 1)
    a = run.gpr(RAX, b.width) if count == 1 else operands.read(run, 2 if count == 3 else 0)
    wide = 2 * b.width
    product = terms.mul(terms.sext(a, wide), terms.sext(b, wide))
    low = terms.extract(product, b.width - 1, 0)
    _set_product_flags(run, terms.not_(terms.eq(terms.sext(low, wide), product)), a, b)
    if count == 1:
        _set_product(run, product)
    else:
        operands.write(run, 0, low)


def mulx(run: Run) -> None:
    """The high half wins where both destinations are one register; no flag is touched."""
    b = operands.read(run, 2)
    wide = 2 * b.width
    product = terms.mul(terms.zext(run.gpr(RDX, b.width), wide), terms.zext(b, wide))
    operands.write(run, 1, terms.extract(product, b.width - 1, 0))
    operands.write(run, 0, terms.extract(product, wide - 1, b.width))


def _dividend(run: Run, width: int) -> Term:
    """ax, or the pair dx:ax, edx:eax or rdx:rax: 2 * width bits."""
    return run.gpr(RAX, 16) if width == 8 else terms.concat(run.gpr(RDX, width), run.gpr(RAX, width))


Binary = Callable[[Term, Term], Term]


def _divide(extend: Callable[[Term, int], Term], quotient_of: Binary, remainder_of: Binary) -> Semantics:
    def divide(run: Run) -> None:
        """#DE where the divisor is 0 or the quotient does not fit; every status flag is undefined."""
        divisor = operands.read(run, 0)
        width = divisor.width
        dividend, wide = _dividend(run, width), extend(divisor, 2 * width)
        quotient, remainder = quotient_of(dividend, wide), remainder_of(dividend, wide)
        low = terms.extract(quotient, width - 1, 0)
        unfit = terms.not_(terms.eq(extend(low, 2 * width), quotient))
        run.fault(terms.or_(flags.is_zero(divisor), unfit), DE, at_ip=True)
        flags.undefine(run, dividend, divisor)
        _set_product(run, terms.concat(terms.extract(remainder, width - 1, 0), low))

    return divide


def _atomic(result_of: Binary) -> Semantics:
    def atomic(run: Run) -> None:
        """A remote atomic operation: #GP where memory is not naturally aligned, no flag is touched (SDM vol. 2)."""
        b = operands.read_register(run, 1)
        run.fault_unaligned(run.operand_address(), b.width // 8)
        operands.write(run, 0, result_of(operands.read(run, 0), b))

    return atomic


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "add": _sum(flags.added),
    "adc": _sum(flags.added, carried=True),
    "sub": _sum(flags.subtracted),
    "sbb": _sum(flags.subtracted, carried=True),
    "cmp": cmp,
    "inc": _step(flags.added),
    "dec": _step(flags.subtracted),
    "neg": neg,
    "adcx": _add_with("cf"),
    "adox": _add_with("of"),
    "mul": mul,
    "imul": imul,
    "mulx": mulx,
    "div": _divide(terms.zext, terms.udiv, terms.urem),
    "idiv": _divide(terms.sext, terms.sdiv, terms.srem),
    "aadd": _atomic(terms.add),
    "aand": _atomic(terms.and_),
    "aor": _atomic(terms.or_),
    "axor": _atomic(terms.xor),
}
