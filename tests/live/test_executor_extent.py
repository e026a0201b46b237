"""Access extents measured at page edges against the operand sizes of the manuals."""

from collections.abc import Callable

import pytest

from verify.live.capabilities import capabilities
from verify.live.executor.executor import Executor
from verify.live.executor.extent import Extent, access_extent
from verify.live.executor.layout import SECOND, STACK
from verify.live.executor.state import GPR_NAMES, CpuState

pytestmark = pytest.mark.live
PATIENCE = 0.5
MIDDLE = STACK.address + STACK.size // 2


def at(register: str, **others: int) -> Callable[[int], CpuState]:
    def place(address: int) -> CpuState:
        values = {"rsp": MIDDLE} | others | {register: address}
        masks = (0, 0b101, 0, 0, 0, 0, 0, 0) if "avx512f" in capabilities().features else (0,) * 8
        return CpuState(tuple(values.get(name, 0) for name in GPR_NAMES), masks=masks)

    return place


@pytest.mark.parametrize(
    ("code", "register", "others", "expected"),
    [
        ("8a03", "rbx", {}, Extent(0, 1, False, 1)),  # mov al, [rbx]
        ("488b03", "rbx", {}, Extent(0, 8, False, 1)),
        ("488903", "rbx", {}, Extent(0, 8, True, 1)),
        ("48014bf0", "rbx", {}, Extent(16, 0, True, 1)),  # add [rbx-16], rcx
        ("8b4310", "rbx", {}, Extent(0, 20, False, 1)),  # mov eax, [rbx+16]
        ("0f2803", "rbx", {}, Extent(0, 16, False, 16)),  # movaps
        ("0f1803", "rbx", {}, Extent(0, 0, False, 1)),  # prefetchnta touches nothing
        ("488d03", "rbx", {}, Extent(0, 0, False, 1)),  # lea
        ("50", "rsp", {}, Extent(8, 0, True, 1)),  # push rax
        ("58", "rsp", {}, Extent(0, 8, False, 1)),  # pop rax
        ("c8100000", "rsp", {}, Extent(24, 0, True, 1)),  # enter 16, 0: the new stack top is probed for writing
        ("0fab03", "rbx", {"rax": 100}, Extent(0, 16, True, 1)),  # bts [rbx], eax: bit 100 is in the dword at +12
        ("f348ab", "rdi", {"rcx": 5}, Extent(0, 40, True, 1)),  # rep stosq
        ("f3a4", "rsi", {"rcx": 7, "rdi": SECOND.address}, Extent(0, 7, False, 1)),  # rep movsb, source
        ("0fc70b", "rbx", {}, Extent(0, 8, True, 1)),  # cmpxchg8b
        pytest.param("480fc70b", "rbx", {}, Extent(0, 16, True, 16), marks=pytest.mark.needs("cx16")),  # cmpxchg16b
        ("d92b", "rbx", {}, Extent(0, 2, False, 1)),  # fldcw
        ("dd33", "rbx", {}, Extent(0, 108, True, 1)),  # fnsave
        ("0fae03", "rbx", {}, Extent(0, 512, True, 16)),  # fxsave
    ],
)
def test_extent_is_the_manuals(
    executor: Executor, code: str, register: str, others: dict[str, int], expected: Extent
) -> None:
    place = at(register, **others)
    assert access_extent(executor, bytes.fromhex(code), place) == expected


@pytest.mark.needs("avx512f")
def test_masked_load_reaches_its_last_active_element(executor: Executor) -> None:
    load = bytes.fromhex("62f17cc91003")  # vmovups zmm0{k1}{z}, [rbx], k1 = 101b
    assert access_extent(executor, load, at("rbx")) == Extent(0, 12, False, 1)


def test_what_cannot_be_measured_is_refused(executor: Executor) -> None:
    for code, reason in (("0f0b", "signal 4"), ("8b041d00000080", "elsewhere"), ("f3aa", "further than")):
        place = at("rdi" if code == "f3aa" else "rbx", rcx=1 << 40)
        with pytest.raises(ValueError, match=reason):
            access_extent(executor, bytes.fromhex(code), place)
