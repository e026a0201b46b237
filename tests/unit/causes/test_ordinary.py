"""Which encodings compilers, assemblers and linkers emit: as `gcc -O2`, binutils and the ABI's text have them."""

from __future__ import annotations

import pytest

from verify.causes.ordinary import is_ordinary
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu

EMITTED = (
    "4889d8", "8b03", "488b0511223344", "55", "4154", "c3", "f3c3", "f3a4", "f348a5", "f2ae", "6689d8", "f00fb10f",
    "64488b042528000000", "f30f58c1", "660fefc0", "f2480f2ac0", "c5f97fc0", "0f1f440000", "660f1f440000",
    "66662e0f1f840000000000", "3effe0", "f30f1efa", "67e800000000", "66488d3d00000000", "6648e800000000",
    "4088f7", "0f05", "9c", "f3480fb8c0",
)  # fmt: skip
ODD = (
    "f2a4", "66e000", "f20f410d00000000", "66670f38170d00000000", "4089d8", "26488b03", "f389d8", "404889d8",
    "6567488b03", "66640f38170d00000000", "4a89d8", "66c3", "f2c3", "f38b03",
)  # fmt: skip


def of(encoding: str) -> Decoded:
    found = decode(bytes.fromhex(encoding), Cpu.INTEL)
    assert isinstance(found, Decoded) and found.layout.length == len(bytes.fromhex(encoding))
    return found


@pytest.mark.parametrize("encoding", EMITTED)
def test_toolchains_emit(encoding: str) -> None:
    assert is_ordinary(of(encoding))


@pytest.mark.parametrize("encoding", ODD)
def test_no_toolchain_emits(encoding: str) -> None:
    assert not is_ordinary(of(encoding))
