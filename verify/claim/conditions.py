"""What an encoding's obligations are made of: its setup, the premises, the fields as variables, and their own
values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from verify import terms
from verify.claim.copies import Answer, Relation
from verify.claim.operands import operand
from verify.claim.parts import Parts, plan_premises
from verify.claim.plan_keys import names_by_opcode, place
from verify.claim.probes import (
    CONCRETE_IMMEDIATES,
    Probe,
    is_plain,
    nesting_level,
    operand_numbers,
)
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.behaviour import Setup
from verify.models.schemes.code import Code
from verify.models.schemes.meaning import address_premises
from verify.models.schemes.program import Entry, Program
from verify.models.schemes.program_text import shape
from verify.models.schemes.vocabulary import Spot
from verify.models.x86.free_fields import FreeFields, PinnedFields, values_of
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, decode
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Addressing, Cpu, opcode_named
from verify.models.x86.machine import State
from verify.models.x86.mode import KERNEL_64, Mode, checked, in_own_half, is_canonical
from verify.models.x86.semantics.run import Instruction
from verify.terms import Term, const, var

PAGE: Final = 4096
JUMPED: Final = frozenset({"no-tf-in-slot", "no-fault-in-slot"})  # of code that a program jumps to
LENGTH: Final = terms.zext(var("length", 4), 64)  # of an instruction that the scheme's decoder measures rightly


@dataclass(frozen=True, slots=True)
class VerificationCondition:
    """A setup, the premises of its obligations, and which register numbers the premises keep apart."""

    setup: Setup
    premises: tuple[Term, ...]
    distinct: tuple[tuple[Term, Term], ...]


def verification_condition(p: Probe, assumptions: frozenset[str] = ASSUMPTIONS) -> VerificationCondition:
    """The obligations' material for an encoding's class, or for the encoding alone where it is concrete."""
    assumptions, mode = _in_force(p, assumptions), checked(p.scheme.mode)
    symbolic = not p.is_concrete
    original = _instruction(p.decoded, p, symbolic, {})
    known = (p.relations or ()) if symbolic else (None,) * len(p.codes)
    relations = {c: r for c, r in zip(p.codes, known, strict=True) if r is None or isinstance(r, Relation)}
    copies = {c: _copy(c, p, r, original) for c, r in relations.items() if not c.closed}
    origin, slot = _addresses(p)
    displacement = _displacement(p, original, symbolic)

    def operand_of(spot: Spot, state: State) -> Term:
        return operand(p.decoded, p.data, original, spot, state, origin)

    setup = Setup(
        original, copies.__getitem__, origin, slot, _length(p, symbolic), displacement, operand_of, assumptions
    )
    parts = Parts(p, symbolic, setup, lambda read, free, given: _part(read, p, free, given))
    setup = replace(setup, part=parts.part)
    found = (*relations.values(), *parts.relations)
    bases = [const(r.base, 4) for r in found if r is not None and r.base is not None]
    numbers = operand_numbers(cast(Decoded, p.decoded), original.fields) if bases else []
    distinct = [(n, base) for base in bases for n in numbers]
    premises = [terms.not_(terms.eq(a, b)) for a, b in distinct]
    premises += [_code_address(origin, mode), _code_address(slot, KERNEL_64 if p.is_lent else mode)]
    if "pad-canonical" in assumptions:
        premises += _canonical_branches(original, (origin, slot))
    if isinstance(p.plan, Program):
        premises += [*address_premises(p.plan, setup), *plan_premises(p.plan, parts, setup)]
    return VerificationCondition(setup, tuple(premises), tuple(distinct))


def _in_force(p: Probe, assumptions: frozenset[str]) -> frozenset[str]:
    """What holds at the scheme too; `no-tf-in-slot` says more of code that the program itself jumps to."""
    jumps = isinstance(p.plan, Program) and p.plan.entry is Entry.JUMP
    own = {"no-own-trap-flag"} if jumps and "no-tf-in-slot" in assumptions else set()
    return (assumptions if jumps else assumptions - JUMPED) | p.scheme.holds | own


def _addresses(p: Probe) -> tuple[Term, Term]:
    """Origin and slot: anywhere, but for a plan that speaks of two addresses alone; the host's slot if it runs it."""
    fixed = p.plan.addresses if isinstance(p.plan, Program) else None
    if fixed is None:
        return var("origin", 64), var("kernel_slot" if p.is_lent else "slot", 64)
    return const(fixed[0], 64), const(fixed[1], 64)


def _part(read: Answer, p: Probe, symbolic: bool, given: Mapping[str, object]) -> Instruction:
    """An instruction of closed code: the original's class, or itself."""
    if symbolic or not isinstance(read, Decoded):
        return _instruction(p.decoded if symbolic and "base" not in given else read, p, symbolic, given)
    made = _instruction(read, p, False, {})
    return replace(made, fields=PinnedFields(made.fields, read.data, given)) if given else made


def _canonical_branches(original: Instruction, places: tuple[Term, ...]) -> Iterator[Term]:
    """One bit each: a relative branch leads to a canonical address from these places."""
    if any(k.startswith("br") for k in original.opcode.op_kinds):
        moved = terms.add(original.length, terms.sext(original.fields.immediates[0], 64))
        yield from (is_canonical(terms.add(place, moved), original.mode) for place in places)


def _code_address(address: Term, mode: Mode) -> Term:
    """One bit: in its half, above the lowest page, 4 KiB and 16 bytes below the end (of user space, TASK_SIZE_MAX)."""
    low = terms.not_(terms.ult(address, const(PAGE, 64)))
    return terms.and_(low, in_own_half(address, PAGE + 17, mode))


def _length(p: Probe, symbolic: bool) -> Term:
    """Bytes of the instruction as the scheme's decoder sees it."""
    real = p.decoded.layout.length if isinstance(p.decoded, Decoded) else 1
    seen = p.plan.length if isinstance(p.plan, Program) else 0
    return LENGTH if symbolic and _is_measured(p) else const(seen or real, 64)


def _is_measured(p: Probe) -> bool:
    """Whether the scheme's decoder sees the instruction's length, or nothing depends on what it sees.

    The places of closed code depend on it.
    """
    if any(c.closed for c in p.codes) and not p.copied_first:
        return False
    if not isinstance(p.plan, Program) or not shape(p.plan).uses_length:
        return True
    return p.plan.length == cast(Decoded, p.decoded).layout.length


def _copy(code: Code, p: Probe, relation: Relation | None, original: Instruction) -> Instruction:
    """What code is to the processor, where it has this relation to the original; None: with every byte concrete."""
    read = p.read(code)
    if relation is None:
        if read is p.decoded:
            return original
        if not isinstance(read, Decoded):
            return replace(original, undefined="the slot's bytes are not an instruction")
        return _instruction(read, p, False, {})
    if relation.base is not None:
        base = {"base": const(relation.base, 4), "based": terms.TRUE, "indexed": terms.FALSE}
        if not relation.removed:
            return _instruction(read, p, True, base)
        copy = _instruction(read, p, True, {**base, "disp": const(0, 64)})
        return replace(copy, length=terms.sub(original.length, const(relation.removed, 64)))
    if not relation.fixed:
        return original
    fixed = dict(relation.fixed)
    immediates = enumerate(original.fields.immediates)
    return _instruction(
        p.decoded, p, True, {"immediates": tuple(const(fixed[i], t.width) if i in fixed else t for i, t in immediates)}
    )


def _instruction(
    decoded: Decoded | NotAnInstruction | NotModelled, p: Probe, symbolic: bool, pinned: Mapping[str, object]
) -> Instruction:
    if not isinstance(decoded, Decoded):
        return _undefined(decoded, p.scheme.mode)
    d, parts = decoded, fields(decoded)
    length = const(d.layout.length, 64)
    undefined = d.faults_ud
    if symbolic:
        keep = dict(pinned)
        if isinstance(p.plan, Program) and shape(p.plan).names_registers and names_by_opcode(d.form.opcode):
            keep["opcode_reg"] = parts.opcode_reg
        if "seg_reg" in d.form.opcode.op_kinds:  # which segment register decides what happens
            keep["reg"] = parts.reg
        if d.form.opcode.mnemonic == "enter":
            keep["immediates"] = (var("imm0", 16), const(nesting_level(d), 8))
        free = d.form.opcode.mnemonic not in CONCRETE_IMMEDIATES
        parts = FreeFields(parts, d.data, keep, free)
        if _is_measured(p):
            length = LENGTH
    size, segment = d.layout.address_size, d.layout.segment
    if symbolic and is_plain(d.form.opcode) and _is_any_address(p):
        size, segment = 0, "any"
    modrm = d.data[d.layout.modrm_offset] if d.layout.modrm_offset is not None else None
    return Instruction(
        d.form.opcode, d.form.addressing, d.cpu, length, size, segment, d.layout.rep,
        d.layout.lock, modrm, parts, undefined, p.scheme.mode,
    )  # fmt: skip


def _is_any_address(p: Probe) -> bool:
    """Whether one class holds operands in memory of every address size and segment: the plan names no offset."""
    in_memory = cast(Decoded, p.decoded).form.addressing in {Addressing.MEM, Addressing.RIP}
    return in_memory and not (isinstance(p.plan, Program) and shape(p.plan).operands)


def field_values(p: Probe) -> dict[str, int]:
    """The values that an encoding gives to its class's variables; empty where the class is the encoding alone."""
    if p.is_concrete or not isinstance(p.decoded, Decoded):
        return {}
    values = values_of(p.decoded)
    layout = p.decoded.layout
    values["small_address"] = int(8 * layout.address_size != p.scheme.mode.address_widths[0])
    values["overridden"] = int(layout.segment is not None)
    if layout.segment is None:
        values["segment_base"] = 0
    values["length"] = p.decoded.layout.length
    return values


def _undefined(answer: NotAnInstruction | NotModelled, mode: Mode) -> Instruction:
    data = b"\x0f\x0b"
    ud2 = cast(Decoded, decode(data, Cpu.INTEL))
    return Instruction(
        opcode_named("UD2"), Addressing.NONE, Cpu.INTEL, const(2, 64), 8, None, None, False, None, fields(ud2),
        answer.reason, mode,
    )  # fmt: skip


def _displacement(p: Probe, original: Instruction, symbolic: bool) -> Callable[[int, int], Term]:
    def constant(offset: int, size: int) -> Term:
        return const(int.from_bytes(p.data[offset : offset + size], "little", signed=True), 64)

    def own(offset: int, size: int) -> Term:
        found = place(cast(Decoded, p.decoded), offset, size)
        if found == "disp":
            return original.fields.disp
        if found is None:
            raise ValueError(f"{p.data.hex()}: the {size} bytes at {offset} are no field of the instruction")
        return terms.sext(original.fields.immediates[int(found[3:])], 64)

    return own if symbolic else constant
