"""Every opcode header of the 64-bit space against the decoder library, for a make target: 130 million, half an hour.

Legacy: prefix sets x REX x map x opcode x ModRM.  VEX, XOP and EVEX: payloads x opcode x ModRM classes.  Prints how
many headers agreed and ends with status 1 at the first that does not.  `--share N` takes every Nth header: 97 takes
half a minute.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "property"), str(Path(__file__).parent.parent)]

from test_isa_partition import check  # noqa: E402 - found through the path above

from verify.models.x86.isa.rows import Cpu  # noqa: E402

PREFIXES = (b"", b"\x66", b"\xf2", b"\xf3", b"\x67", b"\x66\xf2", b"\xf3\x66", b"\xf0", b"\x64\x67", b"\x67\xf3")
MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
MODRM_CLASSES = (0x00, 0x04, 0x05, 0x0B, 0x1D, 0x25, 0x43, 0x44, 0x8B, 0x94, 0xC0, 0xC8, 0xD1, 0xDB, 0xE4, 0xED, 0xF6,
                 0xFF)  # fmt: skip
TAIL = bytes(12)


def legacy() -> Iterator[bytes]:
    """10 prefix sets x 17 REX values x 4 maps x 256 opcodes x 256 ModRM bytes."""
    rexes = (b"", *(bytes((r,)) for r in range(0x40, 0x50)))
    for prefix, rex, table, opcode in itertools.product(PREFIXES, rexes, MAPS, range(256)):
        head = prefix + rex + table + bytes((opcode,))
        for modrm in range(256):
            yield head + bytes((modrm,)) + TAIL


def vex() -> Iterator[bytes]:
    """All second payload bytes of C5; all of the last byte of C4 and 8F, over R, X, B and the maps in use."""
    for last, opcode, modrm in itertools.product(range(256), range(256), MODRM_CLASSES):
        yield bytes((0xC5, last, opcode, modrm)) + TAIL
        for bits in (0xE0, 0xC0, 0x00):
            for table in (1, 2, 3, 7):
                yield bytes((0xC4, bits | table, last, opcode, modrm)) + TAIL
            for table in (8, 9, 10):
                yield bytes((0x8F, bits | table, last, opcode, modrm)) + TAIL


def evex() -> Iterator[bytes]:
    """All P2 bytes, P1 with each W, pp and two vvvv, over the maps 1 to 7."""
    payload = itertools.product((1, 2, 3, 4, 5, 6, 7), (0xF0, 0x60), (0x78, 0x40), (0, 0x80), range(4), range(256))
    for (table, rxb, vvvv, w, pp, p2), opcode in itertools.product(payload, range(256)):
        head = bytes((0x62, rxb | table, w | vvvv | 4 | pp, p2, opcode))
        for modrm in (0xCA, 0x0B, 0x0D, 0x44):
            yield head + bytes((modrm,)) + TAIL


def main() -> int:
    """Exit status 0 where every header agreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=int, default=1, help="take every Nth header")
    parser.add_argument("--cpu", choices=[c.value for c in Cpu], default=Cpu.INTEL.value)
    options = parser.parse_args()
    cpu, share = Cpu(options.cpu), options.share
    for name, source in (("legacy", legacy()), ("vex", vex()), ("evex", evex())):
        kinds: Counter[str] = Counter()
        for data in itertools.islice(source, 0, None, share):
            kinds[check(data[:15], cpu)] += 1
        sys.stdout.write(f"{name}: {sum(kinds.values())} headers, {dict(kinds)}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
