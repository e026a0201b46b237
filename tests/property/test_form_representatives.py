"""A form's representatives reach every class that its encodings can be in: its verdict speaks of all of them."""

from random import Random

import pytest
from sampling import sampled

from verify.claim.probes import PREFIX_SENSITIVE, probe, probe_of
from verify.models.schemes.linux.uprobes_6_18 import SCHEME
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa import encode
from verify.models.x86.isa.encode import decoded_representatives, random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms

FORMS, ENCODINGS = 300, 16
# PAUSE and NOP: classes by what REX, 66, F2 and F3 make of 90; ENTER: by prefixes that it ignores, times 32 levels.
NO_CLASS_OF_ITS_OWN = PREFIX_SENSITIVE - {"call"} | {"nop", "enter"}


def missed(part: int, forms: int) -> tuple[int, list[str]]:
    """How many random encodings were looked at, and those whose class no representative has."""
    rng = Random(f"representatives {part}")
    looked_at, found = 0, []
    for form in rng.sample(all_forms(), forms):
        cpu = rng.choice((Cpu.AMD, Cpu.INTEL))
        keys = {probe_of(d, SCHEME).key for d in decoded_representatives(form, cpu)}
        for _ in range(ENCODINGS if keys and form.opcode.mnemonic not in NO_CLASS_OF_ITS_OWN else 0):
            p = probe(random_encoding(form, rng, cpu), SCHEME, cpu)
            if not isinstance(p.plan, Refuse):
                looked_at += 1
                if p.key not in keys:
                    found.append(f"{form.name} {p.decoded.data.hex()}")  # type: ignore[union-attr]
    return looked_at, found


@pytest.mark.parametrize("part", sampled(range(6), 1, always=[0]))
def test_random_encodings_are_in_classes_that_were_judged(part: int) -> None:
    looked_at, found = missed(part, FORMS)
    assert looked_at > FORMS * ENCODINGS // 2
    assert found == []


def test_a_representative_that_is_left_out_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_depends_on_prefixes", lambda row: False)
    encode._patterns.cache_clear()
    try:
        assert missed(0, FORMS)[1]
    finally:
        encode._patterns.cache_clear()
