"""Plans of linux-uprobes-3.15 against arch/x86/kernel/uprobes.c of that time."""

import pytest

from verify.models.schemes.linux.uprobes_3_15 import plan
from verify.models.schemes.plan import Emulate, Field, Fixup, Nop, Refuse, Scratch, SlotByte, Step

RAX, RCX = 0, 1


def planned(text: str):
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


@pytest.mark.parametrize("text", ["cc", "f04801c0", "0f05", "0f38f0c0", "0f3a0fc000", "0fae00", "60"])
def test_refused_with_enotsupp(text):
    found = planned(text)
    assert isinstance(found, Refuse)
    assert found.errno == 524


def test_only_66_nops_are_emulated():
    assert planned("90") == Emulate(Nop(), 1)
    assert planned("66" * 3 + "90") == Emulate(Nop(), 4)
    assert isinstance(planned("f390"), Step)
    assert isinstance(planned("0f1f440000"), Step)


@pytest.mark.parametrize(
    ("text", "fixups"),
    [
        ("e811223344", {Fixup.IP, Fixup.RETURN_ADDRESS}),
        ("ffd0", {Fixup.RETURN_ADDRESS}),
        ("ffe0", set()),
        ("c3", set()),
        ("9d", {Fixup.IP, Fixup.KEEP_TF}),
        ("7510", {Fixup.IP}),
        ("50", {Fixup.IP}),
        ("66e811223344", {Fixup.IP, Fixup.RETURN_ADDRESS}),
    ],
)
def test_fixups(text, fixups):
    found = planned(text)
    assert isinstance(found, Step)
    assert found.fixups == fixups
    assert found.scratch is None


@pytest.mark.parametrize(
    ("text", "register", "field", "slot"),
    [
        ("488b0511223344", RCX, Field(3, 4), {0: (0, 0xFE, 0), 2: (2, 0x38, RCX)}),
        ("8b1d11223344", RAX, Field(2, 4), {1: (1, 0x38, RAX)}),
        ("813d1122334455667788", RAX, Field(2, 4), {1: (1, 0x38, RAX), **{i: (i + 4, 0xFF, 0) for i in range(2, 6)}}),
        ("c5c8580511223344", RCX, Field(4, 4), {3: (3, 0x38, RCX)}),
    ],
)
def test_rip_relative_operand_loses_its_displacement(text, register, field, slot):
    found = planned(text)
    assert isinstance(found, Step)
    assert found.scratch == Scratch(register, field)
    assert found.removed == 4
    changed = {i: (b.source, b.keep, b.bits) for i, b in enumerate(found.slot) if b != SlotByte(i)}
    assert changed == slot


def test_a_decoder_that_fails_leaves_a_good_opcode():
    assert isinstance(plan(b"\x66" * 16), Step)
    assert isinstance(plan(b"\x2e" * 16), Refuse)


def test_fewer_than_16_bytes_are_an_error():
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))
