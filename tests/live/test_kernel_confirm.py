"""A given state at a given address is reproduced: high addresses, own memory, and what cannot be."""

from __future__ import annotations

import pytest

from verify.live.kernel.one_state import NotReproducible, Situation, compared_in

needs_uprobes = pytest.mark.needs("kernel")
pytestmark = pytest.mark.live
ORIGIN, STACK = 0x5555_5555_4FF8, 0x7FFD_1234_5000


def situation(encoding: str, memory: dict[int, bytes] | None = None, **registers: int) -> Situation:
    stack = {STACK - 256: bytes(512)}
    return Situation(bytes.fromhex(encoding), ORIGIN, {"rsp": STACK, **registers}, {**stack, **(memory or {})}, {})


@needs_uprobes
@pytest.mark.parametrize(("encoding", "observables"), [
    ("90", ()), ("50", ()), ("4801d8", ()), ("c3", ()),
    ("9c", ("memory-values",)), ("d9e8", ("x87-pointers",)), ("f3a4", ("hits",)), ("4990", ("gprs",)),
])
def test_known_instructions_at_a_page_edge(encoding: str, observables: tuple[str, ...]) -> None:
    data = {0x6000_0000_0000: bytes(range(64))}
    given = situation(encoding, data, rsi=0x6000_0000_0000, rdi=0x6000_0000_0020, rcx=3)
    assert compared_in(given).observables == observables


@needs_uprobes
def test_deviation_depends_on_the_state() -> None:
    equal = situation("4990", rax=5, r8=5)
    assert compared_in(equal).result == "identical"


@needs_uprobes
def test_access_outside_the_named_memory_faults_in_both_runs() -> None:
    verdict = compared_in(situation("8b07", rdi=0x4141_4141_4141))
    assert (verdict.result, verdict.ends) == ("identical", ("fault",))


@needs_uprobes
def test_refused_encoding_is_refused_with_its_errno() -> None:
    assert compared_in(situation("cc")).errno == 524


@pytest.mark.parametrize(("memory", "reason"), [
    ({0x1000: b"\0"}, "0x1000 cannot be mapped"),
    ({0xFFFF_8000_0000_0000: b"\0"}, "cannot be mapped"),
    ({ORIGIN + 64: b"\0"}, "data in the code page"),
])
def test_states_that_no_program_can_have_say_why(memory: dict[int, bytes], reason: str) -> None:
    with pytest.raises(NotReproducible, match=reason):
        compared_in(situation("90", memory))


def test_unknown_register_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"register names.*'r99'"):
        situation("90", r99=1)
