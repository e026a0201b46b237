"""The mode that code runs in: sizes, canonical addresses, segments, privilege level.  Nothing else knows these numbers.

Decides which modes there are and which are modelled; every other one is refused by name.  A mode is a record: what
reads bytes, runs instructions or makes addresses asks it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from verify import terms
from verify.terms import Term, const

ACCESS_FAULT: Final = "access_fault"  # the function that says what an access at CPL 3 raises
SUPERVISOR_ACCESS_FAULT: Final = "supervisor_access_fault"  # at CPL 0: other pages, other error codes


@dataclass(frozen=True, slots=True)
class Mode:
    """What the processor's mode fixes for all code that runs in it."""

    name: str
    bits: int  # 64 or 32, of code: SDM vol. 1, 3.1.1
    stack_width: int  # bits that push, pop, call and ret move without an operand-size prefix: SDM vol. 1, 6.2.3
    address_widths: tuple[int, int]  # bits, without and with prefix 67: SDM vol. 1, table 3-4
    canonical_bits: int  # of a linear address; the bits above repeat the highest of them: SDM vol. 1, 3.3.7.1
    linear_segments: tuple[str, ...]  # whose bases are added to an offset: SDM vol. 1, 3.3.4 and 3.4.2.1
    cpl: int  # SDM vol. 3, 5.5
    on_behalf: bool = False  # an instruction of a program at CPL 3, run by its kernel: `paging` says what it may access
    reaches_user: bool = True  # its EFLAGS.AC is 1: SMAP forbids no page of a program

    def __post_init__(self) -> None:
        if self.bits not in {32, 64} or self.cpl not in LEVELS or not 32 <= self.canonical_bits <= 64:
            raise ValueError(f"a mode has 32 or 64 bits, CPL 0..3 and addresses of 32 to 64 bits, got {self}")

    @property
    def is_user(self) -> bool:
        """Whether code runs as a program (U/S of its accesses is user: SDM vol. 3, 4.6.1)."""
        return self.cpl == USER_LEVEL

    @property
    def is_privileged(self) -> bool:
        """Whether instructions for CPL 0 alone run, and IOPL forbids nothing (SDM vol. 3, 5.9; vol. 1, 19.5.1)."""
        return self.cpl == 0

    @property
    def stack_bytes(self) -> int:
        """Bytes of one push."""
        return self.stack_width // 8

    @property
    def half(self) -> int:
        """The first address behind the lower half of the canonical ones, which programs have under Linux."""
        return 1 << self.canonical_bits - 1

    @property
    def upper_half(self) -> int:
        """The lowest address of the upper half, which the kernel has under Linux."""
        return (1 << 64) - self.half

    @property
    def access_fault(self) -> str:
        """The name of the function that says what an access raises."""
        return ACCESS_FAULT if self.is_user else SUPERVISOR_ACCESS_FAULT

    def has_canonical(self, address: int) -> bool:
        """Whether the bits of an address (64 bits) above the canonical ones repeat the highest of those."""
        return (address + self.half) & (1 << 64) - 1 < 2 * self.half

    def owns(self, address: int) -> bool:
        """Whether an address (64 bits) lies in the half that code of this privilege level has."""
        return address < self.half if self.is_user else address >= self.upper_half


LEVELS: Final = range(4)
USER_LEVEL: Final = 3
USER_64: Final = Mode("64-bit mode, CPL 3", 64, 64, (64, 32), 48, ("fs", "gs"), USER_LEVEL)
KERNEL_64: Final = Mode("64-bit mode, CPL 0", 64, 64, (64, 32), 48, ("fs", "gs"), 0)
MODELLED: Final = (USER_64, KERNEL_64)
_ON_BEHALF: Final = {
    (level, reaches): replace(
        KERNEL_64, name=f"64-bit mode, CPL {level} for a program", cpl=level, on_behalf=True, reaches_user=reaches
    )
    for level in LEVELS if level != USER_LEVEL for reaches in (True, False)
}  # fmt: skip
ACCESS_FAULTS: Final = {m.access_fault: m for m in MODELLED}  # the function's name -> who accesses


def on_behalf(level: int, reaches_user: bool) -> Mode:
    """The mode of a program's instruction that its kernel runs at CPL 0, 1 or 2; with EFLAGS.AC set, `reaches_user`."""
    return _ON_BEHALF[level, reaches_user]


def refusal(mode: Mode) -> str | None:
    """Why nothing is said of a mode, or None for a modelled one."""
    if mode in MODELLED or mode in _ON_BEHALF.values():
        return None
    return f"{mode.name} is not modelled; modelled are {', '.join(m.name for m in MODELLED)}"


def checked(mode: Mode) -> Mode:
    """The mode.  Raises ValueError, naming it, where it is not modelled."""
    why = refusal(mode)
    if why is not None:
        raise ValueError(why)
    return mode


def is_canonical(address: Term, mode: Mode) -> Term:
    """One bit: the bits of an address (64 bits) above the canonical ones repeat the highest of those."""
    return terms.eq(terms.sext(terms.extract(address, mode.canonical_bits - 1, 0), 64), address)


def in_own_half(address: Term, size: int, mode: Mode) -> Term:
    """One bit: `size` bytes from an address on (64 bits) lie in the half that code of this privilege level has."""
    if mode.is_user:
        return terms.ult(address, const(mode.half - size + 1, 64))
    low = terms.not_(terms.ult(address, const(mode.upper_half, 64)))
    return terms.and_(low, terms.not_(terms.ult(const(-size, 64), address)))
