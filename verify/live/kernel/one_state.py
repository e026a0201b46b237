"""One encoding in one given state, at a given address, without and with a real uprobe: for counterexamples.

Decides whether a program would see a difference in exactly this state. Not reproducible here are states that no program
of this machine can have: addresses outside user space, memory that overlaps the code, shadow stacks.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from verify.live.kernel.child import (
    END_OF_USER_SPACE,
    HLT,
    LANDING,
    READ_WRITE,
    SIGNAL_STACK_SIZE,
    SYS_MPROTECT,
    AddressSpace,
    Tracee,
)
from verify.live.kernel.judge import KernelComparison, ObservedDeviation, end, is_x87
from verify.live.kernel.outcome import KernelOutcome, RunSetting, differences
from verify.live.kernel.registration import COPIED, image, refusals
from verify.live.kernel.state import KernelState, standard_states
from verify.live.needs import refuse_hidden
from verify.live.ptrace import REGISTERS
from verify.live.uprobe import Probes

PAGE: Final = mmap.PAGESIZE
FRAMES: Final = frozenset({"fault-frame", "trap-siginfo"})  # assumptions that leave out what a handler is given
CODE_PAGES: Final = 2
SPARE: Final = tuple(LANDING + 0x0100_0000 * i for i in range(16))     # candidates for what must lie somewhere
MINIMUM_ADDRESS: Final = 0x1_0000                   # vm.mmap_min_addr of every distribution


class NotReproducible(ValueError):
    """No program of this machine can be in the state; the message says why."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A state to be reproduced: registers by name (eflags, fs_base, gs_base too), memory by address, the origin.

    Registers that are not named have the values of the judge's plain state; memory that is not named is not mapped.
    `vectors` replaces bytes of the xsave image, by offset; `protections` are those of pages that are not to be read and
    written (PROT_READ or 0), by address.
    """

    encoding: bytes
    origin: int
    registers: Mapping[str, int]
    memory: Mapping[int, bytes]
    vectors: Mapping[int, bytes]
    protections: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.registers) - set(REGISTERS):
            raise ValueError(f"register names must be those of REGISTERS, got {sorted(unknown)}")
        if not 1 <= len(self.encoding) <= 15:
            raise ValueError(f"an encoding has 1 to 15 bytes, got {len(self.encoding)}")


def _pages(start: int, size: int) -> Iterator[int]:
    yield from range(start - start % PAGE, start + max(size, 1), PAGE)


def space(situation: Situation) -> AddressSpace:
    """The regions of a child for the situation; the last data page is the x87 area. Raises NotReproducible."""
    code = situation.origin - situation.origin % PAGE
    pages = sorted({p for at, data in situation.memory.items() for p in _pages(at, len(data))})
    code_pages = {code + PAGE * i for i in range(CODE_PAGES)}
    for page in (*pages, *code_pages):
        if not MINIMUM_ADDRESS <= page < END_OF_USER_SPACE - PAGE:
            raise NotReproducible(f"address {page:#x} cannot be mapped by a program")
    if overlap := code_pages & set(pages):
        raise NotReproducible(f"the state has data in the code page {min(overlap):#x}")
    taken = code_pages | set(pages)
    landing, area, stack = [s for s in SPARE if not taken & set(_pages(s, SIGNAL_STACK_SIZE))][:3]
    return AddressSpace(code, (*pages, area), landing, stack)


def instruction_text(encoding: bytes, area: int) -> bytes:
    """The encoding, and behind an x87 one `fnstenv [area]` (area: an address below 2 GiB), which shows the pointers."""
    return encoding + (b"\xd9\x34\x25" + area.to_bytes(4, "little") if is_x87(encoding) else b"")


def compared_in(situation: Situation, hits: int = 3, dropped: frozenset[str] = frozenset()) -> KernelComparison:
    """The kernel's verdict on the encoding in this situation; raises NotReproducible.

    A difference that a named assumption leaves out counts where the assumption is among the `dropped` ones; what a
    program's own handler is given is looked at where one of `FRAMES` is.
    """
    refuse_hidden((situation.encoding,))
    setting = setting_of(situation)
    offset = situation.origin - setting.space.code
    errno = refusals([setting.code[offset : offset + COPIED].ljust(COPIED, bytes((HLT,)))])[0]
    with (
        image((setting.code,)) as (path, descriptor),
        Tracee(descriptor, len(setting.code), setting.space) as child,
    ):
        child.stay()
        for page, protection in protected_pages(situation, setting.space):
            child.system_call(SYS_MPROTECT, page, PAGE, protection)
        state = replace(state_of(child, situation, setting.space), delivered=bool(FRAMES & dropped))
        _, plain, again = (_run(child, state, situation.origin) for _ in range(3))     # the first has the page faults
        varying = {d.observable for d in differences(plain, again, setting)}
        deviations: tuple[ObservedDeviation, ...] = ()
        if not errno:
            with Probes(1) as probes, probes.attached(path, (offset,)):
                seen = (d for number in range(1, hits + 1) for d in _seen(child, state, probes, plain, setting, number))
                deviations = tuple(d for d in seen if d.difference.observable not in varying
                                   and d.difference.assumption in {"", *dropped})
    return KernelComparison(situation.encoding, situation.origin, errno, deviations, (end(plain.stop, setting),))


def setting_of(situation: Situation) -> RunSetting:
    """Where the situation's instruction runs: its regions, and hlt behind it and everywhere else in its code pages."""
    where = space(situation)
    text = bytearray([HLT]) * (CODE_PAGES * PAGE)
    offset = situation.origin - where.code
    written = instruction_text(situation.encoding, where.pages[-1])
    text[offset : offset + len(written)] = written
    return RunSetting(situation.origin, bytes(text), where, where.pages[-1])


def protected_pages(situation: Situation, where: AddressSpace) -> Iterator[tuple[int, int]]:
    """Address and protection of the data pages that are not to be read and written."""
    for page in where.pages:
        protection = situation.protections.get(page, READ_WRITE)
        if protection != READ_WRITE:
            yield page, protection


def state_of(child: Tracee, situation: Situation, where: AddressSpace) -> KernelState:
    """The judge's full state for the situation: its plain one with what the situation names; memory else 0."""
    plain = standard_states(child)[0].with_registers("given", **situation.registers)
    data = bytearray(len(where.pages) * PAGE)
    numbers = {page: i for i, page in enumerate(where.pages)}
    for start, content in situation.memory.items():
        for at, byte in enumerate(content, start):
            data[numbers[at - at % PAGE] * PAGE + at % PAGE] = byte
    xstate = bytearray(plain.xstate)
    for at, content in situation.vectors.items():
        xstate[at : at + len(content)] = content
    return replace(plain, data=bytes(data), xstate=bytes(xstate))


def _run(child: Tracee, state: KernelState, origin: int) -> KernelOutcome:
    child.data[:] = state.data
    stop = child.run(state.at(origin), state.xstate, state.delivered)
    return KernelOutcome(stop, child.data[:])


def _seen(
    child: Tracee, state: KernelState, probes: Probes, plain: KernelOutcome, at: RunSetting, number: int
) -> list[ObservedDeviation]:
    """What the program sees of the n-th run with the probe."""
    before = probes.hits(0)
    outcome = _run(child, state, at.origin)
    counted = replace(outcome, hits=probes.hits(0) - before)
    return [ObservedDeviation(state.name, number, d) for d in differences(plain, counted, at)]
