"""Every refutation and refusal has a cause, and known ones have the cause that the kernel's source says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import pytest
from recorded import form_rows, recorded

from verify.causes import derivation
from verify.causes.catalogue import CAUSES, Cause, Harm
from verify.causes.derivation import Site, cause, reason_cause
from verify.causes.rows import of_encoding, of_form
from verify.claim.probes import probe
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.forms import Cpu
from verify.report.judged import CounterexampleRow, JudgedForm

KERNEL = SCHEMES["linux-uprobes-6.18"]
SHARE = 100  # of so many refuted forms one may be `other`
# What each observable's deviation may cost: a cause that only debuggers see changes no value of the program's own.
DATA = {"gprs", "flags", "segment-bases", "vector", "x87", "memory-addresses"}


@cache
def refuted() -> tuple[JudgedForm, ...]:
    (path,) = (p for p in recorded("forms") if p.stem == f"forms-{KERNEL.name}")
    return tuple(r for r in form_rows(path) if r.verdict in {"refuted", "refused"})


@cache
def explained() -> tuple[tuple[JudgedForm, Cause | None], ...]:
    return tuple((row, of_form(row, KERNEL)) for row in refuted())


def counted(found: Iterable[Cause | None]) -> Counter[str]:
    return Counter(cause.name if cause else "none" for cause in found)


def without_cause(found: Counter[str]) -> int:
    """How many forms more than may be have no cause of their own."""
    return max(found["none"] * SHARE + found["other"] * SHARE - found.total(), 0)


def test_every_refuted_and_refused_form_of_the_record_has_a_cause() -> None:
    assert len(refuted()) > 2000
    assert without_cause(counted(found for _, found in explained())) == 0


@pytest.mark.parametrize("name", ["interruptible-hit-each-part", "x87-pointer-of-the-slot", "vex-taken-for-return"])
def test_a_rule_that_is_gone_leaves_its_forms_without_a_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    its = [row for row, found in explained() if found is CAUSES[name]]
    monkeypatch.setattr(derivation, "RULES", tuple(r for r in derivation.RULES if r[0] is not CAUSES[name]))
    assert without_cause(counted(of_form(row, KERNEL) for row in its)) > 0


def test_a_cause_that_debuggers_alone_see_changes_no_data_of_the_program() -> None:
    wrong = [
        r.form for r, found in explained()
        if found and found.harm is Harm.DEBUGGERS and r.counterexample and r.counterexample.observable in DATA
    ]  # fmt: skip
    assert not wrong


@pytest.mark.parametrize(("encoding", "observables", "name"), [
    # arch/x86/kernel/uprobes.c and arch/x86/lib/insn.c of Linux 6.18
    ("c5f97fc0", ["vector"], "vex-opcode-taken-for-legacy"),  # 7f: jg
    ("c5f890cb", ["vector"], "vex-opcode-taken-for-legacy"),  # 90: nop
    ("c5f970cb05", ["next-ip", "vector"], "vex-taken-for-jump"),  # 70: jo
    ("c5d8c2cb00", ["next-ip"], "vex-taken-for-return"),  # c2: ret
    ("c4e2599dcb", ["trap"], "vex-taken-for-popf"),  # 9d: popf
    ("4190", ["gprs"], "exchange-taken-for-nop"),
    ("0f1f440000", ["memory-values"], "red-zone-overwritten"),
    ("f20f2b0d00000000", ["memory-addresses"], "rip-relative-not-rewritten"),
    ("f3a4", ["hits"], "interruptible-hit-each-part"),
    ("c4e259910c13", ["hits"], "interruptible-hit-each-part"),  # vpgatherqd
    ("d803", ["x87-pointers"], "x87-pointer-of-the-slot"),
    ("9c", ["memory-values", "trap"], "tf-in-pushed-flags"),
    ("0f0100", ["trap", "containment"], "completed-by-the-kernel"),  # sgdt
    ("66e000", ["next-ip"], "branch-target-of-the-slot"),
    ("ff1b", ["memory-values"], "return-address-size"),
    ("4048ff5424f8", ["memory-values"], "prefix-misread"),  # a call whose fixup is none
    ("66f2f3676465ff5424f8", ["memory-values"], "prefix-misread"),
    ("41419d", ["trap"], "prefix-misread"),  # popf, which the kernel does not know for one
    ("4048d8c1", ["x87-pointers"], "x87-pointer-of-the-slot"),
    ("4f9c", ["memory-values"], "tf-in-pushed-flags"),
    ("48f2a4", ["hits"], "interruptible-hit-each-part"),
])  # fmt: skip
def test_known_encodings(encoding: str, observables: list[str], name: str) -> None:
    p = probe(bytes.fromhex(encoding), KERNEL, Cpu.AMD)
    assert of_encoding(p, observables)[0].name == name


@pytest.mark.parametrize(("encoding", "observables", "name"), [
    # the same of Linux 3.15: scratch register RAX or RCX by modrm.reg alone, VEX.B not looked at
    ("48f72511223344", ["gprs"], "scratch-register-in-use"),  # mul reads rax
    ("66f72500000000", ["gprs"], "scratch-register-in-use"),  # ax
    ("66d30500000000", ["flags"], "scratch-register-in-use"),  # cl
    ("66f70d000000000000", ["flags"], "length-misread"),  # f7 /1: its map has no immediate there
    ("c4c178100511223344", ["vector"], "copy-is-another-instruction"),  # VEX.B stays: r8 is the base
    ("ff1d00000000", ["memory-values"], "return-address-size"),
    ("66e80000", ["next-ip"], "branch-target-of-the-slot"),  # AMD
    ("667300", ["next-ip"], "branch-target-of-the-slot"),
])  # fmt: skip
def test_known_encodings_of_an_old_kernel(encoding: str, observables: list[str], name: str) -> None:
    p = probe(bytes.fromhex(encoding), SCHEMES["linux-uprobes-3.15"], Cpu.AMD)
    assert of_encoding(p, observables)[0].name == name


def test_a_run_that_no_breakpoint_ends() -> None:
    p = probe(bytes.fromhex("ffd3"), SCHEMES["inline-step-hwbp"], Cpu.AMD)
    assert of_encoding(p, ["containment"])[0].name == "run-not-ended"


def test_a_trampoline_that_leaves_the_red_zone_alone_is_another_cause() -> None:
    p = probe(bytes.fromhex("662e0f1f840000000000"), SCHEMES["linux-uprobes-next"], Cpu.AMD)
    assert of_encoding(p, ["memory-addresses"])[0].name == "stack-written-below-rsp"


def test_a_system_call_has_two_causes() -> None:
    p = probe(bytes.fromhex("0f05"), KERNEL, Cpu.AMD)
    found = of_encoding(p, ["next-ip", "gprs", "trap", "containment"])
    assert [c.name for c in found] == ["syscall-trap-late", "slot-address-in-rcx"]


def shown(difference: str, observable: str) -> CounterexampleRow:
    return CounterexampleRow(
        bytes="", observable=observable, vendor="any", origin="0x401000", slot="0x7fffffffe080", initial={},
        in_place={}, displaced={}, first_difference=difference, also_refuted=(),
    )  # fmt: skip


@pytest.mark.parametrize(("difference", "observable", "name"), [
    ("rbx: in place 0x0000000000401000, displaced 0x00007fffffffe080", "gprs", "slot-address-in-register"),
    ("rbx: in place 0x0000000000000202, displaced 0x0000000000000302", "gprs", "tf-in-saved-flags"),
    ("rbx: in place 0x0000000000000001, displaced 0x0000000000000003", "gprs", "other"),
    ("write 0: 8 bytes: in place 0x0000000000401003, displaced 0x00007fffffffe083", "memory-values",
     "slot-address-in-memory"),
    ("fault address: in place 0x0000000000401000, displaced 0x00007fffffffe080", "fault", "fault-address-of-the-slot"),
    ("fault vector: in place 0x06, displaced 0xff", "fault", "fault-not-raised"),
])  # fmt: skip
def test_the_first_difference_decides_where_plan_and_form_do_not(difference: str, observable: str, name: str) -> None:
    p = probe(bytes.fromhex("4889d8"), KERNEL, Cpu.AMD)
    site = Site(p, observable, frozenset({observable}), lambda _: shown(difference, observable))
    assert cause(site).name == name


def reasons() -> list[str]:
    """The reasons for which the modelled kernels refuse some encoding."""
    plans = (s.plan(bytes.fromhex(h).ljust(16, b"\x90")) for s in SCHEMES.values()
             for h in ("f4", "0f05", "d5009c", "62f57c285bcb",
                       "cc", "268b03", "660f80", "8ed0", "66e80000", "c4e359690b00"))  # fmt: skip
    return list(dict.fromkeys(p.reason for p in plans if isinstance(p, Refuse)))


@pytest.mark.parametrize("reason", reasons())
def test_every_reason_of_a_refusal_has_a_cause_of_its_own(reason: str) -> None:
    assert reason_cause(reason).name != "refused"


def test_a_reason_that_nobody_knows_is_refused_all_the_same() -> None:
    assert reason_cause("for a reason of its own").name == "refused"


@pytest.mark.parametrize("row", CAUSES.values(), ids=lambda c: c.name)
def test_a_cause_says_everything(row: Cause) -> None:
    assert all((row.happens, row.loses, row.instead, row.rule(KERNEL.name, KERNEL.source)))
    assert len(row.name) <= 27  # a column of the table by opcodes


def test_every_cause_can_be_the_answer() -> None:
    """A row that no rule and no reason leads to would never be seen."""
    named = {row.name for row, _ in derivation.RULES} | {row.name for _, row in derivation.REASONS}
    assert set(CAUSES) == named | {"other", "refused", "refused-as-unsafe"}
