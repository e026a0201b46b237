"""Encodings that share a row have the row that each is given by itself."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from verify.claim import copies
from verify.judge.encoding import Judge
from verify.models.schemes.code import Byte, Code
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.survey.explanation import CPUS, brief_row
from verify.survey.templates import Templates

SEED, FORMS = 11, 60
PLAIN = (
    "e811223344", "48e811223344", "e911223344", "eb10", "7405", "0f8511223344", "6811223344", "6a7f",
    "48b81122334455667788", "488b0511223344", "c70511223344aabbccdd", "4883c010", "c8100001", "cd03",
    "a01122334455667788", "0f1f4000", "8b4010", "c4e3791dcb00", "0fc2cb00", "c20800",
)  # fmt: skip


def alike(data: bytes, rng: Random) -> Iterator[bytes]:
    """The encoding with other values of displacement and immediates."""
    d = decode(data, Cpu.AMD)
    if isinstance(d, Decoded):
        spots = [*d.layout.immediates, *([(d.layout.disp_offset, d.layout.disp_size)] if d.layout.disp_offset else [])]
        for low in (0, 3, 0x80, 0xFF):
            changed = bytearray(d.data)
            for at, size in spots:
                changed[at : at + size] = bytes((low,)) + rng.randbytes(size - 1)
            yield bytes(changed)


def sample() -> list[bytes]:
    rng = Random(SEED)
    first = [bytes.fromhex(t) for t in PLAIN]
    for form in rng.sample(all_forms(), FORMS):
        try:
            first.append(random_encoding(form, rng, Cpu.AMD))
        except ValueError:  # an encoding of another vendor's
            continue
    return [data for one in first for data in alike(one, rng)]


def different(scheme: str, encodings: list[bytes]) -> tuple[list[str], int]:
    """Those whose row is not the one they are given by themselves, and how many were not judged."""
    judge, asked = Judge(SCHEMES[scheme], verdicts_only=True), list[bytes]()
    known = Templates(judge, CPUS["any"])

    def alone(data: bytes) -> object:
        asked.append(data)
        return brief_row(data, judge, known.cpus)

    rows = {data: known.brief(data, alone).row for data in encodings}  # type: ignore[arg-type]
    wrong = [data.hex() for data, row in rows.items() if row != brief_row(data, judge, known.cpus).row]
    return wrong, len(rows) - len(asked)


@pytest.mark.parametrize(("scheme", "least"), [("linux-uprobes-6.18", 40), ("linux-uprobes-3.15", 1)])
def test_a_shared_row_is_the_encodings_own(scheme: str, least: int) -> None:
    wrong, shared = different(scheme, sample())
    assert wrong == []
    assert shared >= least


def test_a_row_that_values_can_change_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Templates, "_are_proved", lambda self, brief: True)
    back_and_forth = [bytes.fromhex("e9112233") + bytes((high,)) for high in (0xF8, 0x08)]  # 3.15: proved, refuted
    wrong, _ = different("linux-uprobes-3.15", back_and_forth)
    assert wrong != []


def test_code_made_of_values_or_put_in_their_place_is_looked_at() -> None:
    d = decode(bytes.fromhex("c70511223344aabbccdd"), Cpu.AMD)
    assert isinstance(d, Decoded)
    behind = tuple(map(Byte, range(2, 16)))
    based = Code((Byte(0), Byte(1, keep=0x38, bits=0x86), *behind))
    shifted = Code((Byte(0), Byte(1, keep=0x38, bits=1), *(Byte(i + 4) for i in range(2, 12)), *behind[10:]))
    made_of = Code((Byte(0), Byte(2, keep=0x38, bits=0x86), *behind))
    assert [copies.is_blind(d, code) for code in (based, shifted, made_of)] == [True, False, False]
