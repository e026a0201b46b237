"""What uprobes of a development kernel behind 6.18 make of the 16 bytes at a 64-bit probe site.

Source: arch/x86/kernel/uprobes.c of a development tree of July 2026; by commit: 8a5c6cbfe4a3 (which instructions are
nops), abf08854d224 (shadow stacks), 38af0dd6a266, 07c308eb2bcf, d9a48e77f6fe and 554ba38456da (10-byte nops become
calls, 5-byte ones no more).  Tables, refusals, fixups, scratch register and the decoder are 6.18's.  In which releases
it comes is inferred from dates, so that no running kernel is its judge.

Not decided here, properties of the address: a probe whose 10 bytes cross a page is not optimised, and a trampoline must
fit within 2 GiB.  A push to the shadow stack is taken to succeed: where it fails, a call is stepped with its
displacement zeroed, which pushes nothing there, and restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from verify.models.schemes.linux.actions import NEXT, RSP, gone
from verify.models.schemes.linux.decoder import EMULATE_PREFIXES, KernelDecoded
from verify.models.schemes.linux.decoder_32 import decoded_in_32_bits
from verify.models.schemes.linux.uprobes_6_18 import (
    ATTRIBUTES,
    BREAKPOINT,
    DECODER,
    FEATURES,
    GOOD_ONE_BYTE,
    GOOD_ONE_BYTE_32,
    SHADOWED_CALL,
    UNDECODABLE,
    continuations,
    nop,
    refusal,
    step,
    transfer,
)
from verify.models.schemes.linux.uprobes_entries import ENTRIES_NEXT
from verify.models.schemes.program import Agent, Program, Set, Store
from verify.models.schemes.scheme import Plan, Scheme
from verify.models.schemes.vocabulary import register
from verify.terms import TRUE, const, sub

NOP_10: Final = bytes.fromhex("662e0f1f84")  # and SIB, disp32: the kernel's own nop of 10 bytes, whatever its operand
NOP_10_LENGTH: Final = 10
RED_ZONE: Final = 128  # bytes that `lea -128(%rsp), %rsp` steps over


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    _check(data)
    if data[0] == 0xCC:
        return BREAKPOINT
    decoded = DECODER.decode(data)
    if decoded is None:
        return UNDECODABLE
    if optimised(data, decoded):
        return _optimised_nop()
    return refusal(decoded, GOOD_ONE_BYTE) or _accepted(data, decoded, True)


def plan_in_32_bits(data: bytes) -> Plan:
    """The plan where the bytes were taken for those of a 32-bit program: see `uprobes_6_18.plan_in_32_bits`."""
    _check(data)
    if data[0] == 0xCC:
        return BREAKPOINT
    decoded = decoded_in_32_bits(data, ATTRIBUTES, FEATURES)
    if decoded is None:
        return UNDECODABLE
    return refusal(decoded, GOOD_ONE_BYTE_32) or _accepted(data, decoded, False)


def unrestricted(data: bytes) -> Plan:
    """What stepping a copy would do where `plan` refuses by prefix or opcode."""
    decoded = DECODER.decode(data)
    return UNDECODABLE if decoded is None else step(data, decoded, call=SHADOWED_CALL)


def _check(data: bytes) -> None:
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")


def _accepted(data: bytes, decoded: KernelDecoded, is_64_bit: bool) -> Plan:
    """branch_setup_xol_ops (nops first, before 66 is looked at), push_setup_xol_ops, the rest."""
    if is_nop(data, decoded, is_64_bit):
        return nop(decoded.length, False)
    return transfer(data, decoded, shadow=True) or step(data, decoded, is_64_bit, SHADOWED_CALL)


def optimised(data: bytes, decoded: KernelDecoded) -> bool:
    """can_optimize, the page apart: asked before any table, and a yes skips them (38af0dd6a266)."""
    return decoded.length == NOP_10_LENGTH and data[: len(NOP_10)] == NOP_10 and is_nop(data, decoded, True)


@cache
def _optimised_nop() -> Program:
    return Program(gone(NEXT), length=NOP_10_LENGTH, later=_by_trampoline())


def _by_trampoline() -> Program:
    """The site is `lea -128(%rsp), %rsp` and a call: return address, rcx, r11 and rax below the red zone.

    The trampoline restores all three and rsp by `ret $128`; its own pops are no accesses here.  What the call pushes to
    the shadow stack the probe's system call and the return pop again.
    """
    values = [NEXT, *(register(n) for n in (1, 11, 0))]
    places = [sub(register(RSP), const(RED_ZONE + 8 * (i + 1), 64)) for i in range(4)]
    stores = (Store(p, v, 8, (), Agent.PROGRAM, TRUE) for p, v in zip(places, values, strict=True))
    return Program((*stores, Set("ip", NEXT)), length=NOP_10_LENGTH)  # and a system call


@dataclass(frozen=True, slots=True)
class _Extension:
    """What REX or the payload of REX2 adds to register numbers, and whether REX2 names the 0f map."""

    r: int = 0
    x: int = 0
    b: int = 0
    m: bool = False
    w: bool = False

    @classmethod
    def of(cls, data: bytes, decoded: KernelDecoded) -> _Extension:
        """From the last byte of the prefix; R4, X4, B4 and M are REX2's alone."""
        if not decoded.rex_size:
            return cls()
        byte = data[decoded.rex_at + _skipped(data) + decoded.rex_size - 1]
        fourth = byte if decoded.rex_size == 2 else 0
        r, x, b = (8 * (byte >> i & 1) + 16 * (fourth >> i + 4 & 1) for i in (2, 1, 0))
        return cls(r, x, b, fourth & 0x80 != 0, byte & 8 != 0)


def _skipped(data: bytes) -> int:
    """Bytes of an emulate prefix, which the decoder's offsets leave out."""
    return 5 if data[:5] in EMULATE_PREFIXES else 0


def is_nop(data: bytes, decoded: KernelDecoded, is_64_bit: bool) -> bool:
    """insn_is_nop (8a5c6cbfe4a3), on what the kernel's decoder saw."""
    if decoded.rex_size == 0 and decoded.vex_size:
        return False
    extension = _Extension.of(data, decoded)
    opcode = 0x0F if extension.m else decoded.opcode1
    match opcode:
        case 0x89:
            return _moves_to_itself(decoded, extension, is_64_bit)
        case 0x8D:
            return _loads_its_own_address(data, decoded, extension, is_64_bit)
        case 0x90:
            return not (extension.b or 0xF3 in decoded.prefixes)
        case 0xE9 | 0xEB:
            return not any(_immediate(data, decoded))
        case 0x0F:
            second = decoded.opcode1 if extension.m else decoded.opcode2
            return second == 0x1F and decoded.modrm >= 0 and (decoded.modrm >> 3 & 7) + extension.r == 0
        case _:
            return False


def _is_native(decoded: KernelDecoded, extension: _Extension, is_64_bit: bool) -> bool:
    """Whether the decoder's operand size is 8 bytes, 4 in a 32-bit program."""
    return extension.w if is_64_bit else 0x66 not in decoded.prefixes


def _moves_to_itself(decoded: KernelDecoded, extension: _Extension, is_64_bit: bool) -> bool:
    reg, rm = (decoded.modrm >> 3 & 7) + extension.r, (decoded.modrm & 7) + extension.b
    return decoded.modrm >= 0xC0 and reg == rm and _is_native(decoded, extension, is_64_bit)


def _loads_its_own_address(data: bytes, decoded: KernelDecoded, extension: _Extension, is_64_bit: bool) -> bool:
    """LEA of a base and a displacement of 0, not left out, into the base; of prefixes 3e alone may stand there."""
    mod, rm, at = decoded.modrm >> 6, decoded.modrm & 7, decoded.modrm_at + _skipped(data) + 1
    if mod not in {1, 2} or any(p != 0x3E for p in decoded.prefixes):
        return False
    if rm == 4:
        sib, at = data[at], at + 1
        if sib >> 6 or (sib >> 3 & 7) + extension.x != 4:
            return False
        rm = sib & 7
    is_zero = not any(data[at : at + (1 if mod == 1 else 4)])
    same = (decoded.modrm >> 3 & 7) + extension.r == rm + extension.b
    return is_zero and same and _is_native(decoded, extension, is_64_bit)


def _immediate(data: bytes, decoded: KernelDecoded) -> bytes:
    return data[decoded.immediate_end - decoded.immediate_size : decoded.immediate_end]


SCHEME: Final = Scheme(
    name="linux-uprobes-next",
    summary="int3, then emulation or a single step of a copy in a slot; 10-byte nops become calls",
    source="Linux, development tree of July 2026, arch/x86/kernel/uprobes.c; decoder and tables of 6.18",
    plan=plan,
    unrestricted=unrestricted,
    continuations=continuations,
    otherwise=(("analysed-as-64-bit", plan_in_32_bits),),
    entries=ENTRIES_NEXT,
)
