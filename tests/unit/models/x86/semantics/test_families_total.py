"""Every form of every family is executed on terms without an exception."""

from importlib import import_module

import pytest
from executed import instruction

from verify.models.x86.isa.encode import representatives
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.models.x86.machine import symbolic_state
from verify.models.x86.semantics.dispatch import FAMILIES, execute
from verify.terms import var


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cpu", Cpu)
def test_every_form_has_an_outcome(family, cpu):
    mnemonics = import_module(f"verify.models.x86.semantics.{family}").SEMANTICS
    executed = 0
    for form in all_forms():
        if form.opcode.mnemonic not in mnemonics:
            continue
        data = next(iter(representatives(form, cpu)), None)
        if data is None:
            continue
        outcome = execute(instruction(data.hex(), cpu), symbolic_state(var("ip", 64)))
        assert outcome.state.ip.width == 64
        assert all(a.value.width == 8 * a.size for a in outcome.accesses), form.name
        executed += 1
    assert executed >= len(mnemonics) // 4
