"""Litmus runs: a writer and a reader of code on two processors of this machine, and how often each outcome was seen.

Decides nothing about what may be seen; the caller compares. A run is plain data: the bytes of a site, the writer's and
the reader's actions. A forked child maps many copies of the site, pins one thread to each of two processors, and lets
them pass over the sites at the same time, again and again. The child ends after `seconds`, at the latest when killed.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import select
import signal
import struct
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from verify.live.litmus import stub
from verify.live.litmus.stub import Action
from verify.live.ptrace import set_handler
from verify.workers.parent import die_with_parent, forked

INT3: Final = -1
"""A call that ended in SIGTRAP."""
OTHER: Final = -2
"""A call that ended in another signal."""
PAGE: Final = 4096
NEAR: Final = 256  # bytes from site to site, unless the site lies at the end of a page
SITES: Final = 4096  # copies of the site
FAR_SITES: Final = 1024  # ... where each needs a page of its own
FILL: Final = 0xF4  # hlt: faults in user mode
GRACE: Final = 5.0  # seconds that a child has to come to its end
DELAYS: Final = (0, 0, 200, 2000, 20000)  # loop turns by which one side starts late
SIGNALS: Final = (signal.SIGTRAP, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)
SA_FLAGS: Final = 0x4400_0004  # SA_SIGINFO, SA_RESTORER, SA_NODEFER
Results = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LitmusRun:
    """One litmus test as data: `initial` code of a site at offset `at` of a page (0..4095), and the two programs.

    Actions of the writer: ("store", offset, bytes of 1, 2, 4 or 8), ("flag",), ("sync",), ("later",), ("preempt",).
    Of the reader: ("call",), ("flag",), ("load",), which give one result each, and ("serialise",).
    """

    initial: bytes
    writer: tuple[Action, ...]
    reader: tuple[Action, ...]
    at: int = 0

    @property
    def stride(self) -> int:
        """Bytes from one site to the next."""
        return NEAR if self.at + len(self.initial) <= NEAR else PAGE

    @property
    def sites(self) -> int:
        """Copies of the site."""
        return SITES if self.stride == NEAR else FAR_SITES

    @property
    def width(self) -> int:
        """Results of one pass over one site."""
        return sum(action[0] != "serialise" for action in self.reader)


@dataclass(frozen=True, slots=True)
class Observed:
    """How often each tuple of results was seen; `runs` in all, in `seconds`; `reason` if it ended before its number."""

    counts: tuple[tuple[Results, int], ...]
    runs: int
    seconds: float
    reason: str = ""


def unavailable() -> str:
    """Why litmus tests cannot run here; empty if they can."""
    if os.uname().machine != "x86_64" or os.uname().sysname != "Linux":
        return "needs Linux on x86-64"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two processors"
    if _membarrier(stub.REGISTER_SYNC_CORE) != 0:
        return "the kernel has no membarrier with core serialisation"
    try:
        mmap.mmap(-1, PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError as error:
        return f"memory cannot be both writable and executable: {error}"
    return ""


def observe(run: LitmusRun, runs: int = 1_000_000, seconds: float = 60.0, seed: int = 1) -> Observed:
    """Runs the test at least `runs` times (whole passes) unless `seconds` are over; in a child of its own.

    `seed` fixes which side starts late by how much; what the processors do is their own affair.
    """
    reading, writing = os.pipe()
    began = time.monotonic()
    child = forked()
    if child == 0:
        _child(run, runs, seconds, seed, writing)
    os.close(writing)
    text = _read(reading, began + seconds + GRACE)
    os.close(reading)
    if not text:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    took = time.monotonic() - began
    if not text:
        return Observed((), 0, took, f"the child gave no result (wait status {status:#x})")
    found = json.loads(text)
    counts = tuple((tuple(results), number) for results, number in found["counts"])
    return Observed(counts, sum(number for _, number in counts), took, found["reason"])


def _read(source: int, deadline: float) -> bytes:
    """Everything that the child writes until it closes its end; nothing if it does not in time."""
    parts: list[bytes] = []
    while select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(source, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""


# --- the child --------------------------------------------------------------------------------------------------------
def _child(run: LitmusRun, runs: int, seconds: float, seed: int, result: int) -> NoReturn:
    try:
        random.seed(seed)
        counts, reason = _passes(run, runs, seconds)
        rows = [[list(results), number] for results, number in counts.items()]
        _write(result, json.dumps({"counts": rows, "reason": reason}).encode())
    except BaseException as error:  # the child must never run the parent's code
        _write(result, json.dumps({"counts": [], "reason": f"{type(error).__name__}: {error}"}).encode())
    finally:
        os._exit(0)


def _write(result: int, text: bytes) -> None:
    while text:
        text = text[os.write(result, text) :]


def _passes(run: LitmusRun, runs: int, seconds: float) -> tuple[Counter[Results], str]:
    """Passes until there are enough runs, or no more time."""
    die_with_parent()
    if _membarrier(stub.REGISTER_SYNC_CORE) != 0:
        return Counter(), "membarrier cannot be registered"
    ground = _Ground(run)
    first, second = sorted(os.sched_getaffinity(0))[:2]
    threading.Thread(target=ground.read, args=(second,), daemon=True).start()
    os.sched_setaffinity(0, {first})
    words: Counter[Results] = Counter()
    reason, deadline = "", time.monotonic() + seconds
    while not reason and words.total() < runs:
        words.update(ground.write())
        reason = f"{seconds:.1f} s were over" if time.monotonic() > deadline else ""
    counts: Counter[Results] = Counter()
    for raw, number in words.items():
        counts[tuple(map(_named, raw))] += number
    return counts, reason if words.total() < runs else ""


class _Ground:
    """The mapped memory of a child: sites, shared page, output and stubs; owns nothing beyond the child."""

    def __init__(self, run: LitmusRun) -> None:
        self.run = run
        self.ready = threading.Semaphore(0)
        self.size = run.sites * run.stride + PAGE
        self.code, self.sites = _map(self.size)
        self.shared, self.page = _map(stub.FLAGS + run.sites * stub.FLAG_STRIDE)
        self.output, results = _map(run.sites * run.width * 8)
        self.image = _image(run, self.size)
        place = stub.Place(self.page, self.sites + run.at, run.stride, run.sites)
        self.writer = _function(stub.writer_pass(run.writer, place))
        self.reader = _function(stub.reader_pass(run.reader, place, results))
        handler, restorer = _placed(stub.HANDLER), _placed(stub.RESTORER)
        for number in SIGNALS:
            set_handler(number, handler, SA_FLAGS, restorer)
        set_handler(stub.HELD_SIGNAL, _placed(stub.HOLD), SA_FLAGS, restorer)

    def read(self, processor: int) -> None:
        """The reader's thread: one pass after another, for ever."""
        os.sched_setaffinity(0, {processor})
        struct.pack_into("<II", self.shared, stub.TASK, os.getpid(), threading.get_native_id())
        while True:
            self.ready.acquire()  # asleep while the writer's thread counts: it needs a processor too
            self.reader()

    def write(self) -> zip[Results]:
        """One pass of both over clean sites; the words of the results, a tuple a site."""
        ctypes.memmove(self.sites, self.image, self.size)
        self.shared[stub.FLAGS :] = bytes(len(self.shared) - stub.FLAGS)
        struct.pack_into("<I", self.shared, stub.DELAY_WRITER, random.choice(DELAYS))
        struct.pack_into("<I", self.shared, stub.DELAY_READER, random.choice(DELAYS))
        self.ready.release()
        self.writer()
        words = array("Q", self.output[: self.run.sites * self.run.width * 8])
        return zip(*(words[first :: self.run.width] for first in range(self.run.width)), strict=True)


def _image(run: LitmusRun, size: int) -> bytes:
    """All sites as they are before a pass."""
    clean = bytearray(bytes((FILL,)) * size)
    for start in range(run.at, run.at + run.sites * run.stride, run.stride):
        clean[start : start + len(run.initial)] = run.initial
    return bytes(clean)


def _named(word: int) -> int:
    """The result that a word of the output stands for."""
    if word < stub.SIGNALLED:
        return word
    return INT3 if word - stub.SIGNALLED == signal.SIGTRAP else OTHER


def _map(size: int) -> tuple[mmap.mmap, int]:
    """Zeroed memory for everything, and its address."""
    memory = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


_kept: list[mmap.mmap] = []  # what machine code lies in must outlive every call


def _placed(code: bytes) -> int:
    """The address of a copy of the code."""
    memory, address = _map(len(code))
    memory[: len(code)] = code
    _kept.append(memory)
    return address


def _function(code: bytes) -> Callable[[], object]:
    return ctypes.CFUNCTYPE(None)(_placed(code))


def _membarrier(command: int) -> int:
    return int(ctypes.CDLL(None).syscall(stub.SYS_MEMBARRIER, command, 0, 0))
