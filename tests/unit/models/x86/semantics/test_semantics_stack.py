"""Stack instructions: expected values were read from a Zen 4 processor single-stepped under Linux 6.18, or the SDM."""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, STACK, executed

PATTERN = 0x1122334455667788


@pytest.mark.parametrize(
    ("text", "given", "memory", "expected"),
    [
        ("54", {}, {}, {"rsp": STACK - 8, "top": STACK}),  # push rsp: the value before
        ("66 54", {}, {}, {"rsp": STACK - 2, "top2": 0x8000}),
        ("66 48 50", {"rax": 5}, {}, {"rsp": STACK - 8, "top": 5}),  # REX.W beats 66
        ("ff 34 24", {}, {STACK: 0x5_0000_1234}, {"rsp": STACK - 8, "top": 0x5_0000_1234}),
        ("6a ff", {}, {}, {"top": (1 << 64) - 1}),
        ("66 6a ff", {}, {}, {"rsp": STACK - 2, "top2": 0xFFFF}),
        ("68 00 00 00 80", {}, {}, {"top": 0xFFFFFFFF_80000000}),
        ("0f a0", {"selectors": 0x2B << 64}, {STACK - 8: (1 << 64) - 1}, {"rsp": STACK - 8, "top": 0x2B}),
        ("66 0f a8", {"selectors": 0x2B << 80}, {}, {"rsp": STACK - 2, "top2": 0x2B}),
        ("5c", {}, {STACK: 0x1122}, {"rsp": 0x1122}),
        ("66 5c", {}, {STACK: PATTERN}, {"rsp": 0x5_0000_7788}),
        ("8f 44 24 08", {}, {STACK: PATTERN}, {"rsp": STACK + 8, STACK + 0x10: PATTERN}),  # address after the pop
        ("8f 04 24", {}, {STACK: 0x1234}, {"rsp": STACK + 8, STACK + 8: 0x1234}),
        ("c9", {"rbp": 0x5_0000_4000}, {}, {"rsp": 0x5_0000_4008, "rbp": 0}),
        ("66 c9", {"rbp": 0x5_0000_4000}, {0x5_0000_4000: 0x1122}, {"rsp": 0x5_0000_4002, "rbp": 0x5_0000_1122}),
        ("c8 20 00 00", {"rbp": PATTERN}, {}, {"rsp": 0x5_0000_7FD8, "rbp": STACK - 8, STACK - 8: PATTERN}),
        ("66 c8 20 00 00", {"rbp": PATTERN}, {}, {"rsp": 0x5_0000_7FDE, "rbp": 0x1122334455667FFE}),
        (
            "66 c8 20 00 02", {"rbp": 0x5_0000_4000}, {0x5_0000_3FF8: PATTERN},
            {"rsp": 0x5_0000_7FDA, "rbp": 0x5_0000_7FFE, 0x5_0000_7FF8: 0x4000_1122_7FFE_0000},
        ),
        (
            "c8 20 00 03", {"rbp": 0x5_0000_4000}, {0x5_0000_3FF8: PATTERN},
            {"rsp": STACK - 0x40, "rbp": STACK - 8, STACK - 0x20: STACK - 8, STACK - 0x10: PATTERN, STACK - 0x18: 0},
        ),
    ],
)  # fmt: skip
def test_stack_and_registers_as_on_the_processor(text, given, memory, expected):
    out = executed(text, memory=memory, **given)
    assert out.fault == NO_FAULT
    for name, value in expected.items():
        if name == "top":
            assert out.memory.load(out.rsp, 8) == value
        elif name == "top2":
            assert out.memory.load(out.rsp, 2) == value
        elif isinstance(name, int):
            assert out.memory.load(name, 8) == value
        else:
            assert getattr(out, name) == value


def flags_of(word):
    positions = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "df": 10, "of": 11, "nt": 14, "ac": 18, "id": 21}
    return {name: word >> n & 1 for name, n in positions.items()}


def test_pushf_stores_the_flags_with_tf_and_if():
    out = executed("9c", **flags_of(0x240ED7))
    assert out.memory.load(STACK - 8, 8) == 0x240ED7 | 0x2
    out = executed("9c", tf=1)
    assert out.memory.load(STACK - 8, 8) == 0x302
    assert out.tf_seen == (1,)


def test_pushf_of_16_bits_moves_two_bytes():
    out = executed("66 9c", tf=1)
    assert (out.rsp, out.accesses) == (STACK - 2, (("w", STACK - 2, 2, 0x302),))


@pytest.mark.parametrize(("text", "after"), [("9d", 0x244ED7), ("66 9d", 0x4ED7)])
def test_popf_changes_what_cpl_3_may_change(text, after):
    out = executed(text, memory={STACK: 0xFFFFFFFF})
    assert {n: getattr(out, n) for n in flags_of(0)} == flags_of(after)
    assert out.tf == 1


def test_popf_of_16_bits_leaves_ac_and_id():
    out = executed("66 9d", memory={STACK: 0}, ac=1, id=1, cf=1)
    assert (out.ac, out.id, out.cf) == (1, 1, 0)


def test_enter_checks_that_the_final_stack_top_can_be_written():
    out = executed("c8 ff ff 00", rsp=0x5_0000_4000, faults={(0x4_FFFF_3FF9, 8, 1): 14})
    assert (out.fault, out.fault_ip) == (14, ORIGIN)
    assert [a[:3] for a in out.accesses] == [("w", 0x5_0000_3FF8, 8)]


def test_enter_reads_the_frames_below_rbp_before_it_pushes_its_own():
    out = executed("c8 00 00 03", rbp=DATA)
    kinds = [(kind, address) for kind, address, _, _ in out.accesses]
    assert kinds == [
        ("w", STACK - 8), ("r", DATA - 8), ("w", STACK - 16), ("r", DATA - 16), ("w", STACK - 24), ("w", STACK - 32),
    ]  # fmt: skip


def test_the_nesting_level_counts_modulo_32():
    assert executed("c8 00 00 20").rsp == STACK - 8


def test_pop_of_fs_loads_selector_and_base():
    out = executed("0f a1", memory={STACK: 0x2B}, answers={"segment_load_base": 0})
    assert (out.rsp, out.selectors >> 64 & 0xFFFF, out.fs_base, out.fault) == (STACK + 8, 0x2B, 0, NO_FAULT)


def test_pop_of_a_bad_selector_faults_with_its_error_code():
    out = executed("0f a1", memory={STACK: 0x7FFF}, answers={"data_selector.refuses": 1})
    assert (out.fault, out.error, out.fault_ip) == (13, 0x7FFC, ORIGIN)
