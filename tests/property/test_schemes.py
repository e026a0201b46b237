"""Properties of every plan, on random bytes with prefixes and map heads in front."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.models.schemes.plan import Emulate, InPlace, Refuse, SlotByte, Step
from verify.models.schemes.registry import SCHEMES

PREFIXES = st.lists(
    st.sampled_from([0x26, 0x2E, 0x64, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x40, 0x41, 0x48, 0x4F]), max_size=8
)
HEADS = st.sampled_from(
    ["", "0f", "0f38", "0f3a", "c5", "c4e1", "c4e2", "c4e3", "62f1", "62f2", "8fe8", "8fe9", "d500"]
)
CODE = st.builds(
    lambda prefixes, head, rest: (bytes(prefixes) + bytes.fromhex(head) + rest)[:24],
    PREFIXES,
    HEADS,
    st.binary(min_size=24, max_size=24),
)
NAMES = sorted(SCHEMES)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=400, deadline=None)
@given(code=CODE)
def test_plan_is_well_formed(name, code):
    plan = SCHEMES[name].plan(code)
    if isinstance(plan, InPlace):
        return
    if isinstance(plan, Refuse):
        assert plan.errno in {8, 524}
        return
    assert isinstance(plan, Emulate | Step)
    assert 1 <= plan.length <= 16
    if isinstance(plan, Step):
        assert len(plan.slot) == 16
        assert (plan.scratch is None) == all(b == SlotByte(i) for i, b in enumerate(plan.slot))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None)
@given(code=CODE, other=st.binary(min_size=16, max_size=16))
def test_bytes_behind_the_sixteenth_do_not_matter(name, code, other):
    assert SCHEMES[name].plan(code[:16]) == SCHEMES[name].plan(code[:16] + other)


@settings(max_examples=400, deadline=None)
@given(code=CODE, other=st.binary(min_size=16, max_size=16))
def test_bytes_behind_the_instruction_do_not_matter(code, other):
    plan = SCHEMES["linux-uprobes-6.18"].plan
    first = plan(code)
    if isinstance(first, Emulate | Step):
        assert plan(code[: first.length] + other) == first


@settings(max_examples=400, deadline=None)
@given(code=CODE)
def test_a_changed_slot_is_a_rip_relative_modrm_and_a_scratch_register_it_does_not_name(code):
    plan = SCHEMES["linux-uprobes-6.18"].plan(code)
    if isinstance(plan, Step) and plan.scratch is not None and not code.startswith(b"\x0f\x0b"):
        (at,) = [i for i, b in enumerate(plan.slot) if b.keep == 0x38]
        assert code[at] & 0xC7 == 5
        assert plan.slot[at].bits == 0x80 | plan.scratch.register
        assert code[at] >> 3 & 7 != plan.scratch.register
