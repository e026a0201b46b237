"""Instructions that `scan` finds, counted against objdump's, in every ELF file of some folders (`make objdump`).

Stated differences: what objdump calls `(bad)` or prints as a prefix alone is no instruction here; `scan` begins anew at
every function symbol, objdump goes on.  A file whose counts differ by more than TOLERATED is named.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from verify.elf import NotAnImage, read
from verify.models.x86.isa.forms import Cpu
from verify.survey.scan import _swept, everything

FOLDERS: Final = ("/usr/bin", "/usr/lib")
TOLERATED: Final = 0.001  # of the instructions of a file
LINE: Final = re.compile(rb"^ *[0-9a-f]+:\t[^\t]+\t(.+)$", re.M)
PREFIXES: Final = {b"data16", b"addr32", b"lock", b"rep", b"repz", b"repnz", b"cs", b"ds", b"es", b"ss", b"fs", b"gs"}


def ours(path: Path) -> int:
    """Instructions that `scan` would judge.  Raises NotAnImage."""
    image = read(path)
    found = _swept(image, everything(image), Cpu.AMD)
    return sum(map(len, (*found.places.values(), *found.written.values())))


def theirs(path: Path) -> int:
    """Lines of objdump that are instructions."""
    done = subprocess.run(["objdump", "-d", "-w", str(path)], capture_output=True, check=True)
    return sum(not _is_no_instruction(words) for words in LINE.findall(done.stdout))


def _is_no_instruction(words: bytes) -> bool:
    text = words.strip()
    return b"(bad)" in text or text in PREFIXES or text.startswith(b"rex")


def files(folders: tuple[str, ...], most: int) -> Iterator[Path]:
    """Regular files there that begin as ELF files do, each once."""
    seen = set[tuple[int, int]]()
    there = (p for folder in folders for p in sorted(Path(folder).rglob("*")))
    for path in (p for p in there if p.is_file() and not p.is_symlink()):
        status = path.stat()
        if (key := (status.st_dev, status.st_ino)) not in seen and status.st_size < most:
            seen.add(key)
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def main(folders: tuple[str, ...], most: int = 1 << 62) -> int:
    """Prints the files that differ, and the sums; whether one differs by too much."""
    count, sums, refused, wrong = 0, [0, 0], 0, 0
    for path in files(folders, most):
        try:
            one = ours(path)
        except NotAnImage as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
            continue
        other = theirs(path)
        count, sums = count + 1, [sums[0] + one, sums[1] + other]
        if abs(one - other) > TOLERATED * max(one, other):
            wrong += 1
            print(f"{path}: {one:,} instructions, objdump {other:,}", flush=True)
    print(f"{count:,} files, {sums[0]:,} instructions, objdump {sums[1]:,}; {wrong} differ, {refused} are no such code")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or FOLDERS))
