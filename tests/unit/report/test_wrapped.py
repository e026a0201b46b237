"""Text in columns: lists break between their items, long values show the part in which they differ."""

from __future__ import annotations

import pytest

from verify.report.wrapped import columns, differing, hanging, items, paragraph, plain, short

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


def test_items_break_between_and_never_within() -> None:
    found = items(["alpha 1", "beta 2", "gamma 3", "a-very-long-name-that-needs-a-line 4"], 20)
    assert found == ["alpha 1, beta 2,", "gamma 3,", "a-very-long-name-that-needs-a-line 4"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_fit_their_width(width: int) -> None:
    lines = [*paragraph("label", WORDS, width, 2), *hanging(WORDS, width)]
    lines += columns([["name", "12", ", ".join(WORDS.split())]], width, "lrl")
    assert max(map(len, lines)) <= width


def test_numbers_stand_below_each_other() -> None:
    assert list(columns([["a", "forms", "x"], ["bb", "7", ""]], 80, "lrl")) == ["a   forms  x", "bb      7"]


def test_long_values_show_the_lowest_part_that_differs() -> None:
    here, there = "0x" + "00" * 40 + "11" * 24, "0x" + "00" * 39 + "01" + "11" * 24
    assert differing("zmm3", here, there) == ("zmm3[255:192]", "0x0", "0x1")
    assert differing("rax", "0x0000000000000001", "none") == ("rax", "0x1", "none")
    assert short(f"zmm3: in place {here}, displaced {there}") == "zmm3[255:192]: in place 0x0, displaced 0x1"
    assert short("rip") == "rip"


@pytest.mark.parametrize(("value", "shown"), [
    ("0x0000000000000202", "0x202"), ("0x0", "0x0"), ("none", "none"), ("0x" + "01" * 32, "4 x 0x101010101010101"),
    ("0x" + "00" * 8 + "02" * 8, "0x…0202020202020202"),
])  # fmt: skip
def test_a_value_without_its_zeros(value: str, shown: str) -> None:
    assert plain(value) == shown
