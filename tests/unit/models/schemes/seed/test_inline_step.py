"""Stepping inline under TF: what it can change is what TF changes, since the bytes run where they stand.

Expected: SDM vol. 3, 17.3.1.4 (TF and its trap), vol. 2 of each instruction; a step is a hit an iteration of a string.
"""

from __future__ import annotations

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.seed.inline_step import STEPPED, plan
from verify.models.x86.isa.forms import Cpu

JUDGE = Judge(SCHEMES["inline-step"])


@pytest.mark.parametrize(("text", "observables"), [
    *((text, "") for text in (
        "90", "488b0511223344", "c5fe7f03", "e811223344", "ff15aabbccdd", "ffd0", "c3", "7510", "0f0b", "0fa2",
        "c8112233", "8b03", "f4", "c5f877", "8fe878c2c000", "0f1f440000",
    )),
    ("9c", "memory-values trap"),  # TF in the pushed flags
    ("9d", "trap"), ("cf", "trap"),  # TF that the instruction loads is taken for the host's
    ("0f05", "gprs trap containment"),  # TF in r11; SYSCALL masks TF, the trap comes one instruction later
    ("8ed0", "trap containment"),  # traps wait for one instruction behind MOV SS
    ("f3a4", "hits"),  # a trap each iteration
    ("cc", "fault containment"),  # whose breakpoint it is nobody can tell
])  # fmt: skip
def test_what_tf_changes_and_nothing_else(text: str, observables: str) -> None:
    found = JUDGE.judgement(bytes.fromhex(text), Cpu.AMD)
    assert [d.observable for d in found.deviations] == observables.split()
    assert all(v.value in {"proved", "refuted"} for _, v in found.observables)


def test_every_byte_string_has_the_same_plan_and_wants_16_bytes() -> None:
    assert {plan(bytes([first]) * 16) for first in range(256)} == {STEPPED}
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))
