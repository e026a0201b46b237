"""Whether an encoding is one that compilers, assemblers and linkers emit: every prefix has a use there.

Decided by what a prefix does to the instruction, with the idioms that toolchains have for prefixes without effect: long
nops, the padded sequences of thread-local storage, `rep ret`, `notrack`, relaxed calls.
"""

from __future__ import annotations

from typing import Final

from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.rows import Addressing, Cpu

_SEGMENTS: Final = b"\x64\x65"
_ORDER: Final = {0x67: 1, 0x66: 2, 0xF2: 3, 0xF3: 3, 0xF0: 3}  # of the others: 0
_RELATIVE: Final = ("br64_4", "br32_4")


def is_ordinary(d: Decoded) -> bool:
    """Whether a toolchain emits the encoding, for some program."""
    if d.faults_ud is not None or d.layout.ignored_rex:
        return False
    prefixes = d.layout.prefixes
    if d.form.opcode.is_nop:
        return set(prefixes) <= {0x66, 0x2E} and _rex_is_used(d)  # the assemblers' long nops
    if (len(set(prefixes)) < len(prefixes) and not _is_padded(d)) or not _is_in_order(prefixes):
        return False
    return _rex_is_used(d) and all(_is_used(d, p) for p in set(prefixes))


def is_emitted(data: bytes, cpus: tuple[Cpu, ...]) -> bool:
    """Whether the bytes are such an encoding, on the processors of some vendor."""
    return any(isinstance(d, Decoded) and is_ordinary(d) for d in (decode(data, cpu) for cpu in cpus))


def _is_in_order(prefixes: bytes) -> bool:
    """Segment, address size, operand size, then those that repeat, lock or select the opcode (binutils, gas/config)."""
    places = [_ORDER.get(p, 0) for p in prefixes]
    return places == sorted(places)


def _is_padded(d: Decoded) -> bool:
    """data16 prefixes of the general-dynamic sequences: lea and call with REX.W (ELF TLS ABI for x86-64)."""
    return bool(d.layout.rex & 8) and (d.form.opcode.flow_control.endswith("CALL") or d.form.opcode.mnemonic == "lea")


def _is_used(d: Decoded, prefix: int) -> bool:
    opcode, memory = d.form.opcode, d.form.addressing in {Addressing.MEM, Addressing.RIP}
    branches = opcode.flow_control != "NEXT"
    if prefix == 0x66:
        return opcode.mandatory_prefix == "66" or (d.layout.operand_size_prefix and not branches) or _is_padded(d)
    if prefix in b"\xf2\xf3":
        return _is_repeat_used(d, prefix)
    if prefix in _SEGMENTS:
        return memory or any(k.startswith("mem_offs") for k in opcode.op_kinds)
    if prefix == 0x67:
        return any(k in _RELATIVE for k in opcode.op_kinds)  # a relaxed indirect call or jump (x86-64 psABI, B.2)
    if prefix == 0x3E:
        return opcode.flow_control in {"INDIRECT_CALL", "INDIRECT_BRANCH", "CONDITIONAL_BRANCH"}  # notrack, a hint
    return prefix == 0xF0 and memory and opcode.can_lock


def _is_repeat_used(d: Decoded, prefix: int) -> bool:
    opcode = d.form.opcode
    if opcode.mandatory_prefix == ("F2" if prefix == 0xF2 else "F3"):
        return True
    if opcode.is_string:
        return prefix == 0xF3 or opcode.mnemonic.startswith(("scas", "cmps"))
    return prefix == 0xF3 and opcode.flow_control == "RETURN"  # rep ret


def _rex_is_used(d: Decoded) -> bool:
    """Whether every bit of REX that is set means something, and an empty one names spl, bpl, sil or dil."""
    rex, opcode, layout = d.layout.rex, d.form.opcode, d.layout
    if layout.rex_offset is None:
        return True
    by_opcode = any(k.endswith("_opcode") for k in opcode.op_kinds)
    wide = not rex & 8 or opcode.operand_size == 64 or opcode.w == 1 or opcode.flow_control != "NEXT"
    extends = layout.modrm_offset is not None or not rex & 4
    index = layout.sib_offset is not None or not rex & 2
    base = layout.modrm_offset is not None or by_opcode or not rex & 1
    rip = d.form.addressing is not Addressing.RIP or not rex & 1
    return (rex & 15 or any(k.startswith("r8") for k in opcode.op_kinds)) != 0 and all(
        (wide, extends, index, base, rip)
    )
