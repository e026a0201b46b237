"""P = P: every instruction that runs in place equals itself, on every observable, for both vendors.

A form that is not proved here shows a fault of the prover or of a semantics function, never of a scheme.
"""

from random import Random

import pytest
from sampling import sampled

from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.judge.form import form_result
from verify.models.schemes.identity import SCHEME
from verify.models.schemes.linux.uprobes_6_18 import SCHEME as LINUX
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.models.x86.machine import OBSERVABLES

SEED = 2
PARTS = 16  # every form once, in parts that can run side by side; the suite has five of them


@pytest.mark.parametrize("part", sampled(range(PARTS), 5))
def test_a_random_encoding_of_every_form_is_proved(part):
    judge, rng = Judge(SCHEME), Random(SEED * PARTS + part)
    wrong, asked = [], 0
    for form in all_forms()[part::PARTS]:
        cpu = rng.choice((Cpu.AMD, Cpu.INTEL))
        try:
            data = random_encoding(form, rng, cpu)
        except ValueError:
            continue  # this vendor has no encoding of the form
        found = judge.judgement(data, cpu)
        asked += 1
        if found.verdict is not Verdict.PROVED or dict(found.observables).keys() != set(OBSERVABLES):
            wrong.append((form.name, data.hex(), found.reason))
    assert wrong == []
    assert asked > 600


@pytest.mark.parametrize("part", sampled(range(4), 2))
def test_every_class_of_a_form_is_proved(part):
    judge = Judge(SCHEME)
    found = [form_result(form, judge, (Cpu.AMD, Cpu.INTEL)) for form in all_forms()[7 * part :: 61]]
    assert [(r.form, r.verdict.value, r.reason) for r in found if r.verdict is not Verdict.PROVED] == []
    assert {r.irregular for r in found} <= {Verdict.PROVED, None}


def test_the_same_sample_is_not_all_proved_under_a_scheme_that_is_wrong():
    judge, rng = Judge(LINUX), Random(SEED)
    verdicts = set()
    for form in all_forms()[::97]:
        try:
            verdicts.add(judge.judgement(random_encoding(form, rng, Cpu.AMD), Cpu.AMD).verdict)
        except ValueError:
            continue
    assert verdicts >= {Verdict.PROVED, Verdict.REFUTED, Verdict.REFUSED}
