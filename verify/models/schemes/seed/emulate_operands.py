"""Operands of `emulate`, by the fields of an encoding, and the order of an instruction's effects.

SDM vol. 2, 2.1 and 2.2 (formats); vol. 1, 3.4.1.1 (registers), 3.7.5 (addresses), table 3-5 (segments).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from verify import terms
from verify.models.schemes.program import Actions, Agent, Load, Set, Store
from verify.models.schemes.seed.emulate_operations import Done
from verify.models.schemes.seed.inline_step import TRAPPED
from verify.models.schemes.seed.xol_step import NEXT
from verify.models.schemes.seed.xol_table import ADDRESS_SIZE, OPERAND_SIZE, Read
from verify.models.schemes.vocabulary import FIRST, NOW, field, loaded, number, offset, through_stack
from verify.terms import FALSE, Term, add, const, eq, extract, ite, select, store, sub, zext

SEGMENT_BASES: Final = {0x64: NOW.fs_base, 0x65: NOW.gs_base}


@dataclass(frozen=True)
class Encoding:
    """One encoding: its bytes, as the table of lengths reads them."""

    data: bytes
    r: Read

    @cached_property
    def size(self) -> int:
        """Operand size in bytes."""
        return 8 if self.r.is_wide else 2 if OPERAND_SIZE in self.r.prefixes else 4

    @cached_property
    def stack_size(self) -> int:
        """Bytes of a push or pop: SDM vol. 1, 6.2.2."""
        return 2 if self.size == 2 else 8

    @cached_property
    def width_bit(self) -> int:
        """Operand size in bytes, or 1 where the opcode's lowest bit is 0."""
        return self.size if self.r.opcode & 1 else 1

    @cached_property
    def segment(self) -> Term | None:
        """The base of the last segment prefix that names fs or gs."""
        named = [b for b in self.data[: self.r.head_at] if b in SEGMENT_BASES]
        return SEGMENT_BASES[named[-1]] if named else None

    def cut(self, address: Term) -> Term:
        """An offset cut to the address size."""
        return zext(extract(address, 31, 0), 64) if ADDRESS_SIZE in self.r.prefixes else address

    def linear(self, address: Term) -> Term:
        """A cut offset with the base of its segment."""
        cut = self.cut(address)
        return cut if self.segment is None else add(cut, self.segment)

    @property
    def counter(self) -> int:
        """Bits of rcx, rsi and rdi as the address size has them."""
        return 32 if ADDRESS_SIZE in self.r.prefixes else 64

    def rm(self, size: int) -> Register | Memory:
        """The ModRM operand."""
        r = self.r
        if r.modrm >= 0xC0:
            return Register(number("rm", r.modrm_at, r.rex_at), size, size == 1 and r.rex_at < 0)
        stack = FALSE if r.is_relative or self.segment is not None else through_stack(r.modrm_at, r.rex_at)
        return Memory(self.linear(offset(r.modrm_at, r.rex_at)), size, stack)

    def reg(self, size: int) -> Register:
        """The register of ModRM.reg."""
        r = self.r
        return Register(number("reg", r.modrm_at, r.rex_at), size, size == 1 and r.rex_at < 0)

    def in_opcode(self, size: int) -> Register:
        """The register of the opcode's low bits."""
        r = self.r
        at = r.head_at + (1 if r.map == "0f" else 0)
        return Register(number("opcode", at, r.rex_at), size, size == 1 and r.rex_at < 0)

    def immediate(self, size: int) -> Term:
        """The first immediate, sign-extended, of so many bytes."""
        return extract(field(self.r.immediate_at, self.r.immediate_size), 8 * size - 1, 0)


@dataclass(frozen=True)
class Register:
    """A general register, of 1, 2, 4 or 8 bytes; `old`: without REX, 4 to 7 are ah, ch, dh and bh."""

    number: Term  # 4
    size: int
    old: bool = False

    def before(self) -> Actions:
        """Nothing is accessed."""
        return ()

    @property
    def is_high(self) -> Term:
        """One bit: it is ah, ch, dh or bh."""
        return eq(extract(self.number, 3, 2), const(1, 2)) if self.old else FALSE

    @property
    def value(self) -> Term:
        """Its value at the hit."""
        low = extract(select(FIRST.gprs, self.number), 8 * self.size - 1, 0)
        if not self.old:
            return low
        return ite(self.is_high, extract(select(FIRST.gprs, sub(self.number, const(4, 4))), 15, 8), low)

    def written(self, value: Term, gprs: Term) -> Term:
        """The registers with the value in it: SDM vol. 1, 3.4.1.1."""
        old = select(gprs, self.number)
        if self.size >= 4:
            return store(gprs, self.number, zext(value, 64))
        low = store(gprs, self.number, terms.concat(extract(old, 63, 8 * self.size), value))
        if not self.old:
            return low
        place = sub(self.number, const(4, 4))
        whole = select(gprs, place)
        high = store(gprs, place, terms.concat(extract(whole, 63, 16), value, extract(whole, 7, 0)))
        return ite(self.is_high, high, low)


@dataclass(frozen=True)
class Memory:
    """An operand in memory."""

    address: Term  # 64
    size: int  # bytes
    stack: Term = FALSE  # 1
    name: str = "a"

    def before(self) -> Actions:
        """It is read."""
        return (Load(self.name, self.address, self.size, (), Agent.PROGRAM, self.stack),)

    @property
    def value(self) -> Term:
        """What was read."""
        return loaded(self.name, self.size)

    def stored(self, value: Term) -> Actions:
        """It is written."""
        return (Store(self.address, value, self.size, (), Agent.PROGRAM, self.stack),)


Operand = Register | Memory
Row = Callable[[Encoding], Actions | None]


def fixed(register_number: int, size: int) -> Register:
    """A register that the opcode names."""
    return Register(const(register_number, 4), size)


def ended(done: Done, *written: tuple[Register, Term], to: Term = NEXT) -> Actions:
    """Flags, then registers in order, then ip, and the trap of the program's own TF."""
    gprs = FIRST.gprs
    for destination, value in written:
        gprs = destination.written(value, gprs)
    registers = (Set("gprs", gprs),) if written else ()
    return (*(Set(n, v) for n, v in done.flags), *registers, Set("ip", to), *TRAPPED)


def result(e: Encoding, destination: Operand, done: Done, before: Actions) -> Actions:
    """An operation whose result goes to an operand, behind what was read."""
    assert done.value is not None
    if isinstance(destination, Memory):
        return (*before, *destination.stored(done.value), *ended(done))
    return (*before, *ended(done, (destination, done.value)))
