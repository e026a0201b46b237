"""What an encoding needs of the processor, and whether this one has it.

Decides from the opcode table and from CPUID, not by running anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from verify.live.capabilities import VENDORS, Capabilities, processor, visible
from verify.live.hiding import HIDDEN
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.rows import Cpu


class NotHere(RuntimeError):
    """An encoding was to be run that needs a hidden feature; the text names both."""


def cpu_of(caps: Capabilities) -> Cpu:
    """The vendor whose decoder the processor has; Intel's where it is not known."""
    return VENDORS.get(caps.vendor, Cpu.INTEL)


@lru_cache(1 << 12)
def needs_of(data: bytes, cpu: Cpu) -> tuple[str, ...]:
    """The opcode table's names of what the instruction at the first byte needs; () for what is no instruction."""
    found = decode(data, cpu)
    return found.form.opcode.cpuid if isinstance(found, Decoded) else ()


def absent(data: bytes) -> tuple[str, ...]:
    """Which of them this processor has not; ExecutorUnavailable where it is no x86-64 processor."""
    caps = visible()
    return caps.absent(needs_of(data, cpu_of(caps)))


def lacks(names: Sequence[str]) -> str:
    """The reason in words, of names that `absent` gave."""
    named = " ".join(names)
    return f"the processor has no {named if processor().absent(names) else HIDDEN.format(named)}"


def refuse_hidden(encodings: Iterable[bytes]) -> None:
    """Raises NotHere for an encoding that this processor could run and whose feature is hidden."""
    whole, seen = processor(), visible()
    if whole.features == seen.features:
        return
    cpu = cpu_of(whole)
    for data in encodings:
        names = needs_of(data, cpu)
        gone = [n for n in seen.absent(names) if not whole.absent((n,))]
        if gone:
            raise NotHere(f"{data.hex()} needs {HIDDEN.format(' '.join(gone))}")
