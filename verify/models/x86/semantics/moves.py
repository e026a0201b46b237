"""Moves, exchanges of registers, extensions, address computation and random numbers.

Moves to and from control and debug registers are privileged: the caller raises #GP before it comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import GP, NP, SS
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RBX, RDX, Run
from verify.models.x86.semantics.stack import selector_error
from verify.terms import Term, const

STACK_SEGMENT: Final = 2  # number of SS; ES CS SS DS FS GS are 0..5 (SDM vol. 2, table B-8)
SEGMENT_BASES: Final[Mapping[int, str]] = {4: "fs_base", 5: "gs_base"}


def destination_width(run: Run) -> int:
    """Bits of operand 0, a general register of 16, 32 or 64 bits (or memory beside one), from its kind's name."""
    return int(operands.kind(run, 0)[1:3])


def copy(run: Run) -> None:
    """Operand 0 := operand 1."""
    operands.write(run, 0, operands.read(run, 1))


def mov(run: Run) -> None:
    """Operand 0 := operand 1; segment registers are loaded and stored by their own rules (SDM vol. 2, MOV)."""
    kinds = run.insn.opcode.op_kinds
    if kinds[0] == "seg_reg":
        number = run.insn.fields.reg
        load_segment(run, number, terms.extract(operands.read(run, 1), 15, 0))
        run.inhibits_trap = number.value in {None, STACK_SEGMENT}  # lss has no such shadow (SDM vol. 3, 6.8.3)
    elif kinds[1] == "seg_reg":
        _store_segment(run)
    else:
        copy(run)


# Segment registers


def _selector_position(number: Term) -> Term:
    return terms.shl(terms.zext(terms.extract(number, 2, 0), 96), const(4, 96))


def selector(run: Run, number: Term) -> Term:
    """The 16-bit selector of segment register `number`."""
    return terms.extract(terms.lshr(run.get("selectors"), _selector_position(number)), 15, 0)


def _set_selector(run: Run, number: Term, value: Term) -> None:
    position = _selector_position(number)
    kept = terms.and_(run.get("selectors"), terms.not_(terms.shl(const(0xFFFF, 96), position)))
    run.set("selectors", terms.or_(kept, terms.shl(terms.zext(value, 96), position)))


def load_segment(run: Run, number: Term, value: Term) -> None:
    """Loads a segment register with a 16-bit selector (SDM vol. 2, MOV).

    The descriptor tables are the same wherever the instruction runs: what they answer a privilege level is
    uninterpreted.
    """
    register = terms.extract(number, 2, 0)
    is_stack = terms.eq(register, const(STACK_SEGMENT, 3))
    error = selector_error(value)
    absent = terms.uf(run.asked("selector_not_present"), 1, register, value)
    run.fault(terms.uf(run.asked("selector_fault"), 1, register, value), GP, error)
    run.fault(terms.and_(absent, is_stack), SS, error)
    run.fault(terms.and_(absent, terms.not_(is_stack)), NP, error)
    _set_selector(run, number, value)
    for segment, name in SEGMENT_BASES.items():
        loaded = terms.uf("segment_base", 64, value, run.get(name))
        run.set(name, terms.ite(terms.eq(register, const(segment, 3)), loaded, run.get(name)))


def _store_segment(run: Run) -> None:
    """Memory gets 16 bits; a register is zero-extended to its width (SDM vol. 2, MOV)."""
    value = selector(run, run.insn.fields.reg)
    if not operands.is_memory(run, 0):
        value = terms.zext(value, destination_width(run))
    operands.write(run, 0, value)


def _load_far(segment: int) -> Semantics:
    def load_far(run: Run) -> None:
        """An offset, and the selector above it in memory (SDM vol. 2, LDS/LES/LFS/LGS/LSS)."""
        chosen, offset = operands.far_pointer(run)
        load_segment(run, const(segment, 4), chosen)
        operands.write(run, 0, offset)

    return load_far


# Extensions


def _extending(extend: Callable[[Term, int], Term]) -> Semantics:
    def extending(run: Run) -> None:
        operands.write(run, 0, extend(operands.read(run, 1), destination_width(run)))

    return extending


def movsxd(run: Run) -> None:
    """With 66 a word is moved; AMD's processors read four bytes of memory for it (measured on Zen 4), Intel's two."""
    wide = run.insn.cpu is Cpu.AMD and operands.kind(run, 0) == "r16_reg"
    value, width = operands.read(run, 1, 4 if wide else None), destination_width(run)
    operands.write(run, 0, terms.extract(value, 15, 0) if width == 16 else terms.sext(value, width))


def _widen(width: int) -> Semantics:
    def widen(run: Run) -> None:
        """The lower half of the accumulator, sign-extended to `width` bits."""
        run.set_gpr(RAX, terms.sext(run.gpr(RAX, width // 2), width))

    return widen


def _spread_sign(width: int) -> Semantics:
    def spread_sign(run: Run) -> None:
        """dx, edx or rdx := the sign of the accumulator."""
        run.set_gpr(RDX, terms.sext(flags.sign(run.gpr(RAX, width)), width))

    return spread_sign


# Byte order, addresses, tables, exchanges


def swapped(value: Term) -> Term:
    """The bytes in reverse order."""
    parts = [terms.extract(value, low + 7, low) for low in range(0, value.width, 8)]
    return terms.concat(*parts)


def bswap(run: Run) -> None:
    """A 16-bit operand leaves an undefined result (SDM vol. 2, BSWAP)."""
    value = operands.read(run, 0)
    narrow = value.width == 16
    operands.write(run, 0, flags.undefined_value(run, "result", 16, value) if narrow else swapped(value))


def movbe(run: Run) -> None:
    """Operand 0 := operand 1 with its bytes in reverse order (SDM vol. 2, MOVBE)."""
    operands.write(run, 0, swapped(operands.read(run, 1)))


def lea(run: Run) -> None:
    """The offset without a segment base, cut to the operand size or zero-extended."""
    width = destination_width(run)
    operands.write(run, 0, terms.extract(run.effective_address(), width - 1, 0))


def movdir64b(run: Run) -> None:
    """64 bytes to the aligned address in a register, which no segment override moves (SDM vol. 2, MOVDIR64B)."""
    address = run.truncated(terms.zext(operands.read_register(run, 0), 64))
    run.fault_unaligned(address, 64)
    run.store(address, operands.read(run, 1, 64))


def xlatb(run: Run) -> None:
    """al := the byte at rbx + al."""
    offset = run.truncated(terms.add(run.gpr(RBX), terms.zext(run.gpr(RAX, 8), 64)))
    run.set_gpr(RAX, run.load(run.linear(offset, run.insn.segment), 1))


def xchg(run: Run) -> None:
    """Opcode 90 without REX.B never comes here: it is nop."""
    a, b = operands.read(run, 0), operands.read(run, 1)
    operands.write(run, 0, b)
    operands.write(run, 1, a)


# Random numbers


def random_number(run: Run) -> None:
    """The number and whether there is one are uninterpreted, and the same wherever the instruction runs.

    No number: the destination is 0.  The other status flags are 0 (SDM vol. 2, RDRAND, RDSEED).
    """
    mnemonic, width = run.insn.opcode.mnemonic, destination_width(run)
    ready = terms.uf(f"{mnemonic}_ready", 1, run.get("opaque"))
    number = terms.uf(f"{mnemonic}_{width}", width, run.get("opaque"))
    flags.clear(run, "of", "sf", "zf", "af", "pf")
    run.set("cf", ready)
    operands.write(run, 0, terms.ite(ready, number, const(0, width)))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "mov": mov,
    "movnti": copy,
    "movdiri": copy,
    "movdir64b": movdir64b,
    "movzx": _extending(terms.zext),
    "movsx": _extending(terms.sext),
    "movsxd": movsxd,
    "lfs": _load_far(4),
    "lgs": _load_far(5),
    "lss": _load_far(2),
    "cbw": _widen(16),
    "cwde": _widen(32),
    "cdqe": _widen(64),
    "cwd": _spread_sign(16),
    "cdq": _spread_sign(32),
    "cqo": _spread_sign(64),
    "bswap": bswap,
    "movbe": movbe,
    "lea": lea,
    "xlatb": xlatb,
    "xchg": xchg,
    "rdrand": random_number,
    "rdseed": random_number,
}
