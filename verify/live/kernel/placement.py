"""Where an encoding stands and what is behind it: addresses of code and data, the code that follows, busy slots.

Decides nothing. A placement is one code text in a child of its own; encodings stand in slots of 64 bytes.
"""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from verify.live.kernel.child import DATA, HLT, RSEQ_AREA, SIGNAL_STACK, STANDARD, SYS_RSEQ, AddressSpace
from verify.live.kernel.corpus import PREFIX_BYTES, CorpusLayout, place
from verify.live.kernel.outcome import RunSetting
from verify.live.kernel.slots import unavailable as slots_unavailable
from verify.live.kernel.state import TARGET, TARGET_OFFSET, X87_AREA
from verify.live.needs import refuse_hidden
from verify.live.uprobe_syscalls import system_call

PAGE: Final = mmap.PAGESIZE
STRIDE: Final = 64                                  # bytes of a slot of the code region
X87_EPILOGUE: Final = b"\xd9\x34\x25"               # fnstenv [disp32], the address behind it
LOW_DATA: Final = 0x3100_8000 + 0x100_0000          # below 2 GiB, for absolute operands and the x87 area
#: code behind the instruction, before hlt; r14 shows where it ran (lea r14, [rip])
ORDINARY: Final = bytes.fromhex("4c8d3500000000" "4189c5")                          # and mov r13d, eax
BRANCH: Final = bytes.fromhex("7404" "eb04" "f4f4" "f4f4")                          # je and jmp to different hlts
SYSTEM_CALL: Final = bytes.fromhex("b86e000000" "0f05")                             # getppid, always the same here


OVERWRITTEN: Final = {ORDINARY: frozenset({"r13", "r14"}), SYSTEM_CALL: frozenset({"rax", "rcx", "r11"})}
LAST_SLOT: Final = 31                               # of a page with 128-byte slots; slot 0 is the return probes'
#: mov qword [rseq->rseq_cs], descriptor: the program enters the sequence that `Tracee.register_rseq` describes
ENTER: Final = b"\x48\xc7\x04\x25" + struct.pack("<II", SIGNAL_STACK + RSEQ_AREA + 8, SIGNAL_STACK + RSEQ_AREA + 32)


@dataclass(frozen=True, slots=True)
class Placement:
    """One place: its name, the child's regions, targets of rip-relative and absolute operands, what is behind.

    Addresses are 64 bits; `absolute` and `x87_area` lie below 2 GiB. `prologue` is run before the instruction. `rseq`:
    the child has an area for restartable sequences registered. `busy`: so many slots are taken by other threads, which
    are in the middle of a step.
    """

    name: str
    space: AddressSpace = STANDARD
    target: int = TARGET
    absolute: int = TARGET
    x87_area: int = X87_AREA
    tail: bytes = b""
    prologue: bytes = b""
    rseq: bool = False
    busy: int = 0

    @property
    def overwritten(self) -> frozenset[str]:
        """The general registers that the code behind the instruction gives new values."""
        return OVERWRITTEN.get(self.tail, frozenset())

    @property
    def layout(self) -> CorpusLayout:
        """Where slots and targets lie."""
        return CorpusLayout(self.space.code + len(self.prologue), self.target, absolute=self.absolute)

    def offset(self, index: int) -> int:
        """Where in the code file the instruction of slot `index` stands."""
        return index * STRIDE + len(self.prologue)

    def placed(self, encodings: Sequence[bytes]) -> list[bytes]:
        """The encodings with displacements that lead to the targets."""
        return [place(e, self.layout, i) for i, e in enumerate(encodings)]

    def text(self, placed: Sequence[bytes]) -> bytes:
        """The code region: one encoding a slot, behind it fnstenv for x87 ones and the tail; everything else hlt.

        Raises NotHere.
        """
        refuse_hidden(placed)
        behind = X87_EPILOGUE + self.x87_area.to_bytes(4, "little")
        slots = (self.prologue + e + behind * is_x87(e) + self.tail for e in placed)
        return b"".join(s.ljust(STRIDE, bytes((HLT,))) for s in slots)

    def setting(self, index: int, text: bytes) -> RunSetting:
        """Where slot `index` runs."""
        return RunSetting(self.space.code + self.offset(index), text, self.space, self.x87_area)


def is_x87(encoding: bytes) -> bool:
    """Whether the opcode behind the prefixes is d8..df or 9b: then the environment is stored behind it."""
    rest = encoding.lstrip(PREFIX_BYTES)
    return bool(rest) and (0xD8 <= rest[0] <= 0xDF or rest[0] == 0x9B)


def _region(data: int, code: int, landing: int) -> AddressSpace:
    pages = (*range(data, data + 8 * PAGE, PAGE), LOW_DATA)
    return AddressSpace(code, pages, landing, SIGNAL_STACK)


def _far_away(name: str, data: int, code: int, landing: int, tail: bytes = b"") -> Placement:
    """A placement with data at `data` and one more page below 2 GiB."""
    return Placement(name, _region(data, code, landing), data + TARGET_OFFSET, LOW_DATA + 0x100, LOW_DATA + 0xF00, tail)


HERE: Final = Placement("standard")
PLACEMENTS: Final = (
    _far_away("above 4 GiB", 0x5555_6000_0000, 0x5555_5555_4000, 0x7F00_0000_0000),
    _far_away("above 4 GiB, displacements below 0", 0x5555_5000_0000, 0x5555_5555_4000, 0x5555_7000_0000, ORDINARY),
    Placement("displacements below 0", AddressSpace(0x3000_0000), tail=ORDINARY),
    Placement("target at an edge", target=DATA + 8 * PAGE - 7, absolute=DATA - 3),
    Placement("branch behind", tail=BRANCH),
    Placement("system call behind", tail=SYSTEM_CALL),
    Placement("rseq registered", rseq=True),
    Placement("in a restartable sequence", prologue=ENTER, rseq=True),
    Placement("last slot", busy=LAST_SLOT - 1),
)


@cache
def _rseq_unavailable() -> str:
    try:
        system_call(SYS_RSEQ, 0, 0, 0, 0)
    except OSError as error:
        return "the kernel has no restartable sequences" if error.errno == errno.ENOSYS else ""
    return ""


def unavailable() -> dict[str, str]:
    """Placements that cannot be had here, by name, and why."""
    reasons = {p.name: (p.rseq and _rseq_unavailable()) or (p.busy and slots_unavailable()) or "" for p in PLACEMENTS}
    return {name: reason for name, reason in reasons.items() if reason}


def available() -> tuple[Placement, ...]:
    """The placements that can be had here."""
    gone = unavailable()
    return tuple(p for p in PLACEMENTS if p.name not in gone)
