"""Vector and mask moves: expected values follow the manual's pages; faults were read from a Zen 4 processor."""

import pytest
from executed import DATA, NO_FAULT, executed

from verify.models.x86.isa.forms import Cpu

FULL = int.from_bytes(bytes(range(1, 65)), "little")  # byte i of a register is i + 1
OTHER = int.from_bytes(bytes(range(0xC0, 0x80, -1)), "little")
QUADS = {DATA + 8 * i: int.from_bytes(bytes(range(0x41 + 8 * i, 0x49 + 8 * i)), "little") for i in range(8)}
LOADED = int.from_bytes(bytes(range(0x41, 0x81)), "little")


def low(value, width):
    return value & (1 << width) - 1


def registers(*values):
    return (*values, *[0] * (32 - len(values)))


def moved(text, **given):
    given.setdefault("vectors", registers(FULL, OTHER))
    return executed(text, memory=QUADS, rbx=DATA, **given)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0f 28 c1", FULL >> 128 << 128 | low(OTHER, 128)),  # movaps xmm0, xmm1: legacy keeps the upper part
        ("0f 10 03", FULL >> 128 << 128 | low(LOADED, 128)),
        ("c5 f8 28 c1", low(OTHER, 128)),  # VEX clears it
        ("c5 fc 28 c1", low(OTHER, 256)),
        ("c5 fe 6f 03", low(LOADED, 256)),
        ("62 f1 7c 48 28 c1", OTHER),
        ("62 f1 7c 48 10 03", LOADED),
        ("f3 0f 10 c1", FULL >> 32 << 32 | low(OTHER, 32)),  # movss between registers keeps the rest
        ("f3 0f 10 03", FULL >> 128 << 128 | low(LOADED, 32)),  # from memory it clears bits 127..32
        ("f2 0f 10 c1", FULL >> 64 << 64 | low(OTHER, 64)),
        ("c5 f3 10 c2", low(OTHER, 128) >> 64 << 64),  # vmovsd xmm0, xmm1, xmm2: upper half from xmm1
        ("c5 fb 10 03", low(LOADED, 64)),
        ("0f 16 03", FULL >> 128 << 128 | low(LOADED, 64) << 64 | low(FULL, 64)),  # movhps
        ("0f 12 03", FULL >> 64 << 64 | low(LOADED, 64)),  # movlps
        ("0f 16 c1", FULL >> 128 << 128 | low(OTHER, 64) << 64 | low(FULL, 64)),  # movlhps
        ("0f 12 c1", FULL >> 64 << 64 | low(OTHER >> 64, 64)),  # movhlps
        ("c5 f0 16 03", low(LOADED, 64) << 64 | low(OTHER, 64)),
        ("f3 0f 7e c1", FULL >> 128 << 128 | low(OTHER, 64)),  # movq clears bits 127..64
        ("66 0f d6 c8", FULL >> 128 << 128 | low(OTHER, 64)),
        ("66 0f ef c1", FULL >> 128 << 128 | low(FULL ^ OTHER, 128)),
        ("66 0f df c1", FULL >> 128 << 128 | low(~FULL & OTHER, 128)),  # pandn: not the first
        ("c5 f4 55 03", low(~OTHER & LOADED, 256)),  # vandnps ymm0, ymm1, [rbx]
        ("62 f1 75 58 eb 03", OTHER | int.from_bytes(bytes(range(0x41, 0x45)) * 16, "little")),  # vpord {1to16}
        ("c4 e2 7d 18 03", int.from_bytes(LOADED.to_bytes(64, "little")[:4] * 8, "little")),  # vbroadcastss
        ("62 f2 7d 48 5a 03", low(LOADED, 128) * (1 | 1 << 128 | 1 << 256 | 1 << 384)),  # vbroadcasti32x4
        ("c4 e2 7d 78 c1", 0xC0 * int.from_bytes(b"\x01" * 32, "little")),  # vpbroadcastb ymm0, xmm1
    ],
)
def test_contents_of_the_destination(text, after):
    out = moved(text)
    assert (out.fault, out.vectors[0]) == (NO_FAULT, after)


@pytest.mark.parametrize(
    ("text", "mask", "after"),
    [
        ("62 f1 7c 49 28 c1", 0x8001, OTHER >> 480 << 480 | low(FULL, 480) >> 32 << 32 | low(OTHER, 32)),
        ("62 f1 7c c9 28 c1", 0x8001, OTHER >> 480 << 480 | low(OTHER, 32)),  # zeroing
        ("62 f1 fd 49 28 c1", 0x01, FULL >> 64 << 64 | low(OTHER, 64)),
        ("62 f1 7f 49 6f c1", 1 << 63, low(FULL, 504) | OTHER >> 504 << 504),  # vmovdqu8
        ("62 f1 7c 09 28 c1", 0x1, low(FULL, 128) >> 32 << 32 | low(OTHER, 32)),  # above the vector length: zeros
        ("62 f1 6e 09 10 c1", 0x0, low(FULL, 32)),  # vmovss xmm0{k1}, xmm2, xmm1: bits 127..32 from xmm2
    ],
)
def test_masked_elements_are_kept_or_zeroed(text, mask, after):
    assert moved(text, masks=(0, mask, *[0] * 6)).vectors[0] == after


def test_a_masked_store_writes_only_the_selected_elements():
    out = moved("62 f1 7c 49 11 03", masks=(0, 0b10, *[0] * 6))
    assert out.memory.load(DATA, 12) == low(LOADED, 32) | low(FULL >> 32, 32) << 32 | low(LOADED >> 64, 32) << 64


@pytest.mark.parametrize("text", ["62 f1 7c 49 11 03", "62 f1 7c 49 10 03"])
def test_without_a_selected_element_nothing_is_accessed(text):
    out = moved(text, masks=(0, 0, *[0] * 6), faults={(DATA, 64, 0): 14, (DATA, 64, 1): 14})
    assert (out.accesses, out.fault) == ((), NO_FAULT)
    faulty = moved(text, masks=(0, 1, *[0] * 6), faults={(DATA, 64, 0): 14, (DATA, 64, 1): 14})
    assert faulty.fault == 14


@pytest.mark.parametrize(
    ("text", "alignment"),
    [("0f 28 03", 16), ("0f 29 03", 16), ("66 0f 6f 03", 16), ("66 0f e7 03", 16), ("c5 f8 28 03", 16),
     ("c5 fc 28 03", 32), ("62 f1 7c 48 28 03", 64), ("66 0f ef 03", 16), ("66 0f 38 2a 03", 16)],
)  # fmt: skip
def test_aligned_operands_fault_before_they_are_accessed(text, alignment):
    out = executed(text, rbx=DATA + alignment // 2, faults={(DATA + alignment // 2, alignment, 0): 14})
    assert (out.fault, out.error) == (13, 0)
    assert executed(text, rbx=DATA + alignment).fault == NO_FAULT


@pytest.mark.parametrize(
    "text", ["0f 10 03", "f2 0f f0 03", "c5 fc 10 03", "c5 f5 ef 03", "f3 0f 10 03", "66 0f 6e 03"]
)
def test_unaligned_operands(text):
    assert executed(text, rbx=DATA + 1).fault == NO_FAULT


def test_misaligned_mode_of_amd_is_for_operations_not_for_moves():
    mode = 0x21F80
    assert executed("66 0f ef 03", rbx=DATA + 1, mxcsr=mode).fault == NO_FAULT
    assert executed("66 0f ef 03", Cpu.INTEL, rbx=DATA + 1, mxcsr=0x1F80).fault == 13
    assert executed("0f 28 03", rbx=DATA + 1, mxcsr=mode).fault == 13


def test_amd_checks_no_alignment_where_nothing_is_selected():
    assert executed("62 f1 7c 49 28 03", rbx=DATA + 1).fault == NO_FAULT
    assert executed("62 f1 7c 49 28 03", rbx=DATA + 1, masks=(0, 1, *[0] * 6)).fault == 13


def test_vzeroupper_and_vzeroall_spare_the_upper_sixteen():
    every = tuple(FULL for _ in range(32))
    assert executed("c5 f8 77", vectors=every).vectors == (*[low(FULL, 128)] * 16, *[FULL] * 16)
    assert executed("c5 fc 77", vectors=every).vectors == (*[0] * 16, *[FULL] * 16)


MASKS = (0, 0xF0F0_F0F0_F0F0_F0F0, 0xFF00_FF00_FF00_FF00, *[0] * 5)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("c5 ec 41 d9", 0xF000), ("c5 ec 42 d9", 0x00F0), ("c5 ec 45 d9", 0xFFF0), ("c5 ec 47 d9", 0x0FF0),
        ("c5 ec 46 d9", 0xF00F), ("c5 f8 44 d9", 0x0F0F), ("c5 f8 90 d9", 0xF0F0), ("c4 e1 f8 90 d9", MASKS[1]),
        ("c4 e1 ec 41 d9", MASKS[1] & MASKS[2]), ("c5 f8 92 d8", 0x7788), ("c4 e1 fb 92 d8", 0x1122334455667788),
    ],
)  # fmt: skip
def test_mask_registers_above_the_width_are_zero(text, after):
    given = (*MASKS[:3], (1 << 64) - 1, *MASKS[4:])
    assert executed(text, masks=given, rax=0x1122334455667788).masks[3] == after


def test_masks_go_to_registers_and_memory():
    assert executed("c5 f8 93 c1", masks=MASKS, rax=(1 << 64) - 1).rax == 0xF0F0
    assert executed("c5 f8 91 0b", masks=MASKS, rbx=DATA).accesses == (("w", DATA, 2, 0xF0F0),)
    assert executed("c5 f9 90 0b", memory={DATA: 0x1234}, rbx=DATA).masks[1] == 0x34


@pytest.mark.parametrize(
    ("a", "b", "zf", "cf"), [(0, 0, 1, 0), (0xFF00, 0x00FF, 0, 1), (1, 0, 0, 0), (1 << 16, 0, 1, 0)]
)
def test_kortest(a, b, zf, cf):
    out = executed("c5 f8 98 ca", masks=(0, a, b, *[0] * 5), of=1, sf=1, pf=1, af=1)
    assert (out.zf, out.cf, out.of, out.sf, out.pf, out.af) == (zf, cf, 0, 0, 0, 0)


def test_moves_between_general_and_vector_registers():
    assert executed("66 48 0f 7e c0", vectors=registers(FULL)).rax == low(FULL, 64)
    assert executed("66 0f 7e c0", vectors=registers(FULL), rax=(1 << 64) - 1).rax == low(FULL, 32)
    loaded = executed("66 0f 6e c0", vectors=registers(FULL), rax=(1 << 64) - 1)
    assert loaded.vectors[0] == FULL >> 128 << 128 | 0xFFFFFFFF


def test_mmx_registers_of_the_same_mnemonic_are_routed():
    assert executed("0f ef c1", vectors=registers(FULL, OTHER)).vectors[0] == FULL
