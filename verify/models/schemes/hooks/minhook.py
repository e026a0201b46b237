"""MinHook on x64: a five-byte jump, and a trampoline of at most 50 bytes that `CreateTrampolineFunction` makes.

The function's first instructions are copied until five bytes are free; branches and calls become absolute ones,
rip-relative operands are moved by the distance, cut to 32 bits without a look at whether it fits.  Its decoder is
`hde64`.
The first instruction is judged; where the next one begins both programs stand alike by MinHook's own account.

Not decided here: whether the bytes above the function are free (`patchAbove`), which counts as no; threads are stopped
and moved by the library, a matter of the protocol.
Source: TsudaKageyu/minhook@1e9ad1eb42db (2025-11-03), src/trampoline.c, src/buffer.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verify.models.schemes.code import Byte, Word
from verify.models.schemes.hooks.hde64 import Measured, measured
from verify.models.schemes.hooks.jumps import HELD, JUMP_ENTRIES, NEXT, PATCH, Pieces, absolute, fixed, jumped
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.vocabulary import ORIGIN, SLOT, cut, field
from verify.terms import Term, add, and_, const, extract, sext, sub

FAILED: Final = 1  # CreateTrampolineFunction returns FALSE: MH_ERROR_UNSUPPORTED_FUNCTION
ROOM: Final = 50  # bytes of a slot of 64 less a jump
INSTRUCTIONS: Final = 8
REACH: Final = 1 << 30  # MAX_MEMORY_RANGE: bytes that a slot lies away at most
PADDING: Final = frozenset({0x00, 0x90, 0xCC})
WINDOW: Final = 48  # bytes that are looked at, what is not known of them nops
ERROR: Final = Refuse("its decoder takes it for no instruction", FAILED)
COUNTED: Final = Refuse("LOOP and JRCXZ to the outside have no absolute form", FAILED)
SHIFTED: Final = Refuse("a branch leads over an instruction whose copy has another length", FAILED)
LARGE: Final = Refuse("the trampoline is too small", FAILED)
SMALL: Final = Refuse("the function ends before five bytes", FAILED)


@dataclass(frozen=True, slots=True)
class Copy:
    """What is made of one instruction."""

    pieces: Pieces
    ends: bool = False  # nothing behind it is copied
    inside: int = -1  # offset of a branch's target among the bytes that are overwritten
    is_far: bool = False  # LOOP or JRCXZ to the outside

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(1 if isinstance(p, Byte) else p.size for p in self.pieces)


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    whole = data.ljust(WINDOW, b"\x90")
    pieces: list[Byte | Word] = []
    located: list[tuple[int, int]] = []
    old, new, inside, first = 0, 0, 0, 0
    for _ in range(INSTRUCTIONS + 1):
        read = measured(whole[old:].ljust(WINDOW, b"\x90"))
        if read is None:
            return ERROR
        copy = Copy(_back(old, first), ends=True) if old >= PATCH else _copied(whole, old, new, read)
        if copy.is_far:
            return COUNTED
        inside = max(inside, copy.inside)
        if old < inside and copy.size != read.length:
            return SHIFTED
        if new + copy.size > ROOM or len(located) >= INSTRUCTIONS:
            return LARGE
        located.append((new, old))
        pieces += copy.pieces
        is_back, new = old >= PATCH, new + copy.size
        ends = copy.ends and (is_back or old >= inside)
        old += 0 if is_back else read.length
        first = first or read.length
        if ends:
            break
    else:
        return LARGE
    if old < PATCH and not _is_padding(whole[old:PATCH]):
        return SMALL
    return jumped(tuple(pieces), first, tuple(_alike(located, inside)), REACH)


def _alike(located: list[tuple[int, int]], inside: int) -> list[tuple[int, int]]:
    """The beginnings that control may come to from the first instruction: the next one, and a branch's target."""
    behind = [(new, old) for new, old in located[1:] if old < PATCH]
    return behind if inside else behind[:1]


def _is_padding(data: bytes) -> bool:
    return len(set(data)) == 1 and data[0] in PADDING


def _back(old: int, first: int) -> Pieces:
    """The jump to what is not copied."""
    return absolute(NEXT if old == first else add(ORIGIN, const(old, 64)))


def _copied(data: bytes, old: int, new: int, read: Measured) -> Copy:
    """The copy of the instruction at an offset, which stands `new` bytes into the trampoline."""
    length, op = read.length, read.opcode
    if read.modrm & 0xC7 == 5:
        return Copy(_rebased(old, new, read), ends=op == 0xFF and read.digit == 4)
    if op == 0xE8:
        return Copy(absolute(_target(old, read), "ff1502000000eb08"))
    if op in {0xE9, 0xEB}:
        target = _place(data, old, read)
        if target in range(PATCH):
            return Copy(_verbatim(old, length), ends=True, inside=target)
        return Copy(absolute(_target(old, read)), ends=True)
    near = read.second & 0xF0 == 0x80
    if op & 0xF0 == 0x70 or op & 0xFC == 0xE0 or near:
        target = _place(data, old, read)
        if target in range(PATCH):
            return Copy(_verbatim(old, length), inside=target)
        condition = (read.second if near else op) & 15
        inverse = f"{0x71 ^ condition:02x}0e"
        return Copy((*fixed(inverse), *absolute(_target(old, read))), is_far=op & 0xFC == 0xE0)
    return Copy(_verbatim(old, length), ends=op & 0xFE == 0xC2)


def _verbatim(old: int, length: int) -> Pieces:
    return tuple(map(Byte, range(old, old + length)))


def _rebased(old: int, new: int, read: Measured) -> Pieces:
    """A copy whose displacement, four bytes before the immediates, is moved by the distance and cut.

    Where its decoder has seen no displacement it is 0, and what is written there is something else: opcode, ModRM.
    """
    at = old + read.length - read.immediates - 4
    away = sub(add(ORIGIN, const(old, 64)), add(SLOT, const(new, 64)))
    if read.tail != 4:
        written = {at + i: Word(sext(extract(away, 8 * i + 7, 8 * i), 64), 1) for i in range(4)}
        return tuple(written.get(i, Byte(i)) for i in range(old, old + read.length))
    return (*_verbatim(old, at - old), Word(cut(add(field(at, 4), away), 4), 4),
            *_verbatim(at + 4, read.length + old - at - 4))  # fmt: skip


def _target(old: int, read: Measured) -> Term:
    """Where a branch leads: an immediate of 2 bytes is read without its sign, one of 1 or 4 with it."""
    size = read.immediate
    value = field(old + read.length - size, size)
    if size == 2:
        value = and_(value, const(0xFFFF, 64))
    return add(NEXT if old == 0 else add(ORIGIN, const(old + read.length, 64)), value)


def _place(data: bytes, old: int, read: Measured) -> int:
    """The same as an offset from the function."""
    end = old + read.length
    return end + int.from_bytes(data[end - read.immediate : end], "little", signed=read.immediate != 2)


SCHEME: Final = Scheme(
    name="minhook",
    summary="MinHook x64: a jump to a trampoline of copies, absolute jumps and moved operands",
    source="TsudaKageyu/minhook@1e9ad1eb42db, src/trampoline.c, src/hde/hde64.c",
    plan=plan,
    entries=JUMP_ENTRIES,
    holds=HELD,
)
