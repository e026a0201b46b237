"""Exact semantics of what moves vector and mask registers whole or in parts, broadcasts or combines them bitwise.

Decides alignment faults, EVEX masking, and what becomes of the bits above the destination.  Instructions on MMX
registers that share a mnemonic are routed.  Sources: the instruction's page in SDM vol. 2, and vol. 1, 15.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.fields import operand_register
from verify.models.x86.machine import STATUS
from verify.models.x86.semantics import flags, masking, operands
from verify.models.x86.semantics.masking import Selection
from verify.models.x86.semantics.operands import GPR_WIDTH, VECTOR_WIDTH
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.routed import routed
from verify.models.x86.semantics.run import Run
from verify.terms import Term, const


def unless_mmx(semantics: Semantics) -> Semantics:
    """The semantics, or the routed ones where an operand is an MMX register."""

    def chosen(run: Run) -> None:
        has_mmx = any(k.startswith("mm_") for k in run.insn.opcode.op_kinds)
        (routed if has_mmx else semantics)(run)

    return chosen


def vector_width(run: Run) -> int:
    """Bits of the widest vector register operand."""
    return max(VECTOR_WIDTH.get(kind[:3], 0) for kind in run.insn.opcode.op_kinds)


def move(element: int, aligned: bool) -> Semantics:
    """A whole register to or from a register or memory, in elements of `element` bits where masked."""

    def semantics(run: Run) -> None:
        width = vector_width(run)
        chosen = masking.selection(run, element, width)
        if aligned and any(operands.is_memory(run, i) for i in (0, 1)):
            masking.check_alignment(run, width // 8, chosen)
        value = masking.source(run, 1, element, width, chosen)
        if operands.is_memory(run, 0):
            masking.store(run, value, chosen)
        else:
            masking.write_destination(run, value, chosen)

    return semantics


def move_low(width: int) -> Semantics:
    """MOVD, MOVQ, VMOVW: the low bits; a vector or general register gets zeros above them."""

    def semantics(run: Run) -> None:
        value = terms.extract(operands.read(run, 1), width - 1, 0)
        if operands.is_memory(run, 0):
            operands.write(run, 0, value)
            return
        kind, _ = operand_register(run.insn.opcode, 0, run.insn.fields)
        operands.write_register(run, 0, terms.zext(value, max(width, GPR_WIDTH.get(kind, 128))))

    return semantics


def scalar(element: int) -> Semantics:
    """MOVSS, MOVSD, VMOVSH: one element; a load clears bits 127 and below, a register move takes them from another."""

    def semantics(run: Run) -> None:
        mask = terms.extract(masking.mask_bits(run), 0, 0)
        chosen = Selection(terms.sext(mask, element), run.insn.fields.z)
        last = len(run.insn.opcode.op_kinds) - 1
        if operands.is_memory(run, 0):
            value = terms.extract(operands.read_register(run, 1), element - 1, 0)
            run.store(run.operand_address(), value, run.uses_stack_segment(), mask)
            return
        above = const(0, 128 - element)
        if operands.is_memory(run, last):
            value = masking.load_element(run, element // 8, chosen)
        else:
            value = terms.extract(operands.read_register(run, last), element - 1, 0)
            above = terms.extract(operands.read_register(run, last - 1), 127, element)
        low = chosen.merged(value, masking.old_register(run, element))
        operands.write_register(run, 0, terms.concat(above, low))

    return semantics


move_scalar: Final = scalar(64)  # the SSE2 meaning of the mnemonic movsd


def half(to_high: bool, from_high: bool) -> Semantics:
    """MOVHPS, MOVLPS and relatives: 64 bits to one half; the other half stays or comes from the second operand."""

    def semantics(run: Run) -> None:
        if operands.is_memory(run, 0):
            operands.write(run, 0, half_of(operands.read_register(run, 1), to_high))
            return
        last = len(run.insn.opcode.op_kinds) - 1
        other = operands.read_register(run, last - 1)
        if operands.is_memory(run, last):
            value = operands.read(run, last, 8)
        else:
            value = half_of(operands.read_register(run, last), from_high)
        parts = (value, half_of(other, False)) if to_high else (half_of(other, True), value)
        operands.write_register(run, 0, terms.concat(*parts))

    return semantics


def half_of(value: Term, high: bool) -> Term:
    """The upper or lower 64 of 128 bits."""
    return terms.extract(value, 127, 64) if high else terms.extract(value, 63, 0)


Combination = Callable[[Term, Term], Term]


def and_not(a: Term, b: Term) -> Term:
    """Not a, and b."""
    return terms.and_(terms.not_(a), b)


def bitwise(combination: Combination, element: int) -> Semantics:
    """Two sources combined bit by bit; the last one may be in memory."""

    def semantics(run: Run) -> None:
        width, last = vector_width(run), len(run.insn.opcode.op_kinds) - 1
        chosen = masking.selection(run, element, width)
        if operands.is_memory(run, last):
            masking.check_legacy_alignment(run)
        first = operands.read_register(run, last - 1)
        second = masking.source(run, last, element, width, chosen)
        masking.write_destination(run, combination(first, second), chosen)

    return semantics


def broadcast(source: int, element: int) -> Semantics:
    """The low `source` bits of a register or memory repeated, masked by elements of `element` bits."""

    def semantics(run: Run) -> None:
        width = VECTOR_WIDTH[operands.kind(run, 0)[:3]]
        chosen = masking.selection(run, element, width)
        if operands.is_memory(run, 1):
            value = masking.load(run, source // 8, masking.folded(chosen, source))
        else:
            value = terms.extract(operands.read_register(run, 1), source - 1, 0)
        masking.write_destination(run, masking.repeated(value, width), chosen)

    return semantics


def zero_vectors(kept: int) -> Semantics:
    """VZEROUPPER, VZEROALL: registers 0 to 15 keep their low `kept` bits; 16 to 31 stay (SDM vol. 2)."""

    def semantics(run: Run) -> None:
        for n in range(16):
            number = const(n, 5)
            old = terms.select(run.get("vectors"), number)
            value = terms.zext(terms.extract(old, kept - 1, 0), 512) if kept else const(0, 512)
            run.set("vectors", terms.store(run.get("vectors"), number, value))

    return semantics


def mask_value(run: Run, index: int, width: int) -> Term:
    """The low `width` bits of operand `index`: mask register, general register or memory."""
    return terms.extract(operands.read(run, index, width // 8), width - 1, 0)


def mask_move(width: int) -> Semantics:
    """KMOV: zero-extended into a mask or general register."""

    def semantics(run: Run) -> None:
        value = mask_value(run, 1, width)
        if not operands.is_memory(run, 0):
            kind, _ = operand_register(run.insn.opcode, 0, run.insn.fields)
            value = terms.zext(value, GPR_WIDTH.get(kind, 64))
        operands.write(run, 0, value)

    return semantics


def mask_bitwise(combination: Combination, width: int) -> Semantics:
    """KAND, KANDN, KOR, KXOR, KXNOR: bits above the width become 0."""

    def semantics(run: Run) -> None:
        operands.write(run, 0, combination(mask_value(run, 1, width), mask_value(run, 2, width)))

    return semantics


def mask_not(width: int) -> Semantics:
    """KNOT."""
    return lambda run: operands.write(run, 0, terms.not_(mask_value(run, 1, width)))


def mask_test(width: int) -> Semantics:
    """KORTEST: ZF for all zeros, CF for all ones, the other status flags 0."""

    def semantics(run: Run) -> None:
        both = terms.or_(mask_value(run, 0, width), mask_value(run, 1, width))
        flags.clear(run, *STATUS)
        run.set("zf", terms.eq(both, const(0, width)))
        run.set("cf", terms.eq(both, const(-1, width)))

    return semantics


MOVES: Final = {  # mnemonic without v -> bits of a masked element, aligned
    "movups": (32, False), "movupd": (64, False), "movaps": (32, True), "movapd": (64, True),
    "movdqa": (32, True), "movdqu": (32, False), "lddqu": (32, False),
    "movntps": (32, True), "movntpd": (64, True), "movntdq": (32, True), "movntdqa": (32, True),
}  # fmt: skip
EVEX_MOVES: Final = {
    "vmovdqa32": (32, True), "vmovdqa64": (64, True), "vmovdqu8": (8, False), "vmovdqu16": (16, False),
    "vmovdqu32": (32, False), "vmovdqu64": (64, False),
}  # fmt: skip
HALVES: Final = {  # mnemonic without v -> destination half is the high one, source register half is the high one
    "movhps": (True, True), "movhpd": (True, True), "movlps": (False, False), "movlpd": (False, False),
    "movlhps": (True, False), "movhlps": (False, True),
}  # fmt: skip
COMBINATIONS: Final[Mapping[str, Combination]] = {"and": terms.and_, "andn": and_not, "or": terms.or_, "xor": terms.xor}
BROADCASTS: Final = {  # mnemonic -> bits of the source, bits of a masked element
    "vbroadcastss": (32, 32), "vbroadcastsd": (64, 64), "vbroadcastf128": (128, 128), "vbroadcasti128": (128, 128),
    "vbroadcastf32x2": (64, 32), "vbroadcasti32x2": (64, 32), "vbroadcastf32x4": (128, 32),
    "vbroadcasti32x4": (128, 32), "vbroadcastf64x2": (128, 64), "vbroadcasti64x2": (128, 64),
    "vbroadcastf32x8": (256, 32), "vbroadcasti32x8": (256, 32), "vbroadcastf64x4": (256, 64),
    "vbroadcasti64x4": (256, 64), "vpbroadcastb": (8, 8), "vpbroadcastw": (16, 16), "vpbroadcastd": (32, 32),
    "vpbroadcastq": (64, 64),
}  # fmt: skip
MASK_WIDTHS: Final = {"b": 8, "w": 16, "d": 32, "q": 64}


def exclusive_nor(a: Term, b: Term) -> Term:
    """Not (a xor b)."""
    return terms.not_(terms.xor(a, b))


def _mask_rows() -> Mapping[str, Semantics]:
    rows: dict[str, Semantics] = {}
    for suffix, width in MASK_WIDTHS.items():
        rows |= {f"kmov{suffix}": mask_move(width), f"knot{suffix}": mask_not(width)}
        rows |= {f"kortest{suffix}": mask_test(width), f"kxnor{suffix}": mask_bitwise(exclusive_nor, width)}
        rows |= {f"k{name}{suffix}": mask_bitwise(c, width) for name, c in COMBINATIONS.items()}
    return rows


def _bitwise_rows() -> Mapping[str, Semantics]:
    rows: dict[str, Semantics] = {}
    for name, combination in COMBINATIONS.items():
        for prefix in ("", "v"):
            rows[f"{prefix}{name}ps"] = bitwise(combination, 32)
            rows[f"{prefix}{name}pd"] = bitwise(combination, 64)
            rows[f"{prefix}p{name}"] = unless_mmx(bitwise(combination, 64))
        rows[f"vp{name}d"] = bitwise(combination, 32)
        rows[f"vp{name}q"] = bitwise(combination, 64)
    return rows


SEMANTICS: Final[Mapping[str, Semantics]] = {
    **{v + name: move(*row) for name, row in MOVES.items() for v in ("", "v")},
    **{name: move(*row) for name, row in EVEX_MOVES.items()},
    **{v + name: half(*row) for name, row in HALVES.items() for v in ("", "v")},
    **{name: broadcast(*row) for name, row in BROADCASTS.items()},
    **{v + "movd": unless_mmx(move_low(32)) for v in ("", "v")},
    **{v + "movq": unless_mmx(move_low(64)) for v in ("", "v")},
    **{v + "movss": scalar(32) for v in ("", "v")},
    "vmovsd": move_scalar, "vmovsh": scalar(16), "vmovw": move_low(16),
    "vzeroupper": zero_vectors(128), "vzeroall": zero_vectors(0),
    **_bitwise_rows(), **_mask_rows(),
}  # fmt: skip
