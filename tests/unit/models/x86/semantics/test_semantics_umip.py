"""SGDT and its like, as the kernel completes them or leaves #GP: which encodings was read from Linux 6.18.44."""

from __future__ import annotations

import pytest
from executed import DATA, NO_FAULT, ORIGIN, executed

PLAIN = "0f 00 07"  # sldt [rdi]


@pytest.mark.parametrize(
    "prefixes", ["", "64", "65", "67", "48", "66 41", "64 64 64", "2e f2", "66 67 f2", "66 67 f2 f3", "64 66 67 f2"]
)
def test_the_kernel_completes_what_it_recognises(prefixes: str) -> None:
    out = executed(f"{prefixes} {PLAIN}", rdi=DATA, r15=DATA)
    assert (out.fault, out.kernel_completes) == (NO_FAULT, True)


@pytest.mark.parametrize(
    "prefixes",
    [
        "64 65", "26 64", "2e 36",  # two segments
        "48 48", "48 66", "66 48 f3",  # REX not directly before the opcode
        "66 67 f2 f3 64",  # five distinct prefixes
        "66 67 64",  # three distinct ones: the decoder's places hold the last one twice
        "64 66 67 64",
    ],
)  # fmt: skip
def test_the_kernel_leaves_a_general_protection_fault(prefixes: str) -> None:
    out = executed(f"{prefixes} {PLAIN}", rdi=DATA, r15=DATA)
    assert (out.fault, out.error, out.kernel_completes) == (13, 0, False)


def test_a_register_operand_may_have_any_segment_prefixes() -> None:
    assert executed("64 65 0f 00 c0").kernel_completes
    assert executed("66 67 64 0f 00 c0").kernel_completes


def test_a_store_that_fails_is_a_page_fault_at_the_first_byte() -> None:
    """Not at the byte that is not mapped, and not #GP for a non-canonical address: the kernel's own store fails."""
    assert executed("0f 01 07", rdi=DATA, faults={(DATA, 10, 1): 14}).fault == 14
    out = executed(PLAIN, rdi=1 << 60)
    assert (out.fault, out.fault_ip) == (14, ORIGIN)
    assert executed(PLAIN, rdi=(1 << 64) - 1).fault == 13  # the kernel's sign for no address
