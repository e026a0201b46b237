"""The initial states in which encodings are shown to the processor with and without a probe.

Decides nothing about instructions. Every pointer of the `plain` states leads into the child's data region, stack and
data hold return addresses and far pointers into the landing region; `fault` has them lead nowhere. The xsave image is
in the format of NT_X86_XSTATE (not compacted; SDM vol. 1, 13.4; component offsets from CPUID leaf 0Dh).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from verify.live.capabilities import visible
from verify.live.descriptors import CODE_SELECTOR, STACK_SELECTOR
from verify.live.kernel.child import DATA, DATA_SIZE, LANDING, AddressSpace, Tracee
from verify.live.kernel.child import STANDARD as STANDARD_SPACE
from verify.live.ptrace import REGISTERS, RIP

TARGET_OFFSET, STACK_OFFSET = 0x3000, 0x6000
TARGET: Final = DATA + TARGET_OFFSET                # what rip-relative and absolute operands lead to, 64-byte aligned
STACK: Final = DATA + STACK_OFFSET
X87_AREA: Final = DATA + 0x7F00                     # where the x87 epilogue stores the environment
NOWHERE: Final = 0x3100_0000                        # nothing is mapped here
TRAP_FLAG, NESTED_TASK, ALIGNMENT_CHECK, ID_FLAG = 0x100, 1 << 14, 1 << 18, 1 << 21
FLAGS: Final = REGISTERS.index("eflags")
NO_SYSTEM_CALL: Final = 24                          # sched_yield; by int 80 getuid16: harmless, always the same
FCW, MXCSR = 0x037F, 0x1F80
COMPONENTS: Final = {"ymm": 2, "mask": 5, "zmm-low": 6, "zmm-high": 7}


STANDARD: Final = "standard"


@dataclass(frozen=True, slots=True, eq=False)  # each is made once for a child, and looked up for every run
class KernelState:
    """One initial state: registers in `REGISTERS` order, xsave image, data region and whether it is mapped.

    `kind` is what is counted together; `read_only`: its first pages (`kernel_child.READ_ONLY_PAGES`) cannot be written;
    `delivered`: the signal that ends the run goes to the program's handler; `breaks`: assumptions of the theorem that
    do not hold in it.
    """

    name: str
    registers: tuple[int, ...]
    xstate: bytes
    data: bytes
    accessible: bool = True
    kind: str = STANDARD
    read_only: bool = False
    delivered: bool = False
    breaks: frozenset[str] = frozenset()

    def at(self, origin: int) -> bytes:
        """The registers for a run from `origin`, as PTRACE_SETREGS takes them."""
        return struct.pack("<27Q", *self.registers[:RIP], origin, *self.registers[RIP + 1 :])

    def with_registers(self, name: str, **values: int) -> KernelState:
        """This state under another name with other register values (64 bits)."""
        table = dict(zip(REGISTERS, self.registers, strict=True))
        return replace(self, name=name, registers=tuple((table | values).values()))

    @property
    def id_flag(self) -> bool:
        """Whether EFLAGS.ID is set, which the child has to do itself."""
        return bool(self.registers[FLAGS] & ID_FLAG)


def component_offsets(child: Tracee) -> Mapping[str, tuple[int, int]]:
    """Offset and size in bytes of the vector components in the xsave image; those that the kernel has enabled."""
    present = visible().xcr0
    rows = {name: child.cpuid(0xD, number) for name, number in COMPONENTS.items() if present >> number & 1}
    return {name: (row[1], row[0]) for name, row in rows.items()}


#: first landing offset and whether far, of the data region of the states plain and other
FILLINGS: Final = ((0x120, False), (0x5A5, True))


@cache
def data_words(first: int, far: bool, landing: int = LANDING) -> bytes:
    """The data region: differing landing addresses, as quadwords or as 32-bit far pointers to segment 33."""
    places = (landing + (first + 0x67 * i) % 0x1E00 for i in range(DATA_SIZE // 8))
    return b"".join(struct.pack("<II", p & 0xFFFF_FFFF, CODE_SELECTOR) if far else struct.pack("<Q", p) for p in places)


def interrupt_frame(space: AddressSpace, wide: bool, flags: int, code: int = CODE_SELECTOR) -> bytes:
    """What iret finds on the stack: rip (as flags: TF set in the wide one), cs, flags, rsp, ss."""
    ip, rsp = space.landing + (0x340 if wide else 0x240), space.pages[0] + STACK_OFFSET + 0x80
    words = (ip, code, flags, rsp, STACK_SELECTOR)
    return struct.pack("<5Q", *words) if wide else struct.pack("<5I", *(w & 0xFFFF_FFFF for w in words))


def _data(space: AddressSpace, filling: tuple[int, bool], flags: int) -> bytes:
    """The data pages: the region of eight, and whatever more the space has, filled likewise."""
    data = bytearray(data_words(*filling, space.landing))
    frame = interrupt_frame(space, not filling[1], flags)
    data[STACK_OFFSET : STACK_OFFSET + len(frame)] = frame
    return (bytes(data) * 2)[: mmap.PAGESIZE * len(space.pages)]


def _x87(control: int, filled: int) -> bytes:
    """The legacy part of the image up to XMM0: `filled` registers on the x87 stack, values 1.5, 3.0, 6.0 ...

    The pointers are 0, what a context switch makes of them on AMD (NOTE(x87-pointers)).
    """
    top = (8 - filled) & 7
    tags = sum(1 << (top + i) % 8 for i in range(filled))
    head = struct.pack("<HHBBHQQII", control, top << 11, tags, 0, 0, 0, 0, MXCSR, 0xFFFF)
    registers = b"".join(struct.pack("<QHHI", 0xC000_0000_0000_0000, 0x3FFF + i, 0, 0) for i in range(filled))
    return head + registers.ljust(128, b"\0")


def _vector_bytes(size: int, seed: int) -> bytes:
    """Deterministic lanes: seed 0 small multiples of 4 (usable as indexes), else doubles and mixed patterns."""
    if seed == 0:
        return b"".join(struct.pack("<I", 4 * (i % 13)) for i in range(size // 4))
    mixed = 0x8000_7FFF_80FF_0180
    numbers = range(size // 8)
    return b"".join(struct.pack("<d", 1.25 * seed + i) if i % 3 else struct.pack("<Q", mixed + i) for i in numbers)


def _xstate(initial: bytes, offsets: Mapping[str, tuple[int, int]], seed: int) -> bytes:
    image = bytearray(initial)
    image[:160] = _x87(FCW, 4 if seed == 0 else 2)
    image[28:32] = initial[28:32]                   # MXCSR_MASK is the processor's
    image[160:416] = _vector_bytes(256, seed)
    used = 3
    for name, (offset, size) in offsets.items():
        image[offset : offset + size] = _vector_bytes(size, seed + (name == "mask"))
        used |= 1 << COMPONENTS[name]
    image[512:520] = (used | int.from_bytes(image[512:520], "little")).to_bytes(8, "little")
    return bytes(image)


def _registers(data: int, flags: int, step: int, **special: int) -> tuple[int, ...]:
    table = {name: data + 0x1000 + step * i for i, name in enumerate(REGISTERS)}
    segments = {"cs": CODE_SELECTOR, "ss": STACK_SELECTOR, "ds": 0, "es": 0, "fs": 0, "gs": 0}
    bases = {"fs_base": 0x800, "gs_base": 0x1000}
    fixed = {"eflags": flags, "rsp": data + STACK_OFFSET, "rip": 0, "orig_rax": (1 << 64) - 1}
    return tuple((table | segments | bases | fixed | special).values())


def standard_states(child: Tracee, space: AddressSpace = STANDARD_SPACE) -> tuple[KernelState, ...]:
    """plain; other (32-bit far pointers, other flags, rcx = 0); selectors (stack and code selectors everywhere, DF and
    ZF set, low index registers); trap (TF set); fault (nothing mapped, OF alone set), in this order.
    """
    offsets = component_offsets(child)
    at = space.pages[0]
    first, second = (_xstate(child.initial_xstate, offsets, seed) for seed in (0, 1))
    plain = KernelState("plain", _registers(at, 0x203, 0x40, rcx=3), first, _data(space, FILLINGS[0], 0x202))
    other = KernelState("other", _registers(at, 0x2D6, 0x48, rcx=0, rax=NO_SYSTEM_CALL, rdx=0x11, r11=0x1357),
                  second, _data(space, FILLINGS[1], 0xA57))
    low = {"rcx": STACK_SELECTOR, "r9": 0x20, "r12": (at + 0x2000) // 2}       # r12 may be base and index at once
    words = struct.pack("<HH", STACK_SELECTOR, CODE_SELECTOR) * (len(plain.data) // 4)
    equal = int.from_bytes(words[:8], "little")
    selectors = replace(plain.with_registers("selectors", eflags=0x646, rax=equal, **low), data=words)
    trap = plain.with_registers("trap", eflags=0x203 | TRAP_FLAG)
    nowhere = {n: NOWHERE + 0x40 * i for i, n in enumerate(REGISTERS[:RIP]) if n != "orig_rax"}
    nowhere |= {"rcx": 1, "rsp": NOWHERE + 0x2000, "eflags": 0xA02}
    fault = replace(plain.with_registers("fault", **nowhere), accessible=False)
    return plain, other, selectors, trap, fault
