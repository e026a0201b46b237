"""What uprobes of Linux around 3.15 made of the 16 bytes at a 64-bit probe site: almost everything is stepped.

Source: arch/x86/kernel/uprobes.c of the 3.15 cycle (public tree at 014940bad8e4), before branches and pushes were
emulated.  Differences from 6.18 that decide: a rip-relative operand goes through RCX (modrm.reg 0) or RAX and loses
its displacement; only REX.B is cleared, so VEX.B and vvvv are not looked at; branches and calls are stepped and the
return address is moved by origin - slot; of nops only 66* 90 is emulated; three-byte opcodes are refused, since 0f is
not among the good opcodes; a decoder that fails refuses nothing, it leaves opcode 00, which is good.  Shadow stacks
did not exist.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.linux import opcode_map_3_15
from verify.models.schemes.linux.actions import BACK, NEXT, RSP, SI_USER, SIGILL, gone, held, moved, stepped, target
from verify.models.schemes.linux.attributes import Attributes, look_ups, opcodes
from verify.models.schemes.linux.decoder import (
    SIB_WITH_DISPLACEMENT,
    Features,
    KernelDecoded,
    KernelDecoder,
    legacy_prefixes,
    takes_a_sib_byte_from_behind,
)
from verify.models.schemes.linux.uprobes_entries import ENTRIES_3_15
from verify.models.schemes.live import LINUX, LiveJudge
from verify.models.schemes.program import Actions, Program, Signal, Store
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.vocabulary import NOW, ORIGIN, register
from verify.terms import TRUE, add, const, load

ENOTSUPP: Final = 524
COPIED: Final = 16  # bytes, MAX_UINSN_BYTES and MAX_INSN_SIZE
DISPLACEMENT: Final = 4  # bytes of a rip-relative operand that the copy has no more

DECODER: Final = KernelDecoder(
    Attributes(
        lambda: look_ups(
            {
                0: opcode_map_3_15.ONE_BYTE,
                1: opcode_map_3_15.TWO_BYTE,
                2: opcode_map_3_15.THREE_BYTE_38,
                3: opcode_map_3_15.THREE_BYTE_3A,
            },
            opcode_map_3_15.GROUPS,
            opcode_map_3_15.PLAIN_GROUPS,
            {},
        )
    ),
    Features(
        rex2=False,
        evex=False,
        xop=False,
        vex_after_rex=True,
        invalid64=False,
        emulate_prefixes=False,
        strict=False,
        limit=COPIED,
    ),
)

GOOD_ONE_BYTE: Final = frozenset(
    opcodes(
        "00-05 08-0d 10-15 18-1d 20-25 28-2d 30-35 38-3d 50-5f 63-65 68-6b 70-81 83-c3 c6-cb d0-d3 d7-e3 e8-eb f2-f3 "
        "f5-f9 fc-ff"
    )
)
GOOD_TWO_BYTE: Final = frozenset(opcodes("0e-17 19-23 28-2f 31-33 40-77 7e-a5 a8-ad af-b7 b9-cf d1-ef f1-fe"))
BAD_PREFIXES: Final = frozenset({0x26, 0x2E, 0x36, 0x3E, 0xF0})

_BREAKPOINT: Final = Refuse("the first byte is a breakpoint", ENOTSUPP)
_BAD_PREFIX: Final = Refuse("ES, CS, SS, DS or LOCK prefix", ENOTSUPP)
_BAD_OPCODE: Final = Refuse("the opcode is in neither table of good instructions", ENOTSUPP)

RAX, RCX = 0, 1


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < COPIED:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    if data[0] == 0xCC:
        return _BREAKPOINT
    decoded = DECODER.decode(data[:COPIED] + bytes(COPIED))
    prefixes = legacy_prefixes(data, 0, COPIED)[0] if decoded is None else decoded.prefixes
    if not BAD_PREFIXES.isdisjoint(prefixes):
        return _BAD_PREFIX
    if decoded is None:
        return _step(COPIED, Fixups(), None)
    if decoded.opcode1 not in GOOD_ONE_BYTE and not (decoded.opcode_size == 2 and decoded.opcode2 in GOOD_TWO_BYTE):
        return _BAD_OPCODE
    return _nop(data) or step(data, decoded)


def _nop(data: bytes) -> Program | None:
    """__skip_sstep: 66* 90 within 16 bytes, read from the bytes themselves."""
    count = 0
    while count < COPIED and data[count] == 0x66:
        count += 1
    return _emulated_nop(count + 1) if count < COPIED and data[count] == 0x90 else None


@cache
def _emulated_nop(length: int) -> Program:
    return Program(gone(NEXT), length=length)


class Fixups(NamedTuple):
    """What is mended behind the step."""

    ip: bool = True  # UPROBE_FIX_IP
    return_address: bool = False  # UPROBE_FIX_CALL
    keeps_tf: bool = False  # UPROBE_FIX_SETF


# Fixups by opcode; these opcodes are not looked at for a rip-relative operand either.
_ABSOLUTE, _CALL = Fixups(ip=False), Fixups(ip=False, return_address=True)
_BY_OPCODE: Final = {
    0x9D: Fixups(keeps_tf=True),
    0xC2: _ABSOLUTE,
    0xC3: _ABSOLUTE,
    0xCA: _ABSOLUTE,
    0xCB: _ABSOLUTE,
    0xEA: _ABSOLUTE,
    0xE8: Fixups(return_address=True),
    0x9A: _CALL,
}


def step(data: bytes, decoded: KernelDecoded) -> Program:
    """arch_uprobe_analyze_insn from the fixups on."""
    special = _BY_OPCODE.get(decoded.opcode1)
    if special is not None:
        return _step(decoded.length, special, None)
    fixups = Fixups()
    if decoded.opcode1 == 0xFF:
        digit = max(decoded.modrm, 0) >> 3 & 7
        if digit in {2, 3}:
            fixups = _CALL
        elif digit in {4, 5}:
            fixups = _ABSOLUTE
    return _step(decoded.length, fixups, relative(decoded))


Rewrite = tuple[int, int, int, int]  # offset of REX or -1, of ModRM; scratch register; bytes of immediate that move


def relative(decoded: KernelDecoded) -> Rewrite | None:
    """handle_riprel_insn: None where the decoder saw no rip-relative operand."""
    modrm = decoded.modrm
    if modrm < 0 or modrm & 0xC7 != 5 or decoded.modrm_at + 5 > COPIED:
        return None
    scratch = RCX if modrm & 0x38 == 0 else RAX
    return decoded.rex_at if decoded.rex_size else -1, decoded.modrm_at, scratch, decoded.immediate_size


@cache
def _step(length: int, fixups: Fixups, rewrite: Rewrite | None) -> Program:
    if rewrite is None:
        return stepped(ORIGINAL, length, _fixed_up(fixups, 0), keeps_tf=fixups.keeps_tf)
    base = target((rewrite[1] + 1, DISPLACEMENT))
    return stepped(_shortened(rewrite), length, _fixed_up(fixups, DISPLACEMENT), *held(rewrite[2], base))


def _shortened(rewrite: Rewrite) -> Code:
    """The copy with REX.B clear, ModRM = 00 reg scratch and no displacement."""
    rex_at, modrm_at, scratch, immediate = rewrite
    slot = list(ORIGINAL.pieces)
    if rex_at >= 0:
        slot[rex_at] = Byte(rex_at, keep=0xFE)
    slot[modrm_at] = Byte(modrm_at, keep=0x38, bits=scratch)
    for i in range(modrm_at + 1, min(modrm_at + 1 + immediate, COPIED - DISPLACEMENT)):
        slot[i] = Byte(i + DISPLACEMENT)
    return Code(tuple(slot))


def _fixed_up(fixups: Fixups, removed: int) -> Actions:
    """arch_uprobe_post_xol; a return address that cannot be moved (adjust_ret_addr) ends in SIGILL (handle_singlestep).
    """
    done: Actions = (moved(removed),) if fixups.ip else ()
    if not fixups.return_address:
        return done
    rsp = register(RSP)
    value = add(load(NOW.memory, rsp, 8), add(BACK, const(removed, 64)))
    return (*done, Store(rsp, value, 8, (Signal(SIGILL, SI_USER, ORIGIN),), stack=TRUE))


def continuations(instruction: bytes) -> tuple[bytes, ...]:
    """What may stand behind the instruction and give it another plan: what the decoder takes for a SIB byte."""
    return (SIB_WITH_DISPLACEMENT,) if takes_a_sib_byte_from_behind(instruction) else ()


SCHEME: Final = Scheme(
    name="linux-uprobes-3.15",
    summary="int3, then a single step of a copy in a slot; scratch register RAX or RCX without displacement",
    source="Linux 3.15, arch/x86/kernel/uprobes.c, arch/x86/lib/insn.c; opcode map of 3.7 with MPX",
    plan=plan,
    continuations=continuations,
    entries=ENTRIES_3_15,
    holds=frozenset({"not-restartable", "no-shadow-stack"}),  # of programs: since Linux 4.18 and 6.6
    live=LiveJudge(LINUX, "3.15"),
)
