"""How the running kernel ran a probed instruction: in a slot, by its own code, or by a call to a trampoline.

Decides from what is left behind, not from the state of the program: before each hit a marker is stepped, and afterwards
the program reads the slot.  Still the marker: no step was made.  Otherwise the slot has the copy that was stepped.  A
site that has become a call is run by the trampoline from then on.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from verify.live.corpus import Layout, place
from verify.live.kernel_child import CODE, HLT, ChildLost, Tracee
from verify.live.kernel_ptrace import REGISTERS
from verify.live.kernel_registration import COPIED, Mapped, image, map_executable, refusals
from verify.live.kernel_state import TARGET, State, standard_states
from verify.live.uprobe import Probes

LAYOUT: Final = Layout(CODE, TARGET)
MARKER: Final = bytes.fromhex("b8b0f0a0e0f4")       # mov eax, e0a0f0b0; hlt: stepped by every kernel
READER: Final = bytes.fromhex("488b06488b5608f4")   # mov rax, [rsi]; mov rdx, [rsi+8]; hlt
MARKER_AT, READER_AT, FIRST = 0, 1, 4               # places in the layout
APART: Final = 2                                    # from one encoding to the next: no short jump leads to another
SLOT: Final = 0x80                                  # the first free slot of the page; slot 0 is the return probes'
CALL: Final = 0xE8
BATCH: Final = 512


class Way(Enum):
    """How one hit was handled."""

    STEPPED = "stepped"
    EMULATED = "emulated"
    CALLED = "called"


@dataclass(frozen=True, slots=True)
class Manner:
    """How the kernel ran an encoding as it stood at `origin`: the first hit and the next, and the slot's 16 bytes.

    `errno` is that of the refusal; then nothing was run and `ways` is empty.
    """

    encoding: bytes
    origin: int
    errno: int
    ways: tuple[Way, ...]
    slot: bytes | None

    @property
    def text(self) -> str:
        """A line for people."""
        if self.errno:
            return f"refused with errno {self.errno}"
        copy = f" ({self.slot.hex()})" if self.slot is not None else ""
        return ", then ".join(w.value for w in dict.fromkeys(self.ways)) + copy


class SlotUnreadable(RuntimeError):
    """The kernel made no slot page, or the program cannot read it: how an instruction ran cannot be seen here."""


class _Watched:
    """A child that runs probed instructions and reads what is left in the slot."""

    def __init__(self, child: Tracee) -> None:
        self._child = child
        self._state = standard_states(child)[0]
        self.run(MARKER_AT)
        self._slot = _slot_page(child.pid) + SLOT

    def run(self, index: int) -> None:
        """Runs what stands at a place of the layout, from the judge's plain state."""
        self._child.data[:] = self._state.data
        self._child.run(self._state.at(CODE + LAYOUT.stride * index), self._state.xstate)

    def left(self) -> bytes:
        """The 16 bytes that the slot has now."""
        state: State = self._state.with_registers("reading", rsi=self._slot)
        stop = self._child.run(state.at(CODE + LAYOUT.stride * READER_AT), state.xstate)
        values = dict(zip(REGISTERS, stop.registers, strict=True))
        return struct.pack("<QQ", values["rax"], values["rdx"])

    def hit(self, index: int) -> tuple[Way, bytes | None]:
        """One hit of the probe at a place, and the copy that was stepped."""
        self.run(MARKER_AT)
        marked = self.left()
        if not marked.startswith(MARKER[:5]):
            raise SlotUnreadable(f"the slot has {marked.hex()} after {MARKER.hex()} was stepped")
        called = self._child.read_code()[LAYOUT.stride * index] == CALL
        self.run(index)
        after = self.left()
        return (Way.STEPPED, after) if after != marked else (Way.CALLED if called else Way.EMULATED, None)


def _slot_page(pid: int) -> int:
    """The address of the slot page.  Raises SlotUnreadable."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[uprobes]"):
            return int(line.partition("-")[0], 16)
    raise SlotUnreadable("a stepped instruction left no slot page")


def manners(encodings: Sequence[bytes], mapped: Mapped = map_executable) -> Iterator[Manner]:
    """How the kernel runs each encoding, in order; `mapped`: the mapping for which it analyses them.

    Raises OSError, SlotUnreadable.
    """
    for begin in range(0, len(encodings), BATCH):
        yield from _batch(encodings[begin : begin + BATCH], mapped)


def _batch(encodings: Sequence[bytes], mapped: Mapped) -> list[Manner]:
    placed = {FIRST + APART * i: place(e, LAYOUT, FIRST + APART * i) for i, e in enumerate(encodings)}
    texts = {MARKER_AT: MARKER, READER_AT: READER, **placed}
    text = b"".join(texts.get(i, b"").ljust(LAYOUT.stride, bytes((HLT,))) for i in range(max(texts) + APART))
    offsets = [LAYOUT.stride * i for i in placed]
    errnos = refusals([text[o : o + COPIED] for o in offsets], mapped)
    accepted = [o for o, errno in zip(offsets, errnos, strict=True) if not errno]
    with image((text,)) as (path, descriptor), Probes(1 + len(accepted)) as probes, contextlib.ExitStack() as stack:
        stack.enter_context(probes.attached(path, (0, *accepted)))
        stack.enter_context(mapped(descriptor))
        return list(_watched(descriptor, len(text), placed, errnos))


def _watched(descriptor: int, size: int, placed: Mapping[int, bytes], errnos: Sequence[int]) -> Iterator[Manner]:
    with contextlib.ExitStack() as stack:
        watched: _Watched | None = None
        for (index, encoding), errno in zip(placed.items(), errnos, strict=True):
            hits: list[tuple[Way, bytes | None]] = []
            if not errno:
                try:
                    watched = watched or _Watched(stack.enter_context(Tracee(descriptor, size)))
                    hits = [watched.hit(index) for _ in range(2)]
                except ChildLost:
                    watched = None
            slot = next((copy for _, copy in hits if copy is not None), None)
            yield Manner(encoding, CODE + LAYOUT.stride * index, errno, tuple(w for w, _ in hits), slot)
