"""What the semantics read and write, against iced's used registers: a sample of forms; all of them: `make accesses`."""

from __future__ import annotations

import re
from random import Random

import pytest
from register_access import KNOWN, differences, encodings, open_differences

from verify.models.x86.isa.forms import Cpu, all_forms, form
from verify.models.x86.semantics import routed
from verify.models.x86.semantics.run import Run
from verify.terms import Term

SAMPLE = 60
GATHER = "EVEX_VPGATHERDD_XMM_K1_VM32X/mem"


def test_a_sample_of_forms_reads_and_writes_what_iced_says() -> None:
    for one in Random(11).sample(all_forms(), SAMPLE):
        assert open_differences(one, 2) == [], one.name


def test_every_known_difference_is_still_one() -> None:
    """A row that explains nothing is dropped."""
    for row in KNOWN:
        concerned = [f for f in all_forms() if re.fullmatch(row.mnemonics, f.opcode.mnemonic)]
        found = ((kind, n) for f in concerned for data, cpu in encodings(f, 2) for kind, n in differences(data, cpu))
        assert any(kind == row.kind and re.fullmatch(row.names, n) for kind, n in found), row


def test_a_gather_that_keeps_its_mask_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_differences(form(GATHER), 1) == []
    monkeypatch.setattr(routed, "_write_element_mask", lambda run, inputs: None)
    ((_, kind, names),) = open_differences(form(GATHER), 1)
    assert kind == "unwritten" and re.fullmatch(r"k[1-7]", names)


def test_a_forgotten_source_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = routed._operand_inputs

    def without_second(run: Run, index: int, access: str, mask: list[Term]) -> list[Term]:
        return [] if index == 1 else real(run, index, access, mask)

    monkeypatch.setattr(routed, "_operand_inputs", without_second)
    ((_, kind, names),) = open_differences(form("EVEX_VPMADDWD_ZMM_K1Z_ZMM_ZMMM512/reg"), 1)
    assert kind == "unread" and re.fullmatch(r"v\d+", names)


def test_blocks_of_four_registers_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes.fromhex("62f2474d52407a")  # vp4dpwssd zmm0{k5}, zmm7+3, [rdx+7a0h]: zmm4 to zmm7
    assert differences(data, Cpu.INTEL) == frozenset()
    monkeypatch.setattr(routed, "BLOCK", 1)
    assert differences(data, Cpu.INTEL) == {("unread", "v5"), ("unread", "v6"), ("unread", "v7")}


def test_a_forgotten_immediate_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real, name = routed._operand_inputs, "AESKEYGENASSIST_XMM_XMMM128_IMM8/reg"

    def without_third(run: Run, index: int, access: str, mask: list[Term]) -> list[Term]:
        return [] if index == 2 else real(run, index, access, mask)

    assert open_differences(form(name), 1) == []
    monkeypatch.setattr(routed, "_operand_inputs", without_third)
    ((_, kind, names),) = open_differences(form(name), 1)
    assert (kind, names) == ("unread", "imm0")
