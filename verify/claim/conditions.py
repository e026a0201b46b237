"""What an encoding's obligations are made of: its setup, the premises, the fields as variables, and their own
values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from verify import terms
from verify.claim.probes import (
    CONCRETE_IMMEDIATES,
    Probe,
    is_plain,
    nesting_level,
    operand_numbers,
    place,
    uses_length,
)
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.behaviour import Setup
from verify.models.schemes.emulation import premises as address_premises
from verify.models.schemes.plan import Call, Emulate, Field, Push, Step
from verify.models.x86.free_fields import FreeFields, values_of
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, decode
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Addressing, Cpu, opcode_named
from verify.models.x86.mode import Mode, checked, in_own_half
from verify.models.x86.semantics.run import Instruction
from verify.terms import Term, const, var

PAGE: Final = 4096
LENGTH: Final = terms.zext(var("length", 4), 64)  # of an instruction that the scheme's decoder measures rightly


@dataclass(frozen=True, slots=True)
class VerificationCondition:
    """A setup, the premises of its obligations, and which register numbers the premises keep apart."""

    setup: Setup
    premises: tuple[Term, ...]
    distinct: tuple[tuple[Term, Term], ...]


def verification_condition(p: Probe, assumptions: frozenset[str] = ASSUMPTIONS) -> VerificationCondition:
    """The obligations' material for an encoding's class, or for the encoding alone where it is concrete."""
    assumptions, mode = assumptions | p.scheme.holds, checked(p.scheme.mode)
    symbolic = p.key[0] != "concrete"
    original = _instruction(p.decoded, p, symbolic, {})
    copy: Instruction | None = original
    distinct: list[tuple[Term, Term]] = []
    if isinstance(p.plan, Step) and p.copy is not p.decoded:
        copy = _copy(p, symbolic)
        if symbolic and p.plan.scratch:
            numbers = operand_numbers(cast(Decoded, p.decoded), original.fields)
            scratch = const(p.plan.scratch.register, 4)
            distinct = [(n, scratch) for n in numbers]
    elif not isinstance(p.copy, Decoded):
        copy = None
    elif isinstance(p.plan, Emulate) and isinstance(p.plan.effect, Call):
        zero = tuple(const(0, t.width) for t in original.fields.immediates)  # only the store's fault is wanted
        copy = _instruction(p.decoded, p, symbolic, {"immediates": zero})
    origin, slot = var("origin", 64), var("slot", 64)
    premises = [terms.not_(terms.eq(a, b)) for a, b in distinct]
    premises += [_code_address(origin, mode), _code_address(slot, mode)]
    length = _length(p, symbolic)
    setup = Setup(original, copy, origin, slot, length, _displacement(p, original, symbolic), assumptions)
    if isinstance(p.plan, Emulate):
        premises += address_premises(p.plan, setup)
    return VerificationCondition(setup, tuple(premises), tuple(distinct))


def _code_address(address: Term, mode: Mode) -> Term:
    """One bit: in its half, above the lowest page, 4 KiB and 16 bytes below the end (of user space, TASK_SIZE_MAX)."""
    low = terms.not_(terms.ult(address, const(PAGE, 64)))
    return terms.and_(low, in_own_half(address, PAGE + 17, mode))


def _length(p: Probe, symbolic: bool) -> Term:
    """Bytes of the instruction as the scheme's decoder sees it."""
    real = p.decoded.layout.length if isinstance(p.decoded, Decoded) else 1
    return LENGTH if symbolic and _is_measured(p) else const(getattr(p.plan, "length", real), 64)


def _is_measured(p: Probe) -> bool:
    """Whether the scheme's decoder sees the instruction's length, or nothing depends on what it sees."""
    real = cast(Decoded, p.decoded).layout.length
    return getattr(p.plan, "length", real) == real or not uses_length(p.plan)


def _copy(p: Probe, symbolic: bool) -> Instruction | None:
    if not isinstance(p.copy, Decoded):
        return None
    pinned: dict[str, object] = {}
    if symbolic and isinstance(p.plan, Step) and p.plan.scratch:
        pinned |= {"base": const(p.plan.scratch.register, 4), "based": terms.TRUE, "indexed": terms.FALSE}
    return _instruction(p.copy, p, symbolic, pinned)


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
        if isinstance(p.plan, Emulate) and isinstance(p.plan.effect, Push):
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
    if symbolic and is_plain(d.form.opcode) and d.form.addressing in {Addressing.MEM, Addressing.RIP}:
        size, segment = 0, "any"
    modrm = d.data[d.layout.modrm_offset] if d.layout.modrm_offset is not None else None
    return Instruction(
        d.form.opcode, d.form.addressing, d.cpu, length, size, segment, d.layout.rep,
        d.layout.lock, modrm, parts, undefined, p.scheme.mode,
    )  # fmt: skip


def field_values(p: Probe) -> dict[str, int]:
    """The values that an encoding gives to its class's variables; empty where the class is the encoding alone."""
    if p.key[0] == "concrete" or not isinstance(p.decoded, Decoded):
        return {}
    exact = fields(p.decoded)
    values = values_of(exact)
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


def _displacement(p: Probe, original: Instruction, symbolic: bool) -> Callable[[Field], Term]:
    def constant(field: Field) -> Term:
        raw = p.data[field.offset : field.offset + field.size]
        return const(int.from_bytes(raw, "little", signed=True), 64)

    def own(field: Field) -> Term:
        found = place(cast(Decoded, p.decoded), field)
        if found == "disp":
            return original.fields.disp
        if found is None:
            raise ValueError(f"{p.data.hex()}: {field} is no field of the instruction")
        return terms.sext(original.fields.immediates[int(found[3:])], 64)

    return own if symbolic else constant
