"""A known difference explains what it was seen of, and nothing else."""

from __future__ import annotations

import pytest

from verify.live.differential.errata import OFFSET_FAULT, known
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.forms import Cpu

AMD, INTEL = "AuthenticAMD", "GenuineIntel"


@pytest.mark.parametrize(("text", "component", "vendor", "is_known"), [
    ("f00f002f", "fault", AMD, True),  # lock verw [rdi]
    ("0f002f", "fault", AMD, False), ("f00f0027", "fault", AMD, False),  # verw, lock verr
    ("f00f002f", "zf", AMD, False), ("f00f002f", "fault", INTEL, False),
    ("658b40ff", OFFSET_FAULT, AMD, True), ("658b40ff", OFFSET_FAULT, INTEL, False), ("658b40ff", "fault", AMD, False),
    ("f3a6", "fault address", AMD, True), ("f3a7", "fault address", AMD, False),
])  # fmt: skip
def test_a_row_is_of_its_instruction_prefix_component_and_vendor(
    text: str, component: str, vendor: str, is_known: bool
) -> None:
    decoded = decode(bytes.fromhex(text), Cpu.AMD)
    assert isinstance(decoded, Decoded)
    assert (known(decoded, component, vendor) is not None) == is_known
