"""ELF files with wrong bytes: each is read, or refused in one line; nothing else happens (`make fuzz-elf`).

Changed are a small file made field by field and a program of this machine: random bytes, absurd numbers in headers,
cut short, blocks repeated.  Seeded: the same number finds the same file again.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from unit.elf.made import elf

from verify.elf import NotAnImage, read
from verify.survey.scan import entries, everything, static_probes

FILES: Final = 10_000
HEADERS: Final = 0x400  # bytes at the beginning in which most of what is read stands
LARGEST: Final = 1 << 20  # bytes of a program that is changed
ABSURD: Final = (0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)


def changed(data: bytes, random: Random) -> bytes:
    """The file with one to eight faults."""
    found = bytearray(data)
    for _ in range(random.randint(1, 8)):
        end = min(len(found), HEADERS) if random.random() < 0.5 else len(found)
        at = random.randrange(random.choice((end, len(found))) or 1)
        at = len(found) - random.randrange(1, HEADERS) if random.random() < 0.25 and len(found) > HEADERS else at
        match random.randrange(4):
            case 0:
                found[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                found[at : at + 8] = struct.pack("<Q", random.choice(ABSURD))
            case 2:
                del found[max(at, 64) :]
            case _:
                found[at : at + 64] = found[(here := random.randrange(len(found) or 1)) : here + 64]
    return bytes(found)


def outcome(path: Path) -> str:
    """What comes of a file: `read`, `refused`, or the fault that it is to find."""
    try:
        image = read(path)
        for span in (*everything(image), *entries(image), *static_probes(image)):
            str(image.at_address(span.section.address + span.start))
    except NotAnImage as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"several lines: {error}"
    except Exception:
        return traceback.format_exc()
    return "read"


def run(files: int, seed: int = 1) -> dict[str, int]:
    """How many files were read and refused; the other outcomes are faults."""
    seen = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        made = elf(Path(folder) / "made", bytes.fromhex("4889d8c5fe7f03c3f490"), (("first", 0, 8), ("second", 8, 2)))
        programs = [p for p in (Path(sys.executable), Path("/usr/bin/true")) if p.is_file()]
        originals = [made.read_bytes(), *(p.read_bytes() for p in programs if p.stat().st_size < LARGEST)]
        for number in range(files):
            random = Random(seed * files + number)
            path = Path(folder) / "changed"
            path.write_bytes(changed(random.choice(originals), random))
            found = outcome(path)
            seen[found if found in {"read", "refused"} else f"file {number}: {found}"] += 1
    return seen


if __name__ == "__main__":
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else FILES)
    for what, count in result.items():
        print(f"{count:,} {what}")
    sys.exit(bool(set(result) - {"read", "refused"}))
