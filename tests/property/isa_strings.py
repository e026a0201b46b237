"""Seeded random byte strings that reach all corners of the decoder."""

from __future__ import annotations

from random import Random

PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x66\x66\x67\xf0\xf2\xf3\xf2\xf3\x40\x41\x42\x44\x48\x4f"
HEADS = (b"", b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a", b"\x0f\x0f")


def prefix_soup(rng: Random) -> bytes:
    """Up to six prefixes in any order, or none."""
    return bytes(rng.choice(PREFIXES) for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3, 6))))


def vector_head(rng: Random) -> bytes:
    """A VEX, XOP or EVEX prefix, mostly with legal map numbers."""
    kind = rng.randrange(4)
    if kind == 0:
        return bytes((0xC5, rng.randrange(256)))
    if kind == 1:
        return bytes((0xC4, rng.randrange(8) << 5 | rng.randrange(1, 4), rng.randrange(256) | rng.choice((0, 0x78))))
    if kind == 2:
        return bytes((0x8F, rng.randrange(8) << 5 | rng.randrange(8, 11), rng.randrange(256) | rng.choice((0, 0x78))))
    p2 = rng.randrange(256) & rng.choice((0xFF, 0xF8, 0x7F, 0x6F))
    p1 = rng.randrange(256) | 4 | rng.choice((0, 0x78))
    return bytes((0x62, rng.randrange(16) << 4 | rng.choice((1, 2, 3, 5, 6)), p1, p2 | rng.choice((0, 8))))


def random_string(rng: Random) -> bytes:
    """1 to 15 bytes: raw random, prefix soup and a map's head, a vector prefix, each sometimes cut short."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 16))
    head = vector_head(rng) if kind >= 5 else rng.choice(HEADS)
    whole = (prefix_soup(rng) if kind < 5 or rng.random() < 0.1 else b"") + head + rng.randbytes(15)
    return whole[: rng.randrange(1, 16)] if rng.random() < 0.1 else whole[:15]
