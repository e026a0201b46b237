"""Every byte string has exactly one answer, and it is the decoder library's opcode and length.

6 * 10^4 random strings in the suite, 10^6 in `make whole`; all headers in `tests/enumerate_headers.py`.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import iced_x86 as iced
import pytest
from isa_strings import random_string

from verify.models.x86.isa.decode import LOCK_FAULT, Decoded, NotAnInstruction, NotModelled, decode
from verify.models.x86.isa.rows import Cpu

STRINGS = (30_000, pytest.param(500_000, marks=pytest.mark.whole))  # for each vendor
XCHG = {iced.Code.XCHG_R16_AX, iced.Code.XCHG_R32_EAX, iced.Code.XCHG_R64_RAX}


def check(data: bytes, cpu: Cpu) -> str:
    """Compares one answer with the library's; the name of its kind."""
    options = iced.DecoderOptions.AMD if cpu is Cpu.AMD else iced.DecoderOptions.NONE
    expected = iced.Decoder(64, data, options).decode()
    found = decode(data, cpu)
    if not isinstance(found, Decoded):
        assert isinstance(found, NotAnInstruction | NotModelled)
        assert expected.code == iced.Code.INVALID
        return type(found).__name__
    assert found.data == data[: found.layout.length]
    if found.faults_ud == LOCK_FAULT:
        assert expected.code == iced.Code.INVALID
        assert found.layout.lock
        return "LOCK"
    assert found.layout.length == expected.len
    if found.form.opcode.code != expected.code:
        assert expected.code == iced.Code.PAUSE  # F3 REX.B 90: the processor exchanges
        assert found.form.opcode.code in XCHG
        return "XCHG"
    return "same"


@pytest.mark.parametrize("strings", STRINGS)
@pytest.mark.parametrize("cpu", list(Cpu))
def test_every_string_falls_in_exactly_one_form(cpu: Cpu, strings: int) -> None:
    rng = Random(f"partition {cpu.value}")
    kinds = Counter(check(random_string(rng), cpu) for _ in range(strings))
    assert set(kinds) >= {"same", "LOCK", "NotAnInstruction", "NotModelled"}, kinds
    assert kinds["same"] > strings // 4, kinds


@pytest.mark.parametrize("strings", STRINGS)
@pytest.mark.parametrize("cpu", list(Cpu))
def test_offsets_of_displacement_and_immediates_are_the_librarys(cpu: Cpu, strings: int) -> None:
    rng = Random(f"offsets {cpu.value}")
    options = iced.DecoderOptions.AMD if cpu is Cpu.AMD else iced.DecoderOptions.NONE
    checked = 0
    for _ in range(strings):
        found = decode(random_string(rng), cpu)
        if not isinstance(found, Decoded) or found.faults_ud == LOCK_FAULT:
            continue
        decoder = iced.Decoder(64, found.data, options)
        theirs = decoder.get_constant_offsets(decoder.decode())
        layout = found.layout
        if theirs.has_displacement:
            assert (layout.disp_offset, layout.disp_size) == (theirs.displacement_offset, theirs.displacement_size)
        else:
            assert layout.disp_offset is None
        ours = list(layout.immediates)
        if theirs.has_immediate:
            assert ours[0] == (theirs.immediate_offset, theirs.immediate_size)
        if theirs.has_immediate2:
            assert ours[1] == (theirs.immediate_offset2, theirs.immediate_size2)
        named = theirs.has_immediate + theirs.has_immediate2
        in_register_byte = any(k.endswith(("_is4", "_is5")) for k in found.form.opcode.op_kinds)
        assert len(ours) == named + in_register_byte or (named and in_register_byte)
        checked += 1
    assert checked > strings // 4


def test_any_prefix_of_an_answer_is_truncated_or_its_own_answer() -> None:
    rng = Random("truncation")
    for _ in range(5_000):
        data = random_string(rng)
        found = decode(data, Cpu.INTEL)
        if isinstance(found, Decoded) and found.faults_ud is None:
            for cut in range(found.layout.length):
                assert decode(data[:cut], Cpu.INTEL) == NotAnInstruction("truncated")
            assert decode(found.data + rng.randbytes(20), Cpu.INTEL) == found
