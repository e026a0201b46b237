"""The transcription of the kernel's tables against the running kernel: what it refuses, and with which errno."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from verify.live.kernel.registration import COPIED, refusals
from verify.models.schemes.linux.uprobes_6_18 import plan
from verify.models.schemes.scheme import Plan, Refuse

pytestmark = [pytest.mark.live, pytest.mark.needs("uprobes", "modelled-kernel")]
PREFIXES = bytes.fromhex("6667f2f32e363e266465f0") + bytes(range(0x40, 0x50))
ESCAPES = tuple(map(bytes.fromhex, ("", "", "0f", "0f38", "0f3a", "c5", "c4", "62", "8f")))


def disagreements(shown: list[bytes], model: Callable[[bytes], Plan]) -> list[str]:
    """The strings on which model and kernel differ, with the kernel's errno and the model's."""
    plans = [model(text) for text in shown]
    predicted = [p.errno if isinstance(p, Refuse) else 0 for p in plans]
    return [f"{text.hex()} kernel {seen} model {expected}"
            for text, seen, expected in zip(shown, refusals(shown), predicted, strict=True) if seen != expected]


@pytest.fixture(name="strings", scope="module")
def _strings(corpus_sample: tuple[bytes, ...]) -> list[bytes]:
    corpus = [(e + b"\x90" * COPIED)[:COPIED] for e in corpus_sample[1::2]]
    source = random.Random(20)
    hostile = [
        (bytes(source.choices(PREFIXES, k=source.choice((0, 0, 1, 2, 3, 5, 9, 13)))) + source.choice(ESCAPES)
         + source.randbytes(COPIED))[:COPIED]
        for _ in range(5000)
    ]
    return corpus + hostile


def test_model_predicts_every_refusal_and_errno(strings: list[bytes]) -> None:
    assert not disagreements(strings, plan)


def test_wrong_table_row_is_found(strings: list[bytes]) -> None:
    def without_popf(text: bytes) -> Plan:
        return Refuse("not in the table", 524) if text[0] == 0x9D else plan(text)

    wrong = disagreements([s for s in strings if s[0] == 0x9D] or [b"\x9d" + b"\x90" * 15], without_popf)
    assert wrong


def test_wrong_errno_is_found(strings: list[bytes]) -> None:
    def enoexec(text: bytes) -> Plan:
        made = plan(text)
        return replace(made, errno=8) if isinstance(made, Refuse) else made

    assert disagreements(strings[:500], enoexec)
