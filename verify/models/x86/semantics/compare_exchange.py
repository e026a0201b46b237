"""Instructions that read, compare and write memory in one: xadd, cmpxchg and their kin.

With LOCK they do the same; what LOCK adds is invisible to one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.conditions import holds
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RBX, RCX, RDX, Run
from verify.terms import Term

_COMPARISONS: Final[Mapping[str, int]] = {  # the suffix of CMPccXADD and its condition code (SDM vol. 2, CMPccXADD)
    "o": 0x0, "no": 0x1, "b": 0x2, "nb": 0x3, "z": 0x4, "nz": 0x5, "be": 0x6, "nbe": 0x7,
    "s": 0x8, "ns": 0x9, "p": 0xA, "np": 0xB, "l": 0xC, "nl": 0xD, "le": 0xE, "nle": 0xF,
}  # fmt: skip


def xadd(run: Run) -> None:
    """The sum wins where both operands are one register; an address is formed before its register changes."""
    a, b = operands.read(run, 0), operands.read(run, 1)
    results = (flags.added(run, a, b), a)
    for index in (0, 1) if operands.is_memory(run, 0) else (1, 0):
        operands.write(run, index, results[index])


def cmpxchg(run: Run) -> None:
    """Memory is written, whether or not the comparison held.

    Of registers only the one that changes is written: the accumulator or the destination, so the upper half of the
    other one stays with 32-bit operands.
    """
    destination, source = operands.read(run, 0), operands.read(run, 1)
    accumulator = run.gpr(RAX, destination.width)
    flags.subtracted(run, accumulator, destination)
    equal = run.get("zf")
    before = run.get("gprs")
    operands.write(run, 0, terms.ite(equal, source, destination))
    exchanged = run.get("gprs")
    run.set("gprs", before)
    run.set_gpr(RAX, destination)
    run.set("gprs", terms.ite(equal, exchanged, run.get("gprs")))


def _exchange_pair(width: int) -> Semantics:
    def exchange_pair(run: Run) -> None:
        """Registers of `width` bits; memory is always written, the pair rdx:rax only where it differs."""
        address = run.operand_address()
        if width == 64:
            run.fault_unaligned(address, 16)
        value = run.load(address, width // 4, run.uses_stack_segment())
        expected = terms.concat(run.gpr(RDX, width), run.gpr(RAX, width))
        desired = terms.concat(run.gpr(RCX, width), run.gpr(RBX, width))
        equal = terms.eq(value, expected)
        run.set("zf", equal)
        run.store(address, terms.ite(equal, desired, value), run.uses_stack_segment())
        before = run.get("gprs")
        run.set_gpr(RAX, terms.extract(value, width - 1, 0))
        run.set_gpr(RDX, terms.extract(value, 2 * width - 1, width))
        run.set("gprs", terms.ite(equal, before, run.get("gprs")))

    return exchange_pair


def _chosen_sum(code: int) -> Semantics:
    def chosen_sum(run: Run) -> None:
        """Flags as cmp; memory is always written, and must be naturally aligned."""
        expected, addend = operands.read_register(run, 1), operands.read_register(run, 2)
        run.fault_unaligned(run.operand_address(), expected.width // 8)
        value = operands.read(run, 0)
        flags.subtracted(run, value, expected)
        total: Term = terms.add(value, addend)
        operands.write(run, 0, terms.ite(holds(code, run.get), total, value))
        operands.write(run, 1, value)

    return chosen_sum


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "xadd": xadd,
    "cmpxchg": cmpxchg,
    "cmpxchg8b": _exchange_pair(32),
    "cmpxchg16b": _exchange_pair(64),
    **{f"cmp{name}xadd": _chosen_sum(code) for name, code in _COMPARISONS.items()},
}
