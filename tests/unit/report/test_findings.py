"""A page a cause: what a maintainer needs to see it and to judge it."""

from __future__ import annotations

from verify.report.causes import CauseFinding, CauseRow
from verify.report.findings import findings
from verify.report.judged import CounterexampleRow
from verify.report.surveys import FormRow, Obligations, Survey

EXAMPLE = CounterexampleRow(
    bytes="4190", observable="gprs", vendor="amd", origin="0x401000", slot="0x7fffffffe080", initial={"r8": "0x1"},
    in_place={"rax": "0x0000000000000001"}, displaced={"rax": "0x0000000000000000"}, first_difference="",
    also_refuted=(),
)  # fmt: skip
CAUSE = CauseRow(
    name="exchange-taken-for-nop", harm="silent wrong data", happens="it is taken for a nop",
    rule="arch/x86/kernel/uprobes.c", loses="the exchange", instead="probe the next instruction",
)  # fmt: skip
FORM = FormRow(
    form="XCHG_R32_EAX/none", opcode="90", mnemonic="xchg", addressing="none", verdict="refuted", observables={},
    irregular=None, reason="", refused_with=(), over_cautious=False, obligations=0, rests_on=(), cause=CAUSE.name,
    emitted=True, counterexample=EXAMPLE,
)  # fmt: skip


def survey(confirmed: str = "") -> Survey:
    finding = CauseFinding(cause=CAUSE, forms=1, emitted=1, form=FORM.form, example="4190", text="xchg r8d,eax",
                           confirmed=confirmed)  # fmt: skip
    return Survey(
        version="1", scheme="linux-uprobes-6.18", cpu="any", assumptions=("code-mapped",), rests_on={}, deviations=(),
        totals={}, obligations=Obligations(total=0, distinct=0), seconds=0.0, causes=(finding,), forms=(FORM,),
    )  # fmt: skip


def test_a_page_says_what_where_and_how() -> None:
    pages = dict(findings(survey("4190 on Linux 6.18.44")))
    assert set(pages) == {"README.md", "exchange-taken-for-nop.md"}
    page = pages["exchange-taken-for-nop.md"]
    for said in (
        "It is taken for a nop.", "arch/x86/kernel/uprobes.c", "`XCHG_R32_EAX/none`", "Seen: 4190 on Linux 6.18.44.",
        "ubp-verify insn 4190 --scheme linux-uprobes-6.18 --emit-reproducer DIR", "| rax | 0x1 | 0x0 |",
        "before: r8 = 0x1", "Assumptions in force: code-mapped.",
    ):  # fmt: skip
        assert said in page
    assert "[exchange-taken-for-nop](exchange-taken-for-nop.md)" in pages["README.md"]


def test_what_no_machine_showed_is_said() -> None:
    assert "on no machine yet" in dict(findings(survey()))["exchange-taken-for-nop.md"]
