"""x87 state: expected values were read from a Zen 4 processor (with fnstenv), or are the SDM's."""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, executed

OLD = {"fip": 0x1111, "fdp": 0x2222, "fop": 0x1EE}
ERROR_SUMMARY = 0x80 << 16


@pytest.mark.parametrize(
    ("text", "fop"),
    [("d9 e8", 0x1E8), ("d9 d0", 0x1D0), ("dd c3", 0x5C3), ("d9 f7", 0x1F7), ("db f1", 0x3F1), ("d8 06", 0x006),
     ("db 2e", 0x32E), ("dd 1e", 0x51E), ("df 36", 0x736)],
)  # fmt: skip
def test_other_than_control_instructions_set_the_pointers(text, fop):
    out = executed(text, rsi=DATA, **OLD)
    assert (out.fip, out.fop, out.fault) == (ORIGIN, fop, NO_FAULT)


def test_fdp_is_the_offset_without_the_segment_base():
    out = executed("64 d9 46 10", rsi=DATA, fs_base=0x1000, **OLD)
    assert (out.fdp, out.accesses[0][:3]) == (DATA + 0x10, ("r", DATA + 0x1010, 4))


@pytest.mark.parametrize("text", ["d9 2e", "d9 36", "d9 3e", "db e0", "db e1", "db e2", "db e4", "dd 3e", "df e0", "9b",
                                  "0f 77"])  # fmt: skip
def test_control_instructions_leave_the_pointers(text):
    out = executed(text, rsi=DATA, **OLD)
    assert {name: getattr(out, name) for name in OLD} == OLD


@pytest.mark.parametrize("text", ["db e3", "dd 36"])
def test_initialising_clears_the_pointers(text):
    out = executed(text, rsi=DATA, x87=0, **OLD)
    assert (out.fip, out.fdp, out.fop, out.x87 & 0xFFFF_FFFF_FFFF) == (0, 0, 0, 0xFFFF_0000_037F)


@pytest.mark.parametrize(
    ("text", "size"), [("d9 36", 28), ("66 d9 36", 14), ("dd 36", 108), ("66 dd 36", 94), ("0f ae 06", 512)]
)
def test_sizes_of_saved_images(text, size):
    assert executed(text, rsi=DATA).accesses[0][:3] == ("w", DATA, size)


@pytest.mark.parametrize("changed", ["fip", "fdp", "fop", "x87"])
def test_a_saved_environment_shows_every_pointer(changed):
    plain = executed("d9 36", rsi=DATA).accesses[0][3]
    assert executed("d9 36", rsi=DATA, **{changed: 5}).accesses[0][3] != plain


@pytest.mark.parametrize("text", ["d9 e8", "d8 06", "d9 2e", "d9 26", "9b", "0f 77"])
def test_a_pending_exception_is_raised_at_the_next_waiting_instruction(text):
    out = executed(text, rsi=DATA, x87=ERROR_SUMMARY)
    assert (out.fault, out.at_ip, out.fault_ip) == (16, 1, ORIGIN)


@pytest.mark.parametrize("text", ["db e2", "db e3", "d9 3e", "d9 36", "dd 36", "df e0", "dd 3e", "0f ae 06"])
def test_other_instructions_do_not_wait(text):
    assert executed(text, rsi=DATA, x87=ERROR_SUMMARY).fault == NO_FAULT


def test_words_of_the_state_are_stored():
    state = 0xFFFF_3900_027F
    assert executed("df e0", rax=0x11110000, x87=state).rax == 0x11113900
    assert executed("d9 3e", rsi=DATA, x87=state).accesses == (("w", DATA, 2, 0x27F),)
    assert executed("dd 3e", rsi=DATA, x87=state).accesses == (("w", DATA, 2, 0x3900),)


def test_emms_empties_the_tags_and_clears_top():
    out = executed("0f 77", x87=5 << 48 | 0x0000_3900_027F)  # TOP 7: st0 is the register that TOP 0 calls st7
    assert out.x87 == 5 << (48 + 7 * 80) | 0xFFFF_0100_027F


def test_fninit_counts_the_registers_from_zero():
    out = executed("db e3", x87=5 << 48 | 0x0000_1000_027F)  # TOP 2
    assert out.x87 == 5 << (48 + 2 * 80) | 0xFFFF_0000_037F


@pytest.mark.parametrize(
    ("text", "alignment"), [("0f ae 06", 16), ("0f ae 0e", 16), ("0f ae 26", 64), ("0f ae 2e", 64)]
)
def test_save_areas_are_aligned(text, alignment):
    assert executed(text, rsi=DATA + alignment // 2).fault == 13
    assert executed(text, rsi=DATA + alignment).fault == NO_FAULT


def test_compares_write_flags_and_conditional_moves_read_them():
    moved = [executed("da c1", cf=c).x87 for c in (0, 1)]
    assert moved[0] != moved[1]
    assert executed("db f1", of=1, sf=1, af=1).of == 0
