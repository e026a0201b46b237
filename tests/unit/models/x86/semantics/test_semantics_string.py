"""String instructions: expected values were read from a Zen 4 processor single-stepped under Linux 6.18."""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, executed

from verify.models.x86.isa.forms import Cpu

PATTERN = 0x1122334455667788
THERE = 0x5_0000_3000
FLAGS = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "of": 11}


def both(**given):
    return {"rsi": DATA, "rdi": THERE, **given}


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("a4", both(), {"rsi": DATA + 1, "rdi": THERE + 1, "rcx": 0, "repeats": 0, THERE: 0x88}),
        ("48 a5", both(), {"rsi": DATA + 8, "rdi": THERE + 8, THERE: PATTERN}),
        ("66 a5", both(df=1), {"rsi": DATA - 2, "rdi": THERE - 2, THERE: 0x7788}),
        ("f2 a4", both(rcx=2), {"rcx": 1, "repeats": 1, "ip": ORIGIN, THERE: 0x88}),  # F2 repeats movs as well
        ("f2 a4", both(rcx=1), {"rcx": 0, "repeats": 0, "ip": ORIGIN + 2, THERE: 0x88}),
        ("f3 a4", both(rcx=2, df=1), {"rcx": 1, "rsi": DATA - 1, "rdi": THERE - 1, "ip": ORIGIN}),
        ("f2 aa", {"rcx": 2, "rdi": THERE, "rax": 0x1FF}, {"rcx": 1, "rdi": THERE + 1, THERE: 0xFF, "ip": ORIGIN}),
        ("f2 ad", {"rcx": 2, "rsi": DATA}, {"rcx": 1, "rsi": DATA + 4, "ip": ORIGIN, "rax": 0x55667788}),
        ("ad", {"rsi": DATA, "rax": PATTERN}, {"rax": 0x55667788}),
        ("66 ad", {"rsi": DATA, "rax": 0}, {"rax": 0x7788}),
        ("f3 ad", {"rax": PATTERN}, {"rax": PATTERN, "repeats": 0, "ip": ORIGIN + 2}),  # counter 0
        ("f3 a6", both(rcx=2), {"rcx": 1, "rsi": DATA + 1, "ip": ORIGIN + 2, "repeats": 0, "flags": 0x84}),
        ("f2 a6", both(rcx=2), {"rcx": 1, "ip": ORIGIN, "repeats": 1, "flags": 0x84}),
        ("f2 a7", both(rcx=2), {"rcx": 1, "rsi": DATA + 4, "ip": ORIGIN, "flags": 0x04}),
        ("f3 a6", both(rcx=0, zf=1, cf=1), {"rcx": 0, "rsi": DATA, "rdi": THERE, "ip": ORIGIN + 2, "flags": 0x41}),
        ("ae", {"rdi": DATA, "rax": 0x88}, {"flags": 0x44, "rdi": DATA + 1}),
    ],
)
def test_strings_as_on_the_processor(text, given, expected):
    out = executed(text, memory={DATA: PATTERN}, **given)
    assert out.fault == NO_FAULT
    for name, value in expected.items():
        if isinstance(name, int):
            assert out.memory.load(name, 8) == value
        elif name == "flags":
            assert sum(getattr(out, f) << n for f, n in FLAGS.items()) == value
        else:
            assert getattr(out, name) == value


def test_a_segment_override_moves_the_source_only():
    out = executed("64 a4", rsi=0x10, rdi=0x20, fs_base=DATA)
    assert [(kind, address) for kind, address, _, _ in out.accesses] == [("r", DATA + 0x10), ("w", 0x20)]


def test_a_32_bit_address_size_cuts_pointers_and_counter():
    high = 0x11223344_00000000
    out = executed("67 f3 a4", rcx=high | 2, rsi=high | 0xFFFFFFFF, rdi=high | 0x10)
    assert [(kind, address) for kind, address, _, _ in out.accesses] == [("r", 0xFFFFFFFF), ("w", 0x10)]
    assert (out.rcx, out.rsi, out.rdi) == (1, 0, 0x11)


@pytest.mark.parametrize("text", ["67 f3 a4", "67 f3 a6", "67 f3 aa", "67 f3 ad"])
def test_amd_leaves_registers_alone_where_the_short_counter_is_zero(text):
    high = 0x11223344_00000000
    out = executed(text, rcx=high, rsi=high, rdi=high, rax=high)
    assert (out.rcx, out.rsi, out.rdi, out.rax, out.repeats) == (high, high, high, high, 0)
    assert (out.accesses, out.ip) == ((), ORIGIN + 3)


def test_intel_zero_extends_where_the_short_counter_is_zero():
    high = 0x11223344_00000000
    out = executed("67 f3 a4", Cpu.INTEL, rcx=high, rsi=high, rdi=high)
    assert (out.rcx, out.rsi, out.rdi) == (0, 0, 0)
    out = executed("67 f3 a6", Cpu.INTEL, rcx=high, rsi=high, rdi=high)
    assert (out.rcx, out.rsi, out.rdi) == (0, high, high)


def test_a_fault_in_an_iteration_leaves_the_counter():
    out = executed("f3 a4", rcx=5, rsi=DATA, rdi=THERE, faults={(THERE, 1, 1): 14})
    assert (out.fault, out.fault_ip) == (14, ORIGIN)


@pytest.mark.parametrize(("text", "first"), [("a6", THERE), ("f3 a6", DATA)])
def test_which_operand_of_cmps_faults_first_on_amd(text, first):
    assert executed(text, **both(rcx=4)).accesses[0][1] == first


def test_port_strings_are_refused():
    assert executed("6c").fault == executed("f3 6f").fault == 13


def test_the_sse_instructions_of_the_same_mnemonic_are_told_apart():
    out = executed("f2 0f 10 c1", vectors=(1 << 64 | 5, 1 << 64 | 7, *[0] * 30), rsi=DATA)
    assert (out.vectors[0], out.accesses, out.rsi) == (1 << 64 | 7, (), DATA)
    assert executed("f2 0f c2 c1 00", rsi=DATA).rsi == DATA
