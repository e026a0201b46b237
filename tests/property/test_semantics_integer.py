"""Integer semantics on random and boundary operands against oracles that follow the manual bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from integer_oracles import (
    added,
    deposited,
    double_shifted,
    extracted,
    field,
    logic,
    lowest_one,
    out_of_range,
    remainder,
    rotated,
    shifted,
    signed,
    subtracted,
    zeros_above,
)  # fmt: skip
from integer_program import FLAGS, ran
from sampling import sampled

WIDTHS = (8, 16, 32, 64)
EDGES = sorted({(s * (1 << w - 1) + d) % (1 << 64) for w in WIDTHS for s in (0, 1, 2) for d in (-1, 0, 1)})
QUADWORD = st.one_of(st.sampled_from(EDGES), st.integers(0, 40), st.integers(0, (1 << 64) - 1))
STATUS = st.fixed_dictionaries({f: st.integers(0, 1) for f in FLAGS})


def encoding(opcode: int, width: int, modrm: str, escape: str = "") -> str:
    """An opcode whose byte form has the number given and whose wider forms have the next one."""
    prefix = {8: "", 16: "66", 32: "", 64: "48"}[width]
    return f"{prefix}{escape}{opcode + (width > 8):02x}{modrm}"


def wide(opcode: str, width: int) -> str:
    """An opcode without byte form."""
    return {16: "66", 32: "", 64: "48"}[width] + opcode


def low(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


def merged(old: int, value: int, width: int) -> int:
    """A 64-bit register after a write of its low part (SDM vol. 1, 3.4.1.1)."""
    return value if width >= 32 else old >> width << width | value


def assert_flags(after, before, expected, touched=FLAGS):
    """Flags as expected; those neither expected nor touched are as before."""
    for flag in FLAGS:
        if flag in expected:
            assert after[flag] == expected[flag], flag
        elif flag not in touched:
            assert after[flag] == before[flag], flag


BINARY = {  # opcode of the form r/m8, r8; oracle; whether the destination is written
    "add": (0x00, lambda a, b, f, w: added(a, b, 0, w), True),
    "or": (0x08, lambda a, b, f, w: logic(a | b, w), True),
    "adc": (0x10, lambda a, b, f, w: added(a, b, f["cf"], w), True),
    "sbb": (0x18, lambda a, b, f, w: subtracted(a, b, f["cf"], w), True),
    "and": (0x20, lambda a, b, f, w: logic(a & b, w), True),
    "sub": (0x28, lambda a, b, f, w: subtracted(a, b, 0, w), True),
    "xor": (0x30, lambda a, b, f, w: logic(a ^ b, w), True),
    "cmp": (0x38, lambda a, b, f, w: subtracted(a, b, 0, w), False),
    "test": (0x84, lambda a, b, f, w: logic(a & b, w), False),
}


@pytest.mark.parametrize(("name", "width"), sampled([(n, w) for n in BINARY for w in WIDTHS], 12))
@given(a=QUADWORD, b=QUADWORD, flags=STATUS)
def test_two_operands(name, width, a, b, flags):
    opcode, oracle, written = BINARY[name]
    after = ran(encoding(opcode, width, "c8"), {"rax": a, "rcx": b}, flags)
    result, expected = oracle(low(a, width), low(b, width), flags, width)
    assert after["rax"] == (merged(a, result, width) if written else a)
    assert after["rcx"] == b
    assert_flags(after, flags, expected, touched=() if "af" in expected else ("af",))


UNARY = {  # opcode, ModRM, oracle, flags that are kept
    "inc": (0xFE, "c0", lambda a, w: added(a, 1, 0, w), {"cf"}),
    "dec": (0xFE, "c8", lambda a, w: subtracted(a, 1, 0, w), {"cf"}),
    "neg": (0xF6, "d8", lambda a, w: subtracted(0, a, 0, w), set()),
    "not": (0xF6, "d0", lambda a, w: ((1 << w) - 1 - a, {}), set(FLAGS)),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", UNARY)
@given(a=QUADWORD, flags=STATUS)
def test_one_operand(name, width, a, flags):
    opcode, modrm, oracle, kept = UNARY[name]
    after = ran(encoding(opcode, width, modrm), {"rax": a}, flags)
    result, expected = oracle(low(a, width), width)
    assert after["rax"] == merged(a, result, width)
    assert_flags(after, flags, {k: v for k, v in expected.items() if k not in kept}, touched=())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["mul", "imul"])
@given(a=QUADWORD, b=QUADWORD, d=QUADWORD, flags=STATUS)
def test_double_width_products(name, width, a, b, d, flags):
    after = ran(encoding(0xF6, width, "e1" if name == "mul" else "e9"), {"rax": a, "rcx": b, "rdx": d}, flags)
    x, y = low(a, width), low(b, width)
    if name == "imul":
        x, y = signed(x, width), signed(y, width)
    product = x * y % (1 << 2 * width)
    lost = out_of_range(x * y, width) if name == "imul" else int(x * y >= 1 << width)
    if width == 8:
        assert (after["rax"], after["rdx"]) == (merged(a, product, 16), d)
    else:
        assert after["rax"] == merged(a, low(product, width), width)
        assert after["rdx"] == merged(d, product >> width, width)
    assert (after["cf"], after["of"], after["df"]) == (lost, lost, flags["df"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["div", "idiv"])
@given(a=QUADWORD, b=QUADWORD, d=QUADWORD, small=st.booleans())
def test_quotients_and_divide_errors(name, width, a, b, d, small):
    if small:  # a dividend of one width, extended as the instruction reads it
        d = low(d, width) >> width - 1 if name == "div" else -(low(a, width) >> width - 1) % (1 << 64)
    after = ran(encoding(0xF6, width, "f1" if name == "div" else "f9"), {"rax": a, "rcx": b, "rdx": d}, {})
    divisor = low(b, width)
    dividend = low(a, 16) if width == 8 else low(d, width) << width | low(a, width)
    if name == "idiv":
        divisor, dividend = signed(divisor, width), signed(dividend, 2 * width)
    if divisor == 0:
        assert after["fault"] == 0
        return
    quotient = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
    fits = 0 <= quotient < 1 << width if name == "div" else not out_of_range(quotient, width)
    assert (after["fault"] == 0) == (not fits)
    if fits:
        rest, quotient = low(dividend - quotient * divisor, width), low(quotient, width)
        if width == 8:
            assert after["rax"] == merged(a, rest << 8 | quotient, 16)
        else:
            assert (after["rax"], after["rdx"]) == (merged(a, quotient, width), merged(d, rest, width))


SHIFTS = {"rol": "c0", "ror": "c8", "rcl": "d0", "rcr": "d8", "shl": "e0", "shr": "e8", "sal": "f0", "sar": "f8"}


@pytest.mark.parametrize(
    ("name", "width", "ones"), sampled([(n, w, o) for n in SHIFTS for w in WIDTHS for o in (False, True)], 16)
)
@given(a=QUADWORD, count=st.integers(0, 255), flags=STATUS)
def test_shifts_and_rotates(name, width, ones, a, count, flags):
    after = ran(encoding(0xD2, width, SHIFTS[name]), {"rax": a, "rcx": count}, flags, ones=ones)
    x, masked = low(a, width), count % (64 if width == 64 else 32)
    if masked == 0:
        assert after["rax"] == merged(a, x, width)
        assert_flags(after, flags, {}, touched=())
        return
    if name in {"rol", "ror", "rcl", "rcr"}:
        result, expected = rotated(name, x, masked, flags["cf"], width)
        touched = ("of",)
    else:
        result, expected = shifted(name.replace("sal", "shl"), x, masked, width)
        touched = ("of", "af", "cf")
    assert after["rax"] == merged(a, result, width)
    assert_flags(after, flags, expected, touched)
    undefined = set(touched) - expected.keys()
    assert {after[f] for f in undefined} <= {int(ones)}


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("name", ["shld", "shrd"])
@given(a=QUADWORD, b=QUADWORD, count=st.integers(0, 255), flags=STATUS)
def test_double_shifts(name, width, a, b, count, flags):
    masked = count % (64 if width == 64 else 32)
    assume(masked <= width)
    text = wide("0fa5c2" if name == "shld" else "0fadc2", width)
    after = ran(text, {"rdx": a, "rax": b, "rcx": count}, flags)
    if masked == 0:
        assert after["rdx"] == merged(a, low(a, width), width)
        assert_flags(after, flags, {}, touched=())
        return
    result, expected = double_shifted(name, low(a, width), low(b, width), masked, width)
    assert after["rdx"] == merged(a, result, width)
    assert_flags(after, flags, expected, ("af", "of"))


@pytest.mark.parametrize("modrm", ["a5", "ad"])
@given(a=QUADWORD, count=st.integers(17, 31))
def test_double_shifts_of_words_by_more_than_their_size_are_undefined(modrm, a, count):
    zeros, ones = (ran(f"660f{modrm}c2", {"rdx": a, "rcx": count}, {}, ones=o) for o in (False, True))
    assert (zeros["rdx"], ones["rdx"]) == (a >> 16 << 16, a | 0xFFFF)
    assert all(zeros[f] == 0 and ones[f] == 1 for f in FLAGS if f != "df")


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(("name", "pp"), [("shl", 1), ("sar", 2), ("shr", 3)])
@given(a=QUADWORD, count=QUADWORD, flags=STATUS)
def test_flagless_shifts(name, pp, width, a, count, flags):
    text = f"c4e2{(0x80 if width == 64 else 0) | 0x70 | pp:02x}f7c2"  # eax, edx, ecx
    after = ran(text, {"rdx": a, "rcx": count}, flags)
    x, n = low(a, width), count % width
    assert after["rax"] == (shifted(name, x, n, width)[0] if n else x)
    assert_flags(after, flags, {}, touched=())


@pytest.mark.parametrize("width", [32, 64])
@given(a=QUADWORD, count=st.integers(0, 255))
def test_rorx(width, a, count):
    after = ran(f"c4e3{0xFB if width == 64 else 0x7B:02x}f0c2{count:02x}", {"rdx": a}, {})
    n = count % width
    assert after["rax"] == (rotated("ror", low(a, width), n, 0, width)[0] if n else low(a, width))


@pytest.mark.parametrize("width", [16, 32, 64])
@given(a=QUADWORD, old=QUADWORD, flags=STATUS)
def test_scans_and_counts(width, a, old, flags):
    x = low(a, width)
    registers = {"rcx": a, "rax": old}
    forward, backward = (ran(wide(f"0f{op}c1", width), registers, flags) for op in ("bc", "bd"))
    for after, position in ((forward, lowest_one(x, width)), (backward, width - 1 - zeros_above(x, width))):
        assert after["zf"] == int(x == 0)
        assert after["rax"] == (merged(old, position, width) if x else old)
    mandatory = "66f3" if width == 16 else "f3" if width == 32 else "f348"
    for opcode, count in (("bc", lowest_one(x, width)), ("bd", zeros_above(x, width))):
        after = ran(f"{mandatory}0f{opcode}c1", registers, flags)
        assert after["rax"] == merged(old, count, width)
        assert (after["cf"], after["zf"]) == (int(x == 0), int(count == 0))
    after = ran(f"{mandatory}0fb8c1", registers, flags)
    assert after["rax"] == merged(old, f"{x:b}".count("1"), width)
    assert [after[f] for f in ("cf", "pf", "af", "zf", "sf", "of")] == [0, 0, 0, int(x == 0), 0, 0]


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("name", ["a3", "ab", "b3", "bb"])
@given(a=QUADWORD, offset=QUADWORD, flags=STATUS)
def test_bit_tests_of_registers_take_the_offset_modulo_the_size(name, width, a, offset, flags):
    after = ran(wide(f"0f{name}c8", width), {"rax": a, "rcx": offset}, flags)
    position = offset % width
    changed = {"a3": a, "ab": a | 1 << position, "b3": a & ~(1 << position), "bb": a ^ 1 << position}[name]
    assert (after["cf"], after["zf"]) == (a >> position & 1, flags["zf"])
    assert after["rax"] == (a if name == "a3" else merged(a, low(changed, width), width))


@pytest.mark.parametrize("width", [32, 64])
@given(a=QUADWORD, mask=QUADWORD, flags=STATUS)
def test_deposit_and_extract(width, a, mask, flags):
    w = 0x80 if width == 64 else 0
    for pp, oracle in ((3, deposited), (2, extracted)):
        after = ran(f"c4e2{w | 0x68 | pp:02x}f5c1", {"rdx": a, "rcx": mask}, flags)  # eax, edx, ecx
        assert after["rax"] == oracle(low(a, width), low(mask, width), width)
        assert_flags(after, flags, {}, touched=())


@pytest.mark.parametrize("width", [32, 64])
@given(a=QUADWORD, control=QUADWORD)
def test_fields_and_zeroed_high_bits(width, a, control):
    w, x = (0x80 if width == 64 else 0), low(a, width)
    after = ran(f"c4e2{w | 0x70:02x}f7c2", {"rdx": a, "rcx": control}, {})
    assert after["rax"] == field(x, control, width)
    assert (after["zf"], after["cf"], after["of"]) == (int(field(x, control, width) == 0), 0, 0)
    after = ran(f"c4e2{w | 0x70:02x}f5c2", {"rdx": a, "rcx": control}, {})
    count = control % 256
    expected = x % (1 << count)
    assert after["rax"] == expected
    assert (after["cf"], after["zf"], after["sf"]) == (int(count >= width), int(expected == 0), expected >> width - 1)


BLS = {  # /digit of VEX.0F38 F3: result by positions of ones; cf where the source is 0
    "blsr": (1, lambda x, low_one, w: x & ~(1 << low_one) if x else 0, 1),
    "blsmsk": (2, lambda x, low_one, w: (1 << low_one + 1) - 1 if x else (1 << w) - 1, 1),
    "blsi": (3, lambda x, low_one, w: 1 << low_one if x else 0, 0),
}


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("name", BLS)
@given(a=QUADWORD)
def test_lowest_set_bits(name, width, a):
    digit, oracle, cf_of_zero = BLS[name]
    x = low(a, width)
    after = ran(f"c4e2{0xF8 if width == 64 else 0x78:02x}f3{0xC1 | digit << 3:02x}", {"rcx": a}, {})
    expected = oracle(x, lowest_one(x, width), width)
    assert after["rax"] == expected
    assert after["cf"] == (cf_of_zero if x == 0 else 1 - cf_of_zero)
    assert (after["zf"], after["sf"], after["of"]) == (int(expected == 0), expected >> width - 1, 0)


def ones_below(count: int) -> int:
    return (1 << count) - 1


TBM = {  # XOP.9 opcode and /digit; result from the number of trailing ones t or zeros z; APM vol. 3
    "blcfill": (0x01, 1, lambda x, t, z, w: x & ~ones_below(t), "t"),
    "blsfill": (0x01, 2, lambda x, t, z, w: x | ones_below(z), "z"),
    "blcs": (0x01, 3, lambda x, t, z, w: x | 1 << t, "t"),
    "tzmsk": (0x01, 4, lambda x, t, z, w: ones_below(z), "z"),
    "blcic": (0x01, 5, lambda x, t, z, w: 1 << t, "t"),
    "blsic": (0x01, 6, lambda x, t, z, w: ~(1 << z), "z"),
    "t1mskc": (0x01, 7, lambda x, t, z, w: ~ones_below(t), "t"),
    "blcmsk": (0x02, 1, lambda x, t, z, w: ones_below(t + 1), "t"),
    "blci": (0x02, 6, lambda x, t, z, w: ~(1 << t), "t"),
}


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("name", TBM)
@given(a=st.one_of(QUADWORD, st.sampled_from([0, (1 << 64) - 1, (1 << 32) - 1])))
def test_trailing_bit_manipulation(name, width, a):
    opcode, digit, oracle, carried = TBM[name]
    x = low(a, width)
    trailing = lowest_one(ones_below(width) - x, width), lowest_one(x, width)
    after = ran(f"8fe9{0xF8 if width == 64 else 0x78:02x}{opcode:02x}{0xC1 | digit << 3:02x}", {"rcx": a}, {})
    expected = low(oracle(x, *trailing, width), width)
    assert after["rax"] == expected
    assert after["cf"] == int((trailing[0] if carried == "t" else trailing[1]) == width)
    assert (after["zf"], after["sf"], after["of"]) == (int(expected == 0), expected >> width - 1, 0)


@given(crc=QUADWORD, data=QUADWORD, flags=STATUS)
def test_crc32(crc, data, flags):
    for text, size in (("f20f38f0c1", 1), ("66f20f38f1c1", 2), ("f20f38f1c1", 4), ("f2480f38f1c1", 8)):
        after = ran(text, {"rax": crc, "rcx": data}, flags)
        assert after["rax"] == remainder(low(crc, 32), low(data, 8 * size).to_bytes(size, "little"))
        assert_flags(after, flags, {}, touched=())


@pytest.mark.parametrize("width", WIDTHS)
@given(a=QUADWORD, b=QUADWORD, flags=STATUS)
def test_exchange_and_add(width, a, b, flags):
    after = ran(encoding(0xC0, width, "ca", "0f"), {"rdx": a, "rcx": b}, flags)  # xadd edx, ecx
    result, expected = added(low(a, width), low(b, width), 0, width)
    assert (after["rdx"], after["rcx"]) == (merged(a, result, width), merged(b, low(a, width), width))
    assert_flags(after, flags, expected, touched=())


@pytest.mark.parametrize("width", WIDTHS)
@given(a=QUADWORD, d=QUADWORD, c=QUADWORD, same=st.booleans(), flags=STATUS)
def test_compare_and_exchange_keeps_the_upper_half_of_what_it_does_not_change(width, a, d, c, same, flags):
    d = merged(d, low(a, width), width) if same else d
    after = ran(encoding(0xB0, width, "ca", "0f"), {"rax": a, "rdx": d, "rcx": c}, flags)  # cmpxchg edx, ecx
    equal = low(a, width) == low(d, width)
    if equal:
        assert (after["rax"], after["rdx"]) == (a, merged(d, low(c, width), width))
    else:
        assert (after["rax"], after["rdx"]) == (merged(a, low(d, width), width), d)
    assert_flags(after, flags, subtracted(low(a, width), low(d, width), 0, width)[1], touched=())
