"""Encodings of a form and states to run them from: random ones, boundary values, operands aimed at mapped memory.

Decides nothing about outcomes.  Operands lie inside the executor's data region, at its edges, across them, in the
read-only page and at random places; registers hold random, small and boundary values and pointers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from verify.claim.probes import Probe
from verify.live.capabilities import LOADED, Capabilities
from verify.live.differential.contents import memory_entries
from verify.live.differential.errata import HALF_READ, HARMLESS, is_system_call
from verify.live.differential.prediction import probe_here
from verify.live.differential.selectors import align_frames, put_behind_a_gap
from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA, READ_ONLY, SECOND, STACK
from verify.models.x86.free_fields import layout_has_modrm
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.fields import Fields, fields
from verify.models.x86.isa.forms import Addressing, Cpu, Form
from verify.models.x86.mode import USER_64
from verify.terms import Term

BOUNDARY: Final = np.array(
    [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
     (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 2, 0x8000000080000000, USER_64.half - 1, USER_64.half,
     31, 32, 33, 63, 64, 65, 0xAAAAAAAAAAAAAAAA, 0x5555555555555555, 0x23, 0x2B, 0x78],
    dtype=np.uint64,
)  # fmt: skip
LANES: Final = np.array(  # floating-point and integer patterns of 64 bits: zeros, ones, infinities, NaNs, denormals
    [0, (1 << 64) - 1, 0x3FF0000000000000, 0xBFF0000000000000, 0x3F8000003F800000, 0x7FF0000000000000,
     0x7F8000007F800000, 0xFF800000FF800000, 0x7FF8000000000001, 0x7FC000017FC00001, 0x7FF0000000000001,
     0x7F8000017F800001, 1, 0x8000000080000000, 1 << 63, 0x000FFFFFFFFFFFFF, 0x007FFFFF007FFFFF, 0x4330000000000000,
     0x41E0000000000000, 0x4F0000004F000000, 0x0000000100000001, 0x7FFF7FFF80008000, 0x0102030405060708,
     0x3C003C003C003C00, 0x4000000040000000],
    dtype=np.uint64,
)  # fmt: skip
STATUS_BITS: Final = 0x8D5  # cf pf af zf sf of
X87_EXCEPTIONS, ES_AND_BUSY = 0x3F, 0x8080  # of the status word: what the processor makes of both on loading them
DF, NT, AC, ID = 1 << 10, 1 << 14, 1 << 18, 1 << 21
MISALIGNED_MODE: Final = 1 << 17  # MXCSR.MM, AMD
OTHER_KEYS: Final = 0xFFFF_FFFC  # bits of PKRU that leave the executor alive
ZERO_OR_FAULT: Final = {"wrpkru": (1, 2), "rdpkru": (1,), "xgetbv": (1,)}  # rcx, rdx: #GP unless their low halves are 0
UNDEFINED, OTHER_SEGMENT = 5, (6,)  # which of the encodings of a form: see `encodings`
TRIES: Final = 30  # random encodings among which one with a certain base is looked for
NOT_CANONICAL: Final = 1 << 62
FRAME_WORDS: Final = 8  # of 8 bytes, from an end of the stack: what the longest return frame needs, and more
RSP_OR_RBP: Final = 2  # upper three bits of the base's number


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the operand of one encoding is to lie, and the segment base that goes with it."""

    target: int
    segment_base: int


@dataclass(frozen=True, slots=True)
class Trials:
    """Encodings, the encoding of each trial, input records and memory entries."""

    probes: tuple[Probe, ...]
    which: NDArray[np.int64]
    states: NDArray[np.void]
    memory: NDArray[np.void]

    def decoded(self, which: int) -> Decoded:
        """An encoding, which is an instruction."""
        return cast(Decoded, self.probes[which].decoded)


def encodings(
    form: Form, count: int, rng: Random, cpu: Cpu, origin: int, bases: bool = True
) -> list[tuple[Probe, Aim]]:
    """Up to `count` random encodings with their aims; where no register decides the address, the displacement does.

    `bases`: segment bases can be set.
    Empty where this vendor has no encoding of the form.
    """
    found: list[tuple[Probe, Aim]] = []
    for number in range(count):
        try:
            data = random_encoding(form, rng, cpu)
        except ValueError:
            return []
        locks = form.opcode.can_lock and form.addressing is not Addressing.REG
        if (locks and rng.random() < 0.3) or (not locks and number == UNDEFINED):
            data = _prefixed(b"\xf0", data, form, cpu)
        if form.opcode.is_string and number % 2:
            data = _prefixed(rng.choice((b"\xf2", b"\xf3")), data, form, cpu)
        target = _target(form, rng)
        if number in OTHER_SEGMENT and bases and form.addressing is Addressing.MEM:
            data, target = _on_another_segment(data, form, rng, cpu), NOT_CANONICAL + 64 * rng.randrange(1 << 20)
        decoded = decode(data, cpu)
        if not isinstance(decoded, Decoded) or is_system_call(decoded):
            continue
        aim = Aim(target, rng.choice((0, 0, 0x40, 0x108)) if bases else 0)
        found.append((probe_here(_aimed(decoded, aim, origin)), aim))
    return found


def _prefixed(prefix: bytes, data: bytes, form: Form, cpu: Cpu) -> bytes:
    """With the prefix, where that is the same form; one that LOCK makes undefined among them."""
    longer = prefix + data
    found = decode(longer, cpu)
    return longer if isinstance(found, Decoded) and found.form is form and found.data == longer else data


def _on_another_segment(data: bytes, form: Form, rng: Random, cpu: Cpu) -> bytes:
    """An encoding with a base of rsp or rbp and an override by fs or gs: #GP there, where #SS is without one."""
    for _ in range(TRIES):
        data = random_encoding(form, rng, cpu)
        decoded = decode(data, cpu)
        if not isinstance(decoded, Decoded):
            continue
        parts = _fields(probe_here(decoded))
        if parts.has_base and parts.based.value and _number(parts.base) >> 1 == RSP_OR_RBP:
            return _prefixed(rng.choice((b"\x64", b"\x65")), data, form, cpu)
    return data


def _target(form: Form, rng: Random) -> int:
    """An address for the operand: mostly inside the data region, sometimes at or across an edge, or elsewhere."""
    size, how = form.opcode.memory_size or 64, rng.random()
    if form.opcode.is_save_restore:
        return DATA.address + 64 * rng.randrange(16)
    if how < 0.62:
        step = rng.choice((1, 4, 16, 64, 64, 64))
        return DATA.address + step * rng.randrange((DATA.size - size) // step)
    if how < 0.76:
        return DATA.end - size
    if how < 0.84:
        return DATA.end - size + rng.randrange(1, size + 1)
    if how < 0.90:
        return DATA.address + rng.choice((0, 0, -1, -size))
    if how < 0.95:
        return READ_ONLY.address + 64 * rng.randrange(60)
    return rng.choice((SECOND.address, SECOND.end - size, USER_64.half, rng.getrandbits(64)))


def _aimed(decoded: Decoded, aim: Aim, origin: int) -> Decoded:
    """The encoding with a displacement that reaches the aim, where it has one of 4 or 8 bytes and no base register."""
    layout, form = decoded.layout, decoded.form
    offset, size = layout.disp_offset, layout.disp_size
    if offset is None or size < 4:
        return decoded
    probe = probe_here(decoded)
    base = aim.segment_base if layout.segment else 0
    if form.addressing is Addressing.RIP:
        value = aim.target - base - origin - layout.length
    elif layout_has_modrm(_fields(probe)) and _fields(probe).has_base:
        return decoded
    else:
        value = aim.target - base
    data = bytearray(decoded.data)
    data[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    again = decode(bytes(data), decoded.cpu)
    return again if isinstance(again, Decoded) and again.form is form else decoded


def _fields(probe: Probe) -> Fields:
    return fields(cast(Decoded, probe.decoded))


def _number(field: Term) -> int:
    """A field of a given encoding, which is a constant."""
    assert field.value is not None
    return field.value


def randomized(states: NDArray[np.void], form: Form, rng: np.random.Generator, caps: Capabilities) -> None:
    """Fills the records with random and boundary values, as far as the processor has the components."""
    count = len(states)
    states["gprs"] = _related(_words(rng, (count, 16)), rng)
    states["gprs"][:, 4] = STACK.address + 8 * rng.integers(64, 448, count, dtype=np.uint64)
    if form.opcode.is_stack:
        _stack_edges(states["gprs"], rng)
    if form.opcode.implicit_memory or form.opcode.is_string or form.opcode.mnemonic in HARMLESS:
        _pointers(states, form, rng)
    align_frames(states, form, rng)
    states["rflags"] = 0x202 | rng.integers(0, 1 << 12, count, dtype=np.uint64) & np.uint64(STATUS_BITS)
    checked = 0.0 if _has_memory(form) else 0.05  # the assumption no-alignment-check
    for flag, rate in ((DF, 0.2), (NT, 0.03), (AC, checked), (ID, 0.2)):
        states["rflags"] |= np.where(rng.random(count) < rate, np.uint64(flag), np.uint64(0))
    for name in ("fs_base", "gs_base"):
        states[name] = rng.choice(BOUNDARY[:13], count) if caps.fsgsbase else 0
    keys = "ospke" in caps.features
    states["pkru"] = rng.integers(0, 1 << 32, count, dtype=np.uint64) & np.uint64(OTHER_KEYS) * np.uint64(keys)
    _vector_state(states["xsave"], rng)
    if caps.mxcsr_mask & MISALIGNED_MODE and form.opcode.mnemonic not in HALF_READ:
        states["xsave"]["mxcsr"] |= np.where(rng.random(count) < 0.2, np.uint32(MISALIGNED_MODE), np.uint32(0))


def _stack_edges(gprs: NDArray[np.uint64], rng: np.random.Generator) -> None:
    """Puts some stack pointers within a frame's reach of the ends of the stack's region, some of them at odd places."""
    count = len(gprs)
    near = np.uint64(8) * rng.integers(0, FRAME_WORDS, count, dtype=np.uint64)
    near += np.where(rng.random(count) < 0.25, rng.integers(0, 8, count, dtype=np.uint64), np.uint64(0))
    at_end = rng.random(count) < 0.7
    place = np.where(at_end, np.uint64(STACK.end) - near, np.uint64(STACK.address) + near)
    gprs[:, 4] = np.where(rng.random(count) < 0.12, place, gprs[:, 4])


def _has_memory(form: Form) -> bool:
    memory = form.addressing in {Addressing.MEM, Addressing.RIP} or "mem_offs" in form.opcode.op_kinds
    return memory or bool(form.opcode.implicit_memory) or form.opcode.is_stack or form.opcode.is_string


def _words(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Random words, of which some are boundary values or small."""
    words = rng.integers(0, 1 << 64, shape, dtype=np.uint64)
    how = rng.random(shape)
    words = np.where(how < 0.25, rng.choice(BOUNDARY, shape), words)
    words = np.where((how > 0.25) & (how < 0.35), words & np.uint64(0xFF), words)
    data: NDArray[np.uint64] = np.where(how > 0.95, np.uint64(DATA.address) + (words & np.uint64(0xFFF)), words)
    return data


def _related(words: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint64]:
    """The words, with some rows whose registers are equal, opposite to their neighbours, or small: results near 0."""
    count = len(words)
    base, near = words[:, :1], rng.integers(0, 3, words.shape, dtype=np.uint64)
    opposite = np.where(rng.random(words.shape) < 0.5, near - base, base)
    how = rng.random((count, 1))
    rows = np.select([how < 0.05, how < 0.10, how < 0.15], [np.broadcast_to(base, words.shape), opposite, near], words)
    return rows.astype(np.uint64)


def _pointers(states: NDArray[np.void], form: Form, rng: np.random.Generator) -> None:
    """Pointers in the registers that implicit operands use, and small counters."""
    count = len(states)
    for register in (0, 1, 2, 3, 6, 7, 8):
        place = np.uint64(DATA.address) + rng.integers(0, DATA.size, count, dtype=np.uint64)
        chosen = rng.random(count) < (0.8 if register in {6, 7} else 0.3)
        states["gprs"][:, register] = np.where(chosen, place, states["gprs"][:, register])
    frame = np.uint64(STACK.address) + np.uint64(8) * rng.integers(64, 448, count, dtype=np.uint64)
    states["gprs"][:, 5] = np.where(rng.random(count) < 0.9, frame, states["gprs"][:, 5])
    if form.opcode.is_string:
        states["gprs"][:, 1] = rng.integers(0, 9, count, dtype=np.uint64)


def _vector_state(area: NDArray[np.void], rng: np.random.Generator) -> None:
    count = len(area)
    names = [n for n in ("xmm", "ymm_high", "zmm_high", "zmm_upper", "masks") if n in (area.dtype.names or ())]
    for name in names:
        shape = area[name].shape
        area[name] = np.frombuffer(rng.bytes(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape)
        if name != "masks":
            rows = np.flatnonzero(rng.random(count) < 0.5)
            values = area[name][rows]
            area[name][rows] = np.where(rng.random(values.shape) < 0.4, rng.choice(LANES, values.shape), values)
    if "masks" in names:
        how = rng.random(area["masks"].shape)
        area["masks"] = np.where(how < 0.2, np.uint64(0), np.where(how > 0.8, ~np.uint64(0), area["masks"]))
    area["mxcsr"] = 0x1F80 | (rng.integers(0, 8, count).astype(np.uint32) << 13) | rng.integers(0, 64, count)
    open_rows = rng.random(count) < 0.05
    area["mxcsr"] = np.where(open_rows, area["mxcsr"] & ~np.uint32(0x1F80), area["mxcsr"])
    open_rows = rng.random(count) < 0.12
    area["fcw"] = (0x37F | rng.integers(0, 4, count) << 10) & ~np.where(open_rows, rng.integers(0, 64, count), 0)
    area["fsw"] = rng.integers(0, 1 << 16, count) & 0x7F3F
    waits = area["fsw"] & ~area["fcw"] & np.uint16(X87_EXCEPTIONS) != 0
    area["fsw"] |= np.where(waits, np.uint16(ES_AND_BUSY), np.uint16(0))
    for pointer, end in (("fip", 1 << 32), ("fdp", 1 << 32), ("fop", 1 << 11)):
        area[pointer] = np.where(waits, rng.integers(1, end, count), 0)
    area["ftw"] = rng.integers(0, 256, count)
    area["st"][:, :, 0] = rng.integers(0, 1 << 64, (count, 8), dtype=np.uint64) | np.uint64(1 << 63)
    area["st"][:, :, 1] = rng.integers(0, 1 << 16, (count, 8), dtype=np.uint64)
    near = rng.random((count, 8)) < 0.6
    area["st"][:, :, 1] = np.where(near, rng.integers(0x3FF0, 0x4010, (count, 8)), area["st"][:, :, 1])
    area["xstate_bv"] |= np.uint64(LOADED & 0x3)


def point(states: NDArray[np.void], probe: Probe, aim: Aim, rng: np.random.Generator) -> None:
    """Sets the address registers of one encoding's states so that the ModRM operand lies at the aim."""
    parts, decoded = _fields(probe), probe.decoded
    layout, form = decoded.layout, decoded.form  # type: ignore[union-attr]
    if layout.segment is not None:
        states[f"{layout.segment}_base"] = aim.segment_base
    limited(states, form)
    if form.opcode.mnemonic == "retf" and parts.immediates:
        put_behind_a_gap(states["gprs"], _number(parts.immediates[0]), form.opcode.operand_size // 8, rng)
    if form.addressing is not Addressing.MEM or layout.modrm_offset is None:
        return
    gprs: NDArray[np.uint64] = states["gprs"]
    base = np.uint64(aim.segment_base if layout.segment else 0)
    with np.errstate(over="ignore"):
        rest: NDArray[np.unsignedinteger] | np.unsignedinteger
        rest = np.uint64(aim.target) - base - np.uint64(_number(parts.disp))
        vector_index = form.opcode.is_vsib
        if parts.has_index and not vector_index:
            index, scale = _number(parts.index), 1 << _number(parts.scale)
            if not parts.has_base:
                gprs[:, index] = rest // np.uint64(scale)
                return
            if index == _number(parts.base):
                gprs[:, index] = np.uint64(int(rest) * pow(scale + 1, -1, 1 << 64) % (1 << 64)) if scale > 1 else (
                    rest // np.uint64(2)
                )  # fmt: skip
                return
            rest = rest - gprs[:, index] * np.uint64(scale)
        if parts.has_base:
            gprs[:, _number(parts.base)] = rest
    if vector_index:
        _small_indices(states["xsave"], _number(parts.index), rng)


def limited(states: NDArray[np.void], form: Form) -> None:
    """Keeps protection keys and lengths of state images within what leaves the executor alive."""
    gprs = states["gprs"]
    if form.opcode.mnemonic.startswith(("xrstor", "xsave")):
        gprs[:, 0] &= np.uint64(LOADED)
    elif form.opcode.mnemonic in ZERO_OR_FAULT:
        gprs[:, 0] &= ~np.uint64(3)  # key 0, which everything of the executor has
        for place, register in enumerate(ZERO_OR_FAULT[form.opcode.mnemonic]):
            zero = np.arange(len(states)) >> place & 3 != 0  # all of them, each alone, none
            gprs[:, register] = np.where(zero, gprs[:, register] & ~np.uint64(0xFFFFFFFF), gprs[:, register])
    elif form.opcode.mnemonic in {"bt", "bts", "btr", "btc"} and form.addressing is not Addressing.REG:
        near = gprs & np.uint64(0x3FF)
        pick = np.arange(len(states)) % 4 != 0
        gprs[:, :] = np.where(pick[:, None], near, gprs)
        gprs[:, 4] = STACK.address + 0x800


def _small_indices(area: NDArray[np.void], number: int, rng: np.random.Generator) -> None:
    """Index elements within a few hundred bytes, both signs, of 32 or 64 bits each."""
    small = rng.integers(-100, 100, (len(area), 16)).astype(np.int32)
    wide = rng.integers(-100, 100, (len(area), 8)).astype(np.int64).view(np.int32)
    words = np.where(rng.random((len(area), 1)) < 0.5, small, wide).astype(np.int32).view(np.uint64)
    if number >= 16 and "zmm_upper" in (area.dtype.names or ()):
        area["zmm_upper"][:, number - 16] = words
    if number >= 16:
        return
    area["xmm"][:, number] = words[:, :2]
    if "ymm_high" in (area.dtype.names or ()):
        area["ymm_high"][:, number] = words[:, 2:4]
    if "zmm_high" in (area.dtype.names or ()):
        area["zmm_high"][:, number] = words[:, 4:]


def trials(
    executor: Executor, chosen: Sequence[tuple[Probe, Aim]], form: Form, per_encoding: int, rng: np.random.Generator
) -> Trials:
    """`per_encoding` states for each encoding, in the encodings' order."""
    count = len(chosen) * per_encoding
    states = executor.blank_states(count)
    randomized(states, form, rng, executor.capabilities)
    which = np.repeat(np.arange(len(chosen)), per_encoding)
    for i, (probe, aim) in enumerate(chosen):
        point(states[i * per_encoding : (i + 1) * per_encoding], probe, aim, rng)
    targets = [chosen[i][1].target % (1 << 64) for i in which.tolist()]
    return Trials(tuple(p for p, _ in chosen), which, states, memory_entries(states, targets, form, rng))
