"""The full state of a program around one instruction, and the outcome of running it.

Decides widths and validity of values, not what an instruction does with them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

GPR_NAMES: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
OBSERVABLES: Final = frozenset({"gprs", "flags", "memory", "vector", "x87"})
RFLAGS_FIXED: Final = 0x202  # bit 1 reads as one, and IF is set in every program
TF: Final = 1 << 8
RF: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class X87:
    """x87 state as XSAVE stores it: `tag` abridged (bit set = register in use), `registers` ST0..ST7 of 80 bits."""

    cw: int = 0x37F
    sw: int = 0
    tag: int = 0
    fop: int = 0
    fip: int = 0
    fdp: int = 0
    registers: tuple[int, ...] = (0,) * 8

    def __post_init__(self) -> None:
        _check("x87 control, status, opcode", (self.cw, self.sw, self.fop), 3, 16)
        _check("x87 abridged tag", (self.tag,), 1, 8)
        _check("x87 pointers", (self.fip, self.fdp), 2, 64)
        _check("x87 registers", self.registers, 8, 80)


@dataclass(frozen=True, slots=True)
class CpuState:
    """Registers and memory: 16 × BV64 in the order rax rcx rdx rbx rsp rbp rsi rdi r8..r15, 32 × BV512, 8 × BV64 masks.

    `fs_base` and `gs_base`: None leaves the base alone.  `memory`: (address, bytes) inside the executor's regions; what
    is not listed has the executor's background.
    """

    gprs: tuple[int, ...] = (0,) * 16
    rflags: int = RFLAGS_FIXED
    vector: tuple[int, ...] = (0,) * 32
    masks: tuple[int, ...] = (0,) * 8
    mxcsr: int = 0x1F80
    x87: X87 = field(default_factory=X87)
    fs_base: int | None = None
    gs_base: int | None = None
    memory: tuple[tuple[int, bytes], ...] = ()

    def __post_init__(self) -> None:
        _check("gprs", self.gprs, 16, 64)
        _check("rflags", (self.rflags,), 1, 64)
        _check("vector", self.vector, 32, 512)
        _check("masks", self.masks, 8, 64)
        _check("mxcsr", (self.mxcsr,), 1, 32)
        _check("segment bases", (self.fs_base or 0, self.gs_base or 0), 2, 64)


class Kind(Enum):
    """How the run of one instruction ended."""

    COMPLETED = "completed"  # control arrived at `ip`, without any signal of the instruction itself
    TRAPPED = "trapped"  # SIGTRAP: int3, int1 or the program's own TF
    FAULT = "fault"  # a signal at the instruction itself
    CRASHED = "crashed"  # the child ended: exit status or signal in `signal`
    HUNG = "hung"  # no progress within the time limit


@dataclass(frozen=True, slots=True)
class CpuOutcome:
    """The complete outcome of one instruction.

    `ip` is where control arrived, or the address reported with a fault or trap.  `signal` and the fields behind it are
    siginfo and machine context as delivered, 0 where no signal came; an arrival on int3 or on memory that cannot be
    fetched is COMPLETED with the signal that showed it.  `cr2` is 0 unless `trapno` is 14.  `state` is None where the
    child ended; RF in its `rflags` is as delivered with a fault, and 0 otherwise.
    NOTE(x87-pointers): on AMD processors x87 pointers read 0 after any signal or preemption without a pending x87
    exception, so a state that came with a signal has none, and a difference in pointers alone has to be seen twice.
    `changed` lists (address, new bytes) of memory that differs from the initial state, address ascending.
    `selectors`: es, ds, fs, gs afterwards; all four are 0 before.
    `exit_status`: of a child that ended, negative for the signal that killed it.
    """

    kind: Kind
    state: CpuState | None
    ip: int
    signal: int = 0
    si_code: int = 0
    si_addr: int = 0
    trapno: int = 0
    error_code: int = 0
    cr2: int = 0
    changed: tuple[tuple[int, bytes], ...] = ()
    selectors: tuple[int, ...] = (0, 0, 0, 0)
    exit_status: int | None = None


def _check(name: str, values: tuple[int, ...], count: int, bits: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name}: expected {count} values, got {len(values)}")
    if min(values) < 0 or max(values) >> bits:
        raise ValueError(f"{name}: expected {bits}-bit values, got {', '.join(map(hex, values))}")
