"""A child process with an empty address space in which single instructions run under ptrace.

Decides nothing: `Tracee.run` says where and how the child stopped. The child has the mappings of a `AddressSpace`:
code (a file, private), data pages (shared with this process), landing (hlt everywhere), a signal stack, and nothing
else; every hlt that control arrives at stops it. A child that does not stop is stopped by a watchdog; one that dies
raises `ChildLost`. Its handler for faults and traps is one ud2 in the landing region: a run that lets signals be
delivered ends there, with the signal frame that the kernel built for the program on the signal stack.
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
from verify.live.ptrace import (
    CONT,
    EXITKILL,
    GET_RSEQ,
    GETREGS,
    GETREGSET,
    GETSIGINFO,
    MAP_FIXED_NOREPLACE,
    NT_X86_XSTATE,
    REGISTERS,
    RSP,
    SETOPTIONS,
    SETREGS,
    SETREGSET,
    TRACEME,
    map_at,
    trace_request,
)
from verify.models.x86.mode import USER_64
from verify.workers.parent import die_with_parent, forked

CODE: Final = 0x2000_0000
DATA: Final = 0x2800_0000
DATA_SIZE: Final = 0x8000
LANDING: Final = 0x2900_0000
LANDING_SIZE: Final = 0x2000
RSEQ_SIGNATURE: Final = 0x5305_3053
READ_ONLY_PAGES: Final = 6                          # the operands' pages and the one below the stack pointer
HLT: Final = 0xF4
STUBS: Final = {"syscall": (0x1F00, b"\x0f\x05\xf4"), "cpuid": (0x1F10, b"\x0f\xa2\xf4"),
                "handler": (0x1F20, b"\x0f\x0b"), "popf": (0x1F30, b"\x9d\xf4"),
                "abort": (0x1F40, RSEQ_SIGNATURE.to_bytes(4, "little") + b"\xf4"),
                "clone": (0x1F50, bytes.fromhex("0f0585c07401f4ffe3"))}     # the new thread goes to rbx
SIGNAL_STACK: Final = 0x2A00_0000
SIGNAL_STACK_SIZE: Final = 0x4000
RSEQ_AREA: Final = 0x400                            # offset in the signal stack, of which frames use the other end
CLONE_FLAGS: Final = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000      # VM, FS, FILES, SIGHAND, THREAD
HANDLED: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
#: SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_NODEFER (without it a fault in the handler would take the handler away)
HANDLER_FLAGS: Final = 0x4 | 0x0400_0000 | 0x0800_0000 | 0x4000_0000
END_OF_USER_SPACE: Final = USER_64.half - mmap.PAGESIZE

XSTATE_ROOM: Final = 16384
SYS_MMAP, SYS_MUNMAP, SYS_MPROTECT, SYS_RSEQ = 9, 11, 10, 334
SYS_RT_SIGACTION, SYS_SIGALTSTACK, SYS_CLONE = 13, 131, 56
READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
TICK: Final = 0.1                                   # seconds between two looks of the watchdog
SECONDS_TO_STOP, SECONDS_TO_KILL = 0.25, 2.0        # of CPU time in one run
WAITING_SHARE: Final = 0.05                         # what a second counts for that the child did not run


class ChildLost(RuntimeError):
    """The child died instead of stopping; the message has its wait status."""


@dataclass(frozen=True, slots=True)
class Stop:
    """How a run ended: signal, si_code, si_addr (64 bits), the 27 registers in `REGISTERS` order, the xsave image.

    `entry` and `frame`: the registers with which the program's handler is entered, and its stack from rsp on up to the
    end of the signal stack; empty where the signal was not delivered.
    """

    signal: int
    code: int
    address: int
    registers: tuple[int, ...]
    xstate: bytes
    entry: tuple[int, ...] = ()
    frame: bytes = b""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """Where the child's regions lie, page-aligned addresses; `pages` are the data pages in the order of `data`."""

    code: int = CODE
    pages: tuple[int, ...] = tuple(range(DATA, DATA + DATA_SIZE, mmap.PAGESIZE))
    landing: int = LANDING
    signal_stack: int = SIGNAL_STACK

    def __post_init__(self) -> None:
        regions = (self.code, *self.pages, self.landing, self.signal_stack)
        usable = all(a % mmap.PAGESIZE == 0 and 0 <= a < END_OF_USER_SPACE for a in regions)
        if not usable or len(set(regions)) < len(regions):
            raise ValueError(f"regions must be distinct pages below {END_OF_USER_SPACE:#x}, got {[*map(hex, regions)]}")


STANDARD: Final = AddressSpace()


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

    def __init__(self, code: int, code_size: int, space: AddressSpace = STANDARD) -> None:
        self._code, self._code_size, self.space = code, code_size, space
        self._registers = ctypes.create_string_buffer(8 * len(REGISTERS))
        self._information = ctypes.create_string_buffer(128)
        self._image = ctypes.create_string_buffer(XSTATE_ROOM)
        self._vector = _Vector(ctypes.addressof(self._image), XSTATE_ROOM)
        self._running, self._stopped_run = 0, -1             # odd while a run lasts; the run that was stopped
        self._done = threading.Event()
        self._restartable = False
        self.pid = 0

    def __enter__(self) -> Self:
        refuse("ptrace")
        shared = os.memfd_create("ubp-verify-data")
        landing = os.memfd_create("ubp-verify-landing")
        stack = os.memfd_create("ubp-verify-signal-stack")
        try:
            size = len(self.space.pages) * mmap.PAGESIZE
            os.ftruncate(shared, size)
            os.ftruncate(stack, SIGNAL_STACK_SIZE)
            self.data, self._signal_stack = mmap.mmap(shared, size), mmap.mmap(stack, SIGNAL_STACK_SIZE)
            os.write(landing, _landing_text())
            self._start(shared, landing, stack)
        finally:
            os.close(shared)
            os.close(landing)
            os.close(stack)
        return self

    def _start(self, shared: int, landing: int, stack: int) -> None:
        self.pid = forked()
        if self.pid == 0:
            _enter_child(self.space.landing, landing)
        self._watchdog = threading.Thread(target=self._watch, daemon=True)
        self._watchdog.start()
        try:
            self._prepare(shared, stack)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._watchdog.join()
        if self.pid:
            self._end()
        self.data.close()
        self._signal_stack.close()

    def _end(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            while not os.WIFSIGNALED(os.waitpid(self.pid, 0)[1]):
                pass
        except (ProcessLookupError, ChildProcessError):
            pass
        self.pid = 0

    def _prepare(self, shared: int, stack: int) -> None:
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
        self.system_call(SYS_MMAP, self.space.signal_stack, SIGNAL_STACK_SIZE, READ_WRITE, common, stack, 0)
        self._handle_signals()
        self.initial_xstate = self._read_xstate()

    def _handle_signals(self) -> None:
        """Gives the child its handler on the signal stack."""
        start, handler = self.space.signal_stack, self.space.landing + STUBS["handler"][0]
        self.system_call(SYS_SIGALTSTACK, self.argument(struct.pack("<QQQ", start, 0, SIGNAL_STACK_SIZE)), 0)
        action = self.argument(struct.pack("<QQQQ", handler, HANDLER_FLAGS, self.space.landing, 0))
        for number in HANDLED:
            self.system_call(SYS_RT_SIGACTION, number, action, 0, 8)

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

    def register_rseq(self, start: int, size: int) -> None:
        """Registers an area for restartable sequences, and describes all code from `start` on (`size` bytes) as one.

        The code has to enter it, by writing `self.rseq_descriptor` to `self.rseq_area` + 8; before each run it is left.
        """
        self._signal_stack[RSEQ_AREA : RSEQ_AREA + 64] = bytes(64)
        self.system_call(SYS_RSEQ, self.rseq_area, 32, 0, RSEQ_SIGNATURE)
        row = struct.pack("<IIQQQ", 0, 0, start, size, self.space.landing + STUBS["abort"][0] + 4)
        self._signal_stack[RSEQ_AREA + 32 : RSEQ_AREA + 64] = row
        self._restartable = True

    @property
    def rseq_area(self) -> int:
        """Where the area lies that `register_rseq` registers."""
        return self.space.signal_stack + RSEQ_AREA

    def start_thread(self, ip: int, rsi: int) -> None:
        """Starts a thread of the child, not traced, that goes on at `ip` with this rsi, which is its rsp too."""
        self._stub("clone", rax=SYS_CLONE, rdi=CLONE_FLAGS, rbx=ip, rsi=rsi)

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

    def stay(self) -> None:
        """Has the child stay on one processor, of which RDPID, RDTSCP and LSL tell which it is."""
        os.sched_setaffinity(self.pid, sorted(os.sched_getaffinity(self.pid))[:1])

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """eax, ebx, ecx, edx of CPUID as the child sees it."""
        seen = self._stub("cpuid", rax=leaf, rcx=subleaf)
        return seen["rax"], seen["rbx"], seen["rcx"], seen["rdx"]

    def protect_data(self, accessible: bool, read_only: bool = False) -> None:
        """Makes the child's data region readable and writable, or inaccessible; the first pages perhaps read-only."""
        for number, page in enumerate(self.space.pages):
            writable = READ_WRITE if not read_only or number >= READ_ONLY_PAGES else mmap.PROT_READ
            self.system_call(SYS_MPROTECT, page, mmap.PAGESIZE, writable if accessible else 0)

    def set_id_flag(self, value: bool) -> None:
        """Gives the child's ID flag a value, which PTRACE_SETREGS cannot (FLAG_MASK, arch/x86/kernel/ptrace.c)."""
        self._stub("popf", rsp=self.argument(struct.pack("<Q", 0x202 | value << 21)))

    def argument(self, content: bytes) -> int:
        """The address where the child finds a structure that a call of it needs, until the next one (32 bytes)."""
        self._signal_stack[: len(content)] = content
        return self.space.signal_stack

    def run(self, registers: bytes, xstate: bytes | None, delivered: bool = False) -> Stop:
        """Lets the child go on with these registers (and this xsave image) until it stops for any reason.

        With `delivered` the signal that stops it goes to its handler.
        """
        if self._restartable:
            self._signal_stack[RSEQ_AREA + 8 : RSEQ_AREA + 16] = bytes(8)
        ctypes.memmove(self._registers, registers, len(registers))
        trace_request(SETREGS, self.pid, 0, ctypes.addressof(self._registers))
        # NOTE(left-pointers): also where it is there already. An image without a pending exception shows no pointers on
        # AMD, and what is left in the registers is theirs until somebody else's are loaded on that processor
        if xstate is not None:
            ctypes.memmove(self._image, xstate, len(xstate))
            self._vector.base, self._vector.length = ctypes.addressof(self._image), len(xstate)
            trace_request(SETREGSET, self.pid, NT_X86_XSTATE, ctypes.addressof(self._vector))
        self._running += 1
        number, code, address = self._stop()
        while number == signal.SIGSTOP and self._stopped_run != self._running:      # meant for the run before
            number, code, address = self._stop()
        self._running += 1
        seen = self._read_registers()
        image = b"" if xstate is None else self._read_xstate()
        if delivered and number in HANDLED:
            return Stop(number, code, address, seen, image, *self._delivered(number))
        return Stop(number, code, address, seen, image)

    def _delivered(self, number: int) -> tuple[tuple[int, ...], bytes]:
        """Has the signal delivered: the registers at the handler's first instruction, and its stack."""
        self._signal_stack[:] = bytes(SIGNAL_STACK_SIZE)
        stopped_by = self._stop(number)[0]
        while stopped_by == signal.SIGSTOP:                 # the watchdog's, meant for the run
            stopped_by = self._stop()[0]
        entry = self._read_registers()
        used = entry[RSP] - self.space.signal_stack
        return entry, self._signal_stack[used:] if 0 <= used < SIGNAL_STACK_SIZE else b""

    def _read_registers(self) -> tuple[int, ...]:
        trace_request(GETREGS, self.pid, 0, ctypes.addressof(self._registers))
        return struct.unpack("<27Q", self._registers)

    def _stop(self, delivered: int = 0) -> tuple[int, int, int]:
        """Lets the child go on, with a signal or without; signal, si_code and si_addr of its stop."""
        trace_request(CONT, self.pid, 0, delivered)
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
