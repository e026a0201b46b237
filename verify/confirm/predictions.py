"""What the model predicts of one encoding in one concrete state of the kernel's judge: the goals, evaluated there.

Decides only refuted encodings; a proved one deviates in no state. Datapaths stay what the evaluator makes of them, so
that a deviation which rests on one is predicted for some datapath, not for the processor's.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from verify.claim.conditions import field_values, verification_condition
from verify.claim.obligations import compared, sides
from verify.claim.probes import Probe
from verify.judge.encoding import Judgement
from verify.live.alignment import MISALIGNED, refuses_alignment
from verify.live.capabilities import visible
from verify.live.descriptors import is_32_bit, is_beyond, refuses_code, refuses_data, refuses_stack
from verify.live.executor.state import GPR_NAMES
from verify.live.kernel.outcome import RunSetting
from verify.live.kernel.placement import LAST_SLOT, ORDINARY
from verify.live.kernel.runner import X87_POINTERS, Shown
from verify.live.kernel.state import KernelState
from verify.live.ptrace import REGISTERS
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import shape
from verify.models.x86.environment import Environment
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.machine import FLAG_BITS, GP, NO_FAULT, PF, SS
from verify.models.x86.mode import USER_64
from verify.terms import Sort
from verify.terms.evaluation import Adaptive, Memory, Value, number, program, register_file

PAGE: Final = mmap.PAGESIZE
SLOTS, SLOT_SIZE = 0x7FFF_FFFF_E000, 128
READ_ONLY_PAGES: Final = 6
PENDING: Final = 0x80                               # ES of the x87 status word
MASKS: Final = 0x1F80                               # of MXCSR: no SIMD exception is raised
EMPTY: Final = 3                                    # tag of an empty x87 register
DATA_REGISTER: Final = 3
#: what the descriptor tables answer, by the semantics' names for them
TABLES: Final[Mapping[str, Callable[..., int]]] = {
    "selector_fault": lambda register, value: int(refuses_data(register, value)),
    "data_selector.refuses": lambda value: int(refuses_data(DATA_REGISTER, value)),
    "code_selector.refuses": lambda selector, target: int(refuses_code(selector, target)),
    "code_selector.is_beyond": lambda selector, target: int(is_beyond(selector, target)),
    "code_selector.is_32_bit": lambda selector: int(is_32_bit(selector)),
    "stack_selector.refuses": lambda selector: int(refuses_stack(selector)),
}


NOTHING: Final = Memory()


@dataclass(frozen=True, slots=True)
class _LookedUp(Memory):
    """A memory with a `byte` of its own, by which everything is read."""

    def load(self, address: int, size: int) -> int:
        """`size` bytes, little-endian."""
        return int.from_bytes(bytes(self.byte(address + i) for i in range(size)), "little")


@dataclass(frozen=True, slots=True)
class _Bytes(_LookedUp):
    """The data pages of a state; everything else is 0."""

    pages: tuple[int, ...] = ()
    data: bytes = b""

    def byte(self, address: int) -> int:
        """The byte at a 64-bit address."""
        address &= (1 << 64) - 1
        page = address - address % PAGE
        return self.data[self.pages.index(page) * PAGE + address % PAGE] if page in self.pages else 0

    def write(self, address: int, value: int, size: int) -> Memory:
        """The memory with `size` bytes replaced."""
        written = {(address + i) & ((1 << 64) - 1): value >> (8 * i) & 0xFF for i in range(size)}
        return _Written(self.seed, written, self)

    def same(self, other: Memory) -> bool:
        """Whether every byte is the same."""
        return self is other or other.same(self)


@dataclass(frozen=True, slots=True)
class _Written(_LookedUp):
    """A memory over another one."""

    below: Memory = NOTHING

    def byte(self, address: int) -> int:
        """The byte at a 64-bit address."""
        address &= (1 << 64) - 1
        return self.written[address] if address in self.written else self.below.byte(address)

    def write(self, address: int, value: int, size: int) -> Memory:
        """The memory with `size` bytes replaced."""
        more = {(address + i) & ((1 << 64) - 1): value >> (8 * i) & 0xFF for i in range(size)}
        return _Written(self.seed, {**self.written, **more}, self.below)

    def same(self, other: Memory) -> bool:
        """Whether every byte is the same; both lie over the same one."""
        return all(self.byte(a) == other.byte(a) for a in self.written.keys() | other.written.keys())


@dataclass(frozen=True, slots=True)
class _There(Environment):
    """The environment of a state: which pages are there and can be written, what the descriptor tables answer."""

    readable: frozenset[int] = frozenset()
    writable: frozenset[int] = frozenset()

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """The value of an uninterpreted function."""
        if name == USER_64.access_fault:
            return self._fault(*map(number, args[:4]))
        if name.endswith(MISALIGNED):
            return int(refuses_alignment(name, number(args[0])))
        if name == "access_error":
            return self._error(*map(number, args[:4]))
        if name == "access_address":
            return args[0] if self._fault(*map(number, args[:4])) == PF else 0
        return TABLES[name](*args) if name in TABLES else Environment.function(self, name, sort, args)

    def _fault(self, address: int, size: int, write: int, stack: int) -> int:
        ends = [(address + k) & ((1 << 64) - 1) for k in (0, size - 1)]
        if not all(map(USER_64.has_canonical, ends)):
            return SS if stack else GP
        pages = self.writable if write else self.readable
        return NO_FAULT if all(end - end % PAGE in pages for end in ends) else PF

    def _error(self, address: int, size: int, write: int, stack: int) -> int:
        """SDM vol. 3, 4.7: of a page fault P, W/R and U/S."""
        if self._fault(address, size, write, stack) != PF:
            return 0
        present = all(end - end % PAGE in self.readable for end in (address, address + size - 1))
        return 4 | write << 1 | present


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A state in which model and kernel differ: the encoding as it stood there, what each of them says."""

    encoding: str
    kind: str
    state: str
    said: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What deviates in a state: the observables, and which general registers (numbers 0 to 15)."""

    observables: frozenset[str] = frozenset()
    registers: frozenset[int] = frozenset()


class States:
    """The goals of encodings under one set of assumptions, each class compiled once."""

    def __init__(self, assumptions: frozenset[str]) -> None:
        self._assumptions = assumptions
        self._classes: dict[tuple[object, ...], tuple[tuple[str, ...], Adaptive]] = {}
        self._own: dict[bytes, dict[str, int]] = {}          # of the encoding that was asked for last

    def apart(self, judgement: Judgement, shown: Shown) -> Disagreement | None:
        """Where the state shows what is not predicted of it, or does not show what must be seen."""
        predicted = self.deviating(judgement, shown) if judgement.deviations else Predicted()
        said, seen = predicted.observables, shown.observables - self._hardly_ever(judgement)
        if _gathers(judgement) and said:        # where it reads is a datapath: the state may be any of the refuted kind
            said |= {d.observable for d in judgement.deviations}
        if (not seen and must_show(shown, predicted, judgement)) or not _covers(shown, said, seen):
            state = shown.state
            return Disagreement(shown.encoding.hex(), state.kind, state.name, tuple(sorted(said)), tuple(sorted(seen)))
        return None

    def _hardly_ever(self, judgement: Judgement) -> frozenset[str]:
        """What a state shows by chance only: pointers, and hits of a gather, whose pages the kernel maps meanwhile."""
        refuted = any(d.observable == "hits" for d in judgement.deviations)
        hits = {"hits"} if _gathers(judgement) and refuted else set[str]()
        return frozenset({X87_POINTERS, *hits})

    def deviating(self, judgement: Judgement, shown: Shown) -> Predicted:
        """What deviates in the state, by the model; those observables only that are refuted."""
        p = judgement.probe
        names, evaluator = self._class(judgement)
        if p.data not in self._own:
            self._own = {p.data: field_values(p)}
        state = environment(shown.state, shown.setting, shown.placement.busy)
        segment = state.get(f"{p.decoded.layout.segment}_base", 0) if isinstance(p.decoded, Decoded) else 0
        values = _Environment(state | {"segment_base": segment} | self._own[p.data])
        *found, here, there = evaluator(values, _there(shown.state, shown.setting))
        sides = zip(register_file(here), register_file(there), strict=True)
        differing = frozenset(i for i, (a, b) in enumerate(sides) if a != b)
        return Predicted(frozenset(n for n, holds in zip(names, found, strict=True) if not holds), differing)

    def _class(self, judgement: Judgement) -> tuple[tuple[str, ...], Adaptive]:
        """The refuted observables of the encoding's class; their goals, and the general registers of both sides."""
        p = judgement.probe
        if p.key not in self._classes:
            material = verification_condition(p, self._assumptions)
            _, pair = sides(p, material)
            refuted = {d.observable for d in judgement.deviations}
            goals = {name: goal for name, goal in compared(material, pair).items() if name in refuted}
            files = (behaviour.state.gprs for behaviour in (pair.here, pair.there[0]))
            self._classes[p.key] = tuple(goals), Adaptive(program((*goals.values(), *files)))
        return self._classes[p.key]


def hit_memory(p: Probe, state: KernelState, setting: RunSetting) -> tuple[Memory, Memory]:
    """Memory before and after the last kind of hit of a plan that runs no copy, in a state that meets no fault."""
    before, pair = sides(p, verification_condition(p))
    values = _Environment(environment(state, setting) | field_values(p))
    found = Adaptive(program((before.memory, pair.there[-1].state.memory)))(values, _there(state, setting))
    return cast(Memory, found[0]), cast(Memory, found[1])


def _covers(shown: Shown, said: frozenset[str], seen: frozenset[str]) -> bool:
    """Whether everything seen is predicted, or follows from it.

    What follows: anything from a fault on one side, or that is found where it is delivered on both; from code that ran
    elsewhere, from going on elsewhere, from a trap before or after the code behind; and where the datapath may raise an
    exception of its own.
    """
    faulted = "fault" in said and (shown.end == "fault" or bool({"fault", "trap"} & seen))
    if shown.placement.tail and "trap" in said & seen:
        return True
    if faulted or "containment" in said or "next-ip" in said & seen:
        return True
    return bool(said) if said and _may_raise(shown.state) else seen <= said


def _may_raise(state: KernelState) -> bool:
    """Whether the state has SIMD exceptions unmasked, or an x87 exception pending."""
    unmasked = MASKS & ~int.from_bytes(state.xstate[24:26], "little")
    return bool(unmasked or state.xstate[2] & PENDING)


def must_show(shown: Shown, predicted: Predicted, judgement: Judgement) -> bool:
    """Whether what is predicted of a state is certain to be seen in it.

    Not certain: what rests on an exception of the datapath; a fault that differs in its error code alone, where no
    frame is delivered, or in what was read before it; what differs of a SIGTRAP (`trap-siginfo`); that code behind the
    instruction runs elsewhere, where it does the same there; registers that it overwrites; hits of further iterations,
    where the program's own trap ends the run; x87 pointers.
    """
    plan = judgement.probe.plan
    applied = isinstance(plan, Program) and shape(plan).applies     # the processor runs no copy
    if applied and "fault" in predicted.observables and shown.end == "fault":
        return True
    if _may_raise(shown.state) or shown.end == "runaway":
        return False
    sure = predicted.observables - ({X87_POINTERS, "hits"} if shown.end == "trap" else {X87_POINTERS})
    if {GPR_NAMES[i] for i in predicted.registers} <= shown.placement.overwritten:
        sure -= {"gprs"}
    if shown.end != "arrived" or shown.placement.tail not in (b"", ORDINARY):
        sure -= {"containment", "trap", "gprs"} if "containment" in sure else set()     # what is behind overwrites r11
    reads_elsewhere = any(d.observable == "memory-addresses" for d in judgement.deviations)
    frame_differs = shown.state.delivered and shown.end != "trap" and not reads_elsewhere
    return bool(sure - {"fault"}) or (bool(sure) and frame_differs)


def _gathers(judgement: Judgement) -> bool:
    decoded = judgement.probe.decoded
    return isinstance(decoded, Decoded) and decoded.form.opcode.is_vsib


class _Environment(dict[str, Value]):
    """Values by name; components that no program here can choose, and tokens, are 0."""

    def __missing__(self, name: str) -> Value:
        return 0


def _there(state: KernelState, setting: RunSetting) -> _There:
    pages = setting.space.pages if state.accessible else ()
    writable = pages[READ_ONLY_PAGES:] if state.read_only else pages
    return _There(readable=frozenset(pages), writable=frozenset(writable))


def environment(state: KernelState, setting: RunSetting, busy: int = 0) -> dict[str, Value]:
    """The state's components by the model's names."""
    r = dict(zip(REGISTERS, state.registers, strict=True))
    selectors = sum(r[name] << 16 * i for i, name in enumerate(("es", "cs", "ss", "ds", "fs", "gs")))
    flags = {name: r["eflags"] >> position & 1 for name, position in FLAG_BITS.items()}
    image = state.xstate
    return {
        **flags,
        "gprs": tuple(r[name] for name in GPR_NAMES), "fs_base": r["fs_base"], "gs_base": r["gs_base"],
        "selectors": selectors, "vectors": _vectors(image), "masks": (0,) * 8,
        "mxcsr": int.from_bytes(image[24:28], "little"), "x87": _x87(image), "fip": 0, "fdp": 0, "fop": 0,
        "ssp": 0, "cet": 0, "memory": _Bytes(0, {}, setting.space.pages, state.data),
        "origin": setting.origin, "slot": SLOTS + SLOT_SIZE * min(busy + 1, LAST_SLOT),
    }  # fmt: skip


@lru_cache(256)
def _vectors(image: bytes) -> tuple[int, ...]:
    """32 registers of 512 bits: the components that the processor has."""
    at = {c.bit: c.offset for c in visible().components}
    lanes = []
    for i in range(16):
        parts = [image[160 + 16 * i :][:16]]
        parts += [image[at[bit] + size * i :][:size] for bit, size in ((2, 16), (6, 32)) if bit in at]
        lanes.append(int.from_bytes(b"".join(parts), "little"))
    high = (int.from_bytes(image[at[7] + 64 * i :][:64], "little") if 7 in at else 0 for i in range(16))
    return (*lanes, *high)


def _x87(image: bytes) -> int:
    """Control and status word, full tag word, st0 to st7 (80 bits each), control lowest."""
    tags = sum(EMPTY << 2 * i for i in range(8) if not image[4] >> i & 1)
    registers = sum(int.from_bytes(image[32 + 16 * i :][:10], "little") << 80 * i for i in range(8))
    return int.from_bytes(image[:4], "little") | tags << 32 | registers << 48
