"""The table of the C engine: whatever becomes of its entries, every state is counted once."""

from __future__ import annotations

import pytest

from verify.concurrency.explicit import c_engine, c_text
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits

FULL = {3: (93_175, 365_310), 4: (1_729_929, 8_147_528), 5: (29_687_879, 161_737_606)}  # SPIN 6.5, TLC 2.15, Storm
ORBITS = {3: 16_508, 5: 348_780}
pytestmark = pytest.mark.skipif(c_engine.compiler() is None, reason="no C compiler on this machine")


def xol(threads: int) -> Model:
    return instantiate(protocol("xol-step"), threads)


def test_lines_split_until_their_entries_are_narrow() -> None:
    model = xol(4)
    assert 12 + 31 < model.bits < 20 + 31  # wide entries in 2^12 lines, narrow ones before the last split
    found = c_engine.search(model)
    assert (found.states, found.transitions, found.stored) == (*FULL[4], FULL[4][0])


def test_entries_stay_wide_where_a_state_is_long() -> None:
    found = c_engine.search(xol(5), symmetric=True)
    assert (found.states, found.transitions, found.stored) == (*FULL[5], ORBITS[5])


@pytest.mark.parametrize("without", [("-U__AVX512F__",), ("-U__AVX512F__", "-U__SSE2__")])
@pytest.mark.parametrize("symmetric", [False, True])
def test_lines_are_searched_alike_without_vector_instructions(
    without: tuple[str, ...], symmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = c_engine.compiler()
    assert command is not None
    monkeypatch.setattr(c_engine, "compiler", lambda: (*command, *without))
    found = c_engine.search(xol(3), symmetric)
    assert (found.states, found.transitions, found.stored) == (*FULL[3], ORBITS[3] if symmetric else FULL[3][0])


def test_images_that_crowd_into_few_lines_are_spilt_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_text, "FACTOR", 1)
    found = c_engine.search(xol(3))
    assert (found.states, found.transitions) == FULL[3]


def test_a_factor_that_loses_bits_loses_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_text, "FACTOR", 1 << 4)
    assert c_engine.search(xol(3)).states < FULL[3][0]


def test_bytes_are_those_of_table_and_levels() -> None:
    found = c_engine.search(xol(4))
    assert 4 * found.stored < found.bytes < 16 * found.stored


def test_a_bound_keeps_the_depth_that_was_reached() -> None:
    whole, part = c_engine.search(xol(3)), c_engine.search(xol(3), limits=Limits(states=20_000))
    assert not part.complete
    assert 0 < part.depth < whole.depth


def test_programs_take_no_names_of_a_protocol() -> None:
    text = c_text.source(xol(2), False)
    assert not [name for name in ("passes", "prober", "registered", "recheck") if name in text]
