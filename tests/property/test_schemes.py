"""Properties of every plan, on random bytes with prefixes and map heads in front."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.models.schemes.code import ORIGINAL, Byte
from verify.models.schemes.program import UNPROBED, Program, Run, Set
from verify.models.schemes.program_text import text
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse

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


def scratch_of(program):
    """The general register that is set before anything runs."""
    first = program.actions[0]
    return first.target if isinstance(first, Set) and isinstance(first.target, int) else None


@pytest.mark.parametrize("name", NAMES)
@given(code=CODE)
def test_plan_is_well_formed(name, code):
    plan = SCHEMES[name].plan(code)
    if plan == UNPROBED:
        return
    if isinstance(plan, Refuse):
        assert plan.errno in {8, 22, 524} or (name == "minhook" and plan.errno == 1)  # it says no more than that
        return
    assert isinstance(plan, Program)
    assert 1 <= plan.length <= 16 or (plan.length == 0 and "LENGTH" not in text(plan))
    for run in (a for a in plan.actions if isinstance(a, Run)):
        assert run.code.closed or len(run.code.pieces) == 16
        if name.startswith("linux-"):  # what another scheme changes needs no scratch register
            assert (scratch_of(plan) is None) == (run.code == ORIGINAL)


@pytest.mark.parametrize("name", NAMES)
@given(code=CODE, other=st.binary(min_size=16, max_size=16))
def test_bytes_behind_the_sixteenth_do_not_matter(name, code, other):
    assert SCHEMES[name].plan(code[:16]) == SCHEMES[name].plan(code[:16] + other)


@settings(max_examples=200)
@given(code=CODE, other=st.binary(min_size=16, max_size=16))
def test_bytes_behind_the_instruction_do_not_matter(code, other):
    plan = SCHEMES["linux-uprobes-6.18"].plan
    first = plan(code)
    if isinstance(first, Program):
        assert plan(code[: first.length] + other) == first


@settings(max_examples=200)
@given(code=CODE)
def test_a_changed_slot_is_a_rip_relative_modrm_and_a_scratch_register_it_does_not_name(code):
    plan = SCHEMES["linux-uprobes-6.18"].plan(code)
    scratch = scratch_of(plan) if isinstance(plan, Program) else None
    if scratch is not None and not code.startswith(b"\x0f\x0b"):
        (pieces,) = [a.code.pieces for a in plan.actions if isinstance(a, Run)]
        (at,) = [i for i, b in enumerate(pieces) if isinstance(b, Byte) and b.keep == 0x38]
        assert code[at] & 0xC7 == 5
        assert pieces[at].bits == 0x80 | scratch
        assert code[at] >> 3 & 7 != scratch
