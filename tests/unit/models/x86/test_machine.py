"""The flags word and the components of the state."""

from dataclasses import fields, replace

import pytest

from verify.models.x86.environment import Environment
from verify.models.x86.machine import FLAG_BITS, State, component_sort, flags_word, symbolic_state
from verify.models.x86.mode import USER_64
from verify.terms import FALSE, TRUE, const
from verify.terms.evaluation import Memory, evaluate

CLEAR = replace(symbolic_state(const(0x401000, 64)), **dict.fromkeys(FLAG_BITS, FALSE))
POSITIONS = {  # SDM vol. 1, figure 3-8
    "cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "tf": 8, "df": 10, "of": 11, "nt": 14, "ac": 18, "id": 21,
}  # fmt: skip


def test_a_cleared_flags_word_has_if_and_the_reserved_bit():
    assert flags_word(CLEAR, FALSE, USER_64).value == 0x202


@pytest.mark.parametrize("name", POSITIONS)
def test_each_flag_has_its_position(name):
    state = replace(CLEAR, **{name: TRUE})
    assert flags_word(state, state.tf, USER_64).value == 0x202 | 1 << POSITIONS[name]


def test_tf_is_the_given_one_and_not_the_states():
    assert flags_word(replace(CLEAR, tf=TRUE), FALSE, USER_64).value == 0x202


def test_a_symbolic_state_has_a_variable_of_its_own_for_every_component_but_ip():
    state = symbolic_state(const(5, 64))
    names = [f.name for f in fields(State) if f.name != "ip"]
    variables = [getattr(state, n) for n in names]
    assert len(set(variables)) == len(names)
    assert all(v.op == "var" and v.sort == component_sort(n) for n, v in zip(names, variables, strict=True))


def test_memory_is_bytes_little_endian_and_wraps():
    memory = Memory().write((1 << 64) - 1, 0xBBAA, 2)
    assert (memory.byte((1 << 64) - 1), memory.byte(0)) == (0xAA, 0xBB)
    assert memory.load((1 << 64) - 1, 2) == 0xBBAA
    assert not memory.same(Memory())
    assert Memory().write(5, 0, 1).same(Memory())
    assert not Memory(1).same(Memory(2))


def test_a_world_faults_where_an_address_is_not_canonical():
    from verify.models.x86.semantics.run import access_fault

    def vector(address: int, stack: int) -> int:
        terms = access_fault("r", const(address, 64), 8, const(stack, 1), USER_64)[:1]
        return evaluate(terms, {}, Environment())[0]

    assert vector(0x7FFFFFFFF000, 0) == 0xFF
    assert vector(0x800000000000, 0) == 13  # SDM vol. 3, 6.15: #GP, or #SS through the stack segment
    assert vector(0x800000000000, 1) == 12
    assert vector(0x7FFFFFFFFFFC, 0) == 13  # the last bytes lie in the hole
    assert vector(0xFFFF800000000000, 0) == 14  # the kernel's half
