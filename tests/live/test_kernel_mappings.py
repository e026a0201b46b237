"""In which mappings of a probed file the breakpoint is: `breakpoint-in-place`.

Source: valid_vma and uprobe_mmap, kernel/events/uprobes.c, Linux 6.18; expected values were seen on 6.18.44.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from verify.live.kernel.registration import image
from verify.live.uprobe_counters import PerfCounter

pytestmark = [pytest.mark.live, pytest.mark.needs("uprobes", "perf", "kernel")]
CODE = bytes.fromhex("4889f8c3")  # mov rax, rdi; ret
READ, WRITE, RUN = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
PRIVATE, SHARED = mmap.MAP_PRIVATE, mmap.MAP_SHARED
AFTER, BEFORE = False, True  # registered after the mapping has its final protection, before it is made
CASES = {  # flags, protection as mapped, as run, when registered -> whether there are hits
    "private": ((PRIVATE, READ | RUN, READ | RUN, AFTER), True),
    "private, probed first": ((PRIVATE, READ | RUN, READ | RUN, BEFORE), True),
    "shared": ((SHARED, READ | RUN, READ | RUN, AFTER), False),
    "writable": ((PRIVATE, READ | WRITE | RUN, READ | WRITE | RUN, AFTER), False),
    "once writable": ((PRIVATE, READ | WRITE, READ | RUN, BEFORE), False),
    "once writable, probed when it is no more": ((PRIVATE, READ | WRITE, READ | RUN, AFTER), True),
}
Case = tuple[int, int, int, bool]


@contextmanager
def mapped(descriptor: int, flags: int, made: int, run: int) -> Iterator[int]:
    """The address of a page of the file, mapped with one protection and then given another."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = mmap.PAGESIZE
    address = libc.mmap(None, ctypes.c_size_t(size), made, flags, descriptor, ctypes.c_long(0))
    assert address != ctypes.c_void_p(-1).value
    try:
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), run) == 0
        yield address
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def hits(case: Case) -> int:
    """Of one run, which ends as without a probe."""
    flags, made, run, probed_first = case
    with ExitStack() as stack:
        path, descriptor = stack.enter_context(image([CODE.ljust(mmap.PAGESIZE, b"\x90")]))
        steps = [lambda: PerfCounter(path, 0), lambda: mapped(descriptor, flags, made, run)]
        first, second = (stack.enter_context(step()) for step in (steps if probed_first else steps[::-1]))
        counter, address = (first, second) if probed_first else (second, first)
        assert ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(address)(7) == 7
        return counter.count()


@pytest.mark.parametrize("name", CASES)
def test_a_hit_is_reported_where_the_breakpoint_is_in_the_mapping_that_runs(name: str) -> None:
    case, is_hit = CASES[name]
    assert hits(case) == int(is_hit)
