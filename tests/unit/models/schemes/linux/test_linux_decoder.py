"""The kernel decoder's view against facts of arch/x86/lib/insn.c and its opcode map, Linux 6.18."""

import pytest

from verify.models.schemes.linux.attributes import columns
from verify.models.schemes.linux.uprobes_6_18 import DECODER


def decoded(text: str, filler: str = "90"):
    data = bytes.fromhex(text)
    return DECODER.decode(data + bytes.fromhex(filler) * (24 - len(data)))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90", 1),
        ("488b0511223344", 7),
        ("66b81122", 4),  # 66: two immediate bytes
        ("6648b81122334455667788", 11),  # REX.W overrides 66
        ("66e811223344", 6),  # near branches are forced to 64 bits: four bytes in spite of 66
        ("666811223344", 4),  # push Iz is not forced
        ("c8112233", 4),  # enter: a word and a byte
        ("a01122334455667788", 9),
        ("67a011223344", 6),
        ("8b04251122334455", 7),
        ("8b4424112233", 4),
        ("f6c011", 3),
        ("f6d0", 2),
        ("f7c011223344", 6),
        ("66f7c01122", 5),
        ("0f8011223344", 6),
        ("0f0fc011", 4),
        ("0f3a0fc011", 5),
        ("f20f38f0c0", 5),
        ("c5f858c0", 4),
        ("c4e37d39c101", 6),
        ("62f17c4858c0", 6),
        ("8fe878c0c011", 6),
        ("8fea7812c011223344", 9),  # XOP group 4 /0 has four immediate bytes
        ("8fea7812d0", 5),  # /2 has none
    ],
)
def test_length(text, length):
    assert decoded(text).length == length


@pytest.mark.parametrize(
    "text",
    [
        "66" * 15,  # nothing but prefixes
        "64" * 14 + "8bc0",  # 16 bytes
        "0f38f2c0",  # ANDN is VEX only
        "c4e27858c0",  # no such opcode in the map for pp = 0
        "62f36730620f11",
        "62f07c4858c0",  # map 0
        "c4e37979c000",  # FMA4 is in no map
        "c5f80fc0",
        "8fe078c0c011",  # XOP map 0: told from pop by bits 5..3, which are not 0 here ... 8f /4
    ],
)
def test_fails(text):
    assert decoded(text) is None


def test_a_fifth_distinct_prefix_is_the_opcode():
    found = decoded("64656667f290")
    assert (found.opcode1, found.length, found.prefixes) == (0xF2, 5, (0x64, 0x65, 0x66, 0x67))


def test_a_repeated_prefix_does_not_count():
    found = decoded("6465666767676690")
    assert (found.opcode1, found.length) == (0x90, 8)


@pytest.mark.parametrize("text", ["486690", "40488b0511223344", "4064"])
def test_what_follows_rex_is_the_opcode(text):
    found = decoded(text)
    assert found.opcode1 == bytes.fromhex(text)[1]
    assert found.length == 2
    assert found.modrm == -1


def test_vex_behind_rex_is_the_32_bit_instruction():
    found = decoded("40c5f877")  # les Gz,Mp of 32-bit mode, ModRM f8
    assert (found.opcode1, found.vex_size, found.modrm, found.length) == (0xC5, 0, 0xF8, 3)


@pytest.mark.parametrize(
    ("text", "has_modrm"),
    [
        ("0f4105", True),
        ("660f4105", True),
        ("f30f4105", False),  # opmask rows make 0f 41 a variant; there is none for F3
        ("f3640f4105", True),  # the last prefix alone selects
        ("0f1905", False),  # reserved nops without an entry
        ("0f1d05", False),
        ("0f1f05", True),
        ("0fff05", False),
        ("0fb905", True),
        ("0fb805", False),
        ("f30fb805", True),
        ("f30f5405", False),
    ],
)
def test_modrm_depends_on_the_variant(text, has_modrm):
    assert (decoded(text).modrm >= 0) is has_modrm


@pytest.mark.parametrize(
    ("text", "opcode", "vex_size"),
    [("c5f877", 0x77, 2), ("c4e17877", 0x77, 3), ("62f17c4858c0", 0x58, 4), ("8fe878c0c000", 0xC0, 3)],
)
def test_vex_leaves_one_opcode_byte(text, opcode, vex_size):
    found = decoded(text)
    assert (found.opcode_size, found.opcode1, found.opcode2, found.vex_size) == (1, opcode, 0, vex_size)


def test_pop_is_told_from_xop_by_its_digit():
    assert decoded("8fc0").vex_size == 0
    assert decoded("8fc8") is None  # /1: XOP map 8 cut short by what follows


def test_emulate_prefix_shortens_offsets_but_not_the_length():
    found = decoded("0f0b78656e488b0511223344")
    assert (found.length, found.rex_at, found.modrm_at, found.opcode1) == (12, 0, 2, 0x8B)


def test_invalid_opcodes_stop_the_decoder_except_behind_rex2():
    assert decoded("9a").length == 1
    assert decoded("82c011").length == 1
    assert decoded("d50082c011").length == 5


def test_nothing_behind_byte_15_is_read():
    for text in ("64" * 14 + "8b", "64" * 13 + "8b04", "64" * 12 + "0f38f0", "64" * 14 + "0f", "64" * 11 + "62f17c48"):
        assert decoded(text, "04") == decoded(text, "05")


@pytest.mark.parametrize("rows", [("00 | m", "00-03 | b"), ("00 | m | m",)])
def test_a_map_with_a_repeated_opcode_or_odd_columns_is_refused(rows):
    with pytest.raises(ValueError, match=r"two rows|one or four columns"):
        columns(rows, 256)
