"""Emulation of the legacy integer map: what is proved, what is refused.

Expected: SDM vol. 2 of each instruction, through the ISA model, with which the table shares nothing.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sampling import sampled

from verify.claim.probes import padded
from verify.judge.encoding import Judge
from verify.models.schemes.program import Program, Run, actions_of
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.seed import emulate
from verify.models.schemes.seed.emulate import SCHEME, plan
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, all_forms

PROVED = (
    "4801d8", "00e0", "6601d8", "014510", "480305a1b2c3d4", "1438", "83d005", "8065000f", "21d8", "85c0", "f7d8",
    "f6d4", "f7e1", "f6e4", "48f7e9", "f7f1", "f6f1", "48f7fb", "f73e", "0fafc3", "6bc305", "4869c300010000", "ffc0",
    "fe0e", "d3e0", "c0e804", "66d1f8", "88e0", "8b4424f8", "c705010203040302010b", "b405", "48b80102030405060708",
    "a01122334455667788", "0fb6c4", "0fbe06", "4863c1", "488d04c5000001ff", "678d00", "8706", "4887d8", "90", "4190",
    "93", "480f44c1", "0f94c0", "0f9406", "0fc8", "480fc9", "98", "4899", "0fc106", "0fc1c0", "0fa3c8", "0fba2905",
    "50", "6650", "ff36", "58", "5c", "68ff000000", "c9", "66c9", "c3", "c20800", "eb10", "7510", "0f8411223344",
    "e811223344", "e210", "67e310", "e110", "f8", "fd", "f5", "9e", "9f", "d7", "64d7", "0f1f00", "a4", "aa", "67ad",
    "ae", "ffe0", "ff26", "64480306", "67030c24",
)  # fmt: skip
REFUSED = (
    "f3a4", "f0480106", "f4", "8ed8", "ffd0", "8f00", "66eb10", "a6", "0fbb06", "c0c004", "0f05", "cc", "ca0000", "cb",
    "c5fe6f06", "480fc706", "48f73e", "660fc8", "06",
)  # fmt: skip
LEAST = 700  # forms


def planned(text: str) -> Plan:
    return plan(padded(bytes.fromhex(text)))


@pytest.mark.parametrize("text", sampled(PROVED, 30, always=("88e0", "014510", "f73e", "ff26", "ae")))
def test_what_the_table_has_is_proved(text):
    found = Judge(SCHEME).judgement(bytes.fromhex(text), Cpu.AMD)
    assert not isinstance(found.probe.plan, Refuse)
    assert {v.value for _, v in found.observables} == {"proved"}


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_table_has_not_is_refused(text):
    assert isinstance(planned(text), Refuse)


def test_nothing_runs():
    for text in PROVED:
        found = planned(text)
        assert isinstance(found, Program) and not any(isinstance(a, Run) for a in actions_of(found)), text


def test_16_bytes_are_wanted():
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))


def test_the_table_has_most_of_the_legacy_integer_map():
    """Forms of which an encoding is taken."""
    legacy = (f for f in all_forms() if f.opcode.encoding == "LEGACY" and f.opcode.table in {"NORMAL", "0F"})
    taken = 0
    for form in legacy:
        first = next(iter(decoded_representatives(form, Cpu.AMD)), None)
        taken += first is not None and isinstance(plan(padded(first.data)), Program)
        if taken >= LEAST:
            break
    assert taken >= LEAST


def test_the_table_shares_nothing_with_the_isa_model():
    """A proof by the semantics' own functions would be one of A = A."""
    for path in Path(emulate.__file__).parent.glob("emulate*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not [n for n in names if ".semantics" in n or ".isa" in n], path.name
