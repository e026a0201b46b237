"""The signal frame that a program's own handler is given, and where two of them differ.

Decides sameness only. The frame is compared whole, byte by byte, and so are the registers at the handler's first
instruction. What a frame repeats of the machine state at the stop (general registers, fpstate) is left out where that
state is known to differ already. Two words are the kernel's memory of earlier faults: cr2 of a signal that no page
fault caused, which `LastPageFault` takes out, and trapno.

Layout: struct rt_sigframe, arch/x86/include/asm/sigframe.h; struct ucontext and sigcontext_64, asm/uapi (Linux 6.18).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from verify.live.kernel.child import Stop
from verify.live.ptrace import RSP

TRAPNO, CR2, FPSTATE = 208, 224, 232
WORDS: Final = (  # name, first byte, size
    ("pretcode", 0, 8), ("uc_flags", 8, 8), ("uc_link", 16, 8), ("uc_stack", 24, 24), ("general registers", 48, 144),
    ("cs, gs, fs, ss", 192, 8), ("err", 200, 8), ("trapno", TRAPNO, 8), ("oldmask", 216, 8), ("cr2", CR2, 8),
    ("fpstate address", FPSTATE, 8), ("reserved", 240, 64), ("uc_sigmask", 304, 8), ("siginfo", 312, 128),
)
END: Final = 440
REPEATED: Final = frozenset({"general registers", "cs, gs, fs, ss", "fpstate"})    # of the state at the stop
OF_A_TRAP: Final = frozenset({"err", "trapno", "cr2", "siginfo"})
X87_POINTERS: Final = slice(6, 24)                  # of fpstate: FOP, FIP, FDP. NOTE(x87-pointers)
STATUS_HIGH, EXCEPTION = 2, 0x80                    # ES is in the byte of fpstate with the low half of the status
#: signal and si_code of page faults: MAPERR, ACCERR, PKUERR; BUS_ADRERR (BUS_ADRALN is #AC's, which leaves cr2 alone)
PAGE_FAULTS: Final = frozenset({(signal.SIGSEGV, 1), (signal.SIGSEGV, 2), (signal.SIGSEGV, 4), (signal.SIGBUS, 2)})
SI_KERNEL: Final = 128
FAULT_FRAME, TRAP_SIGINFO = "fault-frame", "trap-siginfo"


@dataclass(frozen=True, slots=True)
class FrameDifference:
    """One part of the frame that differs, in words; `assumption`: the name of the one that leaves it out, or empty."""

    detail: str
    assumption: str = ""


@dataclass(slots=True)
class LastPageFault:
    """cr2 of the last page fault that a child had: what the kernel shows in the frame of any later signal."""

    cr2: int = 0

    def see(self, stop: Stop) -> Stop:
        """The stop, cr2 in its frame 0 where it is that of the last page fault."""
        if (stop.signal, stop.code) in PAGE_FAULTS:
            self.cr2 = stop.address
        if len(stop.frame) < END or int.from_bytes(stop.frame[CR2 : CR2 + 8], "little") != self.cr2:
            return stop
        return replace(stop, frame=stop.frame[:CR2] + bytes(8) + stop.frame[CR2 + 8 :])


def frame_differences(plain: Stop, probed: Stop, alike: bool) -> Iterator[FrameDifference]:
    """What differs between two delivered signals; `alike`: the machine states at the two stops were the same."""
    if (plain.entry, plain.frame) == (probed.entry, probed.frame):
        return
    if not plain.frame or not probed.frame:
        if bool(plain.frame) != bool(probed.frame) and alike:
            yield FrameDifference("a signal frame in only one of the runs")
        return
    if alike and plain.entry != probed.entry:
        yield FrameDifference("the handler is entered with other registers")
    trap = signal.SIGTRAP in (plain.signal, probed.signal)
    for name, a, b in _parts(plain, probed):
        if a == b or (name in REPEATED and not alike):
            continue
        left_out = TRAP_SIGINFO if trap and name in OF_A_TRAP else FAULT_FRAME if name == "trapno" else ""
        first = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y) if len(a) == len(b) else 0
        seen = f"{a[first]:#x} without, {b[first]:#x} with the probe"
        yield FrameDifference(f"signal frame: {name} byte {first:#x} {seen}", left_out)


def trap_number(stop: Stop) -> int:
    """uc_mcontext.gregs[REG_TRAPNO] of a delivered signal."""
    return int.from_bytes(stop.frame[TRAPNO : TRAPNO + 8], "little")


def _parts(plain: Stop, probed: Stop) -> Iterator[tuple[str, bytes, bytes]]:
    a, b = plain.frame, probed.frame
    for name, start, size in WORDS:
        yield name, a[start : start + size], b[start : start + size]
    states = _fpstate(plain), _fpstate(probed)
    if not all(s[STATUS_HIGH] & EXCEPTION for s in states if s):
        states = _without_pointers(states[0]), _without_pointers(states[1])
    yield "fpstate", *states


def _fpstate(stop: Stop) -> bytes:
    address = int.from_bytes(stop.frame[FPSTATE : FPSTATE + 8], "little")
    return stop.frame[max(address - stop.entry[RSP], END) :]


def _without_pointers(state: bytes) -> bytes:
    return state[: X87_POINTERS.start] + bytes(18) + state[X87_POINTERS.stop :]
