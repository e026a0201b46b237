"""Capstone as a second opinion: known differences are explained, anything else is flagged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.models.x86.isa.capstone_check import KNOWN, difference, disagreement, sampled_differences
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives, irregular_representatives
from verify.models.x86.isa.forms import Cpu, all_forms, form_of, opcode_named
from verify.models.x86.isa.rows import Addressing


def decoded(data: str, cpu: Cpu = Cpu.INTEL) -> Decoded:
    found = decode(bytes.fromhex(data), cpu)
    assert isinstance(found, Decoded)
    return found


@pytest.mark.parametrize("data", ["4801d8", "f30f58c1", "c5e858c1", "62f17c485843 01", "e900000000", "f3a4", "f00103"])
def test_ordinary_instructions_agree(data: str) -> None:
    found = decoded(data)
    assert difference(found.data, found) is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [("0fffc1", "length"), ("660f8000000000", "length"), ("0f1a03", "name"),
     ("0fc2c101", "name"), ("c4e25950cb", "refused"), ("0faee9", "refused"),
     ("f364660f163d00000000", "name"), ("f36566660faef0", "name"), ("67f36767660f38f80d01000000", "name"),
     ("f366f2262e664d0fc205ffffffff00", "name")],
)  # fmt: skip
def test_known_differences_have_their_reason(data: str, kind: str) -> None:
    found = decoded(data)
    theirs = difference(found.data, found)
    assert theirs is not None
    assert (theirs.kind, bool(theirs.why)) == (kind, True)
    assert disagreement(found.data, found) is None


def test_capstone_reads_most_16_bit_branches_as_intel_does() -> None:
    intel, amd = decoded("660f8411223344"), decoded("660f8411223344", Cpu.AMD)
    assert difference(intel.data, intel) is None
    assert "66 with rel16" in str(difference(amd.data, amd))


def test_another_form_for_the_same_bytes_is_an_open_disagreement() -> None:
    found = decoded("4801d8")
    wrong = replace(found, form=form_of(opcode_named("SUB_RM64_R64").code, Addressing.REG))
    assert "Capstone: add" in str(disagreement(found.data, wrong))


def test_a_prefix_that_wins_is_not_explained_away() -> None:
    """The processor runs f3660f1603 as MOVSHDUP (Zen 3): a decoder that says MOVHPD is in open disagreement."""
    found = decoded("f3660f1603")
    wrong = replace(found, form=form_of(opcode_named("MOVHPD_XMM_M64").code, Addressing.MEM))
    assert disagreement(found.data, found) is None
    assert "Capstone: movshdup" in str(disagreement(found.data, wrong))
    other = replace(found, form=form_of(opcode_named("MOVSLDUP_XMM_XMMM128").code, Addressing.MEM))
    assert "Capstone: movshdup" in str(disagreement(found.data, other))


def test_lock_before_mov_cr_selects_cr8_on_amd() -> None:
    found = decoded("f00f22c3", Cpu.AMD)
    theirs = difference(found.data, found)
    assert theirs is not None and theirs.why is not None


def test_another_length_for_the_same_bytes_is_an_open_disagreement() -> None:
    found = decoded("e811223344")
    short = replace(found, data=found.data[:3])
    assert "5 bytes" in str(disagreement(found.data, short))


def test_no_open_disagreement_on_a_sample_of_all_forms() -> None:
    for f in all_forms()[::17]:
        for cpu in Cpu:
            for d in decoded_representatives(f, cpu):
                if d.faults_ud is None:
                    assert disagreement(d.data, d) is None
        for data in irregular_representatives(f):
            d = decoded(data.hex())
            assert disagreement(data, d) is None


def test_sampled_differences_are_listed_with_their_reasons() -> None:
    found = [d for _, _, d in sampled_differences(seed=1, samples=1)]
    assert len(found) > 1_000
    assert {d.kind for d in found} == {"refused", "length", "name"}
    assert all(d.why for d in found)
    assert all(k.why for k in KNOWN)
