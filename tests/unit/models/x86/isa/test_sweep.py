"""Where a linear sweep finds instructions."""

import pytest

from verify.models.x86.isa.rows import Cpu
from verify.models.x86.isa.sweep import swept


@pytest.mark.parametrize("cpu", list(Cpu))
@pytest.mark.parametrize(("code", "found"), [
    ("90c3", [(0, 1), (1, 1)]),
    ("488b051122334490", [(0, 7), (7, 1)]),
    ("0690", [(0, 0), (1, 1)]),  # push es: not in 64-bit mode (SDM vol. 2, PUSH)
    ("0f0b06c5f877", [(0, 2), (2, 0), (3, 3)]),
    ("90488b", [(0, 1), (1, 0), (2, 0)]),  # ends within an instruction
    ("", []),
])  # fmt: skip
def test_instructions_follow_each_other(code: str, found: list[tuple[int, int]], cpu: Cpu) -> None:
    assert list(swept(bytes.fromhex(code), cpu)) == found


def test_vendors_differ_in_near_branches_with_66() -> None:
    """SDM vol. 2, JMP: 66 is ignored; APM vol. 3: it makes a 16-bit displacement."""
    code = bytes.fromhex("66e911223344")
    assert next(swept(code, Cpu.INTEL)) == (0, 6)
    assert next(swept(code, Cpu.AMD)) == (0, 4)
