"""What the kernel said about a corpus, small enough for git: counts, and the classes of encodings that deviate.

Decides nothing. A class is what decoders decide on: misplaced prefixes, opcode map and opcode; the opcodes of one map
with the same observables stand in one row, with an example.
"""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from verify.live.kernel.corpus import PREFIX_BYTES, has_modrm
from verify.live.kernel.judge import KernelComparison
from verify.live.results import processor

ESCAPES: Final = (("0f38", b"\x0f\x38"), ("0f3a", b"\x0f\x3a"), ("0f", b"\x0f"))
LEGACY_MAPS: Final = {"one-byte": 0, "0f": 1, "0f38": 2, "0f3a": 3}
VECTOR_MAP: Final = 4                               # VEX, EVEX and XOP: the opcode stands behind the payload
OPCODE_AT: Final = {b"\xc5": 2, b"\xc4": 3, b"\x8f": 3, b"\x62": 4}
FIRST_XOP_MAP: Final = 8
NO_OPCODE: Final = 0x100                            # of an encoding that consists of prefixes only


@dataclass(frozen=True, slots=True)
class DeviationRow:
    """Opcodes of one map that deviate on the same observables: how many encodings, and the shortest of them in hex."""

    map: str
    opcodes: str
    observables: tuple[str, ...]
    encodings: int
    example: str
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """One survey of one kernel on one processor; `results` counts by result, "valid" those that are not #UD."""

    kernel: str
    processor: str
    encodings: int
    results: dict[str, int]
    valid: dict[str, int]
    classes: dict[str, int]                         # of the valid ones: by addressing, by encoding, by prefix
    deviations: tuple[DeviationRow, ...]


def encoding_class(encoding: bytes) -> tuple[str, int]:
    """(map, opcode) of an encoding as the processor reads it; the map names what stands oddly before it."""
    rest = encoding.lstrip(PREFIX_BYTES)
    prefixes = encoding[: len(encoding) - len(rest)]
    odd = "misplaced-rex " if any(0x40 <= p <= 0x4F for p in prefixes[:-1]) else ""
    name, opcode = _map_and_opcode(rest)
    return odd + name, opcode


def _map_and_opcode(rest: bytes) -> tuple[str, int]:
    first = rest[:1]
    if first == b"\xc5" and len(rest) > 2:
        return "vex.1", rest[2]
    if first == b"\xc4" and len(rest) > 3:
        return f"vex.{rest[1] & 31}", rest[3]
    if first == b"\x62" and len(rest) > 4:
        return f"evex.{rest[1] & 7}", rest[4]
    if first == b"\x8f" and len(rest) > 3 and rest[1] & 31 >= FIRST_XOP_MAP:
        return f"xop.{rest[1] & 31}", rest[3]
    for name, escape in ESCAPES:
        if rest.startswith(escape) and len(rest) > len(escape):
            return name, rest[len(escape)]
    return "one-byte", rest[0] if rest else NO_OPCODE


def prefix_class(encoding: bytes) -> str:
    """legacy, vex, evex or xop."""
    name = encoding_class(encoding)[0].removeprefix("misplaced-rex ")
    return name.split(".")[0] if "." in name else "legacy"


def addressing_class(encoding: bytes) -> str:
    """register, memory, rip-relative or none, by the ModRM byte that the encoding has or would have."""
    name, opcode = encoding_class(encoding)
    legacy_map = LEGACY_MAPS.get(name.removeprefix("misplaced-rex "), VECTOR_MAP)
    rest = encoding.lstrip(PREFIX_BYTES)
    at = OPCODE_AT.get(rest[:1], 0) if legacy_map == VECTOR_MAP else (0, 1, 2, 2)[legacy_map]
    if len(rest) < at + 2 or not (legacy_map == VECTOR_MAP or has_modrm(legacy_map, opcode)):
        return "none"
    modrm = rest[at + 1]
    return "register" if modrm >= 0xC0 else "rip-relative" if modrm & 0xC7 == 0x05 else "memory"


def prefixes_in(encoding: bytes) -> Iterator[str]:
    """The kinds of prefixes of an encoding: each legacy prefix byte in hex, rex, misplaced-rex."""
    rest = encoding.lstrip(PREFIX_BYTES)
    prefixes = encoding[: len(encoding) - len(rest)]
    yield from {"rex" if 0x40 <= p <= 0x4F else f"{p:02x}" for p in prefixes} or {"none"}
    if encoding_class(encoding)[0].startswith("misplaced"):
        yield "misplaced-rex"


def opcode_ranges(opcodes: Iterable[int]) -> str:
    """Opcode bytes in hex, neighbours joined: 70-7f c2."""
    runs: list[list[int]] = []
    for opcode in sorted(set(opcodes)):
        if runs and runs[-1][1] == opcode - 1:
            runs[-1][1] = opcode
        else:
            runs.append([opcode, opcode])
    return " ".join(f"{a:02x}" if a == b else f"{a:02x}-{b:02x}" for a, b in runs)


def record(comparisons: Iterable[KernelComparison]) -> Record:
    """The record of a survey on this machine."""
    results: Counter[str] = Counter()
    valid: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    rows: defaultdict[tuple[str, tuple[str, ...]], list[KernelComparison]] = defaultdict(list)
    for comparison in comparisons:
        result = f"refused {comparison.errno}" if comparison.errno else comparison.result
        results[result] += 1
        if comparison.valid:
            valid[result] += 1
            classes[addressing_class(comparison.encoding)] += 1
            classes[prefix_class(comparison.encoding)] += 1
            classes.update(f"prefix {name}" for name in prefixes_in(comparison.encoding))
        if comparison.deviations:
            observables = tuple(sorted(comparison.observables))
            rows[encoding_class(comparison.encoding)[0], observables].append(comparison)
    deviations = tuple(_row(name, seen, found) for (name, seen), found in sorted(rows.items()))
    counts = [dict(sorted(c.items())) for c in (results, valid, classes)]
    return Record(platform.release(), processor(), results.total(), counts[0], counts[1], counts[2], deviations)


def _row(name: str, observables: tuple[str, ...], found: Sequence[KernelComparison]) -> DeviationRow:
    shortest = min(found, key=lambda c: (len(c.encoding), c.encoding))
    opcodes = opcode_ranges(encoding_class(c.encoding)[1] for c in found)
    first = shortest.deviations[0]
    detail = f"{first.state}, hit {first.hit}: {first.difference.detail}"
    return DeviationRow(name, opcodes, observables, len(found), shortest.encoding.hex(), detail)

