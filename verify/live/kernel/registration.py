"""Which encodings the running kernel refuses to probe, and with which errno.

The file with the encodings is probed before it is mapped: then every probe is taken, and mapping it makes the kernel
analyse each instruction. Where it accepts one it writes an int3, which the mapping shows. The refused ones are asked
for again one by one, which yields the errno. Source: uprobe_mmap and install_breakpoint, kernel/events/uprobes.c, 6.18.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from verify.live.uprobe import Probes

INT3: Final = 0xCC
COPIED: Final = 16                                  # bytes that the kernel's decoder is given: MAX_UINSN_BYTES
STRIDE: Final = 32


@contextlib.contextmanager
def image(slots: Sequence[bytes]) -> Iterator[tuple[str, int]]:
    """A temporary file with the slots one behind another, on an ordinary filesystem: its path and descriptor."""
    descriptor, path = tempfile.mkstemp(prefix="ubp-verify-")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(b"".join(slots))
        yield path, descriptor
    finally:
        os.close(descriptor)
        os.unlink(path)


def map_executable(descriptor: int) -> mmap.mmap:
    """The file as this process maps a program's text."""
    return mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)


Mapped = Callable[[int], AbstractContextManager[object]]  # a mapping of a descriptor's file, while a context lasts


def refusals(shown: Sequence[bytes], mapped: Mapped = map_executable) -> list[int]:
    """The errno of the refusal of each 16-byte string, 0 where it is accepted; all probes are removed again.

    `mapped` is the mapping for which the kernel analyses the strings: its address space decides how.
    """
    offsets = [STRIDE * i for i in range(len(shown))]
    slots = [text.ljust(STRIDE, b"\x90") for text in shown]
    with image(slots) as (path, descriptor), Probes(len(shown)) as probes:
        with probes.attached(path, offsets), mapped(descriptor), map_executable(descriptor) as memory:
            doubtful = [i for i, text in enumerate(shown) if memory[offsets[i]] != INT3 or text[0] == INT3]
        with mapped(descriptor):
            answers = probes.refusals(path, [offsets[i] for i in doubtful])
    result = [0] * len(shown)
    for index, errno in zip(doubtful, answers, strict=True):
        result[index] = errno
    return result
