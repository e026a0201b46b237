"""A child process with an empty address space in which single instructions run under ptrace.

Decides nothing: `Tracee.run` says where and how the child stopped. The child has the mappings of a `Space`: code (a
file, private), data pages (shared with this process), landing (hlt everywhere), and nothing else; every hlt that
control arrives at stops it. A child that does not stop is stopped by a watchdog; one that dies raises `ChildLost`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from verify.live.hiding import refuse
from verify.live.kernel_ptrace import (
    CONT,
    EXITKILL,
    GET_RSEQ,
    GETREGS,
    GETREGSET,
    GETSIGINFO,
    MAP_FIXED_NOREPLACE,
    NT_X86_XSTATE,
    REGISTERS,
    SETOPTIONS,
    SETREGS,
    SETREGSET,
    TRACEME,
    die_with_parent,
    map_at,
    trace_request,
)

CODE: Final = 0x2000_0000
DATA: Final = 0x2800_0000
DATA_SIZE: Final = 0x8000
LANDING: Final = 0x2900_0000
LANDING_SIZE: Final = 0x2000
HLT: Final = 0xF4
STUBS: Final = {"syscall": (0x1F00, b"\x0f\x05\xf4"), "cpuid": (0x1F10, b"\x0f\xa2\xf4")}
END_OF_USER_SPACE: Final = 0x7FFF_FFFF_F000

XSTATE_ROOM: Final = 16384
SYS_MMAP, SYS_MUNMAP, SYS_MPROTECT, SYS_RSEQ = 9, 11, 10, 334
READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
TICK: Final = 0.1                                   # seconds between two looks of the watchdog
SECONDS_TO_STOP, SECONDS_TO_KILL = 0.25, 2.0        # of CPU time in one run
WAITING_SHARE: Final = 0.05                         # what a second counts for that the child did not run


class ChildLost(RuntimeError):
    """The child died instead of stopping; the message has its wait status."""


@dataclass(frozen=True, slots=True)
class Stop:
    """How a run ended: signal, si_code, si_addr (64 bits), the 27 registers in `REGISTERS` order, the xsave image."""

    signal: int
    code: int
    address: int
    registers: tuple[int, ...]
    xstate: bytes


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@dataclass(frozen=True, slots=True)
class Space:
    """Where the child's regions lie, page-aligned addresses; `pages` are the data pages in the order of `data`."""

    code: int = CODE
    pages: tuple[int, ...] = tuple(range(DATA, DATA + DATA_SIZE, mmap.PAGESIZE))
    landing: int = LANDING

    def __post_init__(self) -> None:
        regions = (self.code, *self.pages, self.landing)
        usable = all(a % mmap.PAGESIZE == 0 and 0 <= a < END_OF_USER_SPACE for a in regions)
        if not usable or len(set(regions)) < len(regions):
            raise ValueError(f"regions must be distinct pages below {END_OF_USER_SPACE:#x}, got {[*map(hex, regions)]}")


STANDARD: Final = Space()


def _enter_child(landing_at: int, landing: int) -> None:
    """The forked child's part: map the landing region, let itself be traced, stop. Never returns to the interpreter."""
    try:
        die_with_parent()
        map_at(landing_at, LANDING_SIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, landing)
        trace_request(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
    finally:
        os._exit(4)


class Tracee:
    """One traced child; a context manager that ends it. `data` is its data region, shared, to be read and written."""

    def __init__(self, code: int, code_size: int, space: Space = STANDARD) -> None:
        self._code, self._code_size, self.space = code, code_size, space
        self._registers = ctypes.create_string_buffer(8 * len(REGISTERS))
        self._information = ctypes.create_string_buffer(128)
        self._image = ctypes.create_string_buffer(XSTATE_ROOM)
        self._vector = _Vector(ctypes.addressof(self._image), XSTATE_ROOM)
        self._running, self._stopped_run = 0, -1             # odd while a run lasts; the run that was stopped
        self._done = threading.Event()
        self.pid = 0

    def __enter__(self) -> Self:
        refuse("ptrace")
        shared = os.memfd_create("ubp-verify-data")
        landing = os.memfd_create("ubp-verify-landing")
        try:
            size = len(self.space.pages) * mmap.PAGESIZE
            os.ftruncate(shared, size)
            self.data = mmap.mmap(shared, size)
            os.write(landing, _landing_text())
            self._start(shared, landing)
        finally:
            os.close(shared)
            os.close(landing)
        return self

    def _start(self, shared: int, landing: int) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _enter_child(self.space.landing, landing)
        self._watchdog = threading.Thread(target=self._watch, daemon=True)
        self._watchdog.start()
        try:
            self._prepare(shared)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._watchdog.join()
        if self.pid:
            self._end()
        self.data.close()

    def _end(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            while not os.WIFSIGNALED(os.waitpid(self.pid, 0)[1]):
                pass
        except (ProcessLookupError, ChildProcessError):
            pass
        self.pid = 0

    def _prepare(self, shared: int) -> None:
        self._wait()
        trace_request(SETOPTIONS, self.pid, 0, EXITKILL)
        trace_request(GETREGS, self.pid, 0, ctypes.addressof(self._registers))
        self._template = list(struct.unpack("<27Q", self._registers.raw))
        self._leave_rseq()
        landing_end = self.space.landing + LANDING_SIZE
        self.system_call(SYS_MUNMAP, 0, self.space.landing)
        self.system_call(SYS_MUNMAP, landing_end, END_OF_USER_SPACE - landing_end)
        private, common = mmap.MAP_PRIVATE | MAP_FIXED_NOREPLACE, mmap.MAP_SHARED | MAP_FIXED_NOREPLACE
        execute = mmap.PROT_READ | mmap.PROT_EXEC
        self.system_call(SYS_MMAP, self.space.code, self._code_size, execute, private, self._code, 0)
        for number, page in enumerate(self.space.pages):
            at = number * mmap.PAGESIZE
            self.system_call(SYS_MMAP, page, mmap.PAGESIZE, READ_WRITE, common, shared, at)
        self.initial_xstate = self._read_xstate()

    def _leave_rseq(self) -> None:
        """Unregisters the rseq area, which the kernel would write to whenever it schedules the task."""
        area = ctypes.create_string_buffer(24)
        try:
            trace_request(GET_RSEQ, self.pid, 24, ctypes.addressof(area))
        except OSError:
            return
        pointer, size, signature, _, _ = struct.unpack("<QIIII", area.raw)
        if pointer:
            self.system_call(SYS_RSEQ, pointer, size, 1, signature)

    def _stub(self, name: str, **registers: int) -> dict[str, int]:
        values = {**dict(zip(REGISTERS, self._template, strict=True)), "orig_rax": (1 << 64) - 1, **registers}
        values["rip"] = self.space.landing + STUBS[name][0]
        stop = self.run(struct.pack("<27Q", *values.values()), None)
        return dict(zip(REGISTERS, stop.registers, strict=True))

    def system_call(self, number: int, *arguments: int) -> int:
        """The result of a system call made by the child (up to six arguments, 64 bits); OSError where it fails."""
        values = dict(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments, strict=False))
        result = self._stub("syscall", rax=number, **values)["rax"]
        if result > (1 << 64) - 4096:
            raise OSError((1 << 64) - result, f"system call {number} in the child")
        return result

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """eax, ebx, ecx, edx of CPUID as the child sees it."""
        seen = self._stub("cpuid", rax=leaf, rcx=subleaf)
        return seen["rax"], seen["rbx"], seen["rcx"], seen["rdx"]

    def protect_data(self, accessible: bool) -> None:
        """Makes the child's whole data region readable and writable, or inaccessible."""
        for page in self.space.pages:
            self.system_call(SYS_MPROTECT, page, mmap.PAGESIZE, READ_WRITE if accessible else 0)

    def run(self, registers: bytes, xstate: bytes | None) -> Stop:
        """Lets the child go on with these registers (and this xsave image) until it stops for any reason."""
        ctypes.memmove(self._registers, registers, len(registers))
        trace_request(SETREGS, self.pid, 0, ctypes.addressof(self._registers))
        if xstate is not None:
            ctypes.memmove(self._image, xstate, len(xstate))
            self._vector.base, self._vector.length = ctypes.addressof(self._image), len(xstate)
            trace_request(SETREGSET, self.pid, NT_X86_XSTATE, ctypes.addressof(self._vector))
        self._running += 1
        number, code, address = self._stop()
        while number == signal.SIGSTOP and self._stopped_run != self._running:      # meant for the run before
            number, code, address = self._stop()
        self._running += 1
        trace_request(GETREGS, self.pid, 0, ctypes.addressof(self._registers))
        image = b"" if xstate is None else self._read_xstate()
        return Stop(number, code, address, struct.unpack("<27Q", self._registers), image)

    def _stop(self) -> tuple[int, int, int]:
        """Lets the child go on; signal, si_code and si_addr of its stop."""
        trace_request(CONT, self.pid)
        self._wait()
        trace_request(GETSIGINFO, self.pid, 0, ctypes.addressof(self._information))
        number, _, code, _, address = struct.unpack_from("<iiiiQ", self._information)
        return number, code, address

    def _read_xstate(self) -> bytes:
        self._vector.base, self._vector.length = ctypes.addressof(self._image), XSTATE_ROOM
        trace_request(GETREGSET, self.pid, NT_X86_XSTATE, ctypes.addressof(self._vector))
        return ctypes.string_at(self._image, self._vector.length)

    def read_code(self) -> bytes:
        """The bytes of the code region as the child has them, breakpoints included."""
        descriptor = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        try:
            return os.pread(descriptor, self._code_size, self.space.code)
        finally:
            os.close(descriptor)

    def _wait(self) -> None:
        status = os.waitpid(self.pid, 0)[1]
        if not os.WIFSTOPPED(status):
            self.pid = 0
            raise ChildLost(f"the child ended with wait status {status:#x}")

    def _watch(self) -> None:
        """Stops a child that has spent some ticks of CPU time, or many of waiting, in one run; later kills it."""
        last, spent, before = 0, 0.0, 0.0
        while not self._done.wait(TICK):
            now, pid, cpu = self._running, self.pid, _cpu_seconds(self.pid)
            same = now == last and now & 1
            spent = spent + max(cpu - before, TICK * WAITING_SHARE) if same else 0.0
            last, before = now, cpu
            if pid and spent >= SECONDS_TO_KILL:
                os.kill(pid, signal.SIGKILL)
            elif pid and spent >= SECONDS_TO_STOP and self._stopped_run != now:
                self._stopped_run = now
                os.kill(pid, signal.SIGSTOP)


def _cpu_seconds(pid: int) -> float:
    """The CPU time that the child has used; 0 where it is gone. clock id of a process: clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime(~pid << 3 | 2) if pid else 0.0
    except OSError:
        return 0.0


def _landing_text() -> bytes:
    text = bytearray([HLT]) * LANDING_SIZE
    for offset, stub in STUBS.values():
        text[offset : offset + len(stub)] = stub
    return bytes(text)
