"""What is decided for a class of encodings against what is decided for the encoding alone, every byte concrete.

A class's obligations have variables for register numbers, displacement, immediates and length; the encoding alone has
none.  Verdicts must be the same, observable by observable: a class that is proved too easily would differ here.
"""

from random import Random

import pytest

from verify.claim.probes import Probe, cpu_of
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms

PARTS = 6
ENCODINGS = 60


def alone(p: Probe) -> tuple[object, ...]:
    return "concrete", p.data[:16], cpu_of(p.decoded)


@pytest.mark.parametrize("scheme", ["linux-uprobes-6.18", "linux-uprobes-3.15"])
@pytest.mark.parametrize("part", range(PARTS))
def test_class_and_encoding_alone_have_one_verdict(part, scheme, monkeypatch):
    rng, forms = Random(part), all_forms()
    judge, found = Judge(SCHEMES[scheme]), []
    while len(found) < ENCODINGS:
        cpu = rng.choice((Cpu.AMD, Cpu.INTEL))
        try:
            data = random_encoding(rng.choice(forms), rng, cpu)
        except ValueError:
            continue
        found.append((data, cpu, judge.judgement(data, cpu)))
    monkeypatch.setattr(Probe, "key", property(alone))
    other = Judge(SCHEMES[scheme])
    for data, cpu, classed in found:
        single = other.judgement(data, cpu)
        assert (single.verdict, single.observables) == (classed.verdict, classed.observables), data.hex()
    assert sum(c.verdict is Verdict.PROVED for _, _, c in found) > 5
