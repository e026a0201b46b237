"""What a scheme makes of an encoding: refuse it, emulate it, replace it by a call, or step a copy of it.

A plan is a value computed from the bytes alone, through the eyes of the implementation that is modelled.  What a plan
*means* for a machine state is `verify.models.schemes.handling`; what the bytes mean is `verify.models.x86.isa`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from verify.models.schemes.assumptions import Entry
from verify.models.schemes.live import LiveJudge
from verify.models.x86.mode import USER_64, Mode, checked


@dataclass(frozen=True, slots=True)
class Field:
    """A little-endian signed field of the original bytes, as the implementation's decoder sees it."""

    offset: int  # bytes from the first byte of the instruction
    size: int  # bytes: 1, 2, 4 or 8

    def __post_init__(self) -> None:
        if not (self.offset >= 0 and self.size in {1, 2, 4, 8} and self.offset + self.size <= 16):
            raise ValueError(f"a field must lie in 16 bytes, got offset {self.offset} size {self.size}")


@dataclass(frozen=True, slots=True)
class Nop:
    """ip := origin + length."""


@dataclass(frozen=True, slots=True)
class Jump:
    """ip := origin + length + displacement (0 where the decoder saw none)."""

    displacement: Field | None


@dataclass(frozen=True, slots=True)
class JumpIf:
    """As Jump where the condition (0..15, SDM vol. 1, table B-1) holds, else ip := origin + length."""

    condition: int
    displacement: Field | None


@dataclass(frozen=True, slots=True)
class Call:
    """Store origin + length (8 bytes) at rsp-8 by kernel code, rsp := rsp-8, then as Jump.

    A failing store: the instruction is stepped with its immediate zeroed so that the processor raises the fault.
    """

    displacement: Field | None


@dataclass(frozen=True, slots=True)
class Push:
    """Store the 64-bit register at rsp-8 by kernel code, rsp := rsp-8; a failing store: stepped in the slot instead."""

    register: int  # 0..15


Effect = Nop | Jump | JumpIf | Call | Push


@dataclass(frozen=True, slots=True)
class Refuse:
    """The scheme declines to probe."""

    reason: str
    errno: int  # positive; 8 ENOEXEC, 524 ENOTSUPP, 22 EINVAL


@dataclass(frozen=True, slots=True)
class Emulate:
    """The effect is applied by the implementation's own code; no slot, no trap flag."""

    effect: Effect
    length: int  # bytes, as the implementation's decoder sees it
    optimised: bool = False  # from the second hit on the site is a 5-byte call to a trampoline
    stepped_first: bool = False  # the first hit steps a copy, which has the same effect


@dataclass(frozen=True, slots=True)
class SlotByte:
    """One byte of the slot: (original[source] & keep) | bits; a source of None is a constant byte."""

    source: int | None
    keep: int = 0xFF
    bits: int = 0


class Fixup(Enum):
    """What is done after the step, besides restoring the scratch register."""

    IP = "ip += origin - slot (+ removed bytes)"
    CALL = "sp += 8, then push origin + length"
    RETURN_ADDRESS = "the 8 bytes at rsp += origin - slot (+ removed bytes)"
    KEEP_TF = "TF is left as the instruction left it"


@dataclass(frozen=True, slots=True)
class Scratch:
    """A register that holds a rip-relative base during the step."""

    register: int  # 0..15
    displacement: Field | None = None  # None: value is origin + length; else origin + length + this field
    spilled: bool = False  # its own value is kept at rsp-8 during the step; that store is taken to succeed


@dataclass(frozen=True, slots=True)
class Step:
    """A copy of the instruction is single-stepped in a slot."""

    slot: tuple[SlotByte, ...]  # always 16
    length: int  # bytes of the original, as the implementation's decoder sees it
    fixups: frozenset[Fixup]
    scratch: Scratch | None = None
    removed: int = 0  # bytes by which the copy is shorter
    restore_scratch: bool = True  # after the step
    restore_scratch_on_abort: bool = True
    clear_tf: bool = True  # where the program's own TF was clear
    tf_set: bool = True  # the implementation sets TF for the step; False: a jump back ends the slot
    lost_on_abort: tuple[str, ...] = ()  # state components that are the implementation's own where the step faults
    hits_on_fault: int = 1  # how often the handler runs where the step faults

    def __post_init__(self) -> None:
        if len(self.slot) != 16:
            raise ValueError(f"a slot copy has 16 bytes, got {len(self.slot)}")


@dataclass(frozen=True, slots=True)
class InPlace:
    """The instruction runs where it stands, as if there were no probe."""


Plan = Refuse | Emulate | Step | InPlace


def nothing_behind(instruction: bytes) -> tuple[bytes, ...]:
    """The continuations of a scheme that looks at the instruction's own bytes alone."""
    return ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """An implementation under test: a record of functions, so that the theorem never names it."""

    name: str
    summary: str
    source: str  # what was transcribed, with version
    plan: Callable[[bytes], Plan]  # takes at least 16 bytes: the instruction and what follows it
    unrestricted: Callable[[bytes], Plan] | None = None  # the plan if nothing that decodes were refused
    # What may stand behind an instruction (exactly its bytes) and give it another plan: one of each kind of plan.
    continuations: Callable[[bytes], tuple[bytes, ...]] = nothing_behind
    entries: tuple[Entry, ...] = ()  # deviations that forms share
    otherwise: tuple[tuple[str, Callable[[bytes], Plan]], ...] = ()  # the plan where an assumption is dropped
    holds: frozenset[str] = frozenset()  # assumptions that hold of every program, since the system has no such thing
    live: LiveJudge | None = None  # the running implementation that can judge it
    mode: Mode = USER_64  # of the probed code

    def __post_init__(self) -> None:
        if not checked(self.mode).is_user and "user-half" not in self.holds:
            raise ValueError(f"{self.name}: at CPL 0 `user-half` must be held, SMAP is not modelled; {self.holds}")

    def under(self, assumptions: frozenset[str]) -> Scheme:
        """The scheme as it plans under these assumptions."""
        plans = [plan for name, plan in self.otherwise if name not in assumptions]
        return replace(self, plan=plans[0], otherwise=()) if plans else self


def copied(data: bytes) -> tuple[SlotByte, ...]:
    """The unchanged 16-byte copy.  Raises ValueError where data is shorter."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are copied into a slot, got {len(data)}")
    return tuple(SlotByte(i) for i in range(16))
