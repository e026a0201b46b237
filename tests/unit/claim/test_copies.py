"""The short ways of judging a slot's copy agree with taking the copy apart and with the fields as terms."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from verify.claim import copies
from verify.claim.probes import Probe, probe_of
from verify.models.schemes.plan import Step
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Addressing, Cpu, all_forms
from verify.terms import Term

FORMS, EACH = 60, 40  # rip-relative forms, and encodings of each


def probes() -> Iterator[Probe]:
    """Stepped rip-relative encodings; forms with general registers as operands come first."""
    found = [f for f in all_forms() if f.addressing is Addressing.RIP]
    registers = [f for f in found if copies.general_operands(f.opcode, Addressing.RIP)]
    rng = Random(5)
    for f in rng.sample(registers, FORMS // 2) + rng.sample(found, FORMS // 2):
        for d in islice(decoded_representatives(f, Cpu.AMD), EACH):
            p = probe_of(d, SCHEMES["linux-uprobes-6.18"])
            if isinstance(p.plan, Step):
                yield p


def numbers_by_terms(d: Decoded) -> list[int | None]:
    found: list[Term] = [
        operand_register(d.form.opcode, i, fields(d))[1] for i in copies.general_operands(d.form.opcode, Addressing.RIP)
    ]
    return [None if t.value is None else t.value & 15 for t in found]


def test_register_numbers_from_bytes_are_those_of_the_fields() -> None:
    seen = [(p.decoded, numbers_by_terms(p.decoded)) for p in probes() if isinstance(p.decoded, Decoded)]
    assert len({n for _, numbers in seen for n in numbers}) == 16
    assert [d.data.hex() for d, numbers in seen if [n & 15 for n in copies._numbers(d)] != numbers] == []


def test_the_library_alone_says_what_taking_the_copy_apart_says(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [(p, p.relation) for p in probes()]
    monkeypatch.setattr(copies, "_is_plainly_based", lambda old, copy: False)
    assert "based" in {r for _, r in short}
    assert [p.data.hex() for p, r in short if p.relation != r] == []


def test_a_copy_is_the_slot_byte_by_byte() -> None:
    for p in islice(probes(), 400):
        assert isinstance(p.plan, Step)
        slot = [(p.data[b.source] & b.keep if b.source is not None else 0) | b.bits for b in p.plan.slot]
        assert p.copy_bytes == bytes(slot)
        assert copies.is_plain_copy(p.plan) == (bytes(slot) == p.data[:16])


def test_the_layout_of_a_based_copy_is_the_originals() -> None:
    for p in islice(probes(), 400):
        copy = decode(p.copy_bytes, Cpu.AMD)
        if p.relation == "based" and isinstance(copy, Decoded) and isinstance(p.decoded, Decoded):
            assert copy.layout._replace(rex=0) == p.decoded.layout._replace(rex=0)
