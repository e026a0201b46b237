"""The ptrace(2), mmap(2) and signal calls behind the tool's own children, through ctypes; decides nothing.

Sources: include/uapi/linux/ptrace.h; struct user_regs_struct, arch/x86/include/asm/user_64.h; x86-64 only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from functools import cache
from types import TracebackType
from typing import Final, Self

from verify.live.hiding import HIDDEN, hidden, refuse

REGISTERS: Final = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)
RIP: Final = REGISTERS.index("rip")
RSP: Final = REGISTERS.index("rsp")
TRACEME, CONT, SINGLESTEP, GETREGS, SETREGS = 0, 7, 9, 12, 13
SETOPTIONS, GETSIGINFO, GETREGSET, SETREGSET, GET_RSEQ = 0x4200, 0x4202, 0x4204, 0x4205, 0x420F
EXITKILL: Final = 0x100000
NT_X86_XSTATE: Final = 0x202
SYS_RT_SIGACTION: Final = 13
MAP_FIXED_NOREPLACE: Final = 0x100000

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def trace_request(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """The result of ptrace(2) (not of the PEEK requests); raises OSError with its errno."""
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"ptrace request {request:#x}: {os.strerror(errno)}")
    return result


def untraceable() -> str:
    """Why children cannot be traced here, as a phrase; empty where they can."""
    return HIDDEN.format("ptrace") if "ptrace" in hidden() else _trace_refusal()


@cache
def _trace_refusal() -> str:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            trace_request(TRACEME, 0)
            status = 0
        finally:
            os._exit(status)
    return "permission to trace children (ptrace)" if os.waitpid(pid, 0)[1] else ""


def map_at(address: int, size: int, protection: int, flags: int, descriptor: int, offset: int = 0) -> None:
    """Maps the file from `offset` at exactly this address; raises OSError where that is not possible."""
    if _libc.mmap(address, size, protection, flags | MAP_FIXED_NOREPLACE, descriptor, offset) != address:
        errno = ctypes.get_errno()
        raise OSError(errno, f"cannot map {size:#x} bytes at {address:#x}: {os.strerror(errno)}")


def set_handler(number: int, handler: int, flags: int, restorer: int) -> None:
    """Gives a signal a handler by the raw system call, since libc would put its own restorer in; addresses 64 bits.

    Raises OSError.
    """
    action = struct.pack("<QQQQ", handler, flags, restorer, 0)
    if _libc.syscall(SYS_RT_SIGACTION, int(number), ctypes.create_string_buffer(action, len(action)), None, 8):
        errno = ctypes.get_errno()
        raise OSError(errno, f"rt_sigaction of signal {number}: {os.strerror(errno)}")


class Debuggee:
    """A child that has asked to be traced, as a debugger handles it; a context manager for its memory."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._registers = ctypes.create_string_buffer(8 * len(REGISTERS))

    def __enter__(self) -> Self:
        refuse("ptrace")
        self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
        self.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._memory)

    def wait(self) -> bool:
        """Waits for the child; whether it stopped (or has ended)."""
        return os.WIFSTOPPED(os.waitpid(self.pid, 0)[1])

    def resume(self, request: int = CONT) -> bool:
        """Lets the child go on and waits; whether it stopped with a SIGTRAP (False: it ended). ValueError otherwise."""
        trace_request(request, self.pid)
        status = os.waitpid(self.pid, 0)[1]
        if os.WIFSTOPPED(status) and os.WSTOPSIG(status) != signal.SIGTRAP:
            raise ValueError(f"the child stopped with signal {os.WSTOPSIG(status)}, expected SIGTRAP")
        return os.WIFSTOPPED(status)

    def write(self, address: int, data: bytes) -> None:
        """Writes to the child's memory, to text as well."""
        os.pwrite(self._memory, data, address)

    def set_ip(self, ip: int) -> None:
        """Sets the child's instruction pointer, 64 bits."""
        trace_request(GETREGS, self.pid, 0, ctypes.addressof(self._registers))
        ctypes.c_uint64.from_buffer(self._registers, 8 * RIP).value = ip
        trace_request(SETREGS, self.pid, 0, ctypes.addressof(self._registers))
