"""One entry to all semantics: what an instruction does to a state.

Order: #UD that the prefixes or fields force, #GP of what only CPL 0 may run, what is different at CPL 0, the family's
function, and for everything else the routed semantics.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from verify.models.x86.isa.forms import Opcode
from verify.models.x86.machine import UD, Outcome, State
from verify.models.x86.mode import Mode, checked
from verify.models.x86.semantics import supervisor
from verify.models.x86.semantics.kernel_entry import privileged
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.routed import routed
from verify.models.x86.semantics.run import Instruction, Run
from verify.terms import TRUE

FAMILIES: Final = (
    "arithmetic", "logic", "shifts", "bit_manipulation", "moves", "compare_exchange", "flags_instructions",
    "conditions", "stack", "control", "far_control", "transactions", "kernel_entry", "shadow_stack", "string",
    "system", "umip", "x87_state", "vector_moves",
)  # fmt: skip

UNDEFINED_AT_CPL3: Final = frozenset({"clac", "stac"})  # #UD where others raise #GP: SDM vol. 2, CLAC, STAC


@cache
def exact() -> Mapping[str, Semantics]:
    """Mnemonic -> function, over all families.  Raises ValueError where two families claim one mnemonic."""
    table: dict[str, Semantics] = {}
    for family in FAMILIES:
        rows: Mapping[str, Semantics] = import_module(f"verify.models.x86.semantics.{family}").SEMANTICS
        twice = table.keys() & rows.keys()
        if twice:
            raise ValueError(f"{family} claims mnemonics that another family has: {sorted(twice)}")
        table.update(rows)
    return table


def is_exact(mnemonic: str) -> bool:
    """Whether the datapath is modelled, not only routed."""
    return mnemonic in exact()


def semantics_of(opcode: Opcode, mode: Mode) -> Semantics:
    """What an opcode does in a mode.  Raises ValueError, naming both, where that is not modelled."""
    name = opcode.mnemonic
    if (why := supervisor.gap(opcode, checked(mode))) is not None:
        raise ValueError(f"not modelled: {why}")
    if mode.on_behalf and (found := supervisor.for_a_program(opcode, mode)) is not None:
        return found
    if not mode.is_privileged:
        only_cpl0 = opcode.must_be_cpl0 and name not in UNDEFINED_AT_CPL3
        return privileged if only_cpl0 else exact().get(name, routed)
    return supervisor.SEMANTICS.get(name) or exact().get(name, routed)


def execute(instruction: Instruction, state: State) -> Outcome:
    """The outcome of one instruction (one iteration of a repeated one) from a state whose ip is the instruction's.

    Raises ValueError where nothing is said of the mode, or of the opcode in it.
    """
    run = Run(instruction, state)
    if instruction.undefined is not None:
        run.fault(TRUE, UD, at_ip=True)
    else:
        semantics_of(instruction.opcode, instruction.mode)(run)
    return run.outcome()
