"""Plans of linux-uprobes-3.15 against arch/x86/kernel/uprobes.c of that time."""

import pytest

from verify.models.schemes.linux.uprobes_3_15 import plan
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.scheme import Refuse

TRAPPED = ("check old(tf)", "  otherwise done", "signal 5, si_code 0, si_addr ip")
ABORTED = ("ip := ORIGIN", "tf := old(tf)", "reported := (ite fault.at_ip ORIGIN fault.address)")
TF, IP = ("tf := old(tf)",), ("ip := (ORIGIN + ip - SLOT)",)
# adjust_ret_addr, and send_sig(SIGILL) where it fails
MOVED = ("8 bytes at rsp := ((load:64 8 memory rsp) + ORIGIN - SLOT), on the stack", "  otherwise",
         "    signal 4, si_code 0, si_addr ORIGIN")  # fmt: skip


def planned(text: str):
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def lines(text: str) -> tuple[str, ...]:
    return tuple(canonical(planned(text)).splitlines()[1:])


def step(fixups: tuple[str, ...], code: str = "[0..15]", scratch: str = "", field: str = "") -> tuple[str, ...]:
    restored = (f"{scratch} := old({scratch})",) if scratch else ()
    return (
        *((f"{scratch} := (LENGTH + ORIGIN + {field})",) if scratch else ()),
        f"run {code} at SLOT, under TF, cpl 3", "  on a fault", *(f"    {line}" for line in (*restored, *ABORTED)),
        *restored, *fixups, *TRAPPED,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["cc", "f04801c0", "0f05", "0f38f0c0", "0f3a0fc000", "0fae00", "60"])
def test_refused_with_enotsupp(text):
    found = planned(text)
    assert isinstance(found, Refuse)
    assert found.errno == 524


def test_only_66_nops_are_emulated():
    for text, length in (("90", 1), ("66" * 3 + "90", 4)):
        assert (planned(text).length, lines(text)) == (length, ("ip := (LENGTH + ORIGIN)", *TRAPPED))
    assert lines("f390") == lines("0f1f440000") == step((*TF, *IP))


@pytest.mark.parametrize(
    ("text", "fixups"),
    [
        ("e811223344", (*TF, *IP, *MOVED)),
        ("ffd0", (*TF, *MOVED)),
        ("ffe0", TF),
        ("c3", TF),
        ("9d", IP),
        ("7510", (*TF, *IP)),
        ("50", (*TF, *IP)),
        ("66e811223344", (*TF, *IP, *MOVED)),
    ],
)
def test_fixups(text, fixups):
    assert lines(text) == step(fixups)


@pytest.mark.parametrize(
    ("text", "register", "field", "code"),
    [
        ("488b0511223344", "rcx", "field.3.4", "[0]&fe|00 [1..1] [2]&38|01 [3..15]"),
        ("8b1d11223344", "rax", "field.2.4", "[0..0] [1]&38|00 [2..15]"),
        ("813d1122334455667788", "rax", "field.2.4", "[0..0] [1]&38|00 [6..9] [6..15]"),
        ("c5c8580511223344", "rcx", "field.4.4", "[0..2] [3]&38|01 [4..15]"),
    ],
)
def test_rip_relative_operand_loses_its_displacement(text, register, field, code):
    assert lines(text) == step((*TF, "ip := (ORIGIN + ip - SLOT + 0x4)"), code, register, field)


def test_a_decoder_that_fails_leaves_a_good_opcode():
    assert lines("66" * 16) == step((*TF, *IP))
    assert isinstance(plan(b"\x2e" * 16), Refuse)


def test_fewer_than_16_bytes_are_an_error():
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))
