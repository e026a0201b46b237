"""The reference relocator: its plans, what is proved of them, and that what it refuses is refuted where it is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sampling import sampled

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.seed import xol_step
from verify.models.schemes.seed.xol_step import SCHEME, plan
from verify.models.schemes.seed.xol_table import read
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import OBSERVABLES

JUDGE = Judge(SCHEME)
PROVED = (
    "90", "f390", "488b0511223344", "8b3511223344", "8b3d11223344", "c4e2c8f23511223344", "c5fe6f0511223344",
    "62f17c48580511223344", "8fe878c2051122334400", "e811223344", "e800000000", "e8fbffffff", "ff15aabbccdd",
    "ffd0", "ffd4", "ff1424", "66ffd0", "ff18", "66ff18", "48ff18", "ff1d11223344", "ff20", "ff2511223344",
    "ff28", "7510", "0f8411223344", "eb10", "e911223344", "e210", "e310", "67e310", "c3", "c20800", "cb",
    "66c3", "9c", "669c", "66489c", "9d", "669d", "cf", "48cf", "cc", "f1", "cd03", "cd04", "cd21",
    "f0e811223344", "d9c0", "d80511223344", "dd30", "dbe2", "d9d0", "dfe0", "9b", "8ed0", "660fb20424",
    "0f0100", "0f00c8", "0f01e0", "f4", "0f0b", "0fb90511223344", "c8112233", "50", "54", "8f0511223344",
    "ff3511223344", "a4", "aa", "48a5", "c6f811", "0f01d5", "0fa2", "8cd8", "6c", "0fae0511223344",
    "0fc70d11223344", "480fc70d11223344",
)  # fmt: skip
REFUSED = {  # what is refused, by which name, and whether a plain plan for it is refuted there in the model
    "f3a4": ("hits", True), "f2ae": ("hits", True), "f36d": ("hits", False), "c4e259900c13": ("hits", True),
    "62f27d4990440820": ("hits", True), "0f05": ("next-ip", True), "0f34": ("next-ip", True),
    "cd80": ("next-ip", False), "c7f811223344": ("next-ip", True), "0f01d7": ("next-ip", True),
    "8fea58120300000000": ("memory-values", False),
    "667510": ("next-ip", True), "66e811223344": ("next-ip", True), "66e911223344": ("next-ip", True),
    "66e210": ("next-ip", True), "f00f05": ("next-ip", False), "f0667510": ("next-ip", False),
}  # fmt: skip


def planned(text: str) -> Plan:
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def refuted(judge: Judge, text: str) -> set[str]:
    found = [judge.judgement(bytes.fromhex(text), cpu) for cpu in (Cpu.INTEL, Cpu.AMD)]
    assert {v.value for j in found for _, v in j.observables} <= {"proved", "refuted"}
    return {d.observable for j in found for d in j.deviations}


@pytest.mark.parametrize("text", sampled(PROVED, 30, always=("488b0511223344", "66489c", "ff18", "8ed0", "d9d0")))
def test_proved_on_both_vendors(text: str) -> None:
    assert isinstance(planned(text), Program)
    assert refuted(JUDGE, text) == set()


@pytest.mark.parametrize("text", ["e811223344", "e800000000", "ffd0", "ff15aabbccdd", "ff18", "48ff18", "66ffd0", "c3"])
def test_proved_with_shadow_stacks_and_with_the_traps_siginfo(text: str) -> None:
    judge = Judge(SCHEME, ASSUMPTIONS - {"no-shadow-stack", "trap-siginfo"})
    assert refuted(judge, text) == set()


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_names_the_observable(text: str) -> None:
    name, _ = REFUSED[text]
    found = planned(text)
    assert isinstance(found, Refuse) and found.reason.startswith(f"{name}: ") and name in OBSERVABLES


def behind(data: bytes) -> Plan:
    """A copy with a breakpoint behind it, whatever the instruction is."""
    found = read(data)
    assert found is not None
    return xol_step.copied(data, found)


def under_tf(data: bytes) -> Plan:
    """The same under TF."""
    found = read(data)
    assert found is not None
    return Program((*xol_step._stepped(ORIGINAL, -1), xol_step.MOVED, *xol_step.TRAPPED), length=found.length)


@pytest.mark.parametrize("text", [text for text, (_, shows) in REFUSED.items() if shows])
def test_without_the_refusal_it_is_refuted_there(text: str) -> None:
    assert any(REFUSED[text][0] in refuted(Judge(replace(SCHEME, plan=p)), text) for p in (behind, under_tf))


def test_the_table_has_the_last_word() -> None:
    for text in ("06", "d5009c", "62f47c0801c0"):
        assert planned(text) == xol_step.UNREAD
    with pytest.raises(ValueError, match="got 3"):
        plan(bytes(3))


def test_a_plan_in_full() -> None:
    assert canonical(planned("488b0511223344")).splitlines() == [
        "entered by kernel, length 7", "tf := 0x0:1", "rsi := (LENGTH + ORIGIN)",
        "run [0]&fe|00 [1..1] [2]&38|86 [3..15] at SLOT, breakpoints at (LENGTH + SLOT), cpl 3", "  on a fault",
        "    rsi := old(rsi)", "    ip := (ORIGIN + ip - SLOT)", "    tf := old(tf)",
        "    reported := (ite fault.at_ip ORIGIN fault.address)", "rsi := old(rsi)", "tf := old(tf)",
        "ip := (ORIGIN + ip - SLOT)", "check old(tf)", "  otherwise done", "signal 5, si_code 2, si_addr ip",
    ]  # fmt: skip
