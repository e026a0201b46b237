"""One entry to all semantics: what an instruction does to a state.

Order: #UD that the prefixes or fields force, the family's function, #GP of what only the kernel may run, and for
everything else the routed semantics.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from verify.models.x86.machine import GP, UD, Outcome, State
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


def execute(instruction: Instruction, state: State) -> Outcome:
    """The outcome of one instruction (one iteration of a repeated one) from a state whose ip is the instruction's."""
    run = Run(instruction, state)
    if instruction.undefined is not None:
        run.fault(TRUE, UD, at_ip=True)
    elif instruction.opcode.must_be_cpl0 and instruction.opcode.mnemonic not in UNDEFINED_AT_CPL3:
        run.fault(TRUE, GP)
    else:
        exact().get(instruction.opcode.mnemonic, routed)(run)
    return run.outcome()
