"""How the running kernel ran a probed instruction: in a slot, by its own code, or by a call to a trampoline.

Decides from what is left behind, not from the state of the program: before each hit a marker is stepped, and afterwards
the program reads the slot.  Still the marker: no step was made.  Otherwise the slot has the copy that was stepped.  A
site that has become a call is run by the trampoline from then on.  Of a hit without a step it is also looked what is
stored around the top of the stack, where the trampoline, a push and a call leave their words.
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
from verify.live.kernel.state import STACK_OFFSET, TARGET, KernelState, standard_states
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
WORD: Final = 8
AROUND: Final = range(-8 * WORD, 2 * WORD, WORD)     # words looked at, from the stack pointer on
Words = tuple[tuple[int, int], ...]                 # distance from the stack pointer in bytes, value of 64 bits


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
    at.  `stored`: the words around the top of the stack that the last hit changed, None where it was stepped; `state`:
    from which it ran.
    """

    encoding: bytes
    origin: int
    errno: int
    ways: tuple[Way, ...]
    slot: bytes | None
    shown: tuple[str, ...] = ()
    stored: Words | None = None
    state: KernelState | None = None

    @property
    def text(self) -> str:
        """A line for people."""
        if self.errno:
            return f"refused with errno {self.errno}"
        copy = f" ({self.slot.hex()})" if self.slot is not None else ""
        stored = "".join(f", {value:x} at rsp{at:+}" for at, value in self.stored or ())
        return ", then ".join(w.value for w in dict.fromkeys(self.ways)) + copy + stored


def stored(before: Callable[[int], int], after: Callable[[int], int]) -> Words:
    """The words around the top of the stack that differ; `before`, `after`: the byte at a distance from it."""

    def word(byte: Callable[[int], int], at: int) -> int:
        return int.from_bytes(bytes(byte(at + i) for i in range(WORD)), "little")

    return tuple((at, word(after, at)) for at in AROUND if word(before, at) != word(after, at))


class SlotUnreadable(RuntimeError):
    """The kernel made no slot page, or the program cannot read it: how an instruction ran cannot be seen here."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit: how it was handled and how the run ended, from which state, the copy, and what else was stored."""

    way: Way
    stop: Stop
    state: KernelState
    copy: bytes | None
    stored: Words | None = None


class _Watched:
    """A child that runs probed instructions and reads what is left in the slot."""

    def __init__(self, child: Tracee) -> None:
        self._child = child
        self.state = standard_states(child)[0]
        self._slot = 0

    def run(self, index: int) -> Stop:
        """How a run of what stands at a place of the layout ends, from the judge's plain state."""
        self._child.data[:] = self.state.data
        return self._child.run(self.state.at(CODE + LAYOUT.stride * index), self.state.xstate)

    def left(self) -> bytes:
        """The 16 bytes that the slot has now."""
        state: KernelState = self.state.with_registers("reading", rsi=self._slot)
        stop = self._child.run(state.at(CODE + LAYOUT.stride * READER_AT), state.xstate)
        values = dict(zip(REGISTERS, stop.registers, strict=True))
        return struct.pack("<QQ", values["rax"], values["rdx"])

    def hit(self, index: int) -> Hit:
        """One hit of the probe at a place."""
        self.run(MARKER_AT)
        self._slot = self._slot or _slot_page(self._child.pid) + SLOT
        marked = self.left()
        if not marked.startswith(MARKER[:5]):
            raise SlotUnreadable(f"the slot has {marked.hex()} after {MARKER.hex()} was stepped")
        called = self._child.read_code()[LAYOUT.stride * index] == CALL
        stop = self.run(index)
        data = bytes(self._child.data)
        after = self.left()
        if after != marked:
            return Hit(Way.STEPPED, stop, self.state, after)
        top = STACK_OFFSET
        words = stored(lambda at: self.state.data[top + at], lambda at: data[top + at])
        return Hit(Way.CALLED if called else Way.EMULATED, stop, self.state, None, words)


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


def _manner(encoding: bytes, index: int, errno: int, plain: Stop | None, hits: Sequence[Hit]) -> Manner:
    origin, ways = CODE + LAYOUT.stride * index, tuple(h.way for h in hits)
    slot = next((h.copy for h in hits if h.copy is not None), None)
    if not hits:
        return Manner(encoding, origin, errno, ways, slot)
    shown = tuple(_shown(plain, hits[0].stop)) if plain is not None else ()
    return Manner(encoding, origin, errno, ways, slot, shown, hits[-1].stored, hits[-1].state)


def _shown(plain: Stop, probed: Stop) -> Iterator[str]:
    if (plain.signal, plain.code) != (probed.signal, probed.code):
        yield "signal"
    yield from (n for n, a, b in zip(REGISTERS, plain.registers, probed.registers, strict=True) if a != b)
