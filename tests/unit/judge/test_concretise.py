"""Counterexamples moved to addresses that a program can map; others say what stands in the way."""

from __future__ import annotations

import pytest

from verify.judge.concretise import END, LOWEST, SELECTORS, Concretised, concretised
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.forms import Cpu

JUDGE = Judge(SCHEMES[DEFAULT])


SHADOWED = Judge(SCHEMES[DEFAULT], ASSUMPTIONS - {"no-shadow-stack"})


def states(encoding: str, judge: Judge = JUDGE) -> dict[str, Concretised | str]:
    judgement = judge.judgement(bytes.fromhex(encoding), Cpu.AMD)
    return {d.observable: concretised(judgement, d, judge.assumptions) for d in judgement.deviations}


def test_a_push_gets_a_stack() -> None:
    found = states("9c")["memory-values"]
    assert isinstance(found, Concretised)
    top = found.values["gprs"][4]
    assert LOWEST < top < END
    assert [(at, len(data)) for at, data in found.memory] == [(top - 8, 8)]


def test_a_state_without_memory_stays_as_it_was_shown() -> None:
    found = states("4990")["gprs"]
    assert isinstance(found, Concretised)
    assert (found.moved, found.memory, found.rests_on) == (False, (), ())
    assert found.values["gprs"][0] != found.values["gprs"][8]


@pytest.mark.parametrize(
    "encoding", ["9c", "f3a4", "66ffd3", "67640f1fc3", "c5fd700b00", "0f0003", "66670f6c0d00000000"]
)
def test_everything_in_place_can_be_mapped_beside_the_code(encoding: str) -> None:
    found = [s for s in states(encoding).values() if isinstance(s, Concretised)]
    assert found
    for state in found:
        code = {state.values["origin"] // 4096, state.values["origin"] // 4096 + 1}
        for at, data in state.memory:
            assert at >= LOWEST and at + len(data) <= END
            assert not {at // 4096, (at + len(data) - 1) // 4096} & code


def test_what_stands_in_the_way_is_said() -> None:
    assert "would share a page" in str(states("f20f410d00000000")["memory-addresses"])  # rip-relative, displacement 0
    assert "needs a shadow stack" in str(states("e811223344", SHADOWED)["shadow-stack"])
    assert SELECTORS == 0x2B_0033_0000
