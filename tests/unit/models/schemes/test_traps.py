"""What becomes of traps that a stepped copy raises: a #DB ends the step, a #BP leaves the program in the slot."""

from __future__ import annotations

import pytest

from verify.claim.conditions import verification_condition
from verify.claim.obligations import sides
from verify.claim.probes import probe
from verify.judge.encoding import Judge
from verify.models.schemes.behaviour import Behaviour
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import NO_FAULT
from verify.smt.z3terms import unsatisfiable
from verify.terms import Term, const, eq, not_

NONE = const(NO_FAULT, 8)
MOV_SS, SGDT = "41418e5424f8", "0f0103"  # a step under them ends one instruction later


def displaced(text: str) -> tuple[Behaviour, tuple[Term, ...]]:
    p = probe(bytes.fromhex(text), SCHEMES[DEFAULT], Cpu.AMD)
    material = verification_condition(p)
    _, pair = sides(p, material)
    return pair.there[0], material.premises


@pytest.mark.parametrize(("text", "observables"), [
    ("482ecc", {"fault", "containment"}),  # int3; the kernel of 6.18.44 goes on behind it, in the slot
    ("4848cd03", {"fault", "containment"}),
    ("4848f1", {"fault"}),  # int1: the kernel takes its #DB for the end of the step, and no signal comes
    ("4848cd04", {"fault"}),  # #OF is delivered from the origin, in place from behind the instruction
    ("4848cd20", set()),  # #GP in both places
])  # fmt: skip
def test_traps_that_a_copy_asks_for(text: str, observables: set[str]) -> None:
    found = Judge(SCHEMES[DEFAULT]).judgement(bytes.fromhex(text), Cpu.AMD)
    assert {d.observable for d in found.deviations} == observables


@pytest.mark.parametrize(("text", "delivered"), [("482ecc", False), ("4848f1", False), ("4848cd04", True)])
def test_the_host_takes_a_breakpoint_and_a_debug_trap_for_its_own(text: str, delivered: bool) -> None:
    there, _ = displaced(text)
    assert (there.vector is not NONE) == delivered


@pytest.mark.parametrize("text", [MOV_SS, SGDT])
def test_a_copy_that_faults_is_left_whenever_its_trap_would_have_come(text: str) -> None:
    there, premises = displaced(text)
    quiet = eq(there.vector, NONE)
    assert unsatisfiable((not_(quiet), not_(there.contained), *premises))
    assert unsatisfiable((quiet, there.contained, *premises))
    assert not unsatisfiable((quiet, *premises))
