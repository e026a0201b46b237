"""Plans of linux-uprobes-6.18 against the facts of arch/x86/kernel/uprobes.c and a running kernel's refusals."""

from pathlib import Path

import pytest

from verify.models.schemes.linux.uprobes_6_18 import plan
from verify.models.schemes.plan import (
    Call,
    Emulate,
    Field,
    Fixup,
    Jump,
    JumpIf,
    Nop,
    Push,
    Refuse,
    Scratch,
    SlotByte,
    Step,
)

REFUSALS = Path(__file__).parent / "data" / "linux_6_18_44_refusals.tsv"
RSI, RDI, RBX = 6, 7, 3


def planned(text: str):
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def kernel_rows():
    for line in REFUSALS.read_text().splitlines():
        if not line.startswith("#"):
            shown, errno = line.split("\t")
            yield bytes.fromhex(shown), int(errno)


def test_every_stored_refusal_of_the_running_kernel_is_planned():
    rows = list(kernel_rows())
    found = [(data.hex(), errno, p.errno if isinstance(p := plan(data), Refuse) else 0) for data, errno in rows]
    assert len(rows) > 500
    assert {errno for _, errno in rows} == {0, 8, 524}
    assert [row for row in found if row[1] != row[2]] == []


@pytest.mark.parametrize(
    ("text", "errno"),
    [
        ("cc", 524),
        ("f04801", 524),
        ("2e90", 524),
        ("3eff10", 524),
        ("1f", 524),
        ("8ed0", 524),  # mov ss
        ("c4e2798ed1", 524),  # vpmaskmovd with modrm.reg 2 is taken for mov ss
        ("cd80", 524),
        ("f4", 524),
        ("66e811223344", 524),
        ("6670", 524),
        ("660f8011223344", 524),
        ("66eb00", 524),
        ("9a", 524),
        ("62f36730620f11", 8),
        ("66" * 15, 8),
    ],
)
def test_refused(text, errno):
    found = planned(text)
    assert isinstance(found, Refuse)
    assert found.errno == errno


@pytest.mark.parametrize(
    ("text", "effect", "length"),
    [
        ("90", Nop(), 1),
        ("f390", Nop(), 2),
        ("4190", Nop(), 2),  # xchg r8d,eax; seen on 6.18.44: the exchange is lost
        ("0f1f00", Nop(), 3),
        ("0f1f840000000000", Nop(), 8),
        ("eb10", Jump(Field(1, 1)), 2),
        ("e911223344", Jump(Field(1, 4)), 5),
        ("e811223344", Call(Field(1, 4)), 5),
        ("48e811223344", Call(Field(2, 4)), 6),
        ("7510", JumpIf(5, Field(1, 1)), 2),
        ("f37510", JumpIf(5, Field(2, 1)), 3),
        ("0f8f11223344", JumpIf(15, Field(2, 4)), 6),
        ("50", Push(0), 1),
        ("54", Push(4), 1),
        ("4157", Push(15), 2),
        ("c5f877", JumpIf(7, None), 3),  # vzeroupper; seen on 6.18.44: nothing is zeroed
        ("c5f970c1e4", JumpIf(0, Field(4, 1)), 5),  # vpshufd
        ("c5f9e8c0", Call(None), 4),
        ("c5f9e9c0", Jump(None), 4),
        ("8fe97890c0", Nop(), 5),  # vprotb of XOP
    ],
)
def test_emulated(text, effect, length):
    found = planned(text)
    assert isinstance(found, Emulate)
    assert (found.effect, found.length) == (effect, length)


@pytest.mark.parametrize(
    ("text", "is_optimised"),
    [
        ("0f1f440000", True),
        ("0f1f440001", True),  # not the kernel's own nop
        ("66660f1f00", True),
        ("6666666690", True),
        ("f3f3f3f390", True),
        ("c4e17890ca", True),  # kmovw k1,k2: opcode byte 90, five bytes
        ("0f1f00", False),
        ("90", False),
        ("0f1f400090", False),  # four bytes and a nop
    ],
)
def test_five_byte_nops_are_optimised(text, is_optimised):
    found = planned(text)
    assert isinstance(found, Emulate)
    assert found.effect == Nop()
    assert found.optimised is is_optimised


@pytest.mark.parametrize(
    ("text", "fixups"),
    [
        ("4889d8", {Fixup.IP}),
        ("660f1f840000000000", {Fixup.IP}),  # the kernel's own nop of nine bytes begins with 2e; seen on 6.18.44
        ("9d", {Fixup.IP, Fixup.KEEP_TF}),
        ("c3", set()),
        ("c20800", set()),
        ("ca0800", set()),
        ("cb", set()),
        ("ffd0", {Fixup.CALL}),
        ("ff18", {Fixup.CALL}),
        ("ffe0", set()),
        ("ff28", set()),
        ("ff30", {Fixup.IP}),
        ("0f05", {Fixup.IP}),
        ("e200", {Fixup.IP}),
        ("4050", {Fixup.IP}),  # push with a REX that is not 41
        ("4951", {Fixup.IP}),
        ("c5f850c0", {Fixup.IP}),  # vmovmskps: too long for a push
        ("c5f8c2c000", set()),  # vcmpps is taken for ret
        ("c4e2719dc2", {Fixup.IP, Fixup.KEEP_TF}),  # vfnmadd132ss is taken for popf
    ],
)
def test_fixups_of_a_step(text, fixups):
    found = planned(text)
    assert isinstance(found, Step)
    assert found.fixups == fixups
    assert found.scratch is None
    assert found.slot == tuple(SlotByte(i) for i in range(16))


@pytest.mark.parametrize(
    ("text", "register", "changed"),
    [
        ("8b0511223344", RSI, {1: (0x38, 0x80 | RSI)}),
        ("488b3511223344", RDI, {0: (0xFE, 0), 2: (0x38, 0x80 | RDI)}),
        ("4f8b3d11223344", RSI, {0: (0xFE, 0), 2: (0x38, 0x80 | RSI)}),
        ("f73511223344", RDI, {1: (0x38, 0x80 | RDI)}),  # /6: the digit counts as a register
        ("480fc70d11223344", RSI, {0: (0xFE, 0), 3: (0x38, 0x80 | RSI)}),
        ("c5c8580511223344", RDI, {3: (0x38, 0x80 | RDI)}),  # vvvv = 6
        ("c588580511223344", RDI, {3: (0x38, 0x80 | RDI)}),  # vvvv = 14: three bits are looked at
        ("c5c8583d11223344", RBX, {3: (0x38, 0x80 | RBX)}),  # reg 7, vvvv 6
        ("c5c0583511223344", RBX, {3: (0x38, 0x80 | RBX)}),  # reg 6, vvvv 7
        ("c4e248f20511223344", RDI, {1: (0xFF, 0x60), 4: (0x38, 0x80 | RDI)}),
        ("62f17c48580511223344", RSI, {1: (0xFF, 0x60), 5: (0x38, 0x80 | RSI)}),
        ("8fe97880051122334455", RSI, {1: (0xFF, 0x60), 4: (0x38, 0x80 | RSI)}),
        ("ff1511223344", RSI, {1: (0x38, 0x80 | RSI)}),
    ],
)
def test_rip_relative_rewrite(text, register, changed):
    found = planned(text)
    assert isinstance(found, Step)
    assert found.scratch == Scratch(register)
    assert {i: (b.keep, b.bits) for i, b in enumerate(found.slot) if b != SlotByte(i)} == changed
    assert all(b.source == i for i, b in enumerate(found.slot))
    assert found.removed == 0


@pytest.mark.parametrize("text", ["f30f410511223344", "40488b0511223344", "c5f8c20511223344ff", "0f190511223344"])
def test_a_rip_relative_operand_that_the_decoder_does_not_see_or_look_at_stays(text):
    found = planned(text)
    assert isinstance(found, Step)
    assert found.scratch is None


def test_behind_an_emulate_prefix_the_wrong_bytes_change():
    found = planned("0f0b78656e8b3511223344")
    assert isinstance(found, Step)
    assert found.slot[1] == SlotByte(None, bits=0x80 | 6 << 3 | RDI)
    assert found.slot[6] == SlotByte(6)


def test_fewer_than_16_bytes_are_an_error():
    with pytest.raises(ValueError, match="got 15"):
        plan(bytes(15))
