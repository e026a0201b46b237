"""Translates states into input records and output records into outcomes.

Decides how an ending is classified (completed, trapped, fault, hung) from what the stub stored; runs nothing.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from verify.live.capabilities import LOADED, Capabilities
from verify.live.executor.layout import CHUNK, MAX_LENGTH, PAGE, STUB_BASE, ChildLayout
from verify.live.executor.records import IN_XSAVE, OUT_OFFSETS, OUT_XSAVE
from verify.live.executor.state import RF, X87, CpuOutcome, CpuState, Kind
from verify.models.x86.machine import BP, DB, PF

KINDS: Final = (Kind.COMPLETED, Kind.TRAPPED, Kind.FAULT, Kind.CRASHED, Kind.HUNG)
COMPLETED, TRAPPED, FAULT, CRASHED, HUNG = range(5)
SIGTRAP: Final = 5
SIGVTALRM: Final = 26
DELIVERED: Final = ("si_code", "si_addr", "error_code", "trapno", "cr2")
_M128: Final = (1 << 128) - 1
_M256: Final = (1 << 256) - 1


def pack_state(state: CpuState, code: bytes, caps: Capabilities, size: int) -> bytes:
    """The input record of `state` in `size` bytes, its XSAVE area included if there is room.

    Raises ValueError for what the machine cannot load.
    """
    head = struct.pack("<20Q", *state.gprs, state.rflags, state.fs_base or 0, state.gs_base or 0, len(code))
    if not caps.fsgsbase and (state.fs_base or state.gs_base):
        raise ValueError("segment bases cannot be set: no FSGSBASE for user programs (AT_HWCAP2 bit 1)")
    record = bytearray(size)
    record[: len(head)] = head
    if size > IN_XSAVE:
        record[IN_XSAVE : IN_XSAVE + caps.xsave_size] = pack_xsave(state, caps)
    return bytes(record)


def pack_xsave(state: CpuState, caps: Capabilities) -> bytes:
    """The standard-format XSAVE area of the state's vector and x87 part; ValueError for what XRSTOR would refuse."""
    return _packed(state.vector, state.masks, state.mxcsr, state.x87, caps)


@lru_cache(64)  # most states of a run differ in general registers only
def _packed(vector: tuple[int, ...], masks: tuple[int, ...], mxcsr: int, x87: X87, caps: Capabilities) -> bytes:
    if mxcsr & ~caps.mxcsr_mask:
        raise ValueError(f"mxcsr has reserved bits set: {mxcsr:#x}")
    area = bytearray(caps.xsave_size)
    struct.pack_into("<HHBxHQQII", area, 0, x87.cw, x87.sw, x87.tag, x87.fop, x87.fip, x87.fdp, mxcsr, caps.mxcsr_mask)
    for i, value in enumerate(x87.registers):
        area[32 + 16 * i : 48 + 16 * i] = value.to_bytes(16, "little")
    for i, value in enumerate(vector[:16]):
        area[160 + 16 * i : 176 + 16 * i] = (value & _M128).to_bytes(16, "little")
    struct.pack_into("<Q", area, 512, caps.xcr0 & LOADED)
    _pack_extended(area, vector, masks, caps)
    return bytes(area)


def _pack_extended(area: bytearray, vector: tuple[int, ...], masks: tuple[int, ...], caps: Capabilities) -> None:
    width, count = caps.vector_bits, 32 if caps.vector_bits == 512 else 16
    if any(v >> width for v in vector) or any(vector[count:]):
        raise ValueError(f"this machine has {count} vector registers of {width} bits; the state uses more")
    at = {component.bit: component.offset for component in caps.components}
    if any(masks) and 5 not in at:
        raise ValueError("this machine has no mask registers; the state uses them")
    if 5 in at:
        struct.pack_into("<8Q", area, at[5], *masks)
    for bit, size, shift in ((2, 16, 128), (6, 32, 256)):
        if bit in at:
            pieces = ((v >> shift & (1 << 8 * size) - 1).to_bytes(size, "little") for v in vector[:16])
            area[at[bit] : at[bit] + 16 * size] = b"".join(pieces)
    if 7 in at:
        area[at[7] : at[7] + 1024] = b"".join(v.to_bytes(64, "little") for v in vector[16:])


def unpack_xsave(area: bytes, caps: Capabilities) -> dict[str, Any]:
    """Fields `vector`, `masks`, `mxcsr`, `x87` of a State from a standard-format XSAVE area.

    A component whose XSTATE_BV bit is clear is in its initial configuration (SDM vol. 1, 13.6).
    """
    vector, masks, mxcsr, x87 = _unpacked(area, caps)
    return {"vector": vector, "masks": masks, "mxcsr": mxcsr, "x87": x87}


@lru_cache(64)
def _unpacked(area: bytes, caps: Capabilities) -> tuple[tuple[int, ...], tuple[int, ...], int, X87]:
    (present,) = struct.unpack_from("<Q", area, 512)
    cw, sw, tag, fop, fip, fdp, mxcsr = struct.unpack_from("<HHBxHQQI", area, 0)
    registers = tuple(int.from_bytes(area[32 + 16 * i : 42 + 16 * i], "little") for i in range(8))
    at = {c.bit: c.offset for c in caps.components}
    low = _pieces(area, 160, 16, 16, present >> 1 & 1)
    high = _pieces(area, at.get(2, 0), 16, 16, present >> 2 & 1 and 2 in at)
    top = _pieces(area, at.get(6, 0), 32, 16, present >> 6 & 1 and 6 in at)
    upper = _pieces(area, at.get(7, 0), 64, 16, present >> 7 & 1 and 7 in at)
    vector = tuple(a | b << 128 | c << 256 for a, b, c in zip(low, high, top, strict=True)) + upper
    masks = _pieces(area, at.get(5, 0), 8, 8, present >> 5 & 1 and 5 in at)
    return vector, masks, mxcsr, X87(cw, sw, tag, fop, fip, fdp, registers) if present & 1 else X87()


def _pieces(area: bytes, offset: int, size: int, count: int, present: int | bool) -> tuple[int, ...]:
    if not present:
        return (0,) * count
    return tuple(int.from_bytes(area[offset + size * i : offset + size * (i + 1)], "little") for i in range(count))


def classify(out: NDArray[np.void], lengths: int | NDArray[np.integer], origin: int, layout: ChildLayout) -> None:
    """Sets `kind`, and where the instruction completed `ip`, `cr2` and RF, in records that the stub wrote."""
    number, ip, trapno = out["signal"], out["ip"], out["trapno"]
    behind = np.asarray(origin + lengths, dtype=np.uint64)
    if not number.any():
        out["kind"], out["ip"] = COMPLETED, behind
        for name in DELIVERED:
            out[name] = 0
        return
    none = number == 0
    last = layout.landing_of(origin + MAX_LENGTH)
    in_landing = (ip >= layout.landing_of(origin + 1)) & (ip <= last)
    own_tf = (number == SIGTRAP) & (trapno == DB)
    left_by_jump = none | (own_tf & in_landing)  # TF set by the instruction itself traps behind the exit jump
    breakpoint = (number == SIGTRAP) & (trapno == BP)
    arrived = breakpoint & ~((ip > origin) & (ip <= behind))
    elsewhere = ~none & (number != SIGTRAP) & (number != SIGVTALRM) & (ip != origin)
    hung = number == SIGVTALRM
    kind = np.select([left_by_jump | arrived | elsewhere, number == SIGTRAP, hung], [COMPLETED, TRAPPED, HUNG], FAULT)
    out["kind"] = kind
    out["si_addr"] = np.where(own_tf & in_landing, behind, out["si_addr"])
    out["ip"] = np.where(left_by_jump, behind, np.where(arrived, ip - np.uint64(1), ip))
    out["rflags"] = np.where(kind == COMPLETED, out["rflags"] & np.uint64(~RF & (1 << 64) - 1), out["rflags"])
    for name in DELIVERED:  # the stub leaves them alone, and the kernel keeps the last exception's numbers
        out[name][none | hung] = 0
    out["cr2"][trapno != PF] = 0
    stub = ~none & ~hung & (ip >= STUB_BASE) & (ip < STUB_BASE + PAGE)
    if stub.any():
        raise RuntimeError(f"the stub itself faulted at {int(ip[stub][0]):#x}, signal {int(number[stub][0])}")


def outcome(
    record: bytes, kind: int, initial: CpuState, changed: tuple[tuple[int, bytes], ...], caps: Capabilities
) -> CpuOutcome:
    """The outcome in a classified output record; without an XSAVE area the vector state is the initial one."""
    words = struct.unpack_from("<20Q", record, 0)
    number, _, si_code, trapno, si_addr, error_code, cr2 = struct.unpack_from("<IIiIQQQ", record, 160)
    if len(record) > OUT_XSAVE:
        rest = unpack_xsave(record[OUT_XSAVE : OUT_XSAVE + caps.xsave_size], caps)
        if number == 0:
            rest["x87"] = with_pointers(rest["x87"], record[OUT_OFFSETS["environment"] :])
    else:
        rest = {"vector": initial.vector, "masks": initial.masks, "mxcsr": initial.mxcsr, "x87": initial.x87}
    bases = (words[17], words[18]) if caps.fsgsbase else (None, None)
    state = CpuState(
        words[:16], words[16], fs_base=bases[0], gs_base=bases[1], memory=updated(initial, changed), **rest
    )
    selectors = struct.unpack_from("<4H", record, OUT_OFFSETS["selectors"])
    return CpuOutcome(
        KINDS[kind], state, words[19], number, si_code, si_addr, trapno, error_code, cr2, changed, selectors
    )


def with_pointers(x87: X87, environment: bytes) -> X87:
    """The pointers of FNSTENV (32 bits each) where XSAVE stored none.

    AMD processors have them, but store them by XSAVE only with an exception pending (APM vol. 5, FXSAVE); a Zen 4 does
    so although its CPUID offers XSAVEERPTR.
    """
    if x87.fip or x87.fdp or x87.fop:
        return x87
    fip, code, fdp = struct.unpack_from("<III", environment, 12)
    return replace(x87, fip=fip, fop=code >> 16 & 0x7FF, fdp=fdp)


def updated(initial: CpuState, changed: Sequence[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
    """The initial state's memory list with the changes applied, and the changes outside it appended."""
    pieces = [(address, bytearray(data)) for address, data in initial.memory]
    extra = []
    for address, data in changed:
        rest = [(address, data)]
        for start, piece in pieces:
            rest = [cut for item in rest for cut in _overlay(start, piece, *item)]
        extra += rest
    return tuple((address, bytes(data)) for address, data in pieces) + tuple(extra)


def _overlay(start: int, piece: bytearray, address: int, data: bytes) -> list[tuple[int, bytes]]:
    """Writes the part of `data` that falls into `piece`; what is left over."""
    low, high = max(start, address), min(start + len(piece), address + len(data))
    if low >= high:
        return [(address, data)]
    piece[low - start : high - start] = data[low - address : high - address]
    rest = [(address, data[: low - address]), (high, data[high - address :])]
    return [item for item in rest if item[1]]


def differences(before: dict[int, bytes], after: dict[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """Ranges (address, new bytes) in which two sets of 64-byte chunks with equal keys differ, adjacent bytes joined."""
    ranges: list[tuple[int, bytearray]] = []
    for address in sorted(after):
        old, new = before[address], after[address]
        for i in range(CHUNK):
            if old[i] == new[i]:
                continue
            if ranges and ranges[-1][0] + len(ranges[-1][1]) == address + i:
                ranges[-1][1].append(new[i])
            else:
                ranges.append((address + i, bytearray(new[i : i + 1])))
    return tuple((address, bytes(data)) for address, data in ranges)


def chunks(memory: Iterable[tuple[int, bytes]], background: dict[int, bytes]) -> dict[int, bytes]:
    """Chunk address -> its 64 bytes, for every chunk that `memory` touches, over the background; ValueError outside."""
    out: dict[int, bytearray] = {}
    for address, data in memory:
        for i, byte in enumerate(data):
            base = (address + i) // CHUNK * CHUNK
            if base not in out:
                if base not in background:
                    raise ValueError(f"no memory can be set at {address + i:#x}: it is in no writable region")
                out[base] = bytearray(background[base])
            out[base][address + i - base] = byte
    return {base: bytes(data) for base, data in out.items()}
