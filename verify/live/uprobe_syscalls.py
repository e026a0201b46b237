"""The bpf(2) calls that set and remove uprobes, through ctypes.

Decides nothing: a refusal is an OSError with the kernel's errno. Structures: include/uapi/linux/bpf.h of
Linux 6.6 and later (BPF_TRACE_UPROBE_MULTI), x86-64 only.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ENOTSUPP: Final = 524                           # kernel-internal errno that reaches user space from uprobe_register
SYS_BPF: Final = 321
MAP_CREATE, PROG_LOAD, LINK_CREATE = 0, 5, 28
MAP_TYPE_ARRAY, MAP_MMAPABLE = 2, 1 << 10
PROG_TYPE_KPROBE: Final = 2
TRACE_UPROBE_MULTI: Final = 48
MULTI_RETURN: Final = 1                         # BPF_F_UPROBE_MULTI_RETURN
SYS_PERF_EVENT_OPEN, PERF_CLOSE_ON_EXEC = 298, 8
PERF_ATTRIBUTES: Final = 128                    # bytes of perf_event_attr, include/uapi/linux/perf_event.h
GET_ATTACH_COOKIE, MAP_LOOKUP_ELEM = 174, 1     # BPF helper numbers
UPROBE_PMU: Final = Path("/sys/bus/event_source/devices/uprobe")

_libc: Final = ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char]) -> int:
    """The result of a raw system call (arguments 64 bits or buffers); raises OSError with its errno."""
    words = [ctypes.c_uint64(a) if isinstance(a, int) else a for a in arguments]
    _libc.syscall.restype = ctypes.c_long
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, "ENOTSUPP" if errno == ENOTSUPP else os.strerror(errno))
    return result


def _bpf(command: int, attributes: bytes) -> int:
    return system_call(SYS_BPF, command, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))


def create_counters(entries: int) -> int:
    """The descriptor of a new array of `entries` 8-byte counters that can be mapped."""
    return _bpf(MAP_CREATE, struct.pack("<IIIII", MAP_TYPE_ARRAY, 4, 8, entries, MAP_MMAPABLE))


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, destination | source << 4, offset, immediate)


def _counting_program(counters: int) -> bytes:
    """counters[attach cookie] += 1; return 0."""
    rows = (
        (0x85, 0, 0, 0, GET_ATTACH_COOKIE),
        (0x63, 10, 0, -4),                      # *(u32 *)(r10 - 4) = r0
        (0xBF, 2, 10),
        (0x07, 2, 0, 0, -4),                    # r2 = r10 - 4
        (0x18, 1, 1, 0, counters), (0,),        # r1 = map
        (0x85, 0, 0, 0, MAP_LOOKUP_ELEM),
        (0x15, 0, 0, 2, 0),                     # if r0 == 0 skip two
        (0xB7, 1, 0, 0, 1),
        (0xDB, 0, 1),                           # lock *(u64 *)r0 += r1
        (0xB7, 0), (0x95,),
    )
    return b"".join(_instruction(*row) for row in rows)


def load_counting_program(counters: int) -> int:
    """The descriptor of a program that counts each probe's hits under its cookie; OSError where forbidden."""
    text = _counting_program(counters)
    program, licence = ctypes.create_string_buffer(text, len(text)), ctypes.create_string_buffer(b"GPL")
    where = (ctypes.addressof(program), ctypes.addressof(licence))
    head = struct.pack("<IIQQIIQII", PROG_TYPE_KPROBE, len(text) // 8, *where, 0, 0, 0, 0, 0)
    return _bpf(PROG_LOAD, head + struct.pack("<16sII", b"hits", 0, TRACE_UPROBE_MULTI))


def link_uprobes(
    program: int, path: str, offsets: Sequence[int], cookies: Sequence[int], returning: bool = False
) -> int:
    """The descriptor of a link that probes every file offset (or returns from there); closing it removes the probes.

    Raises OSError where one of them is refused: then none is set.
    """
    count = len(offsets)
    name = ctypes.create_string_buffer(path.encode())
    places, numbers = (ctypes.c_uint64 * count)(*offsets), (ctypes.c_uint64 * count)(*cookies)
    pointers = (ctypes.addressof(name), ctypes.addressof(places), 0, ctypes.addressof(numbers))
    multi = struct.pack("<QQQQIII", *pointers, count, MULTI_RETURN * returning, 0)
    return _bpf(LINK_CREATE, struct.pack("<IIII", program, 0, TRACE_UPROBE_MULTI, 0) + multi)


def open_perf_counter(path: str, offset: int, cpu: int) -> int:
    """The descriptor of a perf event that counts hits of any process on one CPU: eight bytes when read; OSError."""
    name = ctypes.create_string_buffer(path.encode())
    kind = int((UPROBE_PMU / "type").read_text())
    attributes = struct.pack("<IIQQQQQII", kind, PERF_ATTRIBUTES, 0, 0, 0, 0, 0, 0, 0)
    attributes += struct.pack("<QQ", ctypes.addressof(name), offset)
    buffer = ctypes.create_string_buffer(attributes, PERF_ATTRIBUTES)
    nobody = (1 << 64) - 1
    return system_call(SYS_PERF_EVENT_OPEN, buffer, nobody, cpu, nobody, PERF_CLOSE_ON_EXEC)
