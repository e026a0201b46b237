"""Addresses that must hold for the exit jump and for guard pages, and the contents of code files."""

from itertools import pairwise

import pytest

from verify.live.executor.layout import (
    CONTROL_BASE,
    CONTROL_SIZE,
    EXIT_DISPLACEMENT,
    EXIT_JUMP,
    PAGE,
    REGIONS,
    SIGNAL_STACK_BASE,
    SIGNAL_STACK_SIZE,
    SLOT,
    STUB_BASE,
    ChildLayout,
    code_image,
    slot,
)


def test_exit_jump_is_a_rel32_jump_of_int3_bytes() -> None:
    assert EXIT_JUMP[0] == 0xE9 and set(EXIT_JUMP[1:]) == {0xCC}
    assert int.from_bytes(EXIT_JUMP[1:], "little", signed=True) == EXIT_DISPLACEMENT


@pytest.mark.parametrize("pages", [1, 4, 512])
def test_every_landing_lies_in_the_landing_pages(pages: int) -> None:
    layout = ChildLayout(code_pages=pages)
    first, last = layout.landing_of(layout.code_base + 1), layout.landing_of(layout.code_end + 15) + 6
    assert layout.landing_base <= first < last <= layout.landing_base + layout.landing_size


def test_mappings_do_not_overlap() -> None:
    layout = ChildLayout(code_pages=4096)
    spans = [(r.address - PAGE, r.end + PAGE) for r in REGIONS]
    spans += [(layout.code_base, layout.code_end), (STUB_BASE, STUB_BASE + PAGE)]
    spans += [(CONTROL_BASE, CONTROL_BASE + CONTROL_SIZE), (SIGNAL_STACK_BASE, SIGNAL_STACK_BASE + SIGNAL_STACK_SIZE)]
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_sections_follow_each_other() -> None:
    layout, at = ChildLayout(), 0
    for offset, size in layout.offsets.values():
        assert offset == at and size % PAGE == 0
        at += size
    assert at == layout.arena_size


def test_slot_and_image() -> None:
    assert slot(b"\x90") == b"\x90" + EXIT_JUMP + b"\xcc" * (SLOT - 6)
    image = code_image(64, {3: b"\x0f\x0b", 32: b"\x90"})
    assert image == b"\xcc" * 3 + b"\x0f\x0b" + EXIT_JUMP + b"\xcc" * 22 + b"\x90" + EXIT_JUMP + b"\xcc" * 26


@pytest.mark.parametrize("code", [b"", bytes(16)])
def test_slot_refuses_what_is_no_instruction(code: bytes) -> None:
    with pytest.raises(ValueError, match=r"1\.\.15 bytes"):
        slot(code)


def test_bad_layouts_are_refused() -> None:
    for base, pages in ((0x7A00_0001, 4), (0x7A00_0000, 0), (0x1000_0000, 4)):
        with pytest.raises(ValueError, match="code"):
            ChildLayout(base, pages)
    with pytest.raises(ValueError, match="no room"):
        code_image(16, {12: b"\x90"})
    with pytest.raises(ValueError, match="not inside"):
        ChildLayout().region_of(REGIONS[0].end - 1, 2)
