"""GDB's displaced stepping on amd64: a copy of 16 bytes runs in a scratch pad under the hardware's single step.

Source: gdb/amd64-tdep.c of GDB 13.1 (Debian 12; its copied bytes and scratch registers were compared with 205,045 real
steps), and of the development state of 2025/26 as ROCm/ROCgdb@0e58174bd12f has it (read, not run), here called 17:
commits 6fa05bba5ae7 (VEX maps), 7f01be510bdf (EVEX, REX2) and e3a6f62033cd (XOP) lie between the two.

The decoder is GDB's own, one table of which opcodes have ModRM; behind VEX, 13 looks into the one-byte table, and an
EVEX or XOP prefix is an opcode to it.  What the instruction does to ip is told by the byte at the opcode's place,
whatever map it belongs to.  The length, which a rip-relative operand's base needs, is libopcodes': it counts as right,
and is read here from the table of `xol-step`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from verify.models.schemes.assumptions import Entry
from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.processor_entries import PROCESSOR_ENTRIES
from verify.models.schemes.program import Actions, Check, Context, Program, Run, Set, Shadow, Store, TrapFlag
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.inline_step import OWN_TF
from verify.models.schemes.seed.xol_table import read
from verify.models.schemes.vocabulary import IP, LENGTH, NOW, ORIGIN, SLOT, first, register
from verify.terms import TRUE, add, const, load, sub, ult

RSP, RCX, RBX = 4, 1, 3
NOP: Final = 0x90
LEGACY: Final = frozenset(b"\x66\x67\x2e\x3e\x26\x64\x65\x36\xf0\xf3\xf2")


def _set(text: str) -> frozenset[int]:
    ends = [part.partition("-") for part in text.split()]
    return frozenset(n for low, _, high in ends for n in range(int(low, 16), int(high or low, 16) + 1))


ONE_BYTE: Final = _set(  # onebyte_has_modrm
    "00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 62-63 69 6b 80-8f c0-c1 c4-c7 d0-d3 d8-df f6-f7 fe-ff"
)
TWO_BYTE: Final = _set("00-03 0d 0f 10-26 28-2f 38 3a 40-76 78-7f 90-9f a3-a7 ab-b8 ba-c7 d0-fe")  # twobyte_has_modrm
THREE_BYTES: Final = _set("24 25 38 3a 7a 7b")  # of the second bytes: one opcode byte more
UNKNOWN: Final = Refuse("the opcode map is not known: stepped in place, the breakpoint lifted", 22)

SYSCALL, CALL, RETURNS = b"\x0f\x05", 0xE8, frozenset({0xC2, 0xC3, 0xCA, 0xCB, 0xCF})
MOVED: Final = Set("ip", add(IP, sub(ORIGIN, SLOT)))
PAD_MARGIN: Final = 3  # bytes behind the pad's first in which ip counts as not left after a system call


@dataclass(frozen=True, slots=True)
class Seen:
    """What GDB knows of the bytes; offsets, -1 where there is none."""

    opcode_at: int
    modrm_at: int
    rex_at: int = -1
    rex2_at: int = -1  # of the payload
    payload_at: int = -1  # of VEX3, XOP, EVEX
    is_evex: bool = False


def seen_13(data: bytes) -> Seen:
    """amd64_get_insn_details of GDB 13: REX, VEX2 and VEX3 are skipped, what follows is an opcode of the old maps."""
    at, rex_at, payload_at = _legacy(data), -1, -1
    byte = data[at]
    if 0x40 <= byte <= 0x4F:
        rex_at, at = at, at + 1
    elif byte == 0xC5:
        at += 2
    elif byte == 0xC4:
        payload_at, at = at + 1, at + 3
    return Seen(at, _modrm(data, at), rex_at, payload_at=payload_at)


def seen_17(data: bytes) -> Seen | None:
    """The same later: maps of VEX, EVEX and XOP, and REX2; None where the map is not known."""
    at = _legacy(data)
    byte, payload = data[at], data[at + 1]
    if 0x40 <= byte <= 0x4F:
        return Seen(at + 1, _modrm(data, at + 1), rex_at=at)
    if byte == 0xD5:
        table = TWO_BYTE if payload & 0x80 else ONE_BYTE
        return Seen(at + 2, at + 3 if data[at + 2] in table else -1, rex2_at=at + 1)
    if byte == 0xC5:
        return Seen(at + 2, -1 if data[at + 2] == 0x77 else at + 3)
    if byte == 0xC4:
        return _mapped(data, at, 3, payload & 0x1F)
    if byte == 0x62:
        return _mapped(data, at, 4, payload & 7)
    if byte == 0x8F and payload & 0x1F >= 8:
        return Seen(at + 3, at + 4, payload_at=at + 1)
    return Seen(at, _modrm(data, at))


def _mapped(data: bytes, at: int, size: int, number: int) -> Seen | None:
    if number not in {1, 2, 3}:
        return None
    bare = size == 3 and number == 1 and data[at + size] == 0x77
    return Seen(at + size, -1 if bare else at + size + 1, payload_at=at + 1, is_evex=size == 4)


def _legacy(data: bytes) -> int:
    """How many prefixes are skipped; zero bytes stand behind the 16."""
    at = 0
    while at < 16 and data[at] in LEGACY:
        at += 1
    return at


def _modrm(data: bytes, at: int) -> int:
    """Where ModRM lies behind an opcode of the old maps, or -1; of three bytes, the second decides."""
    if data[at] != 0x0F:
        return at + 1 if data[at] in ONE_BYTE else -1
    size = 3 if data[at + 1] in THREE_BYTES else 2
    return at + size if data[at + 1] in TWO_BYTE else -1


def plan(data: bytes, seen: Callable[[bytes], Seen | None], is_new: bool) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    whole = data[:16] + bytes(16)
    found = seen(whole)
    if found is None:
        return UNKNOWN
    opcode = whole[found.opcode_at : found.opcode_at + 2]
    is_relative = 0 <= found.modrm_at < 16 and whole[found.modrm_at] & 0xC7 == 5
    scratch = (RBX if whole[found.modrm_at] >> 3 & 7 == RCX else RCX) if is_relative else -1
    kind = _kind(opcode)
    sets_tf = _loads_flags(whole)
    code = _code(found, scratch, kind == "syscall", is_new)
    return _stepped(code, _length(data) if is_relative else 0, kind, scratch, sets_tf, is_new)


def _length(data: bytes) -> int:
    """By libopcodes, as far as it is right; one byte for what is no instruction."""
    found = read(data)
    return found.length if found is not None else 1


def _kind(opcode: bytes) -> str:
    """By the byte at the opcode's place: what becomes of ip and of a return address."""
    digit = opcode[1] >> 3 & 7
    if opcode == SYSCALL:
        return "syscall"
    if opcode[0] == 0xFF and digit in {2, 3, 4, 5}:
        return "absolute call" if digit in {2, 3} else "absolute"
    return "call" if opcode[0] == CALL else "absolute" if opcode[0] in RETURNS else ""


def _loads_flags(data: bytes) -> bool:
    """Whether Linux takes the instruction for one that loads TF (is_setting_trap_flag, arch/x86/kernel/step.c)."""
    opcode = next((b for b in data[:15] if b not in LEGACY and not 0x40 <= b <= 0x4F), 0)
    return opcode in {0x9D, 0xCF}


@cache
def _code(found: Seen, scratch: int, is_syscall: bool, is_new: bool) -> Code:
    """All 16 bytes of the site; [rip + disp32] made [scratch + disp32], the byte behind a syscall a nop."""
    pieces = list(ORIGINAL.pieces)
    if is_syscall and found.opcode_at + 2 < 16:
        pieces[found.opcode_at + 2] = Byte(None, bits=NOP)
    if scratch >= 0:
        if found.rex_at >= 0:
            pieces[found.rex_at] = Byte(found.rex_at, keep=0xFE)
        if found.rex2_at >= 0:
            pieces[found.rex2_at] = Byte(found.rex2_at, keep=0xEE)
        if found.payload_at >= 0:
            pieces[found.payload_at] = Byte(found.payload_at, keep=0xF7 if found.is_evex else 0xFF, bits=0x20)
        pieces[found.modrm_at] = Byte(found.modrm_at, keep=0x38, bits=0x80 | scratch)
    return Code(tuple(pieces))


@cache
def _stepped(code: Code, length: int, kind: str, scratch: int, sets_tf: bool, is_new: bool) -> Program:
    """The step and amd64_displaced_step_fixup.

    A step that ends in another signal: 13 moves ip back and restores nothing; later the fixup runs all the same, of an
    instruction that has not completed.
    """
    held = (Set(scratch, add(ORIGIN, LENGTH)),) if scratch >= 0 else ()
    restored = (Set(scratch, first(register(scratch))),) if scratch >= 0 else ()
    own_tf = () if sets_tf else (OWN_TF,)
    aborted = (*(restored if is_new else ()), MOVED, *own_tf)
    step = Run(code, SLOT, Context(TrapFlag()), aborted)
    return Program((*held, step, *restored, *own_tf, *_fixed_up(kind, is_new)), length=length)


def _fixed_up(kind: str, is_new: bool) -> Actions:
    if kind == "syscall":  # rt_sigreturn has left the pad
        return (Check(ult(sub(IP, SLOT), const(PAD_MARGIN + 1, 64)), ()), MOVED)
    moved: Actions = () if kind in {"absolute", "absolute call"} else (MOVED,)
    if kind not in {"call", "absolute call"}:
        return moved
    value = add(load(NOW.memory, register(RSP), 8), sub(ORIGIN, SLOT))
    return (*moved, *((Shadow(value, 0),) if is_new else ()), Store(register(RSP), value, 8, None, stack=TRUE))


RULE: Final = "GDB 13.1, gdb/amd64-tdep.c and gdb/infrun.c"
UNSEEN: Final = "from the source"


def _entry(name: str, sees: str, loses: str, instead: str) -> Entry:
    return Entry(name, sees, RULE, UNSEEN, loses, instead)


ENTRIES: Final = (
    _entry(
        "no-own-trap-flag",
        "a trap of the program's own TF ends the debugger's step: the program is sent none",
        "a program that single-steps itself",
        "tell GDB to pass SIGTRAP, and probe no program that sets TF itself",
    ),
    _entry(
        "fault-address",
        "si_addr of a signal that tells an instruction's address, as SIGILL and SIGFPE do, is the pad's",
        "a handler that looks at the instruction which faulted, as emulators and sanitizers do",
        "look at the saved ip, which is right",
    ),
    _entry(
        "pad-canonical",
        "a relative branch that is run in the pad leads elsewhere: to no canonical address within 2 GiB of the end of "
        "user space, and raises #GP there",
        "a program whose entry point lies there, which Linux makes none of",
        "set displaced-stepping off",
    ),
    _entry(
        "pad-not-code",
        "while a thread steps, its bytes stand in place of the code at the program's entry point + 2",
        "a program that runs or reads its own entry point meanwhile",
        "set displaced-stepping off",
    ),
    _entry(
        "slot-available",
        "there is one pad: while the instruction in it does not end, as a system call that blocks, no other thread "
        "passes its own breakpoint",
        "threads that wait for each other",
        "set displaced-stepping off",
    ),
    _entry(
        "not-restartable",
        "a stop at a breakpoint preempts the thread, and ip is in the pad when it goes on: its restartable sequence is "
        "not aborted, where without the breakpoint a preempted one is",
        "per-processor data of librseq, tcmalloc and jemalloc: an update of another processor's data, or a lost one",
        "set no breakpoint between start and end of a restartable sequence",
    ),
    _entry(
        "kernel-may-store",
        "the return address of a call is put right by a store of the debugger's behind the step; where that fails the "
        "call returns to the pad",
        "programs whose stacks another thread unmaps or moves meanwhile",
        "set displaced-stepping off",
    ),
    *host_entries("code-not-read", RULE, UNSEEN),
    *PROCESSOR_ENTRIES,
)
# Of each: what a call leaves on the shadow stack (GDB 17: amd64_displaced_step_fixup writes the top entry, where a call
# with displacement 0 has made none).
SHADOW: Final = {
    False: host_entries("no-shadow-stack", RULE, UNSEEN),
    True: (
        _entry(
            "no-shadow-stack",
            "a call with displacement 0, which leaves no entry on the shadow stack, has the top one overwritten: a "
            "later return raises #CP",
            "programs that find their own address so, with CET shadow stacks",
            "set displaced-stepping off",
        ),
    ),
}
# The breakpoint is set in memory and the pad filled from there, not from a file.  Of a fault trapno is the processor's,
# and a signal that arrives in the pad ends the step and is delivered (both seen with GDB 13.1 on Linux 6.18.44: 14 and
# 6 for 8b03 and 0f0b; 8b07 of a userfaultfd page that a SIGALRM handler fills ends).
HOLDS: Final = frozenset({
    "breakpoint-in-place", "code-as-in-file", "fault-frame", "no-signal-awaited", "fault-address", "no-own-trap-flag",
    "pad-canonical",
})  # fmt: skip


def _scheme(version: str, source: str, seen: Callable[[bytes], Seen | None], is_new: bool) -> Scheme:
    return Scheme(
        name=f"gdb-displaced-{version}",
        summary="a copy in a scratch pad at the program's entry point, single-stepped by a debugger",
        source=source,
        plan=partial(plan, seen=seen, is_new=is_new),
        entries=(*ENTRIES, *SHADOW[is_new]),
        holds=HOLDS,
    )


SCHEMES: Final = (
    _scheme("13", "GDB 13.1, gdb/amd64-tdep.c", seen_13, False),
    _scheme("17", "ROCm/ROCgdb@0e58174bd12f, gdb/amd64-tdep.c", seen_17, True),
)
