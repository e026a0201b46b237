"""The parent's side of an executor child: the shared arena, requests, the watchdog and replacement of the child.

Decides when a child counts as ended or hung; knows records only as bytes.
"""

import mmap
import os
import select
import signal
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from verify.live.capabilities import LOADED, Capabilities, ExecutorUnavailable
from verify.live.descriptors import CODE_SELECTOR, STACK_SELECTOR
from verify.live.executor import records
from verify.live.executor.child import READY, CodeFile, Plan, spawn
from verify.live.executor.layout import CHUNK, CONTROL_BASE, EXIT_JUMP, MAX_LENGTH, SLOT, STUB_BASE, ChildLayout, slot
from verify.live.executor.stub import assemble
from verify.live.executor.stub_rows import CONSTANTS, table
from verify.workers.patience import Patience

POLL_MILLISECONDS: Final = 100
NO_TICK: Final = (1 << 64) - 1
FIELDS: Final = {name: i for i, name in enumerate(records.CONTROL)}


@dataclass(frozen=True, slots=True)
class Ending:
    """The child ended during trial `index`: `status` as exit status, negative for a signal; `hung` if it was killed."""

    index: int
    status: int
    hung: bool


def default_background(size: int) -> bytes:
    """A fixed pattern in which neighbouring bytes, chunks and pages differ."""
    positions = np.arange(size, dtype=np.uint64)
    return ((positions * np.uint64(0x9E37_79B9_7F4A_7C15)) >> np.uint64(29)).astype(np.uint8).tobytes()


class Session:
    """One arena and its current child; `background` maps the address of each writable chunk to its 64 bytes."""

    def __init__(
        self,
        layout: ChildLayout,
        caps: Capabilities,
        code_file: CodeFile | None,
        background: bytes | None,
        patience: float,
    ) -> None:
        self.layout, self.caps, self.code_file, self.patience = layout, caps, code_file, patience
        self.pid = 0
        self._fd = os.memfd_create("executor", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, layout.arena_size)
        self._arena = mmap.mmap(self._fd, layout.arena_size)
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._arena, dtype=np.uint8)
        self._places = layout.offsets
        self._addresses = {name: layout.arena_address(name) for name in self._places}
        self._control = memoryview(self._arena)[: 8 * len(records.CONTROL)].cast("Q")  # the first section
        self._code_fd = os.open(code_file.path, os.O_RDONLY | os.O_CLOEXEC) if code_file else -1
        xsave = records.xsave_dtype({c.bit: c.offset for c in caps.components}, caps.xsave_size)
        self._formats = {
            False: (records.in_dtype(None), records.out_dtype(None)),
            True: (records.in_dtype(xsave), records.out_dtype(xsave)),
        }
        self._placed: tuple[int, bytes] | None = None
        self._dirty = True  # slots that are not `_placed` are in the code area
        self._write_stub()
        self._write_background(background)
        self._section("code")[:] = 0xCC
        self._section("landing")[:] = 0xCC
        self._spawn()

    def _section(self, name: str) -> NDArray[np.uint8]:
        offset, size = self._places[name]
        return self._bytes[offset : offset + size]

    def _set(self, **fields: int) -> None:
        for name, value in fields.items():
            self._control[FIELDS[name]] = value

    def _write_stub(self) -> None:
        symbols = {name: CONTROL_BASE + 8 * i for name, i in FIELDS.items()}
        symbols |= {
            "stack_top": CONTROL_BASE + records.STACK_TOP,
            "unmap": CONTROL_BASE + records.UNMAP_OFFSET,
            "regions": CONTROL_BASE + records.REGIONS_OFFSET,
        }
        code, self._labels = assemble(table("avx2" in self.caps.features), STUB_BASE, symbols, CONSTANTS)
        self._section("stub")[: len(code)] = np.frombuffer(code, dtype=np.uint8)

    def _write_background(self, background: bytes | None) -> None:
        size = self._places["background"][1]
        data = default_background(size) if background is None else background
        if len(data) != size:
            raise ValueError(f"background must have {size} bytes, got {len(data)}")
        self._section("background")[:] = np.frombuffer(data, dtype=np.uint8)
        self.background: dict[int, bytes] = {}
        rows: list[int] = []
        offset = 0
        for region in self.layout.regions:
            if region.writable:
                for at in range(0, region.size, CHUNK):
                    self.background[region.address + at] = data[offset + at : offset + at + CHUNK]
                ends = (region.end, self._addresses["background"] + offset + region.size)
                rows += [*ends, (1 << 64) - region.size]
            offset += region.size
        words = np.array([*rows, 0, 0, 0], dtype="<u8")
        self._section("control")[records.REGIONS_OFFSET :][: words.nbytes] = words.view(np.uint8)

    def background_at(self, address: int, size: int) -> bytes:
        """Background of `size` bytes at `address`; ValueError where they are not inside one region."""
        wanted, offset = self.layout.region_of(address, size), 0
        for region in self.layout.regions[: self.layout.regions.index(wanted)]:
            offset += region.size
        start = offset + address - wanted.address
        return self._section("background")[start : start + size].tobytes()

    def _spawn(self) -> None:
        """Starts a child over the arena, its memory back at the background; raises ExecutorUnavailable."""
        if self._fd < 0:
            raise ExecutorUnavailable("the executor was closed")
        self._section("regions")[:] = self._section("background")
        request, self._requests = os.pipe2(os.O_CLOEXEC)
        self._responses, response = os.pipe2(os.O_CLOEXEC)
        self._set(request_fd=request, response_fd=response, answer=READY[0], active=0)
        self._set(exit_pointer=self._labels["exit"], iret_cs=CODE_SELECTOR, iret_ss=STACK_SELECTOR)
        mask = self.caps.xcr0 & LOADED
        self._set(xmask_low=mask, xmask_high=0, xsave_quads=self.caps.xsave_size // 8)
        labels = self._labels
        plan = Plan(
            self.layout, self._fd, request, response, labels["entry"], labels["handler"], labels["sigreturn"],
            self.code_file,
        )  # fmt: skip
        self.pid = spawn(plan)
        os.close(request)
        os.close(response)
        self._poll = select.poll()
        self._poll.register(self._responses, select.POLLIN)
        if os.read(self._responses, 1) != READY:
            text = os.read(self._responses, 4096).decode(errors="replace")
            self.close()
            raise ExecutorUnavailable(f"the executor's child could not be set up: {text or 'it ended'}")

    def _reap(self, kill: bool) -> int:
        """Waits for the child, after SIGKILL if `kill`; its exit status, negative for a signal."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        self._poll.unregister(self._responses)
        os.close(self._requests)
        os.close(self._responses)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Ends the child; a second call does nothing."""
        if self.pid:
            self._reap(kill=True)
        for fd in (self._fd, self._code_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._code_fd = -1

    def formats(self, vector: bool) -> tuple[np.dtype[np.void], np.dtype[np.void]]:
        """Input and output record types, with the XSAVE area if `vector`."""
        return self._formats[vector]

    def place(self, code: bytes, origin: int) -> None:
        """Makes `origin` hold the slot of `code`, and the landing of its exit jump; ValueError if it does not fit."""
        if self._placed == (origin, code):
            return
        wanted, at = slot(code), origin - self.layout.code_base
        if not 0 <= at < self.layout.code_size:
            raise ValueError(f"origin {origin:#x} is outside the code area")
        if self.code_file is not None:
            self._check_file(wanted[: len(code) + len(EXIT_JUMP)], at)
        else:
            area = self._section("code")
            if self._dirty:
                area[:], self._dirty = 0xCC, False
            elif self._placed is not None:
                area[self._placed[0] - self.layout.code_base :][:SLOT] = 0xCC
            area[at : at + SLOT] = np.frombuffer(wanted, dtype=np.uint8)[: self.layout.code_size - at]
        self._land(origin)
        self._placed = (origin, code)

    def clear_slots(self, origin: int) -> None:
        """Prepares `origin` for instructions that the stub itself writes, one a trial; ValueError if it cannot."""
        at = origin - self.layout.code_base
        if self.code_file is not None or not 0 <= at <= self.layout.code_size - SLOT:
            raise ValueError(f"no room for the slots of many instructions at {origin:#x} (and none in a code file)")
        self._section("code")[:] = 0xCC
        self._land(origin)
        self._placed = None
        self._dirty = True

    def _check_file(self, wanted: bytes, at: int) -> None:
        assert self.code_file is not None
        found = os.pread(self._code_fd, len(wanted), self.code_file.offset + at)
        if found != wanted[: self.layout.code_size - at]:
            raise ValueError(f"{self.code_file.path} holds {found.hex()} at {at:#x}, not the slot {wanted.hex()}")

    def _land(self, origin: int) -> None:
        """Lets exit jumps of all lengths from `origin` arrive at the stub: no-operations, then an indirect jump."""
        start = self.layout.landing_of(origin + 1)
        jump = start + MAX_LENGTH - 1
        pointer = CONTROL_BASE + 8 * FIELDS["exit_pointer"] - (jump + 6)
        code = b"\x90" * (MAX_LENGTH - 1) + b"\xff\x25" + pointer.to_bytes(4, "little", signed=True)
        at = start - self.layout.landing_base
        self._section("landing")[at : at + len(code)] = np.frombuffer(code, dtype=np.uint8)
        self._set(iret_rip=origin, code_alias=self._addresses["code"] + origin - self.layout.code_base)

    def capacity(self, vector: bool) -> int:
        """Trials whose records fit the arena."""
        return self.layout.records_size // max(kind.itemsize for kind in self._formats[vector])

    @property
    def log_capacity(self) -> int:
        """Entries that fit the memory log of a call."""
        return self.layout.log_size // records.LOG_DTYPE.itemsize

    @property
    def index(self) -> int:
        """The trial at which the last call stopped."""
        return self._control[FIELDS["index"]]

    def write_input(self, data: bytes | NDArray[np.uint8]) -> None:
        """Puts input records at the head of their section."""
        self._section("records_in")[: len(data)] = np.frombuffer(data, dtype=np.uint8)

    def write_log(self, entries: NDArray[np.void]) -> None:
        """Puts entries, trial ascending, into the log that the stub loads memory from, and rewinds it."""
        size = len(entries) * records.LOG_DTYPE.itemsize
        self._section("log_in")[:size] = entries.view(np.uint8)
        self._set(log_in_end=self._addresses["log_in"] + size)
        self.rewind_log(0)

    def rewind_log(self, entry: int) -> None:
        """The stub reads its memory log from `entry` on, and writes its own from the start."""
        at = self._addresses["log_in"] + entry * records.LOG_DTYPE.itemsize
        self._set(log_in=at, log_out=self._addresses["log_out"])

    def read_log(self) -> NDArray[np.void]:
        """The entries that the stub logged: chunks that differed from the background, trial ascending."""
        used = self._control[FIELDS["log_out"]] - self._addresses["log_out"]
        return self._section("log_out")[:used].view(records.LOG_DTYPE)

    def outputs(self, count: int, record: np.dtype[np.void]) -> NDArray[np.void]:
        """The first `count` output records."""
        return self._section("records_out")[: count * record.itemsize].view(record)

    def call(self, first: int, count: int, vector: bool, memory: bool, load_code: bool = False) -> Ending | None:
        """Runs trials `first`..`count`-1; None when the stub answered (its index says how far it came)."""
        into, out = self._formats[vector]
        flags = records.LOAD_XSTATE | records.SAVE_XSTATE if vector else 0
        flags |= records.BASES if self.caps.fsgsbase else 0
        flags |= records.LOAD_MEMORY | records.COMPARE_MEMORY if memory else 0
        flags |= records.LOAD_CODE if load_code else 0
        flags |= records.KEYS if vector and "ospke" in self.caps.features else 0
        target = self._addresses["records_out"] + first * out.itemsize
        room = self.layout.log_size - records.LOG_DTYPE.itemsize * len(self.background)
        self._set(
            flags=flags,
            in_record=self._addresses["records_in"] + first * into.itemsize,
            out_record=target,
            push_at=target + records.OUT_OFFSETS["rflags"] + 8,
            in_stride=into.itemsize,
            out_stride=out.itemsize,
            index=first,
            count=count,
            tick_index=NO_TICK,
            log_out_end=self._addresses["log_out"] + room,
        )
        return self._request()

    def _request(self) -> Ending | None:
        """One request and its answer; an interrupted one leaves no child behind, and the next one starts another."""
        if not self.pid:
            self._spawn()
        try:
            try:
                os.write(self._requests, b"r")
            except BrokenPipeError:  # the child was ended by others between two requests
                self._reap(kill=False)
                self._spawn()
                os.write(self._requests, b"r")
            return self._wait()
        except BaseException:
            if self.pid:
                self._reap(kill=True)
            raise

    def _wait(self) -> Ending | None:
        """Waits for the answer; kills a child that had `patience` without progress, replaces one that ended."""
        index, patience = -1, Patience(self.patience)
        while not self._poll.poll(POLL_MILLISECONDS):
            now = self._control[FIELDS["index"]]
            if now != index:
                index = now
                patience.restart()
            elif patience.is_over(self.pid):
                return self._replace(hung=True)
        return None if os.read(self._responses, 1) == READY else self._replace(hung=False)

    def _replace(self, hung: bool) -> Ending:
        index = self._control[FIELDS["index"]]
        ending = Ending(index, self._reap(kill=hung), hung)
        self._spawn()
        return ending
