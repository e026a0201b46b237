"""What one probe hit costs on this machine, in TSC cycles, for six ways to probe an instruction.

A hand-assembled loop reads the time stamp counter on both sides of the site; the cost is the median over the hits, less
the median of the same site without a probe. Decides nothing about correctness. Uprobes run a counting BPF program, so
their figures contain it. The ptrace and signal rows need no privileges.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import statistics
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from verify.live.kernel.registration import image
from verify.live.ptrace import SINGLESTEP, TRACEME, Debuggee, map_at, set_handler, trace_request, untraceable
from verify.live.uprobe import Probes, missing
from verify.workers.parent import die_with_parent, forked

BASE: Final = 0x2000_0000                           # where the loop is mapped; the low 2 GiB keep addresses 32 bits
COPY, HANDLER, RESTORER, SIZE = 0x800, 0xF00, 0xF80, 0x1000
TRAP_CYCLES, JUMP_CYCLES = 1000, 20                 # the figures of the original discussion
MOVE: Final = bytes.fromhex("4889c9")               # mov rcx, rcx: has no kernel emulation, is stepped
INT3: Final = b"\xcc"
NOP5: Final = bytes.fromhex("0f1f440000")
STAMP: Final = "0faee8 0f31 48c1e220 4809d0"        # lfence; rdtsc; rax := edx:eax
HEAD: Final = bytes.fromhex(STAMP + "4989c0")       # start: r8
TAIL: Final = bytes.fromhex(STAMP + "4c29c0 488907 4883c708 48ffce")    # store the difference, advance, count down
SITE: Final = len(HEAD)
SA_SIGINFO, SA_RESTORER = 4, 0x04000000
RIP_IN_CONTEXT: Final = 0xA8                        # of the ucontext_t in rdx; uc_mcontext.gregs[REG_RIP]
JUMPS: Final = 128
DISCARDED: Final = 50                               # first hits: page faults, optimisation of the site


@dataclass(frozen=True, slots=True)
class Cost:
    """One way to probe: median cycles of a hit beyond the unprobed site, and the discussion's figure."""

    name: str
    cycles: float | None
    discussed: int
    reason: str = ""


def loop(site: bytes, sites: int = 1) -> bytes:
    """The measuring loop with `sites` such sites at SITE, each with its copy of MOVE that jumps back behind it.

    Called with rdi = array of 8-byte results, rsi = their number.
    """
    body = HEAD + site + TAIL
    back = b"\x0f\x85" + struct.pack("<i", -(len(body) + 6))
    text = bytearray((body + back + b"\xc3").ljust(SIZE, b"\xf4"))
    for number in range(sites):
        at, resume = COPY + 8 * number, SITE + (number + 1) * len(site) // sites
        text[at : at + 8] = MOVE + _jump(at + 3, resume)
    handler = b"\x48\xc7\x82" + struct.pack("<II", RIP_IN_CONTEXT, BASE + COPY) + b"\xc3"
    text[HANDLER : HANDLER + len(handler)] = handler            # mov qword [rdx + rip], copy; ret
    text[RESTORER : RESTORER + 7] = bytes.fromhex("b80f0000000f05")     # rt_sigreturn
    return bytes(text)


def _take_traps() -> None:
    """Makes the loop's own handler take SIGTRAP."""
    set_handler(signal.SIGTRAP, BASE + HANDLER, SA_SIGINFO | SA_RESTORER, BASE + RESTORER)


def _child(descriptor: int, results: mmap.mmap, hits: int, before: Callable[[], None]) -> None:
    """The forked child's part; never returns to the interpreter."""
    try:
        die_with_parent()
        map_at(BASE, SIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor)
        before()
        address = ctypes.addressof(ctypes.c_char.from_buffer(results))
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)(BASE)(address, hits)
        os._exit(0)
    finally:
        os._exit(1)


@contextlib.contextmanager
def _measuring(descriptor: int, hits: int, before: Callable[[], None]) -> Iterator[tuple[int, mmap.mmap]]:
    """The pid of a child in the loop, and its results; the child is ended with the context."""
    with mmap.mmap(-1, 8 * hits) as results:
        pid = forked()
        if pid == 0:
            _child(descriptor, results, hits, before)
        try:
            yield pid, results
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _cycles(results: mmap.mmap, hits: int) -> float:
    cycles: tuple[int, ...] = struct.unpack(f"<{hits}Q", results[:])
    return statistics.median(cycles[DISCARDED:])


def _run(site: bytes, hits: int, probed: bool = False, sites: int = 1,
         before: Callable[[], None] = lambda: None) -> float:
    with image((loop(site, sites),)) as (path, descriptor), contextlib.ExitStack() as stack:
        if probed:
            probes = stack.enter_context(Probes(1))
            stack.enter_context(probes.attached(path, (SITE,)))
        pid, results = stack.enter_context(_measuring(descriptor, hits, before))
        if (status := os.waitpid(pid, 0)[1]) != 0:
            raise RuntimeError(f"the measuring child ended with wait status {status:#x}")
        return _cycles(results, hits)


def _trace_me() -> None:
    trace_request(TRACEME, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def _run_under_debugger(hits: int) -> float:
    """A breakpoint as a debugger keeps it: int3, put the byte back, single-step, int3 again."""
    with image((loop(MOVE),)) as (_, descriptor), _measuring(descriptor, hits, _trace_me) as (pid, results):
        with Debuggee(pid) as child:
            child.write(BASE + SITE, INT3)
            while child.resume():
                child.set_ip(BASE + SITE)
                child.write(BASE + SITE, MOVE[:1])
                child.resume(SINGLESTEP)
                child.write(BASE + SITE, INT3)
        return _cycles(results, hits)


def costs(hits: int = 3000) -> tuple[Cost, ...]:
    """The cost of each way to probe, on this machine and now; a row that cannot be measured says what is missing."""
    move, nop, nop5 = (_run(site, hits) for site in (MOVE, b"\x90", NOP5))
    absent = "; ".join(missing())
    rows: tuple[tuple[str, int, str, Callable[[], float]], ...] = (
        ("uprobe, stepped out of line", TRAP_CYCLES, absent, lambda: _run(MOVE, hits, True) - move),
        ("uprobe, emulated by the kernel", TRAP_CYCLES, absent, lambda: _run(b"\x90", hits, True) - nop),
        ("uprobe, optimised 5-byte nop", TRAP_CYCLES, absent, lambda: _run(NOP5, hits, True) - nop5),
        ("ptrace breakpoint and single-step", TRAP_CYCLES, untraceable(),
         lambda: _run_under_debugger(hits // 3) - move),
        ("int3 and a handler in the process", TRAP_CYCLES, "", lambda: _run(INT3, hits, before=_take_traps) - move),
        ("jump to a copy and back", JUMP_CYCLES, "", lambda: _jump_cycles(hits)),
    )
    return tuple(Cost(name, None if reason else round(measure(), 1), figure, reason)
                 for name, figure, reason, measure in rows)


def _jump(at: int, target: int) -> bytes:
    return b"\xe9" + struct.pack("<i", target - (at + 5))


def _jump_cycles(hits: int) -> float:
    """One jump and back, from a row of them: a single one is below the resolution of the time stamp counter."""
    sites = b"".join(_jump(SITE + 5 * i, COPY + 8 * i) for i in range(JUMPS))
    return (_run(sites, hits, sites=JUMPS) - _run(MOVE * JUMPS, hits)) / JUMPS

