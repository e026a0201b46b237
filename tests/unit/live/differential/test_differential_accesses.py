"""What the judge does not hold against the semantics: strays into the executor's own memory, state images in parts."""

from random import Random

import pytest

from verify.live.differential.prediction import _is_in_parts
from verify.live.differential.states import encodings
from verify.live.executor.layout import ARENA_BASE, CODE_BASE, DATA, PAGE, SIGNAL_STACK_BASE, STACK, is_the_executors
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.isa.forms import form as form_named
from verify.terms import FALSE, const, uf


@pytest.mark.parametrize("address", [SIGNAL_STACK_BASE + 0x364, CODE_BASE, ARENA_BASE])
def test_the_executors_own_memory_is_known(address: int) -> None:
    assert is_the_executors(address)


@pytest.mark.parametrize("address", [DATA.address - 1, DATA.address, STACK.end, 0x1000, DATA.address - PAGE])
def test_what_the_instruction_may_use_and_its_guard_pages_are_not(address: int) -> None:
    assert not is_the_executors(address)


def test_no_encoding_is_a_system_call() -> None:
    """INT imm8 is executed with random vectors, int 80h among what is drawn."""
    form, cpu = form_named("INT_IMM8/none"), Cpu.AMD
    drawn = {random_encoding(form, Random(seed), cpu)[-2:] for seed in range(2000)}
    chosen = {p.decoded.data[-2:] for seed in range(2000) for p, _ in encodings(form, 1, Random(seed), cpu, CODE_BASE)}
    assert drawn - chosen == {b"\xcd\x80"}


@pytest.mark.parametrize("size", [1, 8, 10, 16, 64, 28, 108, 512])
def test_state_images_are_made_in_parts(size: int) -> None:
    access = uf("access_fault", 8, const(0x1000, 64), const(size, 16), FALSE, FALSE)
    assert _is_in_parts(access) is (size in {28, 108, 512})
