"""Fields taken from the bytes against the registers, addresses and immediates that the decoder library reports."""

from __future__ import annotations

from random import Random

import iced_x86 as iced
import pytest
from isa_strings import random_string

from verify.models.x86.isa.decode import LOCK_FAULT, Decoded, decode
from verify.models.x86.isa.fields import Fields, fields, operand_register
from verify.models.x86.isa.rows import Addressing, Cpu
from verify.terms import Term, const, substitute, var

R = iced.Register
NAMES = {v: k for k, v in vars(R).items() if isinstance(v, int)}
FIRST = {
    "gpr16": R.AX, "gpr32": R.EAX, "gpr64": R.RAX, "xmm": R.XMM0, "ymm": R.YMM0, "zmm": R.ZMM0, "mm": R.MM0,
    "k": R.K0, "st": R.ST0, "seg": R.ES, "cr": R.CR0, "dr": R.DR0, "tr": R.TR0, "tmm": R.TMM0, "bnd": R.BND0,
}  # fmt: skip
LOW_BYTES = (R.AL, R.CL, R.DL, R.BL, R.SPL, R.BPL, R.SIL, R.DIL)
HIGH_BYTES = (R.AL, R.CL, R.DL, R.BL, R.AH, R.CH, R.DH, R.BH)
BRANCHES = {iced.OpKind.NEAR_BRANCH16, iced.OpKind.NEAR_BRANCH32, iced.OpKind.NEAR_BRANCH64}


def register(kind: str, number: int) -> int:
    """The library's register of a class and number."""
    if kind == "gpr8h":
        return HIGH_BYTES[number]
    if kind == "gpr8":
        return LOW_BYTES[number] if number < 8 else R.R8L + number - 8
    return FIRST[kind] + number


def known(term: Term) -> int:
    assert term.value is not None
    return term.value


def check_memory(ins: iced.Instruction, parts: Fields) -> None:
    word = FIRST["gpr32" if parts.layout.address_size == 4 else "gpr64"]
    segment = {None: R.NONE, "fs": R.FS, "gs": R.GS}[parts.layout.segment]
    if segment:
        assert ins.memory_segment == segment
    else:
        assert ins.memory_segment not in {R.FS, R.GS}
    if parts.layout.modrm_offset is None:
        assert ins.memory_base in {R.NONE, R.RBX, R.EBX}  # xlat
        if ins.memory_base == R.NONE:
            assert known(parts.disp) == ins.memory_displacement
        return
    if parts.is_rip_relative:
        end = (parts.layout.length + known(parts.disp)) % (1 << (8 * parts.layout.address_size))
        assert ins.memory_base in {R.RIP, R.EIP}
        assert ins.ip_rel_memory_address == end
        return
    assert ins.memory_base == (word + known(parts.base) if parts.has_base else R.NONE)
    if not parts.has_index:
        assert ins.memory_index == R.NONE
    else:
        assert ins.memory_index_scale == 1 << known(parts.scale)
        if parts.index.width == 5:
            assert ins.memory_index in {R.XMM0 + known(parts.index), R.YMM0 + known(parts.index),
                                        R.ZMM0 + known(parts.index)}  # fmt: skip
        else:
            assert ins.memory_index == word + known(parts.index)
    assert ins.memory_displacement == known(parts.disp) % (1 << (8 * parts.layout.address_size))


def check(decoded: Decoded, ins: iced.Instruction, parts: Fields) -> None:
    """Every operand of one encoding."""
    row = decoded.form.opcode
    immediates = [known(i) for i in parts.immediates]
    for position, name in enumerate(row.op_kinds):
        kind = ins.op_kind(position)
        if kind == iced.OpKind.REGISTER:
            cls, number = operand_register(row, position, parts)
            assert NAMES[register(cls, known(number))] == NAMES[ins.op_register(position)]
        elif kind == iced.OpKind.MEMORY:
            check_memory(ins, parts)
            with pytest.raises(ValueError, match="no register"):
                operand_register(row, position, parts)
        elif kind in BRANCHES:
            value, size = immediates[0], parts.layout.immediates[0][1]
            signed = value - (1 << (8 * size)) if value >> (8 * size - 1) else value
            width = 16 if kind == iced.OpKind.NEAR_BRANCH16 else 64
            assert ins.near_branch_target == (parts.layout.length + signed) % (1 << width)
        elif name.startswith("imm") and name not in {"imm8_const_1", "imm4_m2z"}:
            index = sum(1 for k in row.op_kinds[:position] if k.startswith("imm"))
            assert ins.immediate(position) % (1 << (8 * parts.layout.immediates[index][1])) == immediates[index]
    assert ins.op_mask == (R.K0 + known(parts.aaa) if known(parts.aaa) else R.NONE)
    assert ins.zeroing_masking == bool(known(parts.z))
    if decoded.form.addressing is Addressing.MEM and row.can_broadcast:
        assert ins.is_broadcast == bool(known(parts.broadcast))


@pytest.mark.parametrize("cpu", list(Cpu))
def test_registers_addresses_and_immediates_are_the_decoders(cpu: Cpu) -> None:
    rng = Random(f"fields {cpu.value}")
    seen: set[str] = set()
    for _ in range(20_000):
        data = random_string(rng)
        decoded = decode(data, cpu)
        if isinstance(decoded, Decoded) and decoded.faults_ud != LOCK_FAULT:
            options = iced.DecoderOptions.AMD if cpu is Cpu.AMD else iced.DecoderOptions.NONE
            check(decoded, iced.Decoder(64, decoded.data, options).decode(), fields(decoded))
            seen.update(decoded.form.opcode.op_kinds)
    assert len(seen) > 55


def test_lock_makes_a_control_register_number_cr8_on_amd() -> None:
    decoded = decode(bytes.fromhex("f00f20c0"), Cpu.AMD)
    assert isinstance(decoded, Decoded)
    cls, number = operand_register(decoded.form.opcode, 1, fields(decoded))
    assert (cls, number.value) == ("cr", 8)


def test_fields_of_symbolic_bytes_specialise_to_those_of_constants() -> None:
    rng = Random("symbolic fields")
    checked = 0
    while checked < 2_000:
        decoded = decode(random_string(rng), Cpu.INTEL)
        if not isinstance(decoded, Decoded):
            continue
        symbols = [var(f"b{i}", 8) for i in range(len(decoded.data))]
        bindings = {s: const(v, 8) for s, v in zip(symbols, decoded.data, strict=True)}
        symbolic, concrete = fields(decoded, symbols.__getitem__), fields(decoded)
        for position in range(len(decoded.form.opcode.op_kinds)):
            try:
                cls, number = operand_register(decoded.form.opcode, position, symbolic)
            except ValueError:
                continue
            assert (cls, *substitute([number], bindings)) == operand_register(decoded.form.opcode, position, concrete)
        assert substitute([symbolic.disp], bindings)[0] is concrete.disp
        checked += 1
