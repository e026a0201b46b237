"""What code of a plan is, next to the original: its bytes, and how it corresponds to the instruction field by field.

All of it runs for every encoding: bytes are taken as integers, and what code changes is found once a code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from verify.models.schemes.code import Byte, Code
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, library_reads
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Addressing, Opcode
from verify.models.x86.isa.layout import Layout

MOST_CODES: Final = 4096
DISPLACEMENT: Final = 4  # bytes of a rip-relative operand's
Changes = tuple[tuple[int, Byte], ...]
_CHANGES: dict[int, tuple[Code, Changes]] = {}  # by identity of the code, which is kept so that it stays its own


@dataclass(frozen=True, slots=True)
class Relation:
    """How code corresponds to the original: the original itself, but for what is said here.

    `base`: [rip + d] has become [register + d], and the register is no operand.  `removed`: of a displacement that the
    copy has no more, its bytes, and [rip + d] has become [register].  `fixed`: immediates, by their number, that are
    constants of the code.
    """

    base: int | None = None
    fixed: tuple[tuple[int, int], ...] = ()
    removed: int = 0


SAME: Final = Relation()


def _changes(code: Code) -> Changes:
    """The positions that are not the original's byte whatever it is; schemes share code."""
    found = _CHANGES.get(id(code))
    if found is None or found[0] is not code:
        if len(_CHANGES) >= MOST_CODES:
            _CHANGES.clear()
        found = _CHANGES[id(code)] = code, tuple(_changed(code))
    return found[1]


def _changed(code: Code) -> Iterator[tuple[int, Byte]]:
    for i, piece in enumerate(code.pieces):
        if not isinstance(piece, Byte):
            raise ValueError(f"words that hold addresses are not modelled: {code.text}")
        if piece != Byte(i):
            yield i, piece


def is_plain_code(code: Code) -> bool:
    """Whether the code is the original bytes whatever they are; code with words that hold addresses is not."""
    return not code.closed and all(isinstance(piece, Byte) for piece in code.pieces) and not _changes(code)


def code_bytes(code: Code, data: bytes) -> bytes:
    """The bytes of the code, where these are at the probe; behind it what stands behind the original."""
    copy = bytearray(data[:16])
    for i, b in _changes(code):
        copy[i] = b.of(data)
    return bytes(copy)


def relation(old: Decoded, code: Code, data: bytes, taken_apart: Callable[[], Answer]) -> Relation | None:
    """How code corresponds to the original, of which the data are the bytes; None where it does not field by field.

    `taken_apart` decodes the copy.
    """
    if not _changes(code):
        return SAME
    fixed = _fixed(old, code)
    if fixed is not None:
        return Relation(fixed=fixed)
    copy = code_bytes(code, data)
    if copy == data[:16]:
        return SAME
    base = _based(old, code, copy, taken_apart)
    if base is not None:
        return Relation(base=base)
    base = _shortened(old, copy, taken_apart)
    return None if base is None else Relation(base=base, removed=DISPLACEMENT)


def _fixed(old: Decoded, code: Code) -> tuple[tuple[int, int], ...] | None:
    """Immediates that are constants of the code, where nothing else changes."""
    constant = {i: b.bits for i, b in _changes(code) if b.source is None}
    if len(constant) < len(_changes(code)):
        return None
    found: list[tuple[int, int]] = []
    for n, (offset, size) in enumerate(old.layout.immediates):
        value = [constant.pop(i) for i in range(offset, offset + size) if i in constant]
        if len(value) not in {0, size}:
            return None
        if value:
            found.append((n, int.from_bytes(bytes(value), "little")))
    return None if constant else tuple(found)


def is_blind(old: Decoded, code: Code) -> bool:
    """Whether the relation is found without looking at the values of displacement and immediates.

    So it is where nothing or immediates alone change, and where neither the bytes that change nor those that they are
    made of are among them.
    """
    if code.closed:
        return False
    if _fixed(old, code) is not None:
        return True
    layout = old.layout
    values = {i for at, size in layout.immediates for i in range(at, at + size)}
    if layout.disp_offset is not None:
        values |= set(range(layout.disp_offset, layout.disp_offset + layout.disp_size))
    return all(i not in values and b.source not in values for i, b in _changes(code))


@cache
def general_operands(opcode: Opcode, addressing: Addressing) -> tuple[int, ...]:
    """Positions of the operands that are general registers named by fields (address registers left out)."""
    found = []
    for i, kind in enumerate(opcode.op_kinds):
        in_memory = "_or_mem" in kind and addressing is not Addressing.REG
        if kind.startswith(("r8_", "r16_", "r32_", "r64_")) and not in_memory:
            found.append(i)
    return tuple(found)


Answer = Decoded | NotAnInstruction | NotModelled


def _based(old: Decoded, code: Code, copy: bytes, taken_apart: Callable[[], Answer]) -> int | None:
    """The register, where the copy is the original with [rip + d] made [register + d], and it is no operand of it.

    Bytes may differ in ModRM's mod and rm, in REX.B, and in the X and B bits of a VEX, XOP or EVEX prefix: every other
    field of the copy then equals the original's.
    """
    if old.form.addressing is not Addressing.RIP or not _differs_in_base_only(old, code, copy):
        return None
    if not (_is_plainly_based(old, copy) or _is_laid_out_based(old, taken_apart())):
        return None
    base = _base(old.layout, copy)
    return base if all(n & 15 != base for n in _numbers(old)) else None


def _shortened(old: Decoded, copy: bytes, taken_apart: Callable[[], Answer]) -> int | None:
    """The register, where the copy is the original with [rip + d] made [register], and it is no operand of it.

    The copy is taken apart: its layout is the original's but for the displacement's bytes, those before and behind them
    are the original's but for ModRM's mod and rm, and the bits that extend rm.
    """
    if old.form.addressing is not Addressing.RIP or not _is_copied_but_displacement(old, copy):
        return None
    new = taken_apart()
    if not isinstance(new, Decoded) or new.form.opcode is not old.form.opcode:
        return None
    if new.form.addressing is not Addressing.MEM or new.layout._replace(rex=0) != _without_displacement(old.layout):
        return None
    base = _base(new.layout, copy)
    return base if all(n & 15 != base for n in _numbers(old)) else None


def _without_displacement(layout: Layout) -> Layout:
    """The layout where the displacement's bytes are left out, REX unknown."""
    shifted = tuple((at - DISPLACEMENT, size) for at, size in layout.immediates)
    suffix = None if layout.suffix_offset is None else layout.suffix_offset - DISPLACEMENT
    return layout._replace(
        rex=0, length=layout.length - DISPLACEMENT, disp_offset=None, disp_size=0, immediates=shifted,
        suffix_offset=suffix,
    )  # fmt: skip


def _is_copied_but_displacement(old: Decoded, copy: bytes) -> bool:
    layout, data = old.layout, old.data
    at = layout.modrm_offset
    if at is None or layout.disp_size != DISPLACEMENT or (data[at] ^ copy[at]) & 0x38:
        return False
    behind = at + 1 + DISPLACEMENT
    if copy[at + 1 : layout.length - DISPLACEMENT] != data[behind : layout.length]:
        return False
    return all(not (data[i] ^ copy[i]) & ~_extends_rm(layout, i) for i in range(at))


def _extends_rm(layout: Layout, at: int) -> int:
    """The bits of a byte before ModRM that say nothing but which base register is meant."""
    if at == layout.rex_offset:
        return 0x01
    is_payload = layout.vex_offset is not None and layout.vex != "vex2" and at == layout.vex_offset + 1
    return 0x60 if is_payload else 0


def _is_plainly_based(old: Decoded, copy: bytes) -> bool:
    """Whether the copy has the original's opcode and length by the library, and ModRM with a base and 4 bytes behind.

    Its layout is the original's then, but for the value of REX.
    """
    layout = old.layout
    at = layout.modrm_offset
    if at is None or copy[at] & 0xC0 != 0x80 or copy[at] & 7 == 4:
        return False
    return library_reads(copy, old.cpu) == (old.form.opcode.code, layout.length)


def _is_laid_out_based(old: Decoded, new: Answer) -> bool:
    """The same of a copy that is taken apart."""
    if not isinstance(new, Decoded) or new.form.opcode is not old.form.opcode:
        return False
    if new.form.addressing is not Addressing.MEM or new.layout.sib_offset is not None:
        return False
    return old.layout._replace(rex=0) == new.layout._replace(rex=0)


def _differs_in_base_only(old: Decoded, code: Code, copy: bytes) -> bool:
    layout, data = old.layout, old.data
    for i, _ in _changes(code):
        if i >= layout.length:
            continue
        allowed = 0xC7 if i == layout.modrm_offset else _extends_rm(layout, i)
        if (data[i] ^ copy[i]) & ~allowed:
            return False
    return True


def _numbers(old: Decoded) -> Iterator[int]:
    """The numbers of the general registers that operands of a rip-relative instruction name; bits above 3 may differ.

    From the bytes as integers where ModRM.reg or vvvv names them: this runs for every encoding.
    """
    opcode = old.form.opcode
    for i in general_operands(opcode, Addressing.RIP):
        kind = opcode.op_kinds[i]
        if kind.endswith("_vvvv"):
            yield _vvvv(old)
        elif kind.endswith(("_reg", "_reg_mem")):
            yield _reg(old)
        else:
            number = operand_register(opcode, i, fields(old))[1].value
            assert number is not None
            yield number


def _reg(d: Decoded) -> int:
    """ModRM.reg with its extension, 4 bits."""
    layout = d.layout
    assert layout.modrm_offset is not None
    low = d.data[layout.modrm_offset] >> 3 & 7
    if layout.vex_offset is not None:
        return low | (~d.data[layout.vex_offset + 1] >> 7 & 1) << 3
    return low | (layout.rex >> 2 & 1) << 3


def _vvvv(d: Decoded) -> int:
    """VEX.vvvv, 4 bits."""
    layout = d.layout
    assert layout.vex_offset is not None
    return ~d.data[layout.vex_offset + (1 if layout.vex == "vex2" else 2)] >> 3 & 15


def _base(layout: Layout, data: bytes) -> int:
    """The number of the base register of a ModRM operand without SIB."""
    assert layout.modrm_offset is not None
    low = data[layout.modrm_offset] & 7
    if layout.vex_offset is not None:
        extended = layout.vex != "vex2" and not data[layout.vex_offset + 1] & 0x20
    else:
        extended = layout.rex_offset is not None and data[layout.rex_offset] & 1 == 1
    return low | 8 * extended
