"""Faults seeded into semantics, overlay and scheme are put in, told and taken out again: a few; 300: `make mutants`."""

from __future__ import annotations

from itertools import islice

import pytest
from semantics_faults import SCHEME, faults, overlay_faults, seeded
from semantics_panel import Row, outcome, plan
from semantics_score import GENERAL, KERNEL, LIBRARY, PROCESSOR, PROVED, RAISES, SAME, VERDICT, told

from verify.live.available import missing
from verify.live.executor import Executor
from verify.models.isa.forms import form
from verify.models.semantics import flags

ENCODINGS = ("4811d8", "4829d8", "0fc1d8", "48c1e005", "90", "50", "7510", "e811000000", "c3", "0f0b", "8b05000000f0")
TOLD = {VERDICT, RAISES, PROCESSOR, LIBRARY, KERNEL, SAME, PROVED, GENERAL}


def state_of_the_models() -> list[object]:
    return [(outcome(bytes.fromhex(e)), plan(bytes.fromhex(e))) for e in ENCODINGS]


def test_a_fault_changes_what_runs_through_it_and_leaves_nothing_behind() -> None:
    before, changed = state_of_the_models(), 0
    for fault in islice(faults((flags, *SCHEME), 12, 4), 12):
        try:
            with seeded(fault):
                changed += state_of_the_models() != before
        except (ValueError, TypeError, IndexError, KeyError):
            changed += 1
        assert state_of_the_models() == before, fault.text
    assert changed >= 4


def test_a_word_of_the_overlay_is_left_out_and_put_back() -> None:
    from verify.models.isa.overlay import overlay

    fault, names = next(iter(overlay_faults(1)))
    opcode = next(f.opcode for f in map(form, ("RDTSC/none", "STMXCSR_M32/mem")))
    before = overlay(opcode)
    with seeded(fault):
        assert names
    assert overlay(opcode) == before


@pytest.mark.parametrize(("name", "encoding", "seed"), [
    ("ADC_RM64_R64/reg", "4811d8", 1), ("SUB_RM64_R64/reg", "4829d8", 2),
])  # fmt: skip
def test_faults_of_flags_are_told(name: str, encoding: str, seed: int) -> None:
    if absent := missing(["executor"]):
        pytest.skip(f"missing: {absent[0]}")
    with Executor() as executor:
        for fault in islice(faults((flags,), 5, seed), 5):
            rows = [Row(form(name), bytes.fromhex(encoding), frozenset())]
            assert told(fault, rows, executor) in TOLD, fault.text
