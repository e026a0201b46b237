"""What a program can see of one run, and on which observables two runs differ.

Decides sameness only. The names of the observables are those of the theorem (next-ip, gprs, flags, segment-bases,
vector, x87, x87-pointers, memory-addresses, memory-values, fault, trap, hits, containment). What a named assumption
leaves out is a difference that says so: of a SIGTRAP all but its occurrence and ip (trap-siginfo), the trap number in a
signal frame (fault-frame), null selectors (null-selectors).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from verify.live.kernel.child import HLT, LANDING_SIZE, STANDARD, AddressSpace, Stop
from verify.live.kernel.corpus import PREFIX_BYTES
from verify.live.kernel.frame import SI_KERNEL, frame_differences
from verify.live.kernel.state import TRAP_FLAG, X87_AREA
from verify.live.ptrace import REGISTERS, RIP

RESUME_FLAG: Final = 0x1_0000
GENERAL: Final = tuple(i for i, n in enumerate(REGISTERS) if n not in (
    "orig_rax", "rip", "cs", "eflags", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"))
SEGMENTS: Final = tuple(REGISTERS.index(n) for n in ("cs", "ss", "fs_base", "gs_base"))
SELECTORS: Final = tuple(REGISTERS.index(n) for n in ("ds", "es", "fs", "gs"))
FLAGS: Final = REGISTERS.index("eflags")
SLOT_AREA: Final = 0x7FFF_0000_0000                     # the slot page is asked for at the top of user space
X87_STATE: Final = ((0, 6), (32, 160))                  # control, status, tags; registers. SDM vol. 1, table 10-2
X87_POINTERS: Final = ((6, 24),)                        # FOP, FIP, FDP
VECTOR_STATE: Final = ((24, 28), (160, 416), (576, 16384))  # MXCSR; XMM; the components behind the header
ENVIRONMENT: Final = range(12, 28)                      # FIP, FOP and FDP in a 32-bit environment
PAGE: Final = 4096
BRANCHES: Final = (  # first and last opcode byte, what is before it, bytes of displacement; SDM vol. 2, appendix A
    (0x70, 0x7F, b"", 1), (0xE0, 0xE3, b"", 1), (0xEB, 0xEB, b"", 1), (0xE8, 0xE9, b"", 4),
    (0x80, 0x8F, b"\x0f", 4),
)


@dataclass(frozen=True, slots=True)
class RunSetting:
    """Where an instruction ran: its address, the bytes of the code region, the child's regions, the x87 area."""

    origin: int
    code: bytes
    space: AddressSpace = STANDARD
    x87_area: int = X87_AREA                                # 64-bit address of a 28-byte environment

    def address(self, offset: int) -> int:
        """The address of a byte of the data pages."""
        return self.space.pages[offset // PAGE] + offset % PAGE


@dataclass(frozen=True, slots=True)
class KernelOutcome:
    """One run: how it stopped, the data region afterwards, the hits that the probe counted (None: no probe)."""

    stop: Stop
    data: bytes
    hits: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One observable on which the runs differ, and the first difference in words (values in hex).

    `assumption`: the name of the one under which the difference is left out, or empty.
    """

    observable: str
    detail: str
    assumption: str = ""


def kind(stop: Stop, at: RunSetting) -> str:
    """arrived (at a hlt behind the instruction or in the landing region), trap, runaway or fault."""
    ip = stop.registers[RIP]
    if stop.signal == signal.SIGSTOP:
        return "runaway"
    if stop.signal == signal.SIGTRAP:
        return "trap"
    if (stop.signal, stop.code) == (signal.SIGSEGV, SI_KERNEL) and ip != at.origin and _is_hlt(ip, at):
        return "arrived"
    return "fault"


def _is_hlt(ip: int, at: RunSetting) -> bool:
    offset = ip - at.space.code
    in_code = 0 <= offset < len(at.code) and at.code[offset] == HLT
    return in_code or at.space.landing <= ip < at.space.landing + LANDING_SIZE


def differences(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> tuple[Difference, ...]:
    """Every observable on which the probed run differs from the plain one, in the theorem's order."""
    if probed.hits in (None, 1) and plain.stop == probed.stop and plain.data == probed.data:
        return ()
    rows = (_control, _registers, _flags, _bases, _xstate, _memory, _hits)
    found = tuple(d for row in rows for d in row(plain, probed, at))
    alike = not any(d.observable not in ("hits", "memory-values") for d in found)
    frames = frame_differences(plain.stop, probed.stop, alike)
    return (*found, *(Difference("fault", d.detail, d.assumption) for d in frames))


def _words(a: int, b: int) -> str:
    return f"{a:#x} without, {b:#x} with the probe"


def _control(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    kinds = kind(plain.stop, at), kind(probed.stop, at)
    ips = plain.stop.registers[RIP], probed.stop.registers[RIP]
    if kinds[0] != kinds[1]:
        name = "trap" if "trap" in kinds else "fault"
        ends = [_described(o.stop, k) for o, k in zip((plain, probed), kinds, strict=True)]
        yield Difference(name, f"{ends[0]} without, {ends[1]} with the probe")
    elif kinds[0] == "fault" and (a := _fault(plain.stop)) != (b := _fault(probed.stop)):
        yield Difference("fault", f"signal, code, address {a} without, {b} with the probe")
    if ips[0] != ips[1]:
        yield Difference("next-ip", _words(*ips))
        if ips[1] >= SLOT_AREA > ips[0]:
            yield Difference("containment", f"stopped in the slot area at {ips[1]:#x}")
        if kinds == ("arrived", "fault") and ips[1] == at.origin and probed.stop.code == SI_KERNEL:
            yield Difference("containment", "the hlt behind the instruction ran in the slot")


def _fault(stop: Stop) -> tuple[int, int, str]:
    return stop.signal, stop.code, hex(stop.address)


def _described(stop: Stop, what: str) -> str:
    return f"{what} (signal {stop.signal} code {stop.code} ip {stop.registers[RIP]:#x})"


def _registers(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    yield from _indexed("gprs", GENERAL, plain, probed)


def _bases(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    yield from _indexed("segment-bases", SEGMENTS, plain, probed)
    a, b = plain.stop.registers, probed.stop.registers
    # NOTE(null-selectors): every return from an interrupt turns the null selectors 1..3 into 0 (SDM vol. 2, IRET)
    null = tuple(i for i in SELECTORS if max(a[i], b[i]) <= 3)
    yield from _indexed("segment-bases", tuple(i for i in SELECTORS if i not in null), plain, probed)
    yield from _indexed("segment-bases", null, plain, probed, "null-selectors")


def _indexed(
    name: str, numbers: tuple[int, ...], plain: KernelOutcome, probed: KernelOutcome, assumption: str = ""
) -> Iterator[Difference]:
    a, b = plain.stop.registers, probed.stop.registers
    changed = [i for i in numbers if a[i] != b[i]]
    if changed:
        yield Difference(name, f"{REGISTERS[changed[0]]} {_words(a[changed[0]], b[changed[0]])}", assumption)


def _flags(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    a, b = plain.stop.registers[FLAGS], probed.stop.registers[FLAGS]
    # NOTE(resume-flag): a trap between two iterations shows RF where a page fault came before, with or without a probe
    ignored = TRAP_FLAG | (RESUME_FLAG if kind(plain.stop, at) == "trap" else 0)
    if (a ^ b) & ~ignored:
        yield Difference("flags", _words(a, b))
    if (a ^ b) & TRAP_FLAG:
        yield Difference("trap", f"TF: flags {_words(a, b)}")


def _xstate(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    a, b = plain.stop.xstate, probed.stop.xstate
    if a == b:
        return
    pointers = X87_POINTERS if a[2] & b[2] & 0x80 else ()   # NOTE(x87-pointers): AMD's xsave loses them without ES
    for name, ranges in (("x87", X87_STATE), ("x87-pointers", pointers), ("vector", VECTOR_STATE)):
        for start, end in ranges:
            if a[start:end] != b[start:end]:
                first = next(i for i in range(start, min(end, len(a))) if a[i] != b[i])
                yield Difference(name, f"xsave byte {first:#x}: {_words(a[first], b[first])}")
                break


def _memory(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    if plain.data == probed.data:
        return
    changed = np.flatnonzero(np.frombuffer(plain.data, np.uint8) != np.frombuffer(probed.data, np.uint8)).tolist()
    pointers = [i for i in changed if at.address(i) - at.x87_area in ENVIRONMENT]
    others = [i for i in changed if i not in pointers]
    for name, places in (("x87-pointers", pointers), ("memory-values", others)):
        if places:
            seen = _words(plain.data[places[0]], probed.data[places[0]])
            yield Difference(name, f"[{at.address(places[0]):#x}] {seen}, {len(places)} bytes differ")


def is_own_target(at: RunSetting) -> bool:
    """Whether the instruction is a relative branch to itself: then a run of it has as many hits as it has turns."""
    text = at.code[at.origin - at.space.code :][:15]
    rest = text.lstrip(PREFIX_BYTES)
    before = len(text) - len(rest)
    for first, last, opcode, size in BRANCHES:
        if rest[: len(opcode)] == opcode and len(rest) > len(opcode) and first <= rest[len(opcode)] <= last:
            length = before + len(opcode) + 1 + size
            field = text[length - size : length]
            return int.from_bytes(field, "little", signed=True) == -length
    return False


def _hits(plain: KernelOutcome, probed: KernelOutcome, at: RunSetting) -> Iterator[Difference]:
    if probed.hits not in (None, 1) and kind(plain.stop, at) != "runaway" and not is_own_target(at):
        yield Difference("hits", f"{probed.hits} hits in one run")
