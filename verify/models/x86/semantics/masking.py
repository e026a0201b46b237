"""EVEX masking, broadcast and alignment of vector operands: which elements are read, written, kept or zeroed.

SDM vol. 1, 15.6.1 (opmask registers), 15.6.4 (memory fault suppression), 15.7 (alignment); vol. 2, 2.7.  A masked
memory operand is one access of its whole size, made where any element is selected; which of its bytes fault is the
environment's, as a function of address and selection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verify import terms
from verify.models.x86.isa.fields import operand_register
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import GP, NO_FAULT, Access
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.run import Run, access_fault, is_misaligned
from verify.terms import FALSE, Term, const

MISALIGNED_MODE: Final = 17  # MXCSR.MM


@dataclass(frozen=True, slots=True)
class Selection:
    """Which elements of a vector an instruction works on; `lanes` has ones over every selected element."""

    lanes: Term
    zeroing: Term

    @property
    def is_partial(self) -> bool:
        """Whether some element may not be selected."""
        return self.lanes.value != (1 << self.lanes.width) - 1

    @property
    def any(self) -> Term:
        """One bit: some element is selected."""
        return terms.not_(terms.eq(self.lanes, const(0, self.lanes.width)))

    def merged(self, new: Term, old: Term) -> Term:
        """The new value where selected; elsewhere the old one, or 0 with zeroing."""
        if not self.is_partial:
            return new
        kept = terms.ite(self.zeroing, const(0, old.width), terms.and_(old, terms.not_(self.lanes)))
        return terms.or_(terms.and_(new, self.lanes), kept)


def mask_bits(run: Run) -> Term:
    """The opmask in force, 64 bits; k0 selects everything."""
    if run.insn.opcode.encoding != "EVEX" or not run.insn.opcode.can_mask:
        return const(-1, 64)
    aaa = run.insn.fields.aaa
    chosen = terms.select(run.get("masks"), aaa)
    return terms.ite(terms.eq(aaa, const(0, 3)), const(-1, 64), chosen)


def selection(run: Run, element: int, width: int) -> Selection:
    """The selection over `width` bits in elements of `element` bits."""
    mask = mask_bits(run)
    lanes = [terms.sext(terms.extract(mask, n, n), element) for n in range(width // element)]
    return Selection(terms.concat(*reversed(lanes)), run.insn.fields.z)


def check_alignment(run: Run, size: int, chosen: Selection) -> None:
    """#GP(0) where the memory operand is not aligned to `size` bytes (a power of two), before any access.

    An AMD processor does not check where no element is selected (measured on Zen 4).
    """
    misaligned = is_misaligned(run.operand_address(), size)
    run.fault(terms.and_(misaligned, chosen.any) if run.insn.cpu is Cpu.AMD else misaligned, GP)


def check_legacy_alignment(run: Run) -> None:
    """#GP(0) for a misaligned 16-byte operand of legacy SSE; AMD's MXCSR.MM lifts it (APM vol. 1, 4.2.2)."""
    if run.insn.opcode.encoding != "LEGACY":
        return
    run.fault(unless_misaligned_mode(run, is_misaligned(run.operand_address(), 16)), GP)


def unless_misaligned_mode(run: Run, misaligned: Term) -> Term:
    """One bit: misaligned, where MXCSR.MM is clear: it lifts the check, but for aligned moves (seen on Zen 3).

    Intel's processors have no MM: its bit is reserved and 0 there (SDM vol. 1, 10.2.3), so that nothing is lifted.
    """
    mode = terms.extract(run.get("mxcsr"), MISALIGNED_MODE, MISALIGNED_MODE)
    return terms.and_(misaligned, terms.not_(mode))


def load(run: Run, size: int, chosen: Selection) -> Term:
    """The memory operand; bytes of elements that are not selected are not read and come as 0."""
    address = run.operand_address()
    if not chosen.is_partial:
        return run.load(address, size, run.uses_stack_segment())
    value = terms.and_(terms.load(run.get("memory"), address, size), chosen.lanes)
    record(run, "r", address, value, chosen.any, chosen.lanes)
    return value


def store(run: Run, value: Term, chosen: Selection) -> None:
    """Writes the selected elements to the memory operand."""
    address = run.operand_address()
    if not chosen.is_partial:
        run.store(address, value, run.uses_stack_segment())
        return
    memory = run.get("memory")
    kept = terms.and_(terms.load(memory, address, value.width // 8), terms.not_(chosen.lanes))
    written = terms.and_(value, chosen.lanes)
    record(run, "w", address, written, chosen.any, chosen.lanes)
    after = terms.write(memory, address, terms.or_(written, kept))
    run.set("memory", terms.ite(chosen.any, after, memory))


def load_element(run: Run, size: int, chosen: Selection) -> Term:
    """A memory operand of one element, as broadcast and scalar moves have it: read where any element is selected."""
    return run.load(run.operand_address(), size, run.uses_stack_segment(), chosen.any)


def record(run: Run, kind: str, address: Term, value: Term, made: Term, *selection: Term) -> None:
    """Notes an access that is made where the one-bit `made` is 1; its fault is a function of what selects its bytes."""
    stack = run.uses_stack_segment()
    size = value.width // 8
    vector, error, where = access_fault(kind, address, size, stack, run.mode, *selection)
    run.note(Access(kind, address, size, value, stack, made))
    run.faults.append((terms.ite(made, vector, const(NO_FAULT, 8)), error, where, FALSE))


def source(run: Run, index: int, element: int, width: int, chosen: Selection) -> Term:
    """Operand `index` of `width` bits: register, memory, or one element of memory repeated (EVEX.b)."""
    if not operands.is_memory(run, index):
        return operands.read_register(run, index)
    if run.insn.opcode.can_broadcast and run.insn.fields.broadcast.value == 1:
        return repeated(load_element(run, element // 8, chosen), width)
    return load(run, width // 8, chosen)


def folded(chosen: Selection, width: int) -> Selection:
    """The selection over the `width` source bits that a broadcast repeats: an element is read where any copy is.

    Measured on Zen 4: a fault in elements of which no copy is selected is suppressed.
    """
    lanes = const(0, width)
    for low in range(0, chosen.lanes.width, width):
        lanes = terms.or_(lanes, terms.extract(chosen.lanes, low + width - 1, low))
    return Selection(lanes, chosen.zeroing)


def repeated(value: Term, width: int) -> Term:
    """The value again and again, over `width` bits."""
    return terms.concat(*[value] * (width // value.width))


def write_destination(run: Run, value: Term, chosen: Selection) -> None:
    """Writes register operand 0 under the selection."""
    _, number = operand_register(run.insn.opcode, 0, run.insn.fields)
    operands.write_vector(run, number, chosen.merged(value, old_register(run, value.width)))


def old_register(run: Run, width: int) -> Term:
    """The low `width` bits of the vector register operand 0 before."""
    return terms.extract(operands.read_register(run, 0), width - 1, 0)
