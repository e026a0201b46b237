"""What the kernel makes of the bytes where it takes them for a 32-bit program's; the ways were seen on 6.18.44.

`tests/live/test_kernel_compat.py` compares all kinds of plan with the running kernel; lengths are from
arch/x86/lib/insn.c with x86_64 = 0.
"""

from __future__ import annotations

import pytest

from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux.uprobes_6_18 import SCHEME, plan, plan_in_32_bits
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse

STEPPED = ("run [0..15] at SLOT, under TF, cpl 3", "tf := old(tf)")
TRAPPED = ("check old(tf)", "signal 5, si_code 0, si_addr ip")
IP = ("ip := (ORIGIN + ip - SLOT)",)
CALL = ("check (eq (extract 31 16 old(selectors)) (extract 31 16 selectors))",
        "8 bytes at rsp := (LENGTH + ORIGIN), on the stack")  # fmt: skip
NONE = ()
GONE, MOVED = "ip := (LENGTH + ORIGIN)", "ip := (LENGTH + ORIGIN + field.1.{})"
PUSHED = "8 bytes at (rsp - 0x8) := {}, on the stack"


def planned(text: str) -> object:
    return plan_in_32_bits(bytes.fromhex(text).ljust(16, b"\xf4"))


def handled(text: str) -> tuple[int, tuple[str, ...]]:
    """The length that the kernel sees, and what it does where nothing fails."""
    found = planned(text)
    assert isinstance(found, Program)
    return found.length, tuple(line for line in canonical(found).splitlines()[1:] if not line.startswith(" "))


@pytest.mark.parametrize(("text", "length", "fixups"), [
    ("488b0511223344", 1, IP),          # 48 is dec eax
    ("8b0511223344", 6, IP),            # an absolute address
    ("41ffd3", 1, IP),                  # 41 is inc ecx: no fixup of the call
    ("ffd3", 2, CALL),
    ("ff1511223344", 6, CALL),
    ("ffe0", 2, NONE),
    ("4150", 1, IP),
    ("c3", 1, NONE),
    ("66678b06aabb", 6, IP),            # 16-bit address: a displacement of two bytes, no SIB byte
    ("678b05", 3, IP),
    ("8b0425aabbccdd", 7, IP),
    ("a1aabbccdd", 5, IP),              # a memory offset has the address's size
    ("67a1aabb", 4, IP),
    ("b8aabbccdd", 5, IP),
    ("9aaabbccdd1100", 7, CALL),        # exists in 32-bit mode
    ("06", 1, IP),
    ("c57877", 3, IP),                  # lds: the second byte has not mod 3
    ("0f1f440001", 5, IP),              # never optimised
])  # fmt: skip
def test_stepped(text: str, length: int, fixups: tuple[str, ...]) -> None:
    assert handled(text) == (length, (*STEPPED, *fixups, *TRAPPED))


@pytest.mark.parametrize(("text", "effect", "length"), [
    ("90", (GONE,), 1), ("0f1f440000", (GONE,), 5), ("6690", (GONE,), 2),
    ("50", (PUSHED.format("rax"), "rsp := (rsp - 0x8)", GONE), 1),
    ("e811223344", (PUSHED.format("(LENGTH + ORIGIN)"), "rsp := (rsp - 0x8)", MOVED.format(4)), 5),
    ("eb10", (MOVED.format(1),), 2),
])  # fmt: skip
def test_emulated_and_never_optimised(text: str, effect: tuple[str, ...], length: int) -> None:
    assert handled(text) == (length, (*effect, *TRAPPED))  # and no other plan of later hits


@pytest.mark.parametrize(("text", "errno"), [
    ("cc", 524), ("2e90", 524), ("f02ec0", 524), ("17", 524), ("1f", 524), ("8ed0", 524), ("66eb11", 524), ("f4", 524),
    ("66" * 15, 8), ("cd80", 524),
])  # fmt: skip
def test_refused(text: str, errno: int) -> None:
    found = planned(text)
    assert isinstance(found, Refuse)
    assert found.errno == errno


def test_the_scheme_plans_so_where_the_assumption_is_dropped() -> None:
    data = bytes.fromhex("488b0511223344").ljust(16, b"\x90")
    dropped = SCHEME.under(ASSUMPTIONS - {"analysed-as-64-bit"})
    assert dropped.plan(data) == plan_in_32_bits(data) != plan(data)
    assert SCHEME.under(ASSUMPTIONS) is SCHEME
    assert dropped.name == SCHEME.name
    other = SCHEMES["linux-uprobes-3.15"]
    assert other.under(ASSUMPTIONS - {"analysed-as-64-bit"}) is other


def test_fewer_than_16_bytes_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 15"):
        plan_in_32_bits(bytes(15))
