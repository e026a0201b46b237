"""What a counterexample shows: the kind of hit at which the deviation is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.program import Program
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Plan
from verify.models.x86.isa.forms import Cpu

LINUX = SCHEMES["linux-uprobes-6.18"]


def first_alone(data: bytes) -> Plan:
    """The plan as if later hits were handled as the first one is."""
    found = LINUX.plan(data)
    return replace(found, later=None) if isinstance(found, Program) else found


@pytest.mark.parametrize("text", ["0f1f440000", "0f1f440001"])
def test_a_deviation_of_later_hits_is_shown_at_them(text: str) -> None:
    """Facts, section 7: the call to the trampoline pushes four values; the first hit, emulated or stepped, does not."""
    found = Judge(LINUX).judgement(bytes.fromhex(text), Cpu.AMD)
    shown = counterexample(found, ASSUMPTIONS)
    assert shown.observable == "memory-addresses"
    assert shown.first_difference.startswith("write 0: address: in place none, displaced 0x")
    assert [name for name, _ in shown.displaced] == [f"write {i}: address" for i in range(4)]
    alone = Judge(replace(LINUX, plan=first_alone)).judgement(bytes.fromhex(text), Cpu.AMD)
    assert not alone.deviations
