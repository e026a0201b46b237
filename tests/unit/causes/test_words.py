"""Plans in words, of encodings of which the kernel's source says what becomes of them."""

from __future__ import annotations

import pytest

from verify.causes.words import words
from verify.claim.probes import probe
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.assembly import Syntax
from verify.models.x86.isa.forms import Cpu


@pytest.mark.parametrize(("encoding", "scheme", "said"), [
    ("c5f97fc0", "linux-uprobes-6.18", "It is taken for `jg +0`, whose effect is applied without running it: it is "
     "skipped."),
    ("7410", "linux-uprobes-6.18", "It is taken for `je +0x10`"),
    ("74f0", "linux-uprobes-6.18", "It is taken for `je -0x10`"),
    ("55", "linux-uprobes-6.18", "It is taken for `push rbp`"),
    ("4154", "linux-uprobes-6.18", "It is taken for `push r12`"),
    ("e811223344", "linux-uprobes-6.18", "It is taken for `call +0x44332211`"),
    ("ebfe", "linux-uprobes-6.18", "It is taken for `jmp -2`"),
    ("f4", "linux-uprobes-6.18", "The probe is refused with ENOTSUPP: the opcode is in neither table"),
    ("488b0511223344", "linux-uprobes-6.18", "Meanwhile rsi holds the address behind the original"),
    ("488b0511223344", "linux-uprobes-3.15", "Meanwhile rcx holds the operand's address"),
    ("488b0511223344", "linux-uprobes-6.18", "`mov rax,[rsi+0x44332211]` (488b8611223344)"),
    ("ff1511223344", "linux-uprobes-6.18", "The return address is written again: that of the original."),
    ("9d", "linux-uprobes-6.18", "TF stays as the instruction left it."),
    ("0f1f440000", "linux-uprobes-6.18", "Later hits: the site is a call of a trampoline: it stores the return "
     "address, rcx, r11, rax, from rsp - 8 down."),
    ("662e0f1f840000000000", "linux-uprobes-next", "from rsp - 136 down"),
    ("9c", "inline-step", "The instruction runs where the original stands, under the trap flag."),
    ("9c", "identity", "Nothing: the instruction runs where it stands, without a probe."),
])  # fmt: skip
def test_a_plan_in_words(encoding: str, scheme: str, said: str) -> None:
    found = words(probe(bytes.fromhex(encoding), SCHEMES[scheme], Cpu.AMD))
    assert any(said in sentence for sentence in found), found


def test_the_copy_is_shown_in_the_syntax_that_is_asked_for() -> None:
    p = probe(bytes.fromhex("488b0511223344"), SCHEMES["linux-uprobes-6.18"], Cpu.AMD)
    assert "`mov 0x44332211(%rsi), %rax`" in words(p, Syntax.ATT)[0]
