"""Encodings of a form: representatives of everything an implementation could tell apart, random ones, patched ones.

Representatives vary one thing at a time around a plain encoding, and pairs where one choice depends on another
(a scratch register on reg, rm and vvvv; REX on the position of other prefixes).  They enumerate the bits that
decisions can depend on; displacement and immediate values are left to symbolic reasoning, but zero and the extremes
are among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random
from typing import Final

from verify.models.x86.isa.assemble import AssemblyParts, assemble, decoded_as, naming_byte, pattern, plain_parts
from verify.models.x86.isa.decode import Decoded, faults_as, placed_as
from verify.models.x86.isa.layout import Layout, shape
from verify.models.x86.isa.patch import with_fields
from verify.models.x86.isa.rows import Addressing, Cpu, Form, Opcode

__all__ = [
    "decoded_representatives", "irregular_representatives", "random_encoding", "representatives", "with_fields",
]  # fmt: skip

KINDS: Final = 512  # of encodings whose bytes and layouts are kept
_PREFIXES: Final = b"\x66\x67\x64\x65\xf2\xf3\x26\x2e\x36\x3e\xf0"
_PAIRS: Final = (b"\x66\x66", b"\x66\x67", b"\x67\x64", b"\x64\x65", b"\x65\x64", b"\x64\x2e", b"\xf2\xf3", b"\xf3\xf2",
                 b"\xf2\xf0", b"\xf3\xf0", b"\x66\xf2", b"\x66\xf3")  # fmt: skip
_VECTOR_PREFIXES: Final = b"\x67\x64\x65\x26\x2e\x36\x3e\xf0"
_VECTOR_PAIRS: Final = (b"\x67\x64", b"\x64\x65", b"\x65\x64", b"\x64\x2e")
_LOW: Final = (0, 1, 2, 3, 6, 7)  # registers that scratch-register rules tell apart, and one more
_SCRATCH: Final = (0, 3, 6, 7)
_VECTORS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 16, 23, 24, 31)


_FEW: Final = (1, 4, 5, 8, 12, 13, 15)  # registers that an address or a length depends on; others where no rule looks
_FEW_VECTORS: Final = (1, 4, 5, 8, 13, 16, 31)


def representatives(form: Form, cpu: Cpu) -> Iterator[bytes]:
    """Encodings of a form that differ in all that an implementation could distinguish, the plainest one first.

    None where this vendor's processors have no encoding of the form.  LOCK is among them where it raises #UD.
    """
    for decoded in decoded_representatives(form, cpu):
        yield decoded.data


def decoded_representatives(form: Form, cpu: Cpu) -> Iterator[Decoded]:
    """As `representatives`, decoded."""
    plain = plain_parts(form, cpu)
    if plain is not None:
        patterns = _patterns(_Alike(form, plain))
        yield from (_taken_apart(form, cpu, patterns, place) for place in _placed(form, cpu, patterns))


def placed_representatives(form: Form, cpu: Cpu) -> Placed:
    """As `representatives`, each taken apart when it is asked for."""
    plain = plain_parts(form, cpu)
    return Placed(form, cpu, None if plain is None else _patterns(_Alike(form, plain)))


class Placed:
    """What of some patterns is the form, its opcode put in: a sequence of encodings, taken apart when asked for.

    Forms of the same `patterns` (by identity), whose encodings have the same `numbers`, differ in the opcode's byte
    alone: the layouts of their encodings are the same, position by position.  `faults`: their `faults_ud`.
    """

    __slots__ = ("cpu", "data", "faults", "form", "numbers", "patterns")

    def __init__(self, form: Form, cpu: Cpu, patterns: _Patterns | None) -> None:
        self.form, self.cpu, self.patterns = form, cpu, patterns
        found = [] if patterns is None else list(_placed(form, cpu, patterns))
        self.data: list[bytes] = [data for data, _, _ in found]
        self.numbers, self.faults = tuple(n for _, n, _ in found), tuple(why for _, _, why in found)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Decoded]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Decoded:
        return _taken_apart(self.form, self.cpu, self.patterns, (self.data[i], self.numbers[i], self.faults[i]))


_Place = tuple[bytes, int, str | None]  # the bytes, the number of the pattern, why they are undefined


def _taken_apart(form: Form, cpu: Cpu, patterns: _Patterns | None, place: _Place) -> Decoded:
    assert patterns is not None
    data, number, faults = place
    return Decoded(form, data, patterns.layouts[number], cpu, faults)


def _placed(form: Form, cpu: Cpu, patterns: _Patterns) -> Iterator[_Place]:
    name = naming_byte(form.opcode) - patterns.name
    seen: set[bytes] = set()
    for i, (like, at) in enumerate(patterns.found):
        data = like[:at] + bytes((like[at] + name,)) + like[at + 1 :] if name else like
        if data in seen:
            continue
        seen.add(data)
        if i in patterns.layouts:
            faults = faults_as(form, data, cpu)
            if faults is not None:
                yield data, i, faults[0]
        elif (decoded := placed_as(form, data, cpu)) is not None:
            patterns.layouts[i] = decoded.layout
            yield data, i, decoded.faults_ud


class _Alike:
    """A form and its plainest parts, equal to another whose representatives differ in the byte that names the opcode.

    Equality is over everything that is read on the way to the bytes and to the layout of what they decode to.
    """

    __slots__ = ("_all", "form", "plain")

    def __init__(self, form: Form, plain: AssemblyParts) -> None:
        self.form, self.plain = form, plain
        row = form.opcode
        self._all = (
            form.addressing, plain, shape(row.code), row.encoding, row.table, row.op_kinds, row.op_code_len,
            row.op_code if row.op_code_len == 2 else None, row.mandatory_prefix, row.group_index, row.rm_group_index,
            row.ignores_mod, row.is_vsib, row.is_stack, row.is_string, row.is_save_restore, row.may_require_cpl0,
            row.flow_control, row.implicit_memory, row.mnemonic == "enter",
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self._all)


@dataclass(frozen=True, slots=True, eq=False)
class _Patterns:
    """Bytes with the offset of the one that names the opcode, that byte without a register number, and layouts."""

    found: tuple[tuple[bytes, int], ...]
    name: int
    layouts: dict[int, Layout]  # by position in `found`, of what was the form


@lru_cache(maxsize=KINDS)
def _patterns(alike: _Alike) -> _Patterns:
    found = dict.fromkeys(pattern(alike.form, parts) for parts in _variants(alike.form, alike.plain))
    return _Patterns(tuple(found), naming_byte(alike.form.opcode), {})


def _variants(form: Form, plain: AssemblyParts) -> Iterator[AssemblyParts]:
    yield plain
    yield from _prefixed(form, plain)
    if form.opcode.encoding in {"LEGACY", "3DNOW"}:
        yield from (plain._replace(rex=bits) for bits in range(16))
    else:
        yield from _vector_prefixed(form, plain)
    yield from _registers(form, plain)
    if form.addressing is Addressing.MEM:
        yield from _addresses(form, plain)
    if form.addressing is Addressing.RIP or "mem_offs" in form.opcode.op_kinds:
        yield from (plain._replace(disp=d) for d in (1, -1, 0x7FFFFFFF, -0x80000000))
    if form.opcode.ignores_mod:
        yield from (plain._replace(mod=mod, rm=rm) for mod in range(4) for rm in (0, 4, 5))
    if form.opcode.mnemonic == "enter":
        yield from (plain._replace(immediate=level << 16) for level in range(32))  # the third byte is the nesting level
    if shape(form.opcode.code).immediates:
        yield from (plain._replace(immediate=i) for i in (1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, -1))


def _prefixed(form: Form, plain: AssemblyParts) -> Iterator[AssemblyParts]:
    """Single prefixes behind and before those that the opcode needs, and pairs."""
    legacy = form.opcode.encoding in {"LEGACY", "3DNOW"}  # elsewhere 66, F2 and F3 raise #UD
    for value in _PREFIXES if legacy else _VECTOR_PREFIXES:
        extra = bytes((value,))
        yield plain._replace(prefixes=plain.prefixes + extra)
        if plain.prefixes:
            yield plain._replace(prefixes=extra + plain.prefixes)
    for pair in _PAIRS if legacy else _VECTOR_PAIRS:
        yield plain._replace(prefixes=pair + plain.prefixes)
    if _depends_on_prefixes(form.opcode):
        repeats = (b"", b"\xf2", b"\xf3") if legacy else (b"",)
        for groups in product((b"", b"\x67"), (b"", b"\x64", b"\x65"), repeats):
            there = plain._replace(prefixes=b"".join(groups) + plain.prefixes)
            yield there
            if form.opcode.is_vsib:
                yield there._replace(no_base=True)
            elif "CALL" in form.opcode.flow_control:
                yield there._replace(rex=8)
    if legacy:
        for value in b"\x66\xf2\xf3\x64\x67":  # REX.W beside a prefix that it may override
            yield plain._replace(prefixes=bytes((value,)) + plain.prefixes, rex=8)
            yield plain._replace(prefixes=bytes((value,)) + plain.prefixes, rex=1)


def _depends_on_prefixes(row: Opcode) -> bool:
    """Whether address size, segment and repeat prefixes matter beyond the address of a ModRM operand."""
    special = row.is_stack or row.is_string or row.is_vsib or row.is_save_restore or row.may_require_cpl0
    return special or row.flow_control != "NEXT" or bool(row.implicit_memory)


def _vector_prefixed(form: Form, plain: AssemblyParts) -> Iterator[AssemblyParts]:
    row = form.opcode
    yield plain._replace(vex3=True)
    for bits in range(1, 8):  # R, X, B set without need
        yield plain._replace(vex3=True, rex=bits)
    yield from (plain._replace(w=w, vex3=True) for w in (0, 1))
    yield from (plain._replace(ll=ll) for ll in range(4))
    if any("vvvv" in k for k in row.op_kinds):
        yield from (plain._replace(vvvv=v) for v in _numbers(form))
        if form.addressing is Addressing.RIP:
            yield from (plain._replace(vvvv=v, reg=r) for v in _LOW for r in _LOW)
            yield from (plain._replace(vvvv=v, vex3=True) for v in _LOW)
    if row.encoding == "EVEX":
        if form.addressing is Addressing.RIP:
            yield from (plain._replace(broadcast=1, vvvv=v, reg=r) for v in _SCRATCH for r in _SCRATCH)
        for broadcast, z in ((0, 0), (0, 1), (1, 0), (1, 1)):
            yield from (plain._replace(broadcast=broadcast, aaa=aaa, z=z) for aaa in (0, 1, 7))
        yield from (plain._replace(broadcast=1, ll=ll) for ll in range(4))


def _numbers(form: Form) -> tuple[int, ...]:
    """Every register where a scratch rule or the opcode byte depends on it; a few elsewhere."""
    evex = form.opcode.encoding == "EVEX"
    named_by_opcode = any(k.endswith("_opcode") for k in form.opcode.op_kinds)
    if "seg_reg" in form.opcode.op_kinds:
        return (*range(6), 12)
    if form.addressing is Addressing.RIP or named_by_opcode:
        return _VECTORS if evex else tuple(range(16))
    return _FEW_VECTORS if evex else _FEW


def _registers(form: Form, plain: AssemblyParts) -> Iterator[AssemblyParts]:
    row = form.opcode
    for number in _numbers(form):
        yield plain._replace(reg=number)
        if form.addressing is not Addressing.RIP:
            yield plain._replace(rm=number)
    if form.addressing is Addressing.RIP and row.encoding == "LEGACY":
        yield from (plain._replace(reg=r, rex=bits) for r in _LOW for bits in (0, 1, 2, 3))
    if form.addressing is not Addressing.RIP:
        yield from (plain._replace(reg=r, rm=m) for r, m in ((0, 0), (4, 4), (5, 5), (12, 4), (13, 5), (7, 6)))
    is4 = any(k.endswith(("_is4", "_is5")) for k in row.op_kinds)
    yield from (plain._replace(immediate=n << 4) for n in (range(16) if is4 else ()))


def _addresses(form: Form, plain: AssemblyParts) -> Iterator[AssemblyParts]:
    vector = form.opcode.is_vsib or "sibmem" in form.opcode.op_kinds
    index = plain.index_register if vector else None
    for mod, disp in ((0, 0), (1, 0), (1, 1), (1, -128), (2, 0), (2, -1)):
        yield plain._replace(mod=mod, disp=disp)
    for mod in range(3):
        yield from (plain._replace(mod=mod, disp=1, rm=base, sib=True) for base in (0, 4, 5, 12, 13))
        if form.opcode.table == "NORMAL" and form.opcode.encoding == "LEGACY":  # x87: FOP shows ModRM
            yield from (plain._replace(mod=mod, disp=1, rm=base) for base in range(8))
    for number in (1, 5, 8, 12, 15, 23, 31) if vector else (0, 5, 8, 12, 15):
        yield plain._replace(index_register=number, scale=number & 3)
    for number in (5, 12):
        yield plain._replace(index_register=number, no_base=True, disp=0x1000)
    for disp in (0, -1):
        yield plain._replace(no_base=True, disp=disp, index_register=index)
        yield plain._replace(no_base=True, disp=disp, index_register=index, prefixes=b"\x67" + plain.prefixes)
    yield plain._replace(mod=2, disp=0x1000, rm=4, sib=True, prefixes=b"\x67" + plain.prefixes)


def irregular_representatives(form: Form, cpu: Cpu = Cpu.INTEL) -> Iterator[bytes]:
    """Legal encodings that compilers never make: repeated or misplaced REX, many prefixes, up to 15 bytes."""
    for decoded in decoded_irregular(form, cpu):
        yield decoded.data


def decoded_irregular(form: Form, cpu: Cpu) -> Iterator[Decoded]:
    """As `irregular_representatives`, decoded."""
    plain = plain_parts(form, cpu)
    if plain is not None:
        patterns = _irregular_patterns(_Alike(form, plain))
        yield from (_taken_apart(form, cpu, patterns, place) for place in _placed(form, cpu, patterns))


@lru_cache(maxsize=KINDS)
def _irregular_patterns(alike: _Alike) -> _Patterns:
    found = dict.fromkeys(_irregular(alike.form, alike.plain))
    return _Patterns(tuple(found), naming_byte(alike.form.opcode), {})


def _irregular(form: Form, plain: AssemblyParts) -> Iterator[tuple[bytes, int]]:
    """Bytes, with the offset of the one that names the opcode."""
    for parts in (plain, plain._replace(reg=5, rex=0)):
        whole, at = pattern(form, parts)
        for first in (b"\x40", b"\x4f"):
            yield _with_rex_first(whole, first), at + 1  # REX REX, only the last one counts
            yield first + whole, at + 1  # REX before the needed prefixes
            yield first + b"\x64" + whole, at + 2
            yield first + b"\x3e" + whole, at + 2
            yield b"\x64" + first + b"\x67" + whole, at + 3
    whole, at = pattern(form, plain)
    for many in (b"\x26\x2e\x36\x3e\x64", b"\x64\x65\x67\x2e\x36", b"\x64\x67\x65\x67\x64", b"\x66\x67\x64\x65\xf2",
                 b"\x66\x67\x64\x65\xf3", b"\xf2\xf3\x64\x65\x67\x3e", b"\x67" * 5, b"\x66" * 5):  # fmt: skip
        yield many + whole, len(many) + at
        yield b"\x67" + many + whole, 1 + len(many) + at
    for filler in (b"\x64", b"\x67", b"\x66", b"\x3e"):
        count = 15 - len(whole)
        yield filler * count + whole, max(count, 0) + at


def _with_rex_first(whole: bytes, rex: bytes) -> bytes:
    """`rex` put directly behind the legacy prefixes."""
    pos = next(i for i, v in enumerate(whole) if v not in _PREFIXES)
    return whole[:pos] + rex + whole[pos:]


def random_encoding(form: Form, rng: Random, cpu: Cpu = Cpu.INTEL) -> bytes:
    """A random encoding over all fields and prefixes of a form.

    Raises ValueError where this vendor's processors have no encoding of the form.
    """
    plain = plain_parts(form, cpu)
    if plain is None:
        raise ValueError(f"{form.name} has no encoding on {cpu.value} processors")
    for _ in range(40):
        data = assemble(form, _random_parts(form, plain, rng))
        if decoded_as(form, data, cpu) is not None:
            return data
    return assemble(form, plain)


def _random_parts(form: Form, plain: AssemblyParts, rng: Random) -> AssemblyParts:
    row = form.opcode
    legacy = row.encoding in {"LEGACY", "3DNOW"}
    soup = bytes(rng.choice(_PREFIXES[:-1]) for _ in range(rng.choice((0, 0, 1, 2, 3)))) if rng.random() < 0.6 else b""
    registers = 32 if row.encoding == "EVEX" else 16
    small = rng.random() < 0.5  # so that forms which allow few values are not missed
    limit = 8 if small else registers
    vvvv = any("vvvv" in k for k in row.op_kinds)
    needs_index = plain.index_register is not None
    return plain._replace(prefixes=soup + plain.prefixes,
        rex=rng.randrange(16) if legacy and rng.random() < 0.4 else None,
        vex3=rng.random() < 0.5,
        reg=rng.randrange(limit), rm=rng.randrange(limit),
        mod=plain.mod if plain.mod == 3 or form.addressing is Addressing.RIP else rng.randrange(3),
        index_register=rng.randrange(limit) if needs_index or rng.random() < 0.4 else None,
        scale=rng.randrange(4), sib=rng.random() < 0.3, no_base=rng.random() < 0.15,
        disp=rng.choice((0, 1, -1, rng.randrange(-(1 << 31), 1 << 31))),
        immediate=rng.choice((0, 1, rng.getrandbits(64))),
        vvvv=rng.randrange(limit) if vvvv else 0,
        z=rng.randrange(2) if row.can_zero else 0,
        broadcast=rng.randrange(2) if row.encoding == "EVEX" else 0,
        aaa=rng.randrange(8) if row.can_mask else plain.aaa,
    )  # fmt: skip
