"""What integer instructions compute, on Python integers and bit by bit, after the manual's own loops and definitions.

An oracle maps the operands to the result and the flags that the manual defines; flags it leaves out are kept or
undefined.  SDM vol. 2, "Operation" and "Flags Affected" of each page; AMD APM vol. 3 for TBM.
"""

from __future__ import annotations

from collections.abc import Mapping

Flags = Mapping[str, int]
Result = tuple[int, dict[str, int]]


def signed(value: int, width: int) -> int:
    """value as two's complement."""
    return value - (1 << width) if value >> (width - 1) else value


def bit_list(value: int, width: int) -> list[int]:
    """Bits, lowest first."""
    return [int(c) for c in reversed(f"{value:0{width}b}")]


def from_bits(listed: list[int]) -> int:
    """The inverse of bit_list."""
    return int("".join(str(b) for b in reversed(listed)), 2)


def by_result(result: int, width: int) -> dict[str, int]:
    """sf, zf and pf."""
    return {
        "zf": int(result == 0),
        "sf": int(signed(result, width) < 0),
        "pf": int(f"{result & 0xFF:b}".count("1") % 2 == 0),
    }


def out_of_range(value: int, width: int) -> int:
    """Whether a signed value does not fit."""
    return int(not -(1 << width - 1) <= value < 1 << width - 1)


def added(a: int, b: int, carry: int, width: int) -> Result:
    """add and adc."""
    result = (a + b + carry) % (1 << width)
    overflow = out_of_range(signed(a, width) + signed(b, width) + carry, width)
    half = int(a % 16 + b % 16 + carry > 15)
    return result, {"cf": int(a + b + carry >= 1 << width), "af": half, "of": overflow, **by_result(result, width)}


def subtracted(a: int, b: int, borrow: int, width: int) -> Result:
    """sub, sbb and cmp."""
    result = (a - b - borrow) % (1 << width)
    overflow = out_of_range(signed(a, width) - signed(b, width) - borrow, width)
    half = int(a % 16 < b % 16 + borrow)
    return result, {"cf": int(a < b + borrow), "af": half, "of": overflow, **by_result(result, width)}


def logic(result: int, width: int) -> Result:
    """and, or, xor, test."""
    return result, {"cf": 0, "of": 0, **by_result(result, width)}


def shifted(name: str, a: int, count: int, width: int) -> Result:
    """shl, shr, sar one bit at a time; a masked count that is not 0."""
    listed, cf, top = bit_list(a, width), 0, a >> width - 1
    for _ in range(count):
        if name == "shl":
            cf, listed = listed[-1], [0, *listed[:-1]]
        else:
            cf, listed = listed[0], [*listed[1:], top if name == "sar" else 0]
    result = from_bits(listed)
    flags = by_result(result, width)
    if name == "sar" or count < width:
        flags["cf"] = cf
    if count == 1:
        flags["of"] = {"shl": listed[-1] ^ cf, "shr": top, "sar": 0}[name]
    return result, flags


def rotated(name: str, a: int, count: int, cf: int, width: int) -> Result:
    """rol, ror, rcl, rcr one bit at a time; a masked count that is not 0."""
    listed = bit_list(a, width)
    for _ in range(count):
        out = listed[-1] if name in {"rol", "rcl"} else listed[0]
        into = cf if name in {"rcl", "rcr"} else out
        listed = [into, *listed[:-1]] if name in {"rol", "rcl"} else [*listed[1:], into]
        cf = out
    flags = {"cf": cf}
    if count == 1:
        flags["of"] = listed[-1] ^ (cf if name in {"rol", "rcl"} else listed[-2])
    return from_bits(listed), flags


def double_shifted(name: str, a: int, b: int, count: int, width: int) -> Result:
    """shld and shrd one bit at a time; 0 < count <= width."""
    listed, fill, cf = bit_list(a, width), bit_list(b, width), 0
    for _ in range(count):
        if name == "shld":
            cf, listed, fill = listed[-1], [fill[-1], *listed[:-1]], [0, *fill[:-1]]
        else:
            cf, listed, fill = listed[0], [*listed[1:], fill[0]], [*fill[1:], 0]
    result = from_bits(listed)
    flags = {"cf": cf, **by_result(result, width)}
    if count == 1:
        flags["of"] = (a >> width - 1) ^ listed[-1]
    return result, flags


def deposited(value: int, mask: int, width: int) -> int:
    """pdep."""
    result, k = 0, 0
    for m in range(width):
        if mask >> m & 1:
            result |= (value >> k & 1) << m
            k += 1
    return result


def extracted(value: int, mask: int, width: int) -> int:
    """pext."""
    chosen = [value >> m & 1 for m in range(width) if mask >> m & 1]
    return sum(b << k for k, b in enumerate(chosen))


def field(value: int, control: int, width: int) -> int:
    """bextr."""
    start, length = control & 0xFF, control >> 8 & 0xFF
    return sum(b << i for i, b in enumerate(bit_list(value, width)[start : start + length]))


def lowest_one(value: int, width: int) -> int:
    """How many zeros lie below the lowest one; the width for 0."""
    return [*bit_list(value, width), 1].index(1)


def zeros_above(value: int, width: int) -> int:
    """How many zeros lie above the highest one; the width for 0."""
    return width - value.bit_length()


def remainder(crc: int, data: bytes) -> int:
    """CRC-32C by polynomial division of bit-reflected strings (RFC 3720, B.4), without inversions."""
    for byte in data:
        for position in range(8):
            top = (crc ^ byte >> position) & 1
            crc >>= 1
            if top:
                crc ^= int(f"{0x1EDC6F41:032b}"[::-1], 2)
    return crc
