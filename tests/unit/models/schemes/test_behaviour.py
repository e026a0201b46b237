"""What the assumptions make of the state before the instruction, and what each stands for."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from verify.claim.conditions import verification_condition
from verify.claim.probes import probe
from verify.models.schemes.assumptions import ASSUMPTIONS, BY_NAME, ROWS
from verify.models.schemes.behaviour import initial
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import State, symbolic_state
from verify.terms import FALSE, const, var

ROOT = Path(__file__).parents[4]
SITE = verification_condition(probe(b"\x90", SCHEMES["identity"], Cpu.AMD)).setup
RESTRICTED = {"ac": "no-alignment-check", "cet": "no-shadow-stack"}  # component, and the assumption that says it is 0


@pytest.mark.parametrize("name", [f.name for f in fields(State)])
def test_nothing_is_known_of_a_component_that_no_assumption_names(name):
    state = symbolic_state(var("origin", 64))
    found = getattr(initial(SITE, state), name)
    assert found is (FALSE if name in RESTRICTED else getattr(state, name))
    if name in RESTRICTED:
        without = replace(SITE, assumptions=ASSUMPTIONS - {RESTRICTED[name]})
        assert getattr(initial(without, state), name) is getattr(state, name)


def test_an_assumption_says_what_it_is_and_what_falls():
    assert len(BY_NAME) == len(ROWS)
    assert all(row.says and row.without for row in ROWS)


def test_the_caveats_list_the_assumptions_as_they_are():
    text = (ROOT / "CAVEATS.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert listed == [f"| `{row.name}` | {row.says} | {row.without} |" for row in ROWS]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_deviation_of_a_scheme_is_told_whole(scheme):
    names = [e.name for e in scheme.entries]
    assert len(set(names)) == len(names)
    for entry in scheme.entries:
        assert all(getattr(entry, f.name) for f in fields(entry))


def test_every_default_assumption_that_hides_a_deviation_of_linux_has_its_entry():
    hiding = {"fault-frame", "trap-siginfo", "no-shadow-stack", "no-transaction"}
    assert hiding <= {e.name for e in SCHEMES["linux-uprobes-6.18"].entries} & ASSUMPTIONS


def test_the_origin_is_where_the_instruction_is():
    assert symbolic_state(const(0x401000, 64)).ip.value == 0x401000
