"""What uprobes of the long-term kernels 5.15, 6.1, 6.6 and 6.12 make of the 16 bytes at a 64-bit probe site.

Source: arch/x86/kernel/uprobes.c and arch/x86/lib/insn.c of Linux 5.15.167, 6.1.192, 6.6.63 and 6.12.117.  The order
of steps, refusals, emulations, fixups and the scratch register are 6.18's, but for nops: opcode 90 is emulated with
whatever prefixes, `0f 1f` of any length is stepped, and nothing becomes a call.  What differs otherwise is what the
decoder knows: XOP in none of them (8f is POP), APX from 6.12 on, the EVEX maps 5 and 6 from 6.1 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verify.models.schemes.linux.attributes import Attributes
from verify.models.schemes.linux.decoder import Features, KernelDecoded, KernelDecoder
from verify.models.schemes.linux.decoder_32 import decoded_in_32_bits
from verify.models.schemes.linux.opcode_map_lts import ATTRIBUTES_5_15, ATTRIBUTES_6_6, ATTRIBUTES_6_12
from verify.models.schemes.linux.uprobes_6_18 import (
    BREAKPOINT,
    GOOD_ONE_BYTE,
    GOOD_ONE_BYTE_32,
    UNDECODABLE,
    continuations,
    emulation,
    nop,
    refusal,
    step,
)
from verify.models.schemes.linux.uprobes_entries import entries_of
from verify.models.schemes.live import LINUX, LiveJudge
from verify.models.schemes.scheme import Plan, Scheme


@dataclass(frozen=True, slots=True)
class Release:
    """What a release knows of bytes."""

    attributes: Attributes
    features: Features
    decoder: KernelDecoder

    def plan(self, data: bytes) -> Plan:
        """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
        _check(data)
        return BREAKPOINT if data[0] == 0xCC else _plan(data, self.decoder.decode(data), True)

    def plan_in_32_bits(self, data: bytes) -> Plan:
        """The plan where the bytes were taken for those of a 32-bit program: see `uprobes_6_18.plan_in_32_bits`."""
        _check(data)
        found = decoded_in_32_bits(data, self.attributes, self.features)
        return BREAKPOINT if data[0] == 0xCC else _plan(data, found, False)

    def unrestricted(self, data: bytes) -> Plan:
        """What stepping a copy would do where `plan` refuses by prefix or opcode."""
        decoded = self.decoder.decode(data)
        return UNDECODABLE if decoded is None else step(data, decoded)


def _check(data: bytes) -> None:
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")


def _plan(data: bytes, decoded: KernelDecoded | None, is_64_bit: bool) -> Plan:
    if decoded is None:
        return UNDECODABLE
    good = GOOD_ONE_BYTE if is_64_bit else GOOD_ONE_BYTE_32
    return refusal(decoded, good) or emulated(data, decoded, is_64_bit) or step(data, decoded, is_64_bit)


def emulated(data: bytes, decoded: KernelDecoded, is_64_bit: bool) -> Plan | None:
    """branch_setup_xol_ops, then push_setup_xol_ops: of nops, opcode 90 alone."""
    if decoded.opcode1 == 0x90:
        return nop(decoded.length, False)
    if (decoded.opcode_size, decoded.opcode1, decoded.opcode2) == (2, 0x0F, 0x1F):
        return None
    return emulation(data, decoded, is_64_bit)


def _release(attributes: Attributes, features: Features) -> Release:
    return Release(attributes, features, KernelDecoder(attributes, features))


_6_12: Final = Features(xop=False, vex_after_rex=True, invalid64=False)
_6_6: Final = Features(xop=False, vex_after_rex=True, invalid64=False, rex2=False)
_5_15: Final = Features(xop=False, vex_after_rex=True, invalid64=False, rex2=False, evex_maps=3)

NO_SHADOW_STACKS: Final = frozenset({"no-shadow-stack"})  # of programs: Linux has them since 6.6


def _scheme(version: str, sublevel: int, release: Release, holds: frozenset[str] = frozenset()) -> Scheme:
    return Scheme(
        name=f"linux-uprobes-{version}",
        summary="int3, then emulation or a single step of a copy in a slot",
        source=f"Linux {version}.{sublevel}, arch/x86/kernel/uprobes.c, arch/x86/lib/insn.c, x86-opcode-map.txt",
        plan=release.plan,
        unrestricted=release.unrestricted,
        continuations=continuations,
        otherwise=(("analysed-as-64-bit", release.plan_in_32_bits),),
        entries=entries_of(version, holds),
        holds=holds,
        live=LiveJudge(LINUX, version),
    )


SCHEMES: Final = (
    _scheme("6.12", 117, _release(ATTRIBUTES_6_12, _6_12)),
    _scheme("6.6", 63, _release(ATTRIBUTES_6_6, _6_6)),
    _scheme("6.1", 192, _release(ATTRIBUTES_6_6, _6_6), NO_SHADOW_STACKS),
    _scheme("5.15", 167, _release(ATTRIBUTES_5_15, _5_15), NO_SHADOW_STACKS),
)
