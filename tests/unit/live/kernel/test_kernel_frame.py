"""Where two signal frames differ, by the layout of struct rt_sigframe: each part, and what an assumption leaves out."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from verify.live.kernel.child import Stop
from verify.live.kernel.frame import CR2, END, FPSTATE, WORDS, LastPageFault, frame_differences
from verify.live.ptrace import REGISTERS, RSP

AT = 0x2A00_3000
ENTRY = tuple(AT if i == RSP else i for i in range(len(REGISTERS)))
FRAME = bytearray(END + 8 + 832)
FRAME[FPSTATE : FPSTATE + 8] = (AT + END + 8).to_bytes(8, "little")
FAULT = Stop(signal.SIGSEGV, 1, 0x1234, (0,) * len(REGISTERS), b"", ENTRY, bytes(FRAME))


def changed(stop: Stop, at: int) -> Stop:
    frame = bytearray(stop.frame)
    frame[at] ^= 1
    return replace(stop, frame=bytes(frame))


def seen(plain: Stop, probed: Stop, alike: bool = True) -> list[tuple[str, str]]:
    rows = frame_differences(plain, probed, alike)
    return [(d.detail.partition(": ")[2].rpartition(" byte")[0], d.assumption) for d in rows]


@pytest.mark.parametrize(("name", "at"), [(name, start) for name, start, _ in WORDS if name != "fpstate address"])
def test_every_part_of_the_frame_is_compared(name: str, at: int) -> None:
    assert seen(FAULT, changed(FAULT, at)) == [(name, "fault-frame" if name == "trapno" else "")]


@pytest.mark.parametrize("at", [0, 24, 160, 512, 831])
def test_fpstate_is_compared_whole_but_for_pointers_that_amd_forgets(at: int) -> None:
    assert seen(FAULT, changed(FAULT, END + 8 + at)) == [("fpstate", "")]
    assert seen(FAULT, changed(FAULT, END + 8 + 8)) == []
    pending = changed(FAULT, END + 8 + 2)
    frame = bytearray(pending.frame)
    frame[END + 8 + 2] = 0x80
    pending = replace(pending, frame=bytes(frame))
    assert seen(pending, changed(pending, END + 8 + 8)) == [("fpstate", "")]


def test_of_a_trap_the_signal_information_is_left_out_by_name() -> None:
    trap = replace(FAULT, signal=signal.SIGTRAP)
    assert seen(trap, changed(trap, 312 + 8)) == [("siginfo", "trap-siginfo")]
    assert seen(trap, changed(trap, 304)) == [("uc_sigmask", "")]


def test_what_the_frame_repeats_is_compared_where_the_states_are_alike() -> None:
    assert seen(FAULT, changed(FAULT, 48), alike=False) == []
    assert seen(FAULT, changed(FAULT, 200), alike=False) == [("err", "")]
    entered = replace(FAULT, entry=(1, *ENTRY[1:]))
    assert len(list(frame_differences(FAULT, entered, True))) == 1


def test_cr2_of_an_earlier_page_fault_is_taken_out() -> None:
    tracked = LastPageFault()
    tracked.see(FAULT)
    tracked.see(replace(FAULT, signal=signal.SIGBUS, code=1, address=0x99))      # #AC is no page fault
    frame = bytearray(FRAME)
    frame[CR2 : CR2 + 8] = (0x1234).to_bytes(8, "little")
    later = replace(FAULT, code=128, address=0, frame=bytes(frame))
    assert tracked.see(later).frame == bytes(FRAME)
    frame[CR2 : CR2 + 8] = (0x1235).to_bytes(8, "little")
    wrong = replace(later, frame=bytes(frame))
    assert tracked.see(wrong) == wrong
