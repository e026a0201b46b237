"""Premises are checked before anything is claimed under them."""

from dataclasses import replace

import pytest

from verify.claim import obligations as module
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.terms import FALSE, const, eq, not_, ult, var

LINUX = SCHEMES["linux-uprobes-6.18"]
ORIGIN = var("origin", 64)
CONTRADICTIONS = {
    "false": (FALSE,),
    "two bounds": (ult(ORIGIN, const(5, 64)), not_(ult(ORIGIN, const(5, 64)))),
    "by the solver": (ult(ORIGIN, const(0x2000, 64)), eq(ORIGIN, const(0x2000, 64))),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("text", ["4889d8", "9c", "488b1d11223344"])
def test_contradictory_premises_make_a_verdict_vacuous(name, text, monkeypatch):
    real = module.verification_condition

    def contradictory(p, assumptions):
        material = real(p, assumptions)
        return replace(material, premises=material.premises + CONTRADICTIONS[name])

    monkeypatch.setattr(module, "verification_condition", contradictory)
    found = Judge(LINUX).judgement(bytes.fromhex(text), Cpu.AMD)
    assert found.verdict is Verdict.VACUOUS
    assert "contradict" in found.reason
    assert {v for _, v in found.observables} == {Verdict.VACUOUS}


@pytest.mark.parametrize("text", ["4889d8", "488b1d11223344", "eb05", "e9ffffff7f"])
def test_the_premises_of_real_classes_hold_in_some_state(text):
    assert Judge(LINUX).judgement(bytes.fromhex(text), Cpu.AMD).verdict is Verdict.PROVED
