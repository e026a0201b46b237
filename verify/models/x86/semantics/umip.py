"""Semantics of SGDT, SIDT, SMSW, SLDT and STR: the processor raises #GP(0), and Linux completes what it recognises.

Assumed: CR4.UMIP is on.  Decides which encodings the kernel recognises, what it answers, and that ip is moved without
a trap.  Source: arch/x86/kernel/umip.c and arch/x86/lib/insn-eval.c, Linux 6.18; measured on 6.18.44.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.isa.fields import operand_register
from verify.models.x86.isa.layout import Layout
from verify.models.x86.machine import GP, NO_FAULT, PF, Access
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run, access_fault
from verify.terms import FALSE, MEMORY, TRUE, Term, const

USER_WRITE: Final = 6  # page-fault error code
DUMMY: Final[Mapping[str, int]] = {  # what Linux answers a 64-bit program
    "sgdt": 0xFFFFFFFFFFFE0000 << 16,
    "sidt": 0xFFFFFFFFFFFF0000 << 16,
    "smsw": 0x80050033,  # CR0_STATE
    "sldt": 0,  # a program that set a local descriptor table gets the selector 0x50 instead
    "str": 0x40,  # GDT_ENTRY_TSS * 8
}
LDT_SELECTOR: Final = 0x50  # GDT_ENTRY_LDT * 8
SEGMENT_PREFIXES: Final = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65})
KEPT: Final = 4  # distinct legacy prefixes that the kernel's decoder keeps; a fifth is the opcode to it


def is_recognised(layout: Layout, in_memory: bool) -> bool:
    """Whether the kernel finds the instruction and, in memory, its address: at most one segment prefix is seen.

    One REX byte may stand before the opcode, nothing between them.
    """
    distinct = list(dict.fromkeys(layout.prefixes))
    if layout.ignored_rex or len(distinct) > KEPT:
        return False
    return not in_memory or sum(p in SEGMENT_PREFIXES for p in _walked(distinct, layout.prefixes[-1:])) <= 1


def _walked(distinct: list[int], last: bytes) -> list[int]:
    """The prefixes that a walk over the kernel's four places meets.

    The last prefix of the instruction is put into the fourth place, what was there into the last one's: with three
    distinct ones it is met twice, with fewer the walk ends before it.
    """
    if len(distinct) == KEPT - 1:
        return [*distinct, last[0]]
    return distinct


def umip(name: str) -> Semantics:
    """10 bytes for the tables, else 2 in memory or the operand size; #GP(0) stays where nothing is recognised.

    A 32-bit register keeps its upper half, unlike the processor's own result (measured on Linux 6.18).  A store that
    faults may be made in part.
    """

    def semantics(run: Run) -> None:
        if not is_recognised(run.insn.fields.layout, operands.is_memory(run, 0)):
            run.fault(TRUE, GP)
            return
        run.kernel_completes = True
        if operands.is_memory(run, 0):
            _store(run, dummy(name, 80 if name in {"sgdt", "sidt"} else 16))
        else:
            _write_register(run, name)

    return semantics


def _store(run: Run, value: Term) -> None:
    """The kernel's own store: whatever stops it is shown as a page fault of a write at the operand's first byte.

    The address -1 is the kernel's sign that it found none.
    """
    address, stack, size = run.operand_address(), run.uses_stack_segment(), value.width // 8
    run.fault(terms.eq(address, const(-1, 64)), GP)
    made = terms.eq(access_fault("w", address, size, stack, run.mode)[0], const(NO_FAULT, 8))
    partial = terms.uf("umip_partial", MEMORY, run.before.memory, address, const(size, 16))
    run.fault_state = replace(run.before, memory=partial)
    run.note(Access("w", address, size, value, stack, TRUE))
    run.faults.append((terms.ite(made, const(NO_FAULT, 8), const(PF, 8)), const(USER_WRITE, 32), address, FALSE))
    run.set("memory", terms.write(run.get("memory"), address, value))


def _write_register(run: Run, name: str) -> None:
    _, number = operand_register(run.insn.opcode, 0, run.insn.fields)
    width = run.insn.opcode.operand_size or 32
    kept = () if width == 64 else (terms.extract(run.gpr(number), 63, width),)
    run.set_gpr(number, terms.concat(*kept, dummy(name, width)))


def dummy(name: str, width: int) -> Term:
    """The answer in `width` bits; for sldt it depends on whether the program has an LDT."""
    value = const(DUMMY[name], width)
    if name != "sldt":
        return value
    return terms.ite(terms.uf("has_ldt", 1), const(LDT_SELECTOR, width), value)


SEMANTICS: Final[Mapping[str, Semantics]] = {name: umip(name) for name in DUMMY}
