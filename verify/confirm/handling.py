"""The plans of a scheme against how the running kernel runs the same bytes: refused, stepped, emulated, called.

Decides of an encoding whether its plan is what the kernel does: the errno of a refusal, the way of the first hit and of
the next, the 16 bytes that are put into the slot, and what the last hit stores around the top of the stack where it is
not stepped.  Says nothing else about what the program sees.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from verify.claim.probes import Probe, probe
from verify.confirm.predictions import hit_memory
from verify.live.kernel.child import HLT
from verify.live.kernel.compat_process import CompatUnavailable, mapped_in_32_bits
from verify.live.kernel.handling import Manner, SlotUnreadable, Way, manners, stored
from verify.live.kernel.outcome import RunSetting
from verify.live.kernel.registration import Mapped, map_executable
from verify.live.kernel.state import STACK, KernelState
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.manner import Manner as Planned
from verify.models.schemes.manner import manners as planned
from verify.models.schemes.program import Run
from verify.models.schemes.program_text import text
from verify.models.schemes.scheme import Refuse, Scheme
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.isa.ranges import OpcodeRange, parsed
from verify.report.confirmations import WayDisagreement, Ways

BEHIND: Final = bytes((HLT,)) * 16                # what stands behind the instruction where the kernel runs it
EACH: Final = 3                                   # encodings of a kind of plan
IN_64_BITS: Final = "analysed-as-64-bit"
STEP: Final = 13                                  # of the headers
WAYS: Final = {Planned.STEPPED: Way.STEPPED, Planned.APPLIED: Way.EMULATED, Planned.CALLED: Way.CALLED}


PREFIXES: Final = ("", "66", "f2", "f3", "67", "64", "48", "41", "44", "4f", "2e", "f0", "6648", "4848", "66f2f36764")
MAPS: Final = ("", "0f", "0f38", "0f3a", "c5f8", "c5c9", "c4e271", "c4c27d", "8fe978", "62f17c48", "d500", "d580")
BYTES_BEHIND: Final = ("c1", "05", "35", "3d", "15", "2d", "04", "4400", "8000000000")


def headers() -> Iterator[bytes]:
    """Every opcode of the maps, behind some prefixes and before some ModRM bytes, then zeros: 16 bytes each."""
    for prefix, table, behind in itertools.product(PREFIXES, MAPS, BYTES_BEHIND):
        for opcode in range(256):
            yield (bytes.fromhex(prefix + table) + bytes((opcode,)) + bytes.fromhex(behind)).ljust(16, b"\0")


def cut(data: bytes, scheme: Scheme) -> bytes:
    """The bytes of what the scheme's decoder sees; the first eight where it refuses them."""
    return data[: getattr(scheme.plan(data), "length", 8)]


def samples(encodings: Iterable[bytes], scheme: Scheme, cpu: Cpu, each: int = EACH) -> Iterator[bytes]:
    """The first few encodings of every kind of plan, as they came."""
    seen: Counter[str] = Counter()
    for data in encodings:
        kind = text(scheme.plan(data + BEHIND))
        if seen[kind] < each:
            seen[kind] += 1
            yield data


@dataclass(frozen=True, slots=True)
class HandlingRow:
    """One encoding as it was run: its kind of plan, what the plan says of how it is run, and what was seen."""

    encoding: str
    kind: str
    said: str
    seen: str

    @property
    def agrees(self) -> bool:
        """Whether the kernel does what the plan says."""
        return self.said == self.seen


def said_of(seen: Manner, scheme: Scheme, cpu: Cpu) -> Manner:
    """How a plan says that the kernel runs an encoding where and from which state it was seen to be run."""
    encoding, origin = seen.encoding, seen.origin
    p = probe(encoding, scheme, cpu, BEHIND)
    if isinstance(p.plan, Refuse):
        return Manner(encoding, origin, p.plan.errno, (), None)
    ways = [WAYS[one] for one in planned(p.plan)]
    copies = (p.code_bytes(a.code) for hit in p.plan.hits for a in hit.actions if isinstance(a, Run))
    words = None
    if ways[-1] is not Way.STEPPED and seen.stored is not None and seen.state is not None:
        words = stored(*_around_the_stack(p, seen.state, origin))
    return Manner(encoding, origin, 0, (ways[0], ways[-1]), next(copies, None), stored=words)


def _around_the_stack(p: Probe, state: KernelState, origin: int) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """The byte at a distance from the stack pointer before the plan's last hit, and after it."""
    before, after = hit_memory(p, state, RunSetting(origin, b""))
    return lambda at: before.byte(STACK + at), lambda at: after.byte(STACK + at)


def rows(
    encodings: Sequence[bytes], scheme: Scheme, cpu: Cpu, mapped: Mapped = map_executable
) -> Iterator[HandlingRow]:
    """Plan and kernel side by side, in order; `mapped`: for which mapping the kernel analyses the encodings.

    Raises SlotUnreadable, OSError.
    """
    for seen in manners(encodings, mapped):
        said = said_of(seen, scheme, cpu)
        yield HandlingRow(seen.encoding.hex(), text(scheme.plan(seen.encoding + BEHIND)), said.text, seen.text)


def compared_ways(
    ranges: tuple[OpcodeRange, ...], scheme: Scheme, cpu: Cpu, step: int = STEP, mapped: Mapped = map_executable
) -> list[HandlingRow]:
    """`rows` of samples of every kind of plan whose forms lie in the ranges.  Raises SlotUnreadable, OSError."""
    encodings = (cut(d, scheme) for d in itertools.islice(headers(), 0, None, step))
    asked = encodings if ranges == (parsed("all"),) else (d for d in encodings if _lies_in(d, ranges, cpu))
    return list(rows(list(samples(asked, scheme, cpu)), scheme, cpu, mapped))


def compared_ways_in_32_bits(ranges: tuple[OpcodeRange, ...], scheme: Scheme, cpu: Cpu) -> list[HandlingRow] | str:
    """The same where a 32-bit process has the file mapped first; or why that cannot be seen here."""
    other = scheme.under(ASSUMPTIONS - {IN_64_BITS})
    if other is scheme:
        return f"{scheme.name} has no other plan for a 32-bit program's bytes"
    try:
        return compared_ways(ranges, other, cpu, 3 * STEP, mapped_in_32_bits)
    except CompatUnavailable as error:
        return str(error)


def _lies_in(data: bytes, ranges: tuple[OpcodeRange, ...], cpu: Cpu) -> bool:
    decoded = decode(data, cpu)
    return isinstance(decoded, Decoded) and any(decoded.form in r for r in ranges)


def document(found: Sequence[HandlingRow] | str) -> Ways:
    """The comparison for programs; or why there is none."""
    if isinstance(found, str):
        return Ways(compared=0, kinds=0, disagreements=(), reason=found)
    wrong = sorted((r.encoding, r.said, r.seen) for r in found if not r.agrees)
    rows = tuple(WayDisagreement(encoding=e, plan=said, kernel=seen) for e, said, seen in wrong)
    return Ways(compared=len(found), kinds=len({r.kind for r in found}), disagreements=rows)


def ways(
    ranges: tuple[OpcodeRange, ...], scheme: Scheme, cpu: Cpu
) -> Iterator[tuple[str, Sequence[HandlingRow] | str]]:
    """Both comparisons by name: as a 64-bit program's bytes are analysed, and as a 32-bit program's."""
    for name, compare in (("ways", compared_ways), ("ways_in_32_bits", compared_ways_in_32_bits)):
        yield name, _seen(partial(compare, ranges, scheme, cpu))


def _seen(compare: Callable[[], Sequence[HandlingRow] | str]) -> Sequence[HandlingRow] | str:
    try:
        return compare()
    except SlotUnreadable as error:
        return str(error)
