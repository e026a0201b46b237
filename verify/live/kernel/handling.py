"""How the running kernel ran a probed instruction: in a slot, by its own code, or by a call to a trampoline.

Decides from what is left behind, not from the state of the program: before each hit a marker is stepped, and afterwards
the program reads the slot.  Still the marker: no step was made.  Otherwise the slot has the copy that was stepped.  A
site that has become a call is run by the trampoline from then on.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from verify.live.kernel.child import CODE, HLT, ChildLost, Stop, Tracee
from verify.live.kernel.corpus import CorpusLayout, place
from verify.live.kernel.registration import COPIED, Mapped, image, map_executable, refusals
from verify.live.kernel.state import TARGET, KernelState, standard_states
from verify.live.ptrace import REGISTERS
from verify.live.uprobe import Probes

T = TypeVar("T")
LAYOUT: Final = CorpusLayout(CODE, TARGET)
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

    `errno` is that of the refusal; then nothing was run and `ways` is empty.  `shown`: the registers, and "signal",
    that differ between a run without a probe and the first hit, from one state; what else a program sees is not looked
    at.
    """

    encoding: bytes
    origin: int
    errno: int
    ways: tuple[Way, ...]
    slot: bytes | None
    shown: tuple[str, ...] = ()

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
        self._slot = 0

    def run(self, index: int) -> Stop:
        """How a run of what stands at a place of the layout ends, from the judge's plain state."""
        self._child.data[:] = self._state.data
        return self._child.run(self._state.at(CODE + LAYOUT.stride * index), self._state.xstate)

    def left(self) -> bytes:
        """The 16 bytes that the slot has now."""
        state: KernelState = self._state.with_registers("reading", rsi=self._slot)
        stop = self._child.run(state.at(CODE + LAYOUT.stride * READER_AT), state.xstate)
        values = dict(zip(REGISTERS, stop.registers, strict=True))
        return struct.pack("<QQ", values["rax"], values["rdx"])

    def hit(self, index: int) -> tuple[Way, bytes | None, Stop]:
        """One hit of the probe at a place, the copy that was stepped, and how the run ended."""
        self.run(MARKER_AT)
        self._slot = self._slot or _slot_page(self._child.pid) + SLOT
        marked = self.left()
        if not marked.startswith(MARKER[:5]):
            raise SlotUnreadable(f"the slot has {marked.hex()} after {MARKER.hex()} was stepped")
        called = self._child.read_code()[LAYOUT.stride * index] == CALL
        stop = self.run(index)
        after = self.left()
        if after != marked:
            return Way.STEPPED, after, stop
        return Way.CALLED if called else Way.EMULATED, None, stop


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
    errnos = dict(zip(placed, refusals([text[o : o + COPIED] for o in offsets], mapped), strict=True))
    accepted = [i for i in placed if not errnos[i]]
    with image((text,)) as (path, descriptor), Probes(1 + len(accepted)) as probes, contextlib.ExitStack() as stack:
        plain = dict(_each(descriptor, len(text), accepted, _Watched.run))
        stack.enter_context(probes.attached(path, (0, *(LAYOUT.stride * i for i in accepted))))
        stack.enter_context(mapped(descriptor))
        hits = dict(_each(descriptor, len(text), accepted, lambda w, i: [w.hit(i) for _ in range(2)]))
    return [_manner(e, i, errnos[i], plain.get(i), hits.get(i, [])) for i, e in placed.items()]


def _each(
    descriptor: int, size: int, places: Sequence[int], asked: Callable[[_Watched, int], T]
) -> Iterator[tuple[int, T]]:
    """What is asked of each place, in a child that is replaced when it dies; nothing of a place that killed it."""
    with contextlib.ExitStack() as stack:
        watched: _Watched | None = None
        for index in places:
            try:
                watched = watched or _Watched(stack.enter_context(Tracee(descriptor, size)))
                yield index, asked(watched, index)
            except ChildLost:
                watched = None


def _manner(
    encoding: bytes, index: int, errno: int, plain: Stop | None, hits: Sequence[tuple[Way, bytes | None, Stop]]
) -> Manner:
    slot = next((copy for _, copy, _ in hits if copy is not None), None)
    shown = tuple(_shown(plain, hits[0][2])) if plain is not None and hits else ()
    return Manner(encoding, CODE + LAYOUT.stride * index, errno, tuple(way for way, _, _ in hits), slot, shown)


def _shown(plain: Stop, probed: Stop) -> Iterator[str]:
    if (plain.signal, plain.code) != (probed.signal, probed.code):
        yield "signal"
    yield from (n for n, a, b in zip(REGISTERS, plain.registers, probed.registers, strict=True) if a != b)
