"""The true extent of an instruction's memory access, measured by placing the operand at the edges of mapped pages.

Decides from page faults in the guard pages only; it knows nothing about operands and trusts no decoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA, PAGE, READ_ONLY, ChildRegion
from verify.live.executor.state import CpuOutcome, CpuState, Kind
from verify.models.x86.machine import GP, PF

ALIGNMENTS: Final = (1, 2, 4, 8, 16, 32, 64)
WRITE: Final = 2  # page-fault error code bit 1, SDM vol. 3, 4.7


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes touched around an operand's address: `below` before it, `above` from it on; both 0 where none is accessed.

    `writes`: a page without write permission refuses it.  `alignment`: the smallest, in bytes, at which it runs.
    """

    below: int
    above: int
    writes: bool
    alignment: int


def access_extent(
    executor: Executor,
    code: bytes,
    place: Callable[[int], CpuState],
    origin: int | None = None,
    region: ChildRegion = DATA,
) -> Extent:
    """Extent of the access that `code` makes when its operand lies at the address given to `place`.

    An access may reach at most half the region's size; `place` may be asked for any address in or at the end of
    `region`, and for the middle of the read-only region.  Raises ValueError where the instruction ends
    otherwise than by a page fault.
    """

    def run(address: int) -> CpuOutcome:
        return executor.run(code, place(address), origin, observe={"gprs", "flags", "memory", "vector", "x87"})

    middle = region.address + region.size // 2
    alignment = _alignment(run, middle)
    steps = region.size // 2 // alignment
    above = _least(steps, lambda n: _inside(run(region.end - n * alignment), region)) * alignment
    below = _least(steps, lambda n: _inside(run(region.address + n * alignment), region)) * alignment
    refused = run(READ_ONLY.address + READ_ONLY.size // 2)
    writes = refused.trapno == PF and bool(refused.error_code & WRITE) and refused.kind is Kind.FAULT
    return Extent(below, above, writes, alignment)


def _alignment(run: Callable[[int], CpuOutcome], middle: int) -> int:
    """The smallest alignment that the processor accepts: `middle` itself is aligned to a page."""
    for alignment in ALIGNMENTS:
        if run(middle + alignment % PAGE).trapno != GP:
            return alignment
    raise ValueError(f"general protection at every alignment up to {ALIGNMENTS[-1]}")


def _inside(outcome: CpuOutcome, region: ChildRegion) -> bool:
    """Whether the access stayed inside; ValueError if the instruction ended in a way that does not tell."""
    if outcome.kind is Kind.FAULT and outcome.trapno == PF:
        if region.address - PAGE <= outcome.cr2 < region.end + PAGE:
            return region.address <= outcome.cr2 < region.end
        raise ValueError(f"page fault elsewhere, at {outcome.cr2:#x}")
    if outcome.kind in (Kind.COMPLETED, Kind.TRAPPED):
        return True
    raise ValueError(f"the instruction ended as {outcome.kind.value}, signal {outcome.signal}, trap {outcome.trapno}")


def _least(limit: int, holds: Callable[[int], bool]) -> int:
    """The least n in 0..limit for which `holds`, which is false below it and true from it on; ValueError if none."""
    if not holds(limit):
        raise ValueError("the access reaches further than the region")
    low, high = 0, limit
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
