"""What the solver finds is shown by evaluation: no verdict rests on a counterexample that does not replay."""

from __future__ import annotations

from random import Random

import pytest
from recorded import form_rows, recorded

from verify.judge.encoding import Judge
from verify.judge.form import undecided
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.forms import Cpu, all_forms, form
from verify.smt.decisions import NO_REPLAY
from verify.survey.forms import Setting, Worker
from verify.survey.rows import INTERNAL_FAULT, form_row, is_lasting

SEED = 9
# Forms whose refutations need more than the ordinary states: the solver's own, with its choice of datapaths.
ASKED = ("EVEX_VPSUBSB_YMM_K1Z_YMM_YMMM256/mem", "EVEX_VPSUBSB_ZMM_K1Z_ZMM_ZMMM512/mem", "JMP_M1664/rip")
ENCODINGS = ("4146ff1d00000000", "62f15d28e80b", "62f15d48e80b", "48ff1d00000000", "ff1d00000000", "48ff2d00000000")

FAR = ("66ff1b",)  # what they read lies in probed memory, and must be the selector of the 32-bit segment


@pytest.mark.parametrize("path", recorded("forms"), ids=lambda p: p.stem)
def test_no_recorded_row_rests_on_a_fault_of_this_program(path):
    rows = form_rows(path)
    assert len(rows) == len(all_forms())
    assert [r.form for r in rows if not is_lasting(r)] == []


def test_no_row_of_a_sample_does():
    rng = Random(SEED)
    worker = Worker(Setting(SCHEMES[DEFAULT], tuple(Cpu), ASSUMPTIONS), {}, {})
    names = [*ASKED, *(f.name for f in rng.sample(all_forms(), 6))]
    assert [(r.form, r.reason) for r in worker.shard_result(names).rows if not is_lasting(r)] == []


@pytest.mark.parametrize(("dropped", "encodings"), [
    ("nothing", ENCODINGS), ("user-half", (*ENCODINGS[:1], "62f1fddc7a04a5ffffffff")), ("code-not-read", FAR),
    ("no-transaction", ("4c832ce51771dd4b00",)),  # what is stored was there
])  # fmt: skip
def test_no_encoding_of_a_sample_does(dropped, encodings):
    judge = Judge(SCHEMES[DEFAULT], ASSUMPTIONS - {dropped})
    for text in encodings:
        for cpu in Cpu if encodings is not FAR else (Cpu.AMD,):
            assert NO_REPLAY not in judge.judgement(bytes.fromhex(text), cpu).reason, text


def test_a_row_that_rests_on_such_a_fault_is_not_kept():
    for reason in (NO_REPLAY, f"solver: x; {NO_REPLAY}", f"{INTERNAL_FAULT}KeyError: 3"):
        assert not is_lasting(form_row(undecided(form(ASKED[0]), reason)))
    assert is_lasting(form_row(undecided(form(ASKED[0]), "not modelled: REX2 prefix (APX)")))
