"""The corpus covers what it claims, its lengths are the decoder's, and records say what was compared."""

from __future__ import annotations

from collections import Counter

import pytest

from verify.confirm.agreement import survey
from verify.live.kernel.corpus import LEGACY, TO_TARGET, CorpusLayout, place
from verify.live.kernel.judge import KernelComparison, ObservedDeviation
from verify.live.kernel.outcome import Difference
from verify.live.kernel.record import (
    addressing_class,
    encoding_class,
    opcode_ranges,
    prefix_class,
    prefixes_in,
)
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu


@pytest.fixture(name="sample")
def _sample(corpus_sample: tuple[bytes, ...]) -> list[bytes]:
    return list(corpus_sample)


def test_sample_has_every_prefix_map_and_addressing_class(sample: list[bytes]) -> None:
    seen = Counter(kind for e in sample for kind in (*prefixes_in(e), prefix_class(e), addressing_class(e)))
    wanted = {*filter(None, LEGACY), "rex", "misplaced-rex", "none", "legacy", "vex", "evex", "xop"}
    assert wanted | {"register", "memory", "rip-relative"} <= set(seen)
    assert len(set(sample)) == len(sample)
    assert max(map(len, sample)) <= 15


#: SDM and APM read these differently from the tables of the corpus; their tails are only filler behind the instruction
LENGTH_DIFFERS = {("0f", o) for o in (*range(0x20, 0x24), 0x78, *range(0x80, 0x90), 0xFF)} | {
    ("one-byte", 0xC5), ("one-byte", 0xE8), ("one-byte", 0xE9), ("vex.1", 0x77)}


def test_lengths_are_those_of_the_decoder(sample: list[bytes]) -> None:
    lengths = [(e, decode((e + b"\xf4" * 16)[:16], Cpu.AMD)) for e in sample]
    decoded = [(e, d.layout.length) for e, d in lengths if isinstance(d, Decoded)]
    wrong = {(encoding_class(e)[0].removeprefix("misplaced-rex "), encoding_class(e)[1])
             for e, length in decoded if length != len(e)}
    assert len(decoded) > 1000
    assert wrong <= LENGTH_DIFFERS


@pytest.mark.parametrize(("encoding", "expected"), [
    ("9c", ("one-byte", 0x9C)), ("660f6f07", ("0f", 0x6F)), ("660f3817c1", ("0f38", 0x17)),
    ("c5fe7f07", ("vex.1", 0x7F)), ("c4e27918c1", ("vex.2", 0x18)), ("62f17c4810c1", ("evex.1", 0x10)),
    ("8fe97801c9", ("xop.9", 0x01)), ("8f00", ("one-byte", 0x8F)), ("48488b07", ("misplaced-rex one-byte", 0x8B)),
    ("48668b07", ("misplaced-rex one-byte", 0x8B)), ("66488b07", ("one-byte", 0x8B)),
])
def test_encoding_class(encoding: str, expected: tuple[str, int]) -> None:
    assert encoding_class(bytes.fromhex(encoding)) == expected


@pytest.mark.parametrize(("encoding", "expected"), [
    ("8b07", "memory"), ("8bc7", "register"), ("8b0500000000", "rip-relative"), ("50", "none"), ("0fa2", "none"),
    ("c5fe7f05aabbccdd", "rip-relative"), ("62f17c4810c1", "register"), ("0f3817c1", "register"),
    ("b805000000", "none"),
])
def test_addressing_class(encoding: str, expected: str) -> None:
    assert addressing_class(bytes.fromhex(encoding)) == expected


def test_displacements_lead_to_the_target() -> None:
    layout = CorpusLayout(0x2000_0000, 0x2800_3000)
    placed = place(b"\x8b\x05" + TO_TARGET, layout, 3)
    assert 0x2000_0000 + 3 * 64 + 6 + int.from_bytes(placed[2:], "little", signed=True) == 0x2800_3000
    absolute = place(b"\x8b\x04\x25" + TO_TARGET, layout, 3)
    assert int.from_bytes(absolute[3:], "little") == 0x2800_3000


def test_opcode_ranges_join_neighbours() -> None:
    assert opcode_ranges([0x70, 0x72, 0x71, 0xC2, 0x70]) == "70-72 c2"


def test_record_counts_and_keeps_the_shortest_example() -> None:
    deviation = ObservedDeviation("plain", 2, Difference("gprs", "r8 1 without, 2 with the probe"))
    ends = ("arrived",)
    found = survey(
        [
            KernelComparison(b"\x66\x49\x90", 0, 0, (deviation,), ends),
            KernelComparison(b"\x49\x90", 0, 0, (deviation,), ends),
            KernelComparison(b"\xcc", 0, 524, (), ("trap",)),
            KernelComparison(b"\x06", 0, 0, (), ("undefined",)),
        ]
    )
    assert found.results == {"deviates": 2, "identical": 1, "refused 524": 1}
    assert found.valid == {"deviates": 2, "refused 524": 1}
    (row,) = found.deviations
    assert (row.map, row.opcodes, row.observables, row.encodings, row.example, row.detail) == (
        "one-byte", "90", ("gprs",), 2, "4990", "plain, hit 2: r8 1 without, 2 with the probe",
    )  # fmt: skip
