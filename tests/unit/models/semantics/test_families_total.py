"""Every form of the families that the processor can meet is executed on terms without an exception."""

import pytest
from executed import instruction

from verify.models.bits import var
from verify.models.isa.encode import representatives
from verify.models.isa.forms import Cpu, all_forms
from verify.models.machine import symbolic_state
from verify.models.semantics import (
    control,
    far_control,
    kernel_entry,
    shadow_stack,
    stack,
    string,
    system,
    transactions,
    vector_moves,
    x87_state,
)  # fmt: skip
from verify.models.semantics.dispatch import execute

FAMILIES = (
    stack, control, far_control, kernel_entry, transactions, shadow_stack, string, system, x87_state, vector_moves,
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__.rpartition(".")[2])
@pytest.mark.parametrize("cpu", Cpu)
def test_every_form_has_an_outcome(family, cpu):
    executed = 0
    for form in all_forms():
        if form.opcode.mnemonic not in family.SEMANTICS:
            continue
        data = next(iter(representatives(form, cpu)), None)
        if data is None:
            continue
        outcome = execute(instruction(data.hex(), cpu), symbolic_state(var("ip", 64)))
        assert outcome.state.ip.width == 64
        assert all(a.value.width == 8 * a.size for a in outcome.accesses), form.name
        executed += 1
    assert executed >= len(family.SEMANTICS) // 4
