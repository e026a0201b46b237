"""The child process that executes instructions: forked, stripped of every other mapping, and driven through two pipes.

Decides how the arena's sections are mapped and which signals the stub handles; what is executed is the stub's matter.
The child never returns to Python: it serves requests until its pipe closes or it dies.
"""

import ctypes
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from verify.live.executor.layout import (
    ARENA_BASE,
    CONTROL_BASE,
    PAGE,
    SIGNAL_STACK_BASE,
    SIGNAL_STACK_SIZE,
    STUB_BASE,
    TASK_END,
    ChildLayout,
)
from verify.live.executor.records import UNMAP_OFFSET
from verify.live.ptrace import map_at, set_handler
from verify.workers.parent import die_with_parent, forked

PROT_NONE: Final = 0
PROT_READ: Final = 1
PROT_RW: Final = 3
PROT_RX: Final = 5
MAP_SHARED: Final = 0x01
MAP_PRIVATE: Final = 0x02
MAP_ANONYMOUS: Final = 0x20
MAP_POPULATE: Final = 0x8000

SYS_SETITIMER: Final = 38
SYS_SIGALTSTACK: Final = 131
SYS_ARCH_PRCTL: Final = 158
SYS_MODIFY_LDT: Final = 154
SYS_RSEQ: Final = 334
WRITE_LDT: Final = 0x11
EMPTY: Final = 1 << 3 | 1 << 5  # of struct user_desc: read_exec_only, seg_not_present
ARCH_GET_FS: Final = 0x1003
RSEQ_SIGNATURE: Final = 0x5305_3053  # of the C library; an unregistration must repeat it
SA_FLAGS: Final = 0x5C00_0004  # SIGINFO, RESTORER, ONSTACK, RESTART, NODEFER
HANDLED: Final = (
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGVTALRM,
)
UNCHANGEABLE: Final = (signal.SIGKILL, signal.SIGSTOP)
KERNEL_MAPPINGS: Final = ("[vdso]", "[vvar]", "[vvar_vclock]", "[uprobes]")
TICK_MICROSECONDS: Final = 10_000
FAILED: Final = b"E"
READY: Final = b"k"


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file whose pages, from `offset` on, are the code area: mapped MAP_PRIVATE, PROT_READ | PROT_EXEC."""

    path: str
    offset: int = 0

    def __post_init__(self) -> None:
        if self.offset < 0 or self.offset % PAGE:
            raise ValueError(f"offset must be a multiple of {PAGE}, got {self.offset:#x}")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the child needs to set itself up."""

    layout: ChildLayout
    arena_fd: int
    request_fd: int
    response_fd: int
    entry: int
    handler: int
    restorer: int
    code_file: CodeFile | None


@dataclass(frozen=True, slots=True)
class _Mapping:
    address: int
    size: int
    protection: int
    fd: int
    offset: int
    flags: int


def spawn(plan: Plan) -> int:
    """Forks the child that serves `plan`; its process id."""
    pid = forked()
    if pid:
        return pid
    try:
        _become(plan)
    except BaseException as error:  # the child must never run the parent's code
        os.write(plan.response_fd, FAILED + f"{type(error).__name__}: {error}".encode()[:4000])
    finally:
        os._exit(70)


def _become(plan: Plan) -> NoReturn:
    libc = ctypes.CDLL(None, use_errno=True)
    die_with_parent()
    mappings = _mappings(plan)
    for mapping in mappings:
        map_at(mapping.address, mapping.size, mapping.protection, mapping.flags, mapping.fd, mapping.offset)
    _reset_signals(libc, plan)
    _close_other_files(plan)
    _unregister_rseq(libc)
    _install_ldt(libc)
    _write_unmap_table([(m.address, m.size) for m in mappings])
    ctypes.CFUNCTYPE(None)(plan.entry)()
    raise AssertionError("the stub returned")


def _mappings(plan: Plan) -> list[_Mapping]:
    layout, fd = plan.layout, plan.arena_fd
    at = {name: offset for name, (offset, _) in layout.offsets.items()}
    shared = MAP_SHARED | MAP_POPULATE
    rows = [
        _Mapping(ARENA_BASE, layout.arena_size, PROT_RW, fd, 0, MAP_SHARED),
        _Mapping(CONTROL_BASE, layout.offsets["control"][1], PROT_RW, fd, at["control"], shared),
        _Mapping(STUB_BASE, PAGE, PROT_RX, fd, at["stub"], shared),
        _Mapping(SIGNAL_STACK_BASE, SIGNAL_STACK_SIZE, PROT_RW, fd, at["signal_stack"], shared),
        _Mapping(layout.landing_base, layout.landing_size, PROT_RX, fd, at["landing"], shared),
        _code_mapping(plan),
    ]
    offset = at["regions"]
    for region in layout.regions:
        rows.append(_Mapping(region.address - PAGE, PAGE, PROT_NONE, -1, 0, MAP_PRIVATE | MAP_ANONYMOUS))
        protection = PROT_RW if region.writable else PROT_READ
        rows.append(_Mapping(region.address, region.size, protection, fd, offset, shared))
        rows.append(_Mapping(region.end, PAGE, PROT_NONE, -1, 0, MAP_PRIVATE | MAP_ANONYMOUS))
        offset += region.size
    return rows


def _code_mapping(plan: Plan) -> _Mapping:
    layout = plan.layout
    if plan.code_file is None:
        offset = layout.offsets["code"][0]
        return _Mapping(layout.code_base, layout.code_size, PROT_RX, plan.arena_fd, offset, MAP_SHARED | MAP_POPULATE)
    fd = os.open(plan.code_file.path, os.O_RDONLY | os.O_CLOEXEC)
    return _Mapping(layout.code_base, layout.code_size, PROT_RX, fd, plan.code_file.offset, MAP_PRIVATE)


def _syscall(libc: ctypes.CDLL, number: int, *arguments: int) -> int:
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments)))


def _words(*values: int) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * len(values))(*values)


def _reset_signals(libc: ctypes.CDLL, plan: Plan) -> None:
    """All dispositions that point into Python go; the stub's handler takes the signals of instructions."""
    for number in range(1, 65):
        wanted = plan.handler if number in HANDLED else int(number == signal.SIGINT)  # 1 is SIG_IGN
        if number not in UNCHANGEABLE:
            set_handler(number, wanted, SA_FLAGS, plan.restorer)
    stack = _words(SIGNAL_STACK_BASE, 0, SIGNAL_STACK_SIZE)
    if _syscall(libc, SYS_SIGALTSTACK, ctypes.addressof(stack), 0):
        raise OSError("sigaltstack refused")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    timer = _words(0, TICK_MICROSECONDS, 0, TICK_MICROSECONDS)
    _syscall(libc, SYS_SETITIMER, 1, ctypes.addressof(timer), 0)  # ITIMER_VIRTUAL: user time of this process only


def _close_other_files(plan: Plan) -> None:
    low = 0
    for fd in sorted((plan.request_fd, plan.response_fd)):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _unregister_rseq(libc: ctypes.CDLL) -> None:
    """The kernel must not write to restartable-sequence memory that is about to be unmapped."""
    try:
        offset = ctypes.c_ssize_t.in_dll(libc, "__rseq_offset").value
        size = ctypes.c_uint.in_dll(libc, "__rseq_size").value
    except ValueError:
        return  # a C library before 2.35 registers nothing
    base = _words(0)
    _syscall(libc, SYS_ARCH_PRCTL, ARCH_GET_FS, ctypes.addressof(base))
    sizes = (32, size) if size else ()
    if sizes and all(_syscall(libc, SYS_RSEQ, base[0] + offset, s, 1, RSEQ_SIGNATURE) for s in sizes):
        raise OSError("cannot unregister the C library's restartable sequences")


def _install_ldt(libc: ctypes.CDLL) -> None:
    """A table of local descriptors with an empty one, which sldt shows; a kernel without such tables refuses."""
    empty = (ctypes.c_uint32 * 4)(0, 0, 0, EMPTY)
    _syscall(libc, SYS_MODIFY_LDT, WRITE_LDT, ctypes.addressof(empty), ctypes.sizeof(empty))


def _kept(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Ranges of the kernel's own mappings (vdso and the like) in the lines of /proc/self/maps."""
    kept = []
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[5] in KERNEL_MAPPINGS:
            start, _, end = fields[0].partition("-")
            kept.append((int(start, 16), int(end, 16) - int(start, 16)))
    return kept


def _write_unmap_table(ours: list[tuple[int, int]]) -> None:
    with open("/proc/self/maps", encoding="ascii") as maps:
        kept = sorted(ours + _kept(maps))
    table, low = [], 0
    for start, size in kept:
        if low < start <= TASK_END:
            table += [low, start - low]
        low = max(low, start + size)
    if low < TASK_END:
        table += [low, TASK_END - low]
    words = _words(*table, 0, 0)
    if UNMAP_OFFSET + ctypes.sizeof(words) > 2 * UNMAP_OFFSET:
        raise OSError("too many mappings to clear")
    ctypes.memmove(CONTROL_BASE + UNMAP_OFFSET, words, ctypes.sizeof(words))
