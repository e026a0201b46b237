"""Slots of a child taken by other threads, so that the next step gets a later one.

Decides nothing. Each thread runs a probed load from a page that userfaultfd(2) never gives it: it stays in the middle
of its step, in its slot, until the child ends. Source: xol_get_slot_nr (the lowest free slot), kernel/events/uprobes.c.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from functools import cache
from pathlib import Path
from typing import Final

from verify.live.kernel.child import READ_WRITE, SYS_MMAP, Tracee
from verify.live.ptrace import MAP_FIXED_NOREPLACE
from verify.live.uprobe_syscalls import system_call

BLOCKER: Final = b"\x8b\x06"                        # mov eax, [rsi]
MISSING_PAGE: Final = 0x2B00_0000
SYS_IOCTL, SYS_USERFAULTFD, USER_MODE_ONLY = 16, 323, 1
UFFD_API, UFFDIO_API, UFFDIO_REGISTER, MODE_MISSING = 0xAA, 0xC018_AA3F, 0xC020_AA00, 1    # linux/userfaultfd.h
SECONDS: Final = 10.0                               # for threads to come to their loads


@cache
def unavailable() -> str:
    """Why threads cannot be made to wait for a page here, as a phrase; empty where they can."""
    try:
        os.close(system_call(SYS_USERFAULTFD, USER_MODE_ONLY))
    except OSError as error:
        return f"userfaultfd(2) is refused here: {os.strerror(error.errno or 0)}"
    return ""


def occupy(child: Tracee, blocker: int, count: int) -> None:
    """Has `count` threads hang in the step of the probed load at the address `blocker`. Raises OSError."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
    child.system_call(SYS_MMAP, MISSING_PAGE, mmap.PAGESIZE, READ_WRITE, private, (1 << 64) - 1, 0)
    descriptor = child.system_call(SYS_USERFAULTFD, USER_MODE_ONLY)
    api, page = struct.pack("<QQQ", UFFD_API, 0, 0), struct.pack("<QQQQ", MISSING_PAGE, mmap.PAGESIZE, MODE_MISSING, 0)
    child.system_call(SYS_IOCTL, descriptor, UFFDIO_API, child.argument(api))
    child.system_call(SYS_IOCTL, descriptor, UFFDIO_REGISTER, child.argument(page))
    for _ in range(count):
        child.start_thread(blocker, MISSING_PAGE)
    deadline = time.monotonic() + SECONDS
    while hanging(child) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{hanging(child)} of {count} threads came to their load in {SECONDS:g} s")
        time.sleep(0.002)


def hanging(child: Tracee) -> int:
    """How many threads of the child wait for a page."""
    waits = Path(f"/proc/{child.pid}/task").glob("*/wchan")
    return sum(wait.read_text() == "handle_userfault" for wait in waits)
