"""A relocator in a shared library, asked as any program: run as `python -m verify.survey.library_child FILE.so`.

The library has `int relocate(const uint8_t *bytes, size_t length, uint64_t origin, uint64_t slot, uint8_t *code, size_t
room)`: how many bytes of code it wrote, or a negative number where it refuses.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Final

ROOM: Final = 256  # bytes
NAME: Final = "relocate"


def serve(path: str) -> None:
    """Answers every line of standard input.  OSError and AttributeError where the library has no such function."""
    function = getattr(ctypes.CDLL(os.path.abspath(path)), NAME)
    function.restype = ctypes.c_int
    function.argtypes = (
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t,
    )  # fmt: skip
    code = ctypes.create_string_buffer(ROOM)
    for line in sys.stdin:
        said = json.loads(line)
        data = bytes.fromhex(said["bytes"])
        size = function(data, len(data), said["origin"], said["slot"], code, ROOM)
        answer = {"refused": str(size)} if size < 0 else {"code": code.raw[: min(size, ROOM)].hex()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
