"""A run: the notebook in which a semantics function writes down what one instruction does.

It keeps the architecture's general rules (sub-register writes, effective addresses, segment bases, order of accesses,
which fault comes first), so that a semantics function says only what its manual page says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from verify import terms
from verify.models.x86.isa.fields import Fields
from verify.models.x86.isa.forms import Addressing, Cpu, Opcode
from verify.models.x86.machine import AC, CP, GP, NO_FAULT, Access, Outcome, ShadowEvent, State
from verify.models.x86.mode import USER_64, Mode, is_canonical
from verify.models.x86.paging import fault_for_a_program
from verify.terms import FALSE, TRUE, Term, const, var

SMALL_ADDRESS: Final = var("small_address", 1)  # the address size is 4 bytes
SEGMENT_BASE: Final = var("segment_base", 64)  # what is added to the offset
OVERRIDDEN: Final = var("overridden", 1)  # fs or gs is named: the stack segment is not used
AT_LEVEL: Final = "_at_cpl"  # behind it the level at which descriptor tables are asked for a program
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = (const(n, 4) for n in range(8))


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded instruction as semantics sees it: structure concrete, fields terms."""

    opcode: Opcode
    addressing: Addressing
    cpu: Cpu
    length: Term  # 64, bytes: a constant, or a variable where the plan's length is the same
    address_size: int  # bytes: 8 or 4; 0: either (SMALL_ADDRESS)
    segment: str | None  # "fs", "gs" or None; "any": one of the three (SEGMENT_BASE, OVERRIDDEN)
    rep: str | None  # "rep", "repne" or None
    lock: bool
    modrm: int | None  # the ModRM byte as encoded; exact where x87 shows it in FOP
    fields: Fields
    undefined: str | None = None  # why the processor raises #UD, where it does
    mode: Mode = USER_64
    anonymous: bool = False  # the opcode does not show in the names of its datapath's functions
    literals: tuple[tuple[Term, Term], ...] = ()  # address and value of what the code itself holds: no access of it

    @property
    def datapath(self) -> str:
        """What the names of its datapath's functions begin with."""
        return "" if self.anonymous else self.opcode.name


class Run:
    """Mutable while one semantics function runs; `outcome` freezes it."""

    def __init__(self, instruction: Instruction, state: State) -> None:
        self.insn = instruction
        self.mode = instruction.mode
        self.before = state
        self.now: dict[str, Term] = {}
        self.accesses: list[Access] = []
        self.earlier: list[int] = []  # of each access: how many faults are checked before it
        self.faults: list[tuple[Term, Term, Term, Term]] = []  # vector8 or NO_FAULT, error32, address64, at_ip1
        self.repeats: Term = FALSE
        self.tf_seen: list[Term] = []
        self.shadow: list[ShadowEvent] = []
        self.inhibits_trap = False
        self.kernel_completes = False
        self.interrupts = False
        self.fault_state: State | None = None
        self.now["ip"] = terms.add(state.ip, instruction.length)

    # state components

    def get(self, name: str) -> Term:
        """The present value of a state component or flag."""
        return self.now.get(name) if name in self.now else getattr(self.before, name)  # type: ignore[return-value]

    def set(self, name: str, value: Term) -> None:
        """Replaces a state component or flag (flags have one bit)."""
        if value.sort != getattr(self.before, name).sort:
            raise ValueError(f"{name} has sort {getattr(self.before, name).sort}, got {value.sort}")
        self.now[name] = value

    @property
    def next_ip(self) -> Term:
        """Address of the following instruction, 64 bits."""
        return terms.add(self.before.ip, self.insn.length)

    def asked(self, name: str) -> str:
        """The function of that name that the descriptor tables answer this privilege level (SDM vol. 3, 5.6)."""
        return f"{name}{AT_LEVEL}{self.mode.cpl}" if self.mode.on_behalf else name

    @property
    def address_width(self) -> int:
        """Bits of the address size: of implicit address registers and of counters."""
        return 8 * self.insn.address_size

    # general registers

    def gpr(self, number: Term, width: int = 64) -> Term:
        """The low `width` bits of register `number` (4 bits)."""
        return terms.extract(terms.select(self.get("gprs"), number), width - 1, 0)

    def high_byte(self, number: Term) -> Term:
        """ah, ch, dh, bh for 4..7."""
        return terms.extract(terms.select(self.get("gprs"), terms.sub(number, const(4, 4))), 15, 8)

    def set_gpr(self, number: Term, value: Term) -> None:
        """Writes 8, 16, 32 or 64 bits; 32-bit writes clear the upper half (SDM vol. 1, 3.4.1.1)."""
        width = value.width
        if width == 32:
            value = terms.zext(value, 64)
        elif width < 32:
            old = terms.select(self.get("gprs"), number)
            value = terms.concat(terms.extract(old, 63, width), value)
        self.set("gprs", terms.store(self.get("gprs"), number, value))

    def set_high_byte(self, number: Term, value: Term) -> None:
        """Writes ah, ch, dh or bh for 4..7."""
        low = terms.sub(number, const(4, 4))
        old = terms.select(self.get("gprs"), low)
        merged = terms.concat(terms.extract(old, 63, 16), value, terms.extract(old, 7, 0))
        self.set("gprs", terms.store(self.get("gprs"), low, merged))

    # memory

    def effective_address(self) -> Term:
        """The offset of the ModRM operand, 64 bits, truncated to the address size (SDM vol. 1, 3.7.5)."""
        return self.truncated(self.operand_offset())

    def operand_offset(self) -> Term:
        """The offset of the ModRM operand, 64 bits, before it is truncated."""
        insn, f = self.insn, self.insn.fields
        total = f.disp
        if insn.addressing is Addressing.RIP:
            total = terms.add(total, self.next_ip)
        if f.has_base:
            total = terms.add(total, terms.ite(f.based, terms.select(self.get("gprs"), f.base), const(0, 64)))
        if f.has_index:
            index = terms.select(self.get("gprs"), terms.extract(f.index, 3, 0))
            scaled = terms.shl(index, terms.zext(f.scale, 64))
            total = terms.add(total, terms.ite(f.indexed, scaled, const(0, 64)))
        return total

    def truncated(self, offset: Term) -> Term:
        """An offset cut to the address size, 64 bits."""
        size, (wide, narrow) = self.insn.address_size, self.mode.address_widths
        if 8 * size == wide:
            return offset
        small = terms.zext(terms.extract(offset, narrow - 1, 0), 64)
        return small if 8 * size == narrow else terms.ite(SMALL_ADDRESS, small, offset)

    def uses_stack_segment(self) -> Term:
        """One bit: the ModRM operand's default segment is SS (base rsp or rbp, no fs/gs override)."""
        f = self.insn.fields
        segment = self.insn.segment
        if segment in self.mode.linear_segments or not f.has_base or self.insn.addressing is Addressing.RIP:
            return FALSE
        named = terms.and_(f.based, terms.eq(terms.extract(f.base, 3, 1), const(2, 3)))
        return terms.and_(named, terms.not_(OVERRIDDEN)) if segment == "any" else named

    def linear(self, offset: Term, segment: str | None) -> Term:
        """offset plus the base of a segment that has one; every other segment has base 0."""
        if segment != "any" and segment not in self.mode.linear_segments:
            return offset
        return terms.add(offset, SEGMENT_BASE if segment == "any" else self.get(f"{segment}_base"))

    def operand_address(self) -> Term:
        """The linear address of the ModRM operand."""
        return self.linear(self.effective_address(), self.insn.segment)

    def load(self, address: Term, size: int, stack: Term = FALSE, condition: Term = TRUE) -> Term:
        """Reads `size` bytes at a linear address; records the access and its possible fault."""
        held = self._literal(address, size)
        if held is not None:
            return held
        value = terms.load(self.get("memory"), address, size)
        self._access("r", address, size, value, stack, condition)
        return value

    def _literal(self, address: Term, size: int) -> Term | None:
        """What the code itself holds there, where it is known to."""
        if not self.insn.literals:
            return None
        place = terms.normal_form(address)
        return next((v for a, v in self.insn.literals if terms.normal_form(a) is place and v.width == 8 * size), None)

    def store(self, address: Term, value: Term, stack: Term = FALSE, condition: Term = TRUE) -> None:
        """Writes a whole number of bytes at a linear address; records the access and its possible fault."""
        self._access("w", address, value.width // 8, value, stack, condition)
        after = terms.write(self.get("memory"), address, value)
        self.set("memory", terms.ite(condition, after, self.get("memory")))

    def note(self, access: Access) -> None:
        """Records an access; its fault comes next."""
        self.accesses.append(access)
        self.earlier.append(len(self.faults))

    def _access(self, kind: str, address: Term, size: int, value: Term, stack: Term, condition: Term) -> None:
        self.note(Access(kind, address, size, value, stack, condition))
        vector, error, where = access_fault(kind, address, size, stack, self.mode)
        if self.mode.is_user:  # SDM vol. 3, 6.15, interrupt 17: at CPL 3 only
            unaligned = terms.and_(self.before.ac, is_misaligned(address, size))
            vector = terms.ite(unaligned, const(AC, 8), vector)
        self.faults.append((terms.ite(condition, vector, const(NO_FAULT, 8)), error, where, FALSE))

    def fault(self, condition: Term, vector: int, error: Term | None = None, at_ip: bool = False) -> None:
        """A fault other than an access fault, in its place in the order of checks."""
        chosen = terms.ite(condition, const(vector, 8), const(NO_FAULT, 8))
        self.faults.append((chosen, error or const(0, 32), const(0, 64), terms.bit(at_ip)))

    def fault_unaligned(self, address: Term, size: int) -> None:
        """#GP(0) where the address is no multiple of size, a power of 2."""
        self.fault(is_misaligned(address, size), GP)

    def touch(self, kind: str, address: Term, size: int, stack: Term = FALSE, condition: Term = TRUE) -> None:
        """The fault of an access that is checked and not made."""
        vector, error, where = access_fault(kind, address, size, stack, self.mode)
        self.faults.append((terms.ite(condition, vector, const(NO_FAULT, 8)), error, where, FALSE))

    # the stack

    def push(self, value: Term) -> None:
        """Pushes 2 or 8 bytes (SDM vol. 1, 6.2)."""
        size = value.width // 8
        rsp = terms.sub(self.gpr(RSP), const(size, 64))
        self.store(rsp, value, stack=TRUE)
        self.set_gpr(RSP, rsp)

    def pop(self, size: int) -> Term:
        """Pops 2, 4 or 8 bytes; rsp is already advanced when the caller writes the destination."""
        rsp = self.gpr(RSP)
        value = self.load(rsp, size, stack=TRUE)
        self.set_gpr(RSP, terms.add(rsp, const(size, 64)))
        return value

    def shadow_push(self, value: Term, condition: Term = TRUE) -> None:
        """Pushes a return address to the shadow stack where it is on (SDM vol. 1, 17.2) and the condition holds."""
        self.shadow.append(ShadowEvent("push", value, condition))
        moved = terms.sub(self.get("ssp"), const(8, 64))
        self.set("ssp", terms.ite(terms.and_(self.get("cet"), condition), moved, self.get("ssp")))

    def shadow_pop(self, expected: Term) -> None:
        """Pops the shadow stack where it is on; #CP where the entry differs."""
        self.shadow.append(ShadowEvent("pop", expected))
        entry = terms.uf("shadow_entry", 64, self.get("ssp"))
        self.fault(terms.and_(self.get("cet"), terms.not_(terms.eq(entry, expected))), CP, const(1, 32))
        moved = terms.add(self.get("ssp"), const(8, 64))
        self.set("ssp", terms.ite(self.get("cet"), moved, self.get("ssp")))

    # control

    def jump(self, target: Term, condition: Term = TRUE) -> None:
        """ip := target where the condition holds; a non-canonical target raises #GP(0) before anything is written."""
        bad = terms.and_(condition, terms.not_(is_canonical(target, self.mode)))
        self.fault(bad, GP)
        self.set("ip", terms.ite(condition, target, self.get("ip")))

    def outcome(self) -> Outcome:
        """The frozen result; the first fault in order decides."""
        vector, error, address, at_ip = const(NO_FAULT, 8), const(0, 32), const(0, 64), FALSE
        for v, e, a, i in reversed(self.faults):
            here = terms.not_(terms.eq(v, const(NO_FAULT, 8)))
            vector, error = terms.ite(here, v, vector), terms.ite(here, e, error)
            address, at_ip = terms.ite(here, a, address), terms.ite(here, i, at_ip)
        changes: dict[str, Any] = dict(self.now)
        return Outcome(
            state=replace(self.before, **changes),
            accesses=tuple(self.accesses),
            fault_vector=vector,
            fault_error=error,
            fault_address=address,
            fault_at_ip=at_ip,
            fault_state=self.fault_state or self.before,
            repeats=self.repeats,
            tf_seen=tuple(self.tf_seen),
            shadow=tuple(self.shadow),
            inhibits_trap=self.inhibits_trap,
            kernel_completes=self.kernel_completes,
            attempted=tuple(self._attempted()),
            interrupts=self.interrupts,
        )

    def _attempted(self) -> Iterator[Term]:
        """One bit an access: no fault comes before it."""
        quiet, seen = TRUE, 0
        for earlier in self.earlier:
            for vector, *_ in self.faults[seen:earlier]:
                quiet = terms.and_(quiet, terms.eq(vector, const(NO_FAULT, 8)))
            seen = earlier
            yield quiet


def is_misaligned(address: Term, size: int) -> Term:
    """One bit: an access of a power of two bytes is not a multiple of its size away from 0; 0 for other sizes."""
    if size < 2 or size & (size - 1):
        return FALSE
    low = size.bit_length() - 2
    return terms.not_(terms.eq(terms.extract(address, low, 0), const(0, low + 1)))


def access_fault(
    kind: str, address: Term, size: int, stack: Term, mode: Mode, *selection: Term
) -> tuple[Term, Term, Term]:
    """Vector (NO_FAULT where there is none), error code and cr2 of an access: functions of where and how alone.

    Uninterpreted in a proof: whatever the page tables say of code of this privilege level, both runs see the same.
    `selection`: what selects the bytes that are accessed, where not all are.
    """
    how = (address, const(size, 16), terms.bit(kind == "w"), stack, *selection)
    if mode.on_behalf:
        return fault_for_a_program(how, mode)
    return (
        terms.uf(mode.access_fault, 8, *how),
        terms.uf("access_error", 32, *how),
        terms.uf("access_address", 64, *how),
    )
