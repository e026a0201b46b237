"""Every part of an outcome is compared: one that differs there alone is told, by the observable that it belongs to."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from verify.live.kernel.child import Stop
from verify.live.kernel.outcome import KernelOutcome, RunSetting, differences
from verify.live.ptrace import REGISTERS, RIP

AT = RunSetting(0x4000, b"")
TRAP = signal.SIGTRAP
PLAIN = KernelOutcome(Stop(TRAP, 2, 0, tuple(4 * i for i in range(len(REGISTERS))), bytes(832)), bytes(64))
FLAGS = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "if": 9, "df": 10, "of": 11, "nt": 14, "ac": 18, "id": 21}
OF_REGISTERS = {  # what is neither a general register nor left out: SDM vol. 1, 3.4
    "rip": "next-ip", "cs": "segment-bases", "ss": "segment-bases", "fs_base": "segment-bases",
    "gs_base": "segment-bases", "ds": "segment-bases", "es": "segment-bases", "fs": "segment-bases",
    "gs": "segment-bases", "eflags": "flags",
}  # fmt: skip
AREAS = {  # SDM vol. 1, 10.5.1: bytes of the XSAVE image
    "control word": (0, "x87"), "status word": (2, "x87"), "tag word": (4, "x87"), "fop": (6, "x87-pointers"),
    "fip": (8, "x87-pointers"), "fdp": (16, "x87-pointers"), "mxcsr": (24, "vector"), "st0": (32, "x87"),
    "st7": (144, "x87"), "xmm0": (160, "vector"), "xmm15": (415, "vector"), "ymm0": (576, "vector"),
    "ymm15": (831, "vector"),
}  # fmt: skip


def seen(stop: Stop, data: bytes = PLAIN.data, hits: int = 1, plain: KernelOutcome = PLAIN) -> set[str]:
    return {d.observable for d in differences(plain, KernelOutcome(stop, data, hits), AT)}


def changed(register: str, bit: int = 4, stop: Stop = PLAIN.stop) -> Stop:
    at = REGISTERS.index(register)
    return replace(stop, registers=tuple(v ^ (1 << bit) if i == at else v for i, v in enumerate(stop.registers)))


@pytest.mark.parametrize("name", [n for n in REGISTERS if n != "orig_rax"])
def test_every_register_is_compared(name: str) -> None:
    assert seen(changed(name)) == {OF_REGISTERS.get(name, "gprs")}


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_is_compared(name: str) -> None:
    assert seen(changed("eflags", FLAGS[name])) == {"flags"}


def test_tf_is_the_traps() -> None:
    assert seen(changed("eflags", 8)) == {"trap"}


@pytest.mark.parametrize("area", AREAS)
def test_every_area_of_the_xsave_image_is_compared(area: str) -> None:
    at, observable = AREAS[area]
    image = bytearray(PLAIN.stop.xstate)
    image[2] = 0x80  # an exception is pending: AMD's xsave keeps the pointers
    pending = replace(PLAIN, stop=replace(PLAIN.stop, xstate=bytes(image)))
    image[at] ^= 1
    assert seen(replace(PLAIN.stop, xstate=bytes(image)), plain=pending) == {observable}


def test_memory_hits_and_how_it_ends_are_compared() -> None:
    assert seen(PLAIN.stop, bytes([1]) + PLAIN.data[1:]) == {"memory-values"}
    assert seen(PLAIN.stop, hits=2) == seen(PLAIN.stop, hits=0) == {"hits"}
    assert "trap" in seen(replace(PLAIN.stop, signal=signal.SIGSEGV))
    fault = replace(PLAIN, stop=replace(PLAIN.stop, signal=signal.SIGSEGV, address=0x10))
    for other in (replace(fault.stop, code=1), replace(fault.stop, address=0x11), replace(fault.stop, signal=7)):
        assert seen(other, plain=fault) == {"fault"}
    assert seen(changed("rip"), plain=PLAIN) == {"next-ip"}
    assert PLAIN.stop.registers[RIP] < 0x4000
