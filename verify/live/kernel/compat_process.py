"""A 32-bit process that has a file mapped, private and read-only, as long as a context lasts.

Decides nothing.  The program is an ELF file of 32 bits made here, without libc and without a compiler: it maps what is
its standard input, writes a byte to its standard output, and waits.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Final

BASE: Final = 0x0804_8000
HEADERS: Final = 52 + 2 * 32                # bytes of the ELF header and two program headers
PT_LOAD, PT_GNU_STACK = 1, 0x6474E551
CODE: Final = bytes.fromhex(
    "b8c0000000"                            # mov eax, 192        mmap2
    "31db" "b900001000" "ba01000000"        # address 0, a mebibyte, PROT_READ
    "be02000000" "31ff" "31ed" "cd80"       # MAP_PRIVATE, descriptor 0, offset 0
    "3d00f0ffff" "7720"                     # an error: exit
    "6a2e" "89e1" "b804000000"              # "." on the stack; mov eax, 4   write
    "bb01000000" "ba01000000" "cd80"        # descriptor 1, one byte
    "b81d000000" "cd80" "ebf7"              # mov eax, 29         pause, for ever
    "9090909090"
    "b801000000" "bb01000000" "cd80"        # mov eax, 1; exit with 1
)  # fmt: skip


class CompatUnavailable(RuntimeError):
    """This kernel runs no 32-bit programs, or the program could not map the file; the message says which."""


def program() -> bytes:
    """The ELF file: System V ABI, Intel386 supplement.

    The stack's header has no right to execute, since otherwise every mapping gets it (READ_IMPLIES_EXEC).
    """
    size = HEADERS + len(CODE)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, BASE + HEADERS, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", PT_LOAD, 0, BASE, BASE, size, size, 5, 4096)
    stack = struct.pack("<IIIIIIII", PT_GNU_STACK, 0, 0, 0, 0, 0, 6, 16)
    return ident + header + segment + stack + CODE


@contextlib.contextmanager
def mapped_in_32_bits(descriptor: int) -> Iterator[int]:
    """The process that has the file's first mebibyte mapped; behind the context it has ended.

    Raises CompatUnavailable.
    """
    with _executable() as path:
        try:
            process = subprocess.Popen([path], stdin=descriptor, stdout=subprocess.PIPE)
        except OSError as error:
            raise CompatUnavailable(f"32-bit programs do not run here: {error.strerror or error}") from error
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.read(1) != b".":
                raise CompatUnavailable(f"the 32-bit program ended with status {process.wait()}")
            yield process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def _executable() -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix="ubp-verify-")
    try:
        with open(descriptor, "wb") as file:
            file.write(program())
        os.chmod(path, 0o700)
        yield path
    finally:
        os.unlink(path)
