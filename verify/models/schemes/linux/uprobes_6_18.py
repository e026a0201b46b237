"""What Linux 6.18 uprobes make of the 16 bytes at a 64-bit probe site, from bytes and tables alone.

Source: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c of Linux 6.18; the order of the functions below is the
order of arch_uprobe_analyze_insn.  Not decided here: what the plan does to a machine (`meaning`), and two properties
of the address: a probe whose 5 bytes cross a page is not optimised, and a trampoline must fit within 2 GiB.

Shadow stack, an observable: neither the emulated call nor the call fixup touches it (emulate_push_stack writes the
ordinary stack only; shstk_* functions occur in uprobes.c only for return probes and for the probe system call, which
pops and re-pushes the entry of the call to its trampoline).  So with shadow stacks on, an emulated `e8` leaves no
entry, and a stepped `ff /2` leaves the slot's address in it.

The program's flags are those at the int3; an emulated effect leaves them alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final, NamedTuple

from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.linux import opcode_map
from verify.models.schemes.linux.actions import (
    NEXT,
    RSP,
    called,
    called_again,
    gone,
    held,
    jumped,
    moved,
    pushed,
    stepped,
    target,
)
from verify.models.schemes.linux.attributes import Attributes, look_ups, opcodes
from verify.models.schemes.linux.decoder import (
    EMULATE_PREFIXES,
    SIB_WITH_DISPLACEMENT,
    Features,
    KernelDecoded,
    KernelDecoder,
    takes_a_sib_byte_from_behind,
)
from verify.models.schemes.linux.decoder_32 import decoded_in_32_bits
from verify.models.schemes.linux.uprobes_entries import ENTRIES
from verify.models.schemes.live import LINUX, LiveJudge
from verify.models.schemes.program import Actions, Agent, Program, Set, Store
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.vocabulary import register
from verify.terms import TRUE, const, sub

ENOEXEC: Final = 8
ENOTSUPP: Final = 524

ATTRIBUTES: Final = Attributes(
    lambda: look_ups(
        {
            0: opcode_map.ONE_BYTE,
            1: opcode_map.TWO_BYTE,
            2: opcode_map.THREE_BYTE_38,
            3: opcode_map.THREE_BYTE_3A,
            4: opcode_map.EVEX_MAP_4,
            5: opcode_map.EVEX_MAP_5,
            6: opcode_map.EVEX_MAP_6,
            7: opcode_map.VEX_MAP_7,
        },
        opcode_map.GROUPS,
        opcode_map.PLAIN_GROUPS,
        {8: opcode_map.XOP_MAP_8, 9: opcode_map.XOP_MAP_9, 10: opcode_map.XOP_MAP_A},
    )
)
FEATURES: Final = Features()
DECODER: Final = KernelDecoder(ATTRIBUTES, FEATURES)

# good_insns_64 and good_2byte_insns.  0f is in the first, so the second decides nothing.
GOOD_ONE_BYTE: Final = frozenset(
    opcodes(
        "00-05 08-0d 0f-15 18-1d 20-26 28-2e 30-36 38-3e 40-5f 63-6b 70-81 83-99 9b-cb d0-d3 d7-e3 e8-e9 eb f0 f2-f3 "
        "f5-f9 fc-ff"
    )
)
GOOD_ONE_BYTE_32: Final = frozenset(  # good_insns_32
    opcodes("00-06 08-16 18-1e 20-6b 70-cb d0-e3 e8-eb f0 f2-f3 f5-f9 fc-ff")
)
GOOD_TWO_BYTE: Final = frozenset(opcodes("02-04 0a 0c-2f 31-33 36 38-77 7a-ad af-ff"))
BAD_PREFIXES: Final = frozenset({0x26, 0x2E, 0x36, 0x3E, 0xF0})  # is_prefix_bad: ES, CS, SS, DS, LOCK

# x86_nops of a 64-bit kernel by length (asm/nops.h); those of 9 to 11 bytes have a CS prefix, which is refused.
KERNEL_NOPS: Final = (
    b"",
    bytes.fromhex("90"),
    bytes.fromhex("6690"),
    bytes.fromhex("0f1f00"),
    bytes.fromhex("0f1f4000"),
    bytes.fromhex("0f1f440000"),
    bytes.fromhex("660f1f440000"),
    bytes.fromhex("0f1f8000000000"),
    bytes.fromhex("0f1f840000000000"),
)

UNDECODABLE: Final = Refuse("the kernel's decoder fails", ENOEXEC)
BREAKPOINT: Final = Refuse("the first byte is a breakpoint", ENOTSUPP)
_BAD_PREFIX: Final = Refuse("ES, CS, SS, DS or LOCK prefix", ENOTSUPP)
_MASKING: Final = Refuse("opcode 1f, or 8e with modrm.reg 2 (exceptions masked)", ENOTSUPP)
_BAD_OPCODE: Final = Refuse("the opcode is in neither table of good instructions", ENOTSUPP)
_OPERAND_SIZE: Final = Refuse("branch with a 66 prefix", ENOTSUPP)

RSI, RDI, RBX = 6, 7, 3


class Fixups(NamedTuple):
    """What is mended behind a step: UPROBE_FIX_IP, UPROBE_FIX_CALL, UPROBE_FIX_SETF."""

    ip: bool = False
    call: bool = False
    keeps_tf: bool = False
    shadow: bool = False  # a call's entry on the shadow stack too: later than 6.18

    @property
    def actions(self) -> Actions:
        """default_post_xol_op."""
        return (*((moved(),) if self.ip else ()), *(called_again(self.shadow) if self.call else ()))


IP: Final = Fixups(ip=True)
CALL: Final = Fixups(call=True)
SHADOWED_CALL: Final = Fixups(call=True, shadow=True)
NOTHING: Final = Fixups()


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    if data[0] == 0xCC:
        return BREAKPOINT
    decoded = DECODER.decode(data)
    if decoded is None:
        return UNDECODABLE
    return refusal(decoded) or emulation(data, decoded) or step(data, decoded)


def plan_in_32_bits(data: bytes) -> Plan:
    """The plan where the kernel took the bytes for those of a 32-bit program, by which it is handled all the same.

    An instruction is analysed once an inode and offset, for the first address space that has it mapped: no operand is
    rip-relative then, no REX prefix is one, and nothing is optimised (can_optimize).
    """
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    if data[0] == 0xCC:
        return BREAKPOINT
    decoded = decoded_in_32_bits(data, ATTRIBUTES, FEATURES)
    if decoded is None:
        return UNDECODABLE
    return refusal(decoded, GOOD_ONE_BYTE_32) or emulation(data, decoded, False) or step(data, decoded, False)


def refusal(decoded: KernelDecoded, good: frozenset[int] = GOOD_ONE_BYTE) -> Refuse | None:
    """uprobe_init_insn."""
    for prefix in decoded.prefixes:
        if prefix in BAD_PREFIXES:
            return _BAD_PREFIX
    opcode = decoded.opcode1
    if opcode == 0x1F or (opcode == 0x8E and decoded.modrm >= 0 and decoded.modrm & 0x38 == 0x10):
        return _MASKING
    if opcode in good or (decoded.opcode_size == 2 and decoded.opcode2 in GOOD_TWO_BYTE):
        return None
    return _BAD_OPCODE


def optimised(decoded: KernelDecoded) -> bool:
    """can_optimize, the page apart: five bytes, and opcode 90 or 0f 1f /0 whatever the prefixes."""
    if decoded.length != 5:
        return False
    if decoded.opcode_size == 1:
        return decoded.opcode1 == 0x90
    return (
        decoded.opcode_size == 2
        and decoded.opcode1 == 0x0F
        and decoded.opcode2 == 0x1F
        and decoded.modrm >= 0
        and decoded.modrm & 0x38 == 0
    )


def emulation(data: bytes, decoded: KernelDecoded, is_64_bit: bool = True) -> Plan | None:
    """branch_setup_xol_ops, then push_setup_xol_ops.

    The opcode alone decides: an opcode behind VEX, EVEX, XOP or REX2 is taken for the one-byte instruction of that
    number.  A 5-byte `0f 1f /0` that is not the kernel's own nop is stepped on its first hit and a call from then on.
    """
    length, opcode = decoded.length, decoded.opcode1
    if opcode == 0x90 or (opcode == 0x0F and length < len(KERNEL_NOPS) and data[:length] == KERNEL_NOPS[length]):
        return nop(length, is_64_bit and optimised(decoded))
    if opcode == 0x0F and is_64_bit and optimised(decoded):
        return _stepped_nop(length)
    return transfer(data, decoded)


def transfer(data: bytes, decoded: KernelDecoded, shadow: bool = False) -> Plan | None:
    """Branches, calls and pushes; `shadow`: a call's return address is pushed to the shadow stack too."""
    opcode = decoded.opcode1
    if opcode in {0xE8, 0xE9, 0xEB} or 0x70 <= opcode <= 0x7F:
        pass
    elif opcode == 0x0F and decoded.opcode_size == 2 and 0x80 <= decoded.opcode2 <= 0x8F:
        opcode = decoded.opcode2 - 0x10
    else:
        return _push(data, decoded) if 0x50 <= opcode <= 0x57 else None
    if 0x66 in decoded.prefixes:
        return _OPERAND_SIZE
    return _branch(opcode, decoded.immediate_end, decoded.immediate_size, decoded.length, shadow)


def _push(data: bytes, decoded: KernelDecoded) -> Program | None:
    """push_setup_xol_ops: one byte, or two with REX exactly 41 (a REX2 payload or VEX never is)."""
    if decoded.length == 1:
        return _emulated_push(decoded.opcode1 - 0x50, 1)
    if decoded.length == 2 and decoded.rex_size == 1 and data[decoded.rex_at] == 0x41:
        return _emulated_push(decoded.opcode1 - 0x48, 2)
    return None


@cache
def _emulated_push(number: int, length: int) -> Program:
    return Program(pushed(number), length=length)


@cache
def nop(length: int, is_optimised: bool) -> Program:
    """An emulated nop of that many bytes; optimised: a call to a trampoline from the second hit on."""
    return Program(gone(NEXT), length=length, later=_by_trampoline(length) if is_optimised else None)


@cache
def _stepped_nop(length: int) -> Program:
    return replace(step_by(length, IP, None), later=_by_trampoline(length))


def _by_trampoline(length: int) -> Program:
    """The site is a call to a trampoline (facts, section 7): return address, rcx, r11 and rax below rsp."""
    values = [NEXT, *(register(n) for n in (1, 11, 0))]
    places = [sub(register(RSP), const(8 * (i + 1), 64)) for i in range(4)]
    stores = (Store(p, v, 8, (), Agent.PROGRAM, TRUE) for p, v in zip(places, values, strict=True))
    return Program((*stores, Set("ip", NEXT)), length=length)  # and a system call


@cache
def _branch(opcode: int, end: int, size: int, length: int, shadow: bool) -> Program:
    spot = (end - size, size) if size else None
    if opcode == 0xE8:
        return Program(called(spot, shadow), length=length)
    if opcode in {0xE9, 0xEB}:
        return Program(gone(target(spot)), length=length)
    return Program(jumped(opcode & 15, spot), length=length)


def step(data: bytes, decoded: KernelDecoded, is_64_bit: bool = True, call: Fixups = CALL) -> Program:
    """The rest of arch_uprobe_analyze_insn: fixups by opcode, then riprel_analyze where the opcode allows it."""
    opcode = decoded.opcode1
    if opcode == 0x9D:
        return step_by(decoded.length, Fixups(ip=True, keeps_tf=True), None)
    if opcode in {0xC2, 0xC3, 0xCA, 0xCB, 0xEA}:
        return step_by(decoded.length, NOTHING, None)
    if opcode == 0x9A:
        return step_by(decoded.length, call, None)
    fixups = IP
    if opcode == 0xFF:
        digit = max(decoded.modrm, 0) >> 3 & 7
        fixups = call if digit in {2, 3} else NOTHING if digit in {4, 5} else IP
    return step_by(decoded.length, fixups, relative(data, decoded) if is_64_bit else None)


def unrestricted(data: bytes) -> Plan:
    """What stepping a copy would do where `plan` refuses by prefix or opcode: shows what is refused without need."""
    decoded = DECODER.decode(data)
    return UNDECODABLE if decoded is None else step(data, decoded)


Rewrite = tuple[int, int, int, int, int]  # offsets: REX or -1, VEX payload or -1, ModRM; constant or -1; scratch


def relative(data: bytes, decoded: KernelDecoded) -> Rewrite | None:
    """riprel_analyze: which bytes of the copy change; None where the decoder saw no rip-relative operand."""
    modrm = decoded.modrm
    if modrm < 0 or modrm & 0xC7 != 5:
        return None
    vex_size = decoded.vex_size
    # VEX2 keeps its payload where VEX3 has byte 2; only the low three bits of vvvv are looked at.
    vvvv = (~data[decoded.vex_at + (1 if vex_size == 2 else 2)] >> 3 & 7) if vex_size else 0
    reg = modrm >> 3 & 7
    scratch = RSI if RSI not in {reg, vvvv} else RDI if RDI not in {reg, vvvv} else RBX
    return (
        decoded.rex_at if decoded.rex_size else -1,
        decoded.vex_at + 1 if vex_size >= 3 else -1,
        decoded.modrm_at,
        -1 if data[decoded.modrm_at] == modrm else 0x80 | (modrm & 0x38) | scratch,
        scratch,
    )


@cache
def step_by(length: int, fixups: Fixups, rewrite: Rewrite | None) -> Program:
    """A step of the copy, with what is mended behind it; `rewrite`: where the copy is not the original."""
    if rewrite is None:
        return stepped(ORIGINAL, length, fixups.actions, keeps_tf=fixups.keeps_tf)
    return stepped(_rewritten(rewrite), length, fixups.actions, *held(rewrite[4], NEXT))


def _rewritten(rewrite: Rewrite) -> Code:
    """The copy with REX.B clear, VEX.B and X (or EVEX.X and B, stored inverted) set, and ModRM = 10 reg scratch.

    The offsets are the kernel's own: behind an emulate prefix they are five short, other bytes change, and what is put
    there does not come from them.
    """
    rex_at, payload_at, modrm_at, constant, scratch = rewrite
    slot = list(ORIGINAL.pieces)
    if rex_at >= 0:
        slot[rex_at] = Byte(rex_at, keep=0xFE)
    if payload_at >= 0:
        slot[payload_at] = Byte(payload_at, bits=0x60)
    copied = Byte(modrm_at, keep=0x38, bits=0x80 | scratch)
    slot[modrm_at] = copied if constant < 0 else Byte(None, bits=constant)
    return Code(tuple(slot))


# Of every kind of plan an instruction, as it may stand behind an emulate prefix: nop, jump, call, jump on condition,
# push, a plain copy, rip-relative copies (which change the wrong bytes), fixups of call, ret and popf, a refusal.
_FOLLOWERS: Final = tuple(map(bytes.fromhex, (
    "90", "eb10", "e810000000", "7410", "50", "89c0", "8b0510000000", "ff1510000000", "c3", "9d", "f4",
)))  # fmt: skip


def continuations(instruction: bytes) -> tuple[bytes, ...]:
    """What may stand behind the instruction and give it another plan.

    The decoder looks behind an instruction in two cases: where it is the beginning of an emulate prefix, as UD2 is, and
    where it takes a SIB byte, of base 5 with a displacement, that the processor does not.
    """
    if takes_a_sib_byte_from_behind(instruction):
        return (SIB_WITH_DISPLACEMENT,)
    rests = [p[len(instruction) :] for p in EMULATE_PREFIXES if p.startswith(instruction)]
    return tuple(rest + follower for follower in _FOLLOWERS for rest in rests)


SCHEME: Final = Scheme(
    name="linux-uprobes-6.18",
    summary="int3, then emulation or a single step of a copy in a slot; 5-byte nops become calls",
    source="Linux 6.18, arch/x86/kernel/uprobes.c, arch/x86/lib/insn.c, x86-opcode-map.txt",
    plan=plan,
    unrestricted=unrestricted,
    continuations=continuations,
    otherwise=(("analysed-as-64-bit", plan_in_32_bits),),
    entries=ENTRIES,
    live=LiveJudge(LINUX, "6.18"),
)
