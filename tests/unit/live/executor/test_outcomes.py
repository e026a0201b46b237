"""Classification of endings, memory changes and XSAVE areas, without running anything."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from verify.live.capabilities import Capabilities, XsaveComponent
from verify.live.executor.layout import STUB_BASE, ChildLayout
from verify.live.executor.outcomes import chunks, classify, differences, pack_xsave, unpack_xsave, updated
from verify.live.executor.records import out_dtype
from verify.live.executor.state import RF, TF, X87, CpuState

LAYOUT = ChildLayout()
ORIGIN = LAYOUT.code_base + 0x200
# Offsets and sizes of an AVX-512 processor, SDM vol. 1, 13.5, and its example without compaction
AVX512 = Capabilities(
    "GenuineIntel", 6, 85, 4, frozenset(), 0xE7, 2688,
    (
        XsaveComponent(2, 576, 256), XsaveComponent(5, 1088, 64), XsaveComponent(6, 1152, 512),
        XsaveComponent(7, 1664, 1024),
    ), True,
)  # fmt: skip
SSE_ONLY = Capabilities("GenuineIntel", 6, 85, 4, frozenset(), 3, 576, (), False)


def record(**fields: int) -> NDArray[Any]:
    out = np.zeros(1, dtype=out_dtype(None))
    for name, value in fields.items():
        out[name] = value
    return out


@pytest.mark.parametrize(
    ("signal", "trapno", "ip", "kind", "arrival"),
    [
        (0, 0, 0, 0, ORIGIN + 3),  # the exit jump
        (5, 1, ORIGIN + 3, 1, ORIGIN + 3),  # TF
        (5, 1, LAYOUT.landing_of(ORIGIN + 3), 0, ORIGIN + 3),  # TF set by the instruction
        (5, 3, ORIGIN + 1, 1, ORIGIN + 1),  # int3 itself
        (5, 3, ORIGIN + 3, 1, ORIGIN + 3),  # int 3 of two bytes and a prefix
        (5, 3, ORIGIN + 4, 0, ORIGIN + 3),  # arrived behind it
        (5, 3, ORIGIN - 7, 0, ORIGIN - 8),
        (11, 14, ORIGIN, 2, ORIGIN),
        (11, 14, 0x1234, 0, 0x1234),  # arrived where nothing can be fetched
        (8, 0, ORIGIN, 2, ORIGIN),
        (26, 14, ORIGIN, 4, ORIGIN),
    ],
)
def test_ending_is_classified(signal: int, trapno: int, ip: int, kind: int, arrival: int) -> None:
    out = record(signal=signal, trapno=trapno, ip=ip, rflags=0x202 | (RF if signal else 0), cr2=0x99)
    classify(out, 3, ORIGIN, LAYOUT)
    assert (int(out["kind"][0]), int(out["ip"][0])) == (kind, arrival)
    assert bool(out["rflags"][0] & RF) == (kind != 0)
    assert int(out["cr2"][0]) == (0x99 if trapno == 14 and signal == 11 else 0)


def test_own_trap_keeps_tf() -> None:
    out = record(signal=5, trapno=1, ip=LAYOUT.landing_of(ORIGIN + 1), rflags=0x202 | TF)
    classify(out, 1, ORIGIN, LAYOUT)
    assert (int(out["kind"][0]), int(out["rflags"][0])) == (0, 0x202 | TF)


def test_fault_of_the_stub_is_never_an_outcome() -> None:
    with pytest.raises(RuntimeError, match="stub itself faulted"):
        classify(record(signal=11, trapno=13, ip=STUB_BASE + 5), 1, ORIGIN, LAYOUT)


def test_changes_are_joined_and_applied() -> None:
    before = {0: bytes(64), 64: bytes(64)}
    after = {0: bytes(62) + b"\1\2", 64: b"\3" + bytes(62) + b"\4"}
    changed = differences(before, after)
    assert changed == ((62, b"\1\2\3"), (127, b"\4"))
    start = CpuState(memory=((60, b"abcd"),))
    assert updated(start, changed) == ((60, b"ab\1\2"), (64, b"\3"), (127, b"\4"))


def test_chunks_keep_the_background_around() -> None:
    assert chunks([(62, b"xyz")], {0: b"-" * 64, 64: b"+" * 64}) == {0: b"-" * 62 + b"xy", 64: b"z" + b"+" * 63}
    with pytest.raises(ValueError, match="0x40"):
        chunks([(63, b"xy")], {0: bytes(64)})


def test_xsave_area_makes_a_round_trip() -> None:
    vector = tuple((i + 1) << (16 * i % 500) for i in range(32))
    x87 = X87(0x27F, 0x3800, 0x81, 0x7FF, 1 << 40, 2 << 40, tuple(range(8)))
    state = CpuState(vector=vector, masks=tuple(range(8)), mxcsr=0x9FC0, x87=x87)
    fields = unpack_xsave(pack_xsave(state, AVX512), AVX512)
    assert CpuState(**fields) == state


def test_component_in_its_initial_configuration_reads_as_such() -> None:
    area = bytearray(pack_xsave(CpuState(vector=(1,) * 32, masks=(1,) * 8), AVX512))
    area[512:520] = (0b11).to_bytes(8, "little")  # XSTATE_BV: only x87 and SSE are not initial
    fields = unpack_xsave(bytes(area), AVX512)
    assert fields["vector"] == (1,) * 16 + (0,) * 16 and fields["masks"] == (0,) * 8


@pytest.mark.parametrize(
    "state",
    [
        CpuState(vector=(1 << 128, *[0] * 31)), CpuState(vector=(0,) * 31 + (1,)), CpuState(masks=(1,) * 8),
        CpuState(mxcsr=1 << 16), CpuState(mxcsr=1 << 17),
    ],
)
def test_state_that_the_machine_lacks_is_refused(state: CpuState) -> None:
    with pytest.raises(ValueError):
        pack_xsave(state, SSE_ONLY)


@pytest.mark.parametrize(
    "arguments", [{"gprs": (0,) * 15}, {"gprs": (1 << 64,) * 16}, {"vector": (-1,) * 32}, {"mxcsr": 1 << 32}]
)
def test_state_of_wrong_width_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        CpuState(**arguments)


def test_missing_features_are_named_in_order() -> None:
    assert AVX512.missing(["avx", "pku"]) == ("avx", "pku")
    assert AVX512.component_names == ("x87", "sse", "avx", "opmask", "zmm_hi256", "hi16_zmm")
    assert (AVX512.vector_bits, SSE_ONLY.vector_bits) == (512, 128)
    with pytest.raises(ValueError, match="avx1024"):
        AVX512.missing(["avx1024"])
