"""Instructions whose behaviour under Linux 6.18 uprobes is known: what must be found, what must be proved.

Facts: a probed instruction run against an unprobed one on Linux 6.18, and arch/x86/kernel/uprobes.c of that version.
"""

from dataclasses import replace

import pytest

from verify.claim.probes import probe
from verify.claim.verdicts import Verdict
from verify.judge import encoding
from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judge
from verify.judge.form import form_result
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import Byte, Code
from verify.models.schemes.linux.actions import stepped
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Scheme, nothing_behind
from verify.models.schemes.vocabulary import WHOLE
from verify.models.x86.isa.forms import Cpu, form
from verify.survey.explanation import CPUS, encoding_row

LINUX = SCHEMES["linux-uprobes-6.18"]
JUDGE = Judge(LINUX)

FOUND = {  # encoding -> an observable that must be refuted, and why
    "9c": "memory-values",  # pushf: the image has the TF of the single step
    "669c": "memory-values",
    "0f05": "gprs",  # syscall: rcx is an address in the slot, r11 has TF
    "480f05": "containment",  # and what follows the slot's copy runs before the late debug trap
    "d9e8": "x87-pointers",  # fld1: FIP is the slot's address
    "d8c1": "x87-pointers",
    "0f1f440000": "memory-values",  # five-byte nop, optimised to a call: the red zone is overwritten
    "f3a4": "hits",  # rep movsb: one hit an iteration
    "f3aa": "hits",
    "f2ae": "hits",
    "66e205": "next-ip",  # loop with 66: ip is cut to 16 bits on AMD, and the fixup adds a 64-bit difference
    "4190": "gprs",  # xchg r8, rax is emulated as a nop
    "c5f877": "vector",  # vzeroupper is emulated as ja
    "c7f800000000": "vector",  # xbegin: the transaction's abort leads elsewhere
    "66ffd3": "next-ip",  # call of 2 bytes: the fixup's store of 8 may fail, and the call is restarted
    "66ff13": "gprs",
    "66ff1500000000": "hits",
    "66ff1b": "next-ip",
    "48ff1b": "memory-values",  # to a 32-bit segment: the fixup stores 4 bytes of 8
}
PROVED = (
    "f73511223344",  # div [rip+d]: rax and rdx are operands, the scratch register is rsi
    "d32511223344",  # shl [rip+d], cl
    "480fc70d11223344",  # cmpxchg16b [rip+d]: rax, rbx, rcx, rdx are operands
    "e205", "e305", "67e205", "67e305",  # loop, jrcxz without 66
    "9d", "669d",  # popf
    "488b1d11223344", "c5fb100511223344", "0f2805f8ffffff",  # rip-relative loads and their faults
    "f390",  # pause
    "c5e858c1",  # vaddps
    "54", "4154", "5c",  # push rsp, push r12, pop rsp
    "e811223344", "e800000000", "ffd3", "ff13", "ff1511223344",  # calls, where shadow stacks are off
    "c6f800", "0f01d6", "0f01d5",  # xabort, xtest, xend outside a transaction
    "c3", "c20800", "ff25f8ffffff", "eb05", "7405", "0f8411223344", "c9", "c8100000", "a4", "0f0b",
)  # fmt: skip


@pytest.mark.parametrize(("text", "observable"), FOUND.items())
def test_deviation_is_found(text, observable):
    row = encoding_row(bytes.fromhex(text), JUDGE, CPUS["any"])
    assert row.verdict == "refuted"
    assert observable in row.observables
    assert row.counterexample.bytes == text
    assert row.counterexample.in_place != row.counterexample.displaced


@pytest.mark.parametrize("text", PROVED)
@pytest.mark.parametrize("cpu", [Cpu.AMD, Cpu.INTEL])
def test_what_is_right_is_proved(text, cpu):
    found = JUDGE.judgement(bytes.fromhex(text), cpu)
    assert found.verdict is Verdict.PROVED, found.reason
    assert found.deviations == ()


@pytest.mark.parametrize("text", ["66ffd3", "66ff13", "66ff1500000000", "66ff1b"])
def test_a_call_restarted_at_the_end_of_a_mapping_faults_where_the_bare_one_does_not(text):
    found = JUDGE.judgement(bytes.fromhex(text), Cpu.AMD)  # the second run pushes above the end: SIGSEGV
    assert {"fault", "next-ip", "gprs", "hits"} <= {d.observable for d in found.deviations}
    fault = next(d for d in found.deviations if d.observable == "fault")
    shown = counterexample(replace(found, deviations=(fault,)), ASSUMPTIONS)
    assert dict(shown.in_place)["fault vector"] == "0xff"  # none
    assert dict(shown.displaced)["fault vector"] in {"0x0e", "0x0c"}  # #PF, or #SS beyond the canonical addresses
    assert (dict(shown.in_place)["hits at the fault"], dict(shown.displaced)["hits at the fault"]) == ("0x01", "0x02")


def test_a_return_address_over_all_that_a_far_call_pushed_does_not_fail():
    found = JUDGE.judgement(bytes.fromhex("ff1b"), Cpu.AMD)  # two pushes of 4 bytes, and the kernel's 8 over both
    assert [d.observable for d in found.deviations] == ["memory-values"]


def test_pushed_flags_differ_in_the_trap_flag_alone():
    shown = counterexample(JUDGE.judgement(b"\x9c", Cpu.AMD), ASSUMPTIONS)
    (name, here), (_, there) = shown.in_place[0], shown.displaced[0]
    assert name.startswith("write 0")
    assert int(here, 16) ^ int(there, 16) == 1 << 8


def test_x87_instruction_pointer_differs_by_slot_minus_origin():
    shown = counterexample(JUDGE.judgement(b"\xd9\xe8", Cpu.AMD), ASSUMPTIONS)
    here, there = dict(shown.in_place)["fip"], dict(shown.displaced)["fip"]
    assert (int(here, 16), int(there, 16)) == (int(shown.origin, 16), int(shown.slot, 16))


def test_two_vendors_can_differ():
    near = bytes.fromhex("66e205")  # the 16-bit operand size of near branches is ignored by Intel (SDM vol. 2, LOOP)
    assert JUDGE.judgement(near, Cpu.AMD).verdict is Verdict.REFUTED
    assert JUDGE.judgement(near, Cpu.INTEL).verdict is Verdict.PROVED


@pytest.mark.parametrize("text", ["cc", "f4", "cd80", "66eb05", "f0890b"])
def test_what_the_kernel_declines_is_refused(text):
    assert JUDGE.judgement(bytes.fromhex(text).ljust(16, b"\x90"), Cpu.AMD).verdict is Verdict.REFUSED


IN_64_BITS = frozenset({"analysed-as-64-bit"})
FALLS = {  # assumption -> an encoding that is proved under it, and what is refuted without it
    "no-alignment-check": ("54", "fault"),  # an unaligned push by kernel code raises no #AC
    "trap-siginfo": ("4889d8", "trap"),  # si_code SI_USER in place of TRAP_TRACE
    "fault-frame": ("8b03", "fault"),  # trapno is what it was before
    "canonical-targets": ("e9ffffff7f", "fault"),  # a jump out of user space: #GP at the jump or at its target
    "code-as-in-file": ("8b01", "next-ip gprs"),  # what memory holds leads elsewhere; the file's instruction runs
    "breakpoint-in-place": ("4889f8", "hits"),  # no hit where the mapping has no breakpoint
    "slot-available": ("4889f8", "next-ip gprs hits"),  # the program comes back to the breakpoint for ever
    "no-signal-awaited": ("8b07", "next-ip gprs"),  # the program stays where it is
    # restarted behind the step that stands for the store; the first bytes of one that is cut by a mapping's end stay
    "kernel-may-store": ("e811223344", "fault hits"),
    "sigtrap-not-held": ("90", "trap"),  # a signal that is sent is ignored, one that is forced is not
    "code-mapped": ("4889d8", "fault"),  # the second page of an instruction that is not mapped: #PF in place alone
    "code-not-read": ("a4", "memory-values"),  # movsb of the probed byte
    "no-shadow-stack": ("e811223344", "shadow-stack"),  # nothing is pushed to the shadow stack by kernel code
    "not-restartable": ("8b01", "next-ip gprs"),  # what is preempted in the slot is not sent to its abort handler
    "no-transaction": ("4889d8", "next-ip gprs vector trap hits"),  # the program goes on at the fallback address
    "analysed-as-64-bit": ("488b0511223344", "gprs memory-addresses memory-values fault"),  # relative to the slot
    "features-present": ("62f17d487fed", "fault"),  # vmovdqa32 zmm5, zmm5, which the kernel takes for jg
    "null-selectors": ("8ed8", "segment-bases"),  # the return from the breakpoint makes 0 of 1 to 3
    "in-use-not-read": ("0f01d0", "gprs"),  # xgetbv with ecx 1
    # the kernel's store is refused, the push is stepped and left in the slot; what was refused counts as an attempt
    "user-half": ("55", "next-ip memory-addresses memory-values"),
}


OF_OTHER_SCHEMES = {  # told in test_jump_xol.py and test_kernel_exec.py
    "no-fault-in-slot", "no-tf-in-slot", "user-pages", "frames-elsewhere",
}  # fmt: skip


@pytest.mark.parametrize("name", FALLS)
def test_without_an_assumption_what_depends_on_it_falls(name):
    text, observable = FALLS[name]
    assert JUDGE.judgement(bytes.fromhex(text), Cpu.AMD).verdict is Verdict.PROVED
    assert name in encoding_row(bytes.fromhex(text), JUDGE, CPUS["amd"]).rests_on
    found = Judge(LINUX, ASSUMPTIONS - {name}).judgement(bytes.fromhex(text), Cpu.AMD)
    assert found.verdict is Verdict.REFUTED
    assert [d.observable for d in found.deviations] == observable.split()


@pytest.mark.parametrize(("text", "observable"), [
    ("8b0511223344", "memory-addresses"), ("488d0511223344", "gprs"), ("ff1511223344", "memory-addresses"),
    ("41ffd3", "next-ip"),
])  # fmt: skip
def test_analysed_for_a_32_bit_program_these_go_wrong(text, observable):
    """Seen on 6.18.44 with a 32-bit process that has the file mapped."""
    data = bytes.fromhex(text)
    assert JUDGE.rests_on(probe(data, LINUX, Cpu.AMD), IN_64_BITS) == IN_64_BITS
    found = Judge(LINUX, ASSUMPTIONS - IN_64_BITS).judgement(data, Cpu.AMD)
    assert observable in [d.observable for d in found.deviations]


@pytest.mark.parametrize("text", ["4889d8", "90", "e811223344", "c3", "ffd0", "488b03", "55", "4150"])
def test_analysed_for_a_32_bit_program_these_stay_right(text):
    data = bytes.fromhex(text)
    assert not JUDGE.rests_on(probe(data, LINUX, Cpu.AMD), IN_64_BITS)
    assert Judge(LINUX, ASSUMPTIONS - IN_64_BITS).judgement(data, Cpu.AMD).verdict is Verdict.PROVED


@pytest.mark.parametrize("text", ["8ec0", "8ee0", "8ee8", "0fa9", "0fb43b", "0fb53b", "480fb43b", "90"])
def test_null_selectors_do_not_outlive_a_hit(text):
    """Seen on 6.18.44, AMD family 19h: 1 bare, 0 probed; iret, unlike sysret, makes 0 of them."""
    data = bytes.fromhex(text)
    assert JUDGE.judgement(data, Cpu.AMD).verdict is Verdict.PROVED
    shown = counterexample(Judge(LINUX, ASSUMPTIONS - {"null-selectors"}).judgement(data, Cpu.AMD), ASSUMPTIONS)
    assert shown.observable == "segment-bases"


@pytest.mark.parametrize(("text", "lacking"), [
    ("c5f890b640000000", ["AVX512F"]), ("62f17d487fed", ["AVX512F"]), ("8fe97890c0", ["XOP"]), ("c5f877", ["AVX"]),
])  # fmt: skip
def test_what_is_undefined_without_a_feature_and_runs_on_is_said(text, lacking):
    """Seen on 6.18.44 without AVX-512: SIGILL bare, none probed (the first two)."""
    row = encoding_row(bytes.fromhex(text), JUDGE, CPUS["any"])
    assert list(row.undefined_without) == lacking
    assert f"undefined on processors without {lacking[0]}, runs on when probed" in row.reason


@pytest.mark.parametrize("text", ["c5f858c1", "90", "0f1f440000", "f30f1efa", "62f17c4858c1"])
def test_what_is_undefined_in_both_places_is_not_said(text):
    assert not encoding_row(bytes.fromhex(text), JUDGE, CPUS["any"]).undefined_without


def test_a_call_to_the_next_instruction_needs_no_shadow_stack_to_be_off():
    found = Judge(LINUX, ASSUMPTIONS - {"no-shadow-stack"}).judgement(bytes.fromhex("e800000000"), Cpu.AMD)
    assert found.verdict is Verdict.PROVED  # nothing is pushed in either place (SDM vol. 2, CALL)
    assert "no-shadow-stack" not in encoding_row(bytes.fromhex("e800000000"), JUDGE, CPUS["amd"]).rests_on


def test_every_assumption_has_a_test_of_what_depends_on_it():
    assert FALLS.keys() == ASSUMPTIONS - OF_OTHER_SCHEMES


@pytest.mark.parametrize("text", ["480f38fc3d01000000", "62617c482935ad9da978"])  # aadd, vmovaps: aligned, rip-relative
def test_a_state_in_which_a_store_changes_memory_is_found(text):
    """The solver takes memory with what it has written to it for another memory."""
    found = Judge(LINUX, ASSUMPTIONS - {"code-as-in-file"}).judgement(bytes.fromhex(text), Cpu.INTEL)
    assert dict(found.observables)["memory-values"] is Verdict.REFUTED


@pytest.mark.parametrize("text", ["660f000500000000", "0f000d00000000", "0f010500000000", "0f012500000000"])
def test_a_store_of_the_kernel_for_umip_fails_alike_in_both_places(text):
    found = Judge(LINUX).judgement(bytes.fromhex(text), Cpu.AMD)
    assert dict(found.observables)["fault"] is Verdict.PROVED
    assert {d.observable for d in found.deviations} == {"trap", "containment"}


@pytest.mark.parametrize(("name", "text"), [
    ("code-mapped", "a2ffffffffffffffff"),  # the operand faults too: the fetch has an error code of its own
    ("code-not-read", "4146ff1d00000000"), ("code-not-read", "0f3802b282c9e92d"), ("code-not-read", "450fa1"),
])  # fmt: skip
def test_a_counterexample_without_an_assumption_replays(name, text):
    found = Judge(LINUX, ASSUMPTIONS - {name}).judgement(bytes.fromhex(text), Cpu.INTEL)
    assert found.verdict is Verdict.REFUTED
    assert "fault" in {d.observable for d in found.deviations}
    assert Verdict.UNKNOWN not in dict(found.observables).values(), found.reason


def test_a_form_that_these_processors_lack_is_neither_refused_nor_proved():
    found = form_result(form("JO_REL8_16/none"), JUDGE, (Cpu.INTEL,))  # 66 does not shorten branches on Intel's
    assert (found.verdict, found.reason) == (Verdict.VACUOUS, "no encoding on intel processors")


def stepping(copy: bytes) -> Scheme:
    """A step of bytes that have nothing to do with the original."""
    code = Code(tuple(Byte(None, bits=b) for b in copy.ljust(WHOLE, b"\x90")))
    return replace(LINUX, plan=lambda data: stepped(code, 1, ()), otherwise=(), continuations=nothing_behind)


@pytest.mark.parametrize(("copy", "verdict"), [
    ("d5009c", Verdict.UNKNOWN),  # REX2: not modelled, which is not undefined
    ("06", Verdict.REFUTED), ("4889d8", Verdict.REFUTED),
])  # fmt: skip
def test_what_is_not_known_of_a_copy_is_unknown(copy, verdict):
    found = Judge(stepping(bytes.fromhex(copy))).judgement(bytes.fromhex("4801d8"), Cpu.INTEL)
    assert found.verdict is verdict
    assert found.reason.startswith("not modelled: a copy: ") is (verdict is Verdict.UNKNOWN)


def test_a_copy_that_two_decoders_read_differently_is_unknown(monkeypatch):
    monkeypatch.setattr(encoding, "disagreement", lambda data, _: "other" if data == b"\x0c\x90" else None)
    found = Judge(stepping(b"\x0c")).judgement(bytes.fromhex("4801d8"), Cpu.INTEL)
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "the second decoder disagrees: a copy: other")
