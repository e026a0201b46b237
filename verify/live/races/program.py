"""The child process of a race scenario: maps the program's file, runs its functions in threads, forks and unmaps.

Decides nothing. Everything that is counted lies in a `Board` shared with the parent, so that it outlives a child that
is killed. A thread runs machine code only (the interpreter's lock is released); signal handlers are machine code too.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable
from typing import Final

from verify.live.ptrace import map_at, set_handler
from verify.live.races.code import BASE, DRIVER_AT, FIELDS, FUNCTION_AT, HELD, PAGE, SITES, SIZE
from verify.live.uprobe_syscalls import system_call
from verify.workers.parent import die_with_parent, forked

WORDS: Final = ("stop", "ready", "handled", "handler", "handler_wrong", "entered", "released", "children", "failed",
                "pid", "errno", "rounds", "lost", "datum")  # fmt: skip
"""Words of the board beside the blocks. handled, handler, handler_wrong stand together: the handler `counted` uses
them; entered and released too: `waiting` does."""
BLOCKS: Final = 192
MESSAGE: Final = 1024  # bytes of the board for the message of a child that failed
FOREVER: Final = 1 << 62
COUNTED_SIGNAL: Final = signal.SIGRTMIN + 5
SA_FLAGS: Final = 0x1400_0004  # SA_SIGINFO, SA_RESTORER, SA_RESTART
SYS_MUNMAP, SYS_MREMAP = 11, 25
MREMAP_MAYMOVE_FIXED: Final = 3
SYS_USERFAULTFD: Final = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04  # include/uapi/linux/userfaultfd.h
UFFD_API, MISSING = 0xAA, 1
STACK: Final = 1 << 16
EXECUTABLE: Final = mmap.PROT_READ | mmap.PROT_EXEC
ELSEWHERE: Final = BASE + (1 << 20)  # where moved text goes


class Board:
    """Counters shared by parent and children, 64 bits each: `WORDS` by name, and `BLOCKS` blocks of `FIELDS`."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4 * PAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._words = memoryview(self._memory).cast("Q")

    def get(self, name: str) -> int:
        """The value of a word."""
        return int(self._words[WORDS.index(name)])

    def set(self, name: str, value: int) -> None:
        """Sets a word."""
        self._words[WORDS.index(name)] = value

    def add(self, name: str, value: int = 1) -> None:
        """Adds to a word that only one process writes."""
        self.set(name, self.get(name) + value)

    def clear(self) -> None:
        """Sets everything to zero."""
        self._memory[:] = bytes(len(self._memory))

    def word_address(self, name: str) -> int:
        """Where a word lies, in parent and children alike."""
        return self.address + 8 * WORDS.index(name)

    def block_address(self, index: int) -> int:
        """Where a block lies."""
        if not 0 <= index < BLOCKS:
            raise ValueError(f"a block is 0..{BLOCKS - 1}, got {index}")
        return self.address + PAGE + 8 * len(FIELDS) * index

    def field(self, index: int, name: str) -> int:
        """A field of a block."""
        return int(self._words[(self.block_address(index) - self.address) // 8 + FIELDS.index(name)])

    def prepare(self, index: int, function: int, more: int) -> None:
        """Lets the block's loop call `function` (an address) so many times more; counts go on."""
        fields = {"limit": min(self.field(index, "calls") + more, FOREVER), "function": function,
                  "stop": self.word_address("stop"), "gate": self.word_address("entered")}  # fmt: skip
        for name, value in fields.items():
            self._words[(self.block_address(index) - self.address) // 8 + FIELDS.index(name)] = value

    def total(self, name: str) -> int:
        """A field summed over all blocks."""
        return sum(self.field(index, name) for index in range(BLOCKS))

    def leave_message(self, text: str) -> None:
        """Keeps the end of a text for the parent."""
        data = text.encode()[-MESSAGE:]
        self._memory[PAGE - MESSAGE : PAGE] = data.rjust(MESSAGE, b"\0")

    def message(self) -> str:
        """What a child left; empty where none did."""
        return bytes(self._memory[PAGE - MESSAGE : PAGE]).lstrip(b"\0").decode(errors="replace")

    def calls(self) -> tuple[int, ...]:
        """Calls done, by block."""
        return tuple(self.field(index, "calls") for index in range(BLOCKS))


class RaceProgram:
    """What a child does with the mapped file; made in the child."""

    def __init__(self, path: str, board: Board) -> None:
        self.path, self.board = path, board
        for offset in range(0, SIZE, PAGE):
            self.map_page(offset)
        pointer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._loop, self._vforked, self._cloned = (
            pointer(BASE + DRIVER_AT[name]) for name in ("loop", "vforked", "cloned")
        )
        self._pages = -1  # the descriptor of userfaultfd
        self._stack = mmap.mmap(-1, STACK)
        self._stack_end = ctypes.addressof(ctypes.c_char.from_buffer(self._stack)) + STACK

    def map_page(self, offset: int, base: int = BASE) -> None:
        """Maps one page of the file at its place, as an opening of its own: it is not merged with its neighbours."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            map_at(base + offset, PAGE, EXECUTABLE, mmap.MAP_PRIVATE, descriptor, offset)
        finally:
            os.close(descriptor)

    def call(self, index: int, function: str, more: int = FOREVER, base: int = BASE) -> None:
        """Calls the function again and again in this thread, until the limit or the stop flag."""
        self.board.prepare(index, base + FUNCTION_AT[function], more)
        self._loop(self.board.block_address(index), 0)

    def threads(self, count: int, function: str, more: int = FOREVER) -> list[threading.Thread]:
        """Starts `count` threads that call the function, with the first blocks; none begins before all are there."""
        gate = threading.Event()

        def begin(index: int) -> None:
            gate.wait()
            self.call(index, function, more)

        rows = [threading.Thread(target=begin, args=(index,), daemon=True) for index in range(count)]
        for row in rows:
            row.start()
        gate.set()
        return rows

    def handle(self, number: int, handler: str) -> None:
        """Sets a machine-code handler for a signal, for all threads."""
        set_handler(number, BASE + DRIVER_AT[handler], SA_FLAGS, BASE + DRIVER_AT["restorer"])

    def forked(self, body: Callable[[], int]) -> int:
        """The pid of a child of this child; it ends with what `body` returns, 99 on an exception."""
        pid = forked()
        if pid:
            return pid
        status = 99
        try:
            die_with_parent()
            status = body()
        finally:
            os._exit(status)

    def called(self, index: int, function: str, more: int, base: int = BASE) -> int:
        """Calls in this process; the exit status: 0 where every result was right."""
        wrong = self.board.field(index, "wrong")
        self.call(index, function, more, base)
        return 0 if self.board.field(index, "wrong") == wrong else 3

    def vforked(self, index: int, function: str, more: int) -> int:
        """The pid of a vfork child that calls the function; it has ended when this returns."""
        self.board.prepare(index, BASE + FUNCTION_AT[function], more)
        return int(self._vforked(self.board.block_address(index), 0))

    def cloned(self, index: int, function: str, more: int) -> int:
        """The pid of a child that shares the address space and calls the function."""
        self.board.prepare(index, BASE + FUNCTION_AT[function], more)
        return int(self._cloned(self.board.block_address(index), self._stack_end))

    def reap(self, pid: int) -> None:
        """Waits for a child and counts it; `failed` has the number and the last of other statuses than 0.

        `lost` is how many of these died of SIGSEGV.
        """
        self.board.add("children")
        status = os.waitpid(pid, 0)[1]
        if status:
            self.board.add("lost", os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV)
            self.board.set("failed", (self.board.get("failed") & ~0xFFFF) + 0x1_0000 | status & 0xFFFF)

    def hold(self) -> None:
        """Makes the page HELD one that threads wait for; raises OSError without userfaultfd."""
        map_at(HELD, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
        self._pages = system_call(SYS_USERFAULTFD, os.O_CLOEXEC)
        fcntl.ioctl(self._pages, UFFDIO_API, struct.pack("<QQQ", UFFD_API, 0, 0))
        fcntl.ioctl(self._pages, UFFDIO_REGISTER, struct.pack("<QQQQ", HELD, PAGE, MISSING, 0))

    def release(self) -> None:
        """Lets all threads that wait for the page go on."""
        fcntl.ioctl(self._pages, UFFDIO_ZEROPAGE, struct.pack("<QQQq", HELD, PAGE, 0, 0))

    def unmap_sites(self) -> None:
        """Unmaps the page with the probed functions."""
        system_call(SYS_MUNMAP, BASE + SITES, PAGE)

    def move_sites(self) -> None:
        """Moves the page with the probed functions to ELSEWHERE."""
        system_call(SYS_MREMAP, BASE + SITES, PAGE, PAGE, MREMAP_MAYMOVE_FIXED, ELSEWHERE + SITES)

    def unmap_moved(self) -> None:
        """Unmaps what was moved."""
        system_call(SYS_MUNMAP, ELSEWHERE + SITES, PAGE)
